//! `larder stats`

use super::cursor;
use crate::arguments::Place;
use crate::failure::Failure;
use crate::output::{Form, Output};
use crate::records::StatsRecord;
use crate::text::size;

pub fn run(place: &Place, output: &mut Output) -> Result<(), Failure> {
    let store = place.whole("stats")?.reading()?.whole;
    // Not the later of the two: what happens in between is to be heard by whoever watches from the token.
    let token = store.token()?;
    let stats = store.stats()?;
    if output.form() == Form::Json {
        return output.json(&StatsRecord { token: &token, stats: &stats });
    }
    let figures = [
        ("revision", stats.revision.0, "commits so far"),
        ("keys", stats.keys, ""),
        ("groups", stats.groups, ""),
        ("namespaces", stats.namespaces, "that hold something or have a quota"),
        ("bytes", stats.bytes, "of keys and values"),
        ("file_bytes", stats.file_bytes, "of the file"),
        ("wal_bytes", stats.wal_bytes, "of its write-ahead log"),
        ("history_from", stats.history_from.0, "the oldest revision to watch from"),
        ("history_changes", stats.history_changes, "changes remembered"),
        ("history_bytes", stats.history_bytes, "what they take"),
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
