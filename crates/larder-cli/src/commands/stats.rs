//! `larder stats`: prints statistics of the store.

use super::cursor;
use crate::arguments::Place;
use crate::failure::Failure;
use crate::output::{Form, Output};
use crate::records::StatsRecord;
use crate::text::size;

pub fn run(place: &Place, output: &mut Output) -> Result<(), Failure> {
    let store = place.whole("stats")?.reading()?.whole;
    // Read before the statistics, so that a watch from this token receives every later change.
    let token = store.token()?;
    let stats = store.stats()?;
    if output.form() == Form::Json {
        return output.json(&StatsRecord { token: &token, stats: &stats });
    }
    let figures = [
        ("revision", stats.revision.0, "commits so far"),
        ("keys", stats.keys, ""),
        ("groups", stats.groups, ""),
        ("namespaces", stats.namespaces, "with entries or a quota"),
        ("bytes", stats.bytes, "in keys and values"),
        ("file_bytes", stats.file_bytes, "in the database file"),
        ("wal_bytes", stats.wal_bytes, "in its write-ahead log"),
        ("history_from", stats.history_from.0, "oldest revision to watch from"),
        ("history_changes", stats.history_changes, "in the change log"),
        ("history_bytes", stats.history_bytes, "in the change log"),
    ];
    if output.form() == Form::Plain {
        output.fields(&[b"identity", stats.identity.as_bytes()])?;
        for (name, figure, _) in figures {
            output.fields(&[name.as_bytes(), figure.to_string().as_bytes()])?;
        }
        return stats.cursors.iter().try_for_each(|cursor| {
            let [name, revision, behind, compacted, moved_at] = &cursor::fields(cursor);
            let fields = ["cursor", name, revision, behind, compacted, moved_at];
            output.fields(&fields.map(str::as_bytes))
        });
    }
    let rows = figures.map(|(name, figure, meaning)| {
        let figure = if name.ends_with("bytes") { size(figure) } else { figure.to_string() };
        vec![name.to_owned(), figure, meaning.to_owned()]
    });
    output.table(&["figure", ">value", "meaning"], rows.to_vec())?;
    if stats.cursors.is_empty() {
        return Ok(());
    }
    output.line("")?;
    cursor::table(&stats.cursors, output)
}
