//! `larder stats`: prints statistics of the store.

use humantime::format_duration;
use larder::OldestReader;

use super::{cursor, health};
use crate::arguments::Place;
use crate::failure::Failure;
use crate::output::{Form, Output};
use crate::records::StatsRecord;
use crate::text::{shown, size};

pub fn run(place: &Place, output: &mut Output) -> Result<(), Failure> {
    let store = place.whole("stats")?.reading()?.whole;
    // Read before the statistics, so that a watch from this token receives every later change.
    let token = store.token()?;
    let stats = store.stats()?;
    let health = health::of(&store, &place.access)?;
    if output.form() == Form::Json {
        return output.json(&StatsRecord { token: &token, stats: &stats, health: health.as_ref() });
    }
    let health_figures = health.as_ref().map(health::figures).unwrap_or_default();
    let figures = [
        ("revision", stats.revision.0, "commits so far"),
        ("keys", stats.keys, ""),
        ("groups", stats.groups, ""),
        ("namespaces", stats.namespaces, "with entries or a quota"),
        ("bytes", stats.bytes, "in keys and values"),
        ("file_bytes", stats.file_bytes, "in the database file"),
        ("free_bytes", stats.free_bytes, "of those, which `larder compact` gives back"),
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
        if let Some(OldestReader { process, age, log_bytes, .. }) = &stats.oldest_reader {
            let process = process.map(|id| id.to_string()).unwrap_or_default();
            let (age, log_bytes) = (age.as_millis().to_string(), log_bytes.to_string());
            let fields = ["oldest_reader", &process, &age, &log_bytes];
            output.fields(&fields.map(str::as_bytes))?;
        }
        if let Some(version) = &stats.unsafe_sqlite {
            output.fields(&[b"unsafe_sqlite", version.as_bytes()])?;
        }
        for (name, figure, _) in &health_figures {
            output.fields(&[name.as_bytes(), figure.as_bytes()])?;
        }
        return stats.cursors.iter().try_for_each(|cursor| {
            let [name, revision, behind, compacted, moved_at, pattern] = &cursor::fields(cursor);
            let fields = ["cursor", name, revision, behind, compacted, moved_at, pattern];
            output.fields(&fields.map(str::as_bytes))
        });
    }
    let rows = figures.map(|(name, figure, meaning)| {
        let figure = if name.ends_with("bytes") { size(figure) } else { figure.to_string() };
        vec![name.to_owned(), figure, meaning.to_owned()]
    });
    let mut rows = rows.to_vec();
    rows.extend(stats.oldest_reader.as_ref().map(|OldestReader { process, age, log_bytes, .. }| {
        let who = process.map_or_else(|| "an unknown process".to_owned(), |id| format!("process {id}"));
        let meaning = format!("of the log kept by a reader of {who}, for at least {}", format_duration(*age));
        vec!["oldest_reader".to_owned(), size(*log_bytes), meaning]
    }));
    rows.extend(stats.unsafe_sqlite.as_ref().map(|version| {
        let meaning = "of SQLite has changed the file, and can damage it: see `larder check`".to_owned();
        vec!["unsafe_sqlite".to_owned(), version.clone(), meaning]
    }));
    rows.extend(
        health_figures.into_iter().map(|(name, figure, meaning)| {
            vec![name.to_owned(), shown(figure.as_bytes()), meaning.to_owned()]
        }),
    );
    output.table(&["figure", ">value", "meaning"], rows)?;
    if stats.cursors.is_empty() {
        return Ok(());
    }
    output.line("")?;
    cursor::table(&stats.cursors, output)
}
