//! Prints the rows as a table.

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};

use crate::row::Row;

pub fn print(rows: &[Row]) {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_HORIZONTAL_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(["row", "", "larder", "middle half", "peers", "target", "met"]);
    for row in rows {
        let peers: Vec<String> =
            row.peers.iter().map(|(name, value)| format!("{name} {}", number(*value))).collect();
        let times = row.times_alone().map(|times| format!("{} times alone", number(times)));
        let spread = row.quartiles.get("larder").filter(|[low, high]| low < high);
        table.add_row([
            Cell::new(&row.id),
            Cell::new(&row.unit),
            Cell::new(number(row.larder)).set_alignment(CellAlignment::Right),
            Cell::new(
                spread.map_or_else(String::new, |[low, high]| format!("{}–{}", number(*low), number(*high))),
            ),
            Cell::new(peers.into_iter().chain(times).collect::<Vec<_>>().join("\n")),
            Cell::new(row.target.as_deref().unwrap_or_default()),
            Cell::new(row.met.map_or("", |met| if met { "yes" } else { "no" })),
        ]);
    }
    println!("{table}");
}

/// A number with three significant digits, or with all digits before the point.
pub fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => thousands(value.round()),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// A whole number with thousands separators.
pub fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = if value < 0.0 { String::from("-") } else { String::new() };
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
