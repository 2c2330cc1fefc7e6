//! The rows, as a table and as JSON.

use std::collections::BTreeMap;

use serde_json::json;

use crate::Outcome;
use crate::measure::Timing;

/// One line of the result.
#[derive(Debug)]
pub struct Row {
    pub id: String,
    pub unit: &'static str,
    pub larder: f64,
    pub peers: BTreeMap<String, f64>,
    /// What it must reach, in words.
    pub target: String,
    /// Whether it did; `None` where there is nothing to reach yet.
    pub met: Option<bool>,
}

impl Row {
    /// A row from timings of which the first is larder's, in microseconds.
    pub fn of(
        id: impl Into<String>,
        timings: &[Timing],
        target: &str,
        met: impl Fn(f64, &BTreeMap<String, f64>) -> Option<bool>,
    ) -> Self {
        let us = |timing: &Timing| timing.median_ns / 1000.0;
        let larder = timings.first().map_or(f64::NAN, us);
        let peers = timings.iter().skip(1).map(|timing| (timing.name.clone(), us(timing))).collect();
        let met = met(larder, &peers);
        Self { id: id.into(), unit: "µs", larder, peers, target: target.into(), met }
    }
}

pub fn print(rows: &[Row]) {
    println!("{:<18} {:>12}  {:<44} {:<46} met", "workload", "larder", "peers", "target");
    for row in rows {
        let number = |value: f64| if value < 100.0 { format!("{value:.2}") } else { format!("{value:.0}") };
        let peers: Vec<String> =
            row.peers.iter().map(|(name, value)| format!("{name} {}", number(*value))).collect();
        let met = row.met.map_or("-", |met| if met { "yes" } else { "no" });
        let larder = format!("{} {}", number(row.larder), row.unit);
        println!("{:<18} {larder:>12}  {:<44} {:<46} {met}", row.id, peers.join(", "), row.target);
    }
}

pub fn json(rows: &[Row]) -> Outcome<String> {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            json!({
                "id": row.id, "unit": row.unit, "larder": row.larder, "peers": row.peers,
                "target": row.target, "met": row.met,
            })
        })
        .collect();
    Ok(serde_json::to_string_pretty(&rows)?)
}
