//! `larder list`: lists the groups, or the entries of one group.

use larder::{Entry, GroupInfo, Snapshot};

use crate::arguments::{List, Place};
use crate::failure::Failure;
use crate::opening::check_complete;
use crate::output::{Form, Output, remark};
use crate::records::{EntryRecord, KeyRecord, expiry_field};
use crate::text::{shown, size};
use crate::times;

/// The number of entries of the first page.
const PAGE_SIZE: usize = 256;

/// The most entries of a page. A cluster looks through the whole rest of the group for each.
const PAGE_SIZE_MAX: usize = 4096;

/// A page with more bytes of values is followed by one of the same size, a smaller one by a larger one.
const PAGE_BYTES: usize = 256 << 10;

/// The most rows on a terminal without `--limit`, because a table is built in memory.
const ROWS_MAX: usize = 1000;

pub fn run(command: &List, place: &Place, output: &mut Output) -> Result<(), Failure> {
    let opened = place.reading()?;
    let snapshot = opened.snapshot()?;
    let limit = command.limit.unwrap_or(if output.form() == Form::Table { ROWS_MAX } else { usize::MAX });
    match &command.group {
        None => groups(command, limit, &snapshot, output),
        Some(group) if command.keys => keys(command, group, limit, &snapshot, output),
        Some(group) => entries(command, group, limit, &snapshot, output),
    }?;
    check_complete(&opened.whole, &place.store)
}

fn groups(command: &List, limit: usize, snapshot: &Snapshot, output: &mut Output) -> Result<(), Failure> {
    let mut groups = snapshot.groups(command.prefix.as_deref().unwrap_or_default())?;
    if let Some(after) = &command.after {
        groups.retain(|group| group.name > *after);
    }
    let more = groups.len() > limit;
    groups.truncate(limit);
    match output.form() {
        Form::Json => groups.iter().try_for_each(|group| output.json(group)),
        Form::Plain => groups.iter().try_for_each(|GroupInfo { name, keys, bytes }| {
            output.fields(&[name.as_bytes(), keys.to_string().as_bytes(), bytes.to_string().as_bytes()])
        }),
        Form::Table if groups.is_empty() => nothing("There are no groups.", output),
        Form::Table => {
            let last = groups.last().map(|group| group.name.clone());
            let rows = groups
                .iter()
                .map(|group| vec![shown(group.name.as_bytes()), group.keys.to_string(), size(group.bytes)]);
            output.table(&["group", ">keys", ">size"], rows.collect())?;
            go_on(more, last, output)
        }
    }
}

fn keys(
    command: &List,
    group: &str,
    limit: usize,
    snapshot: &Snapshot,
    output: &mut Output,
) -> Result<(), Failure> {
    let prefix = command.prefix.as_deref().unwrap_or_default();
    let mut listed = 0;
    let mut last = None;
    for key in snapshot.keys(group)? {
        let key = key?;
        if !key.starts_with(prefix) || command.after.as_ref().is_some_and(|after| key <= *after) {
            continue;
        }
        if listed == limit {
            output.flush()?;
            return go_on(output.form() == Form::Table, last, output);
        }
        match output.form() {
            Form::Json => output.json(&KeyRecord { group, key: &key })?,
            Form::Plain => output.fields(&[key.as_bytes()])?,
            Form::Table => output.line(&shown(key.as_bytes()))?,
        }
        listed += 1;
        last = Some(key);
    }
    Ok(())
}

fn entries(
    command: &List,
    group: &str,
    limit: usize,
    snapshot: &Snapshot,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut rows = Vec::new();
    let mut last = None;
    let (listed, more) = walk(command, group, limit, snapshot, |entry| {
        match output.form() {
            Form::Json => output.json(&EntryRecord { group, entry: &entry })?,
            Form::Plain => output.fields(&[
                entry.key.as_bytes(),
                entry.value.as_bytes(),
                entry.revision.to_string().as_bytes(),
                expiry_field(entry.expires_at).as_bytes(),
            ])?,
            Form::Table => {
                rows.push(vec![
                    shown(entry.key.as_bytes()),
                    shown(entry.value.as_bytes()),
                    entry.revision.to_string(),
                    entry.expires_at.map(times::from_now).unwrap_or_default(),
                ]);
                last = Some(entry.key);
            }
        }
        Ok(())
    })?;
    if output.form() != Form::Table {
        return Ok(());
    }
    if listed == 0 {
        return nothing(&format!("No entries found in the group {group:?}."), output);
    }
    // Omit an empty column.
    let expiring = rows.iter().any(|row| row.last().is_some_and(|expiry| !expiry.is_empty()));
    let mut headings = vec!["key", "value", ">revision"];
    if expiring {
        headings.push("expires");
    } else {
        rows.iter_mut().for_each(|row| row.truncate(headings.len()));
    }
    output.table(&headings, rows)?;
    go_on(more, last, output)
}

/// Visits the selected entries, one page at a time. Returns how many it visited, and whether there are more
/// beyond the limit.
fn walk(
    command: &List,
    group: &str,
    limit: usize,
    snapshot: &Snapshot,
    mut visit: impl FnMut(Entry) -> Result<(), Failure>,
) -> Result<(usize, bool), Failure> {
    let prefix = command.prefix.as_deref().unwrap_or_default();
    let mut after = command.after.clone();
    let mut listed = 0;
    // Keys with a prefix are contiguous, and the first may be the prefix itself: start there, unless
    // `--after` is further on.
    if !prefix.is_empty() && after.as_deref().is_none_or(|after| after < prefix) {
        if let Some(entry) = snapshot.entry(group, prefix)? {
            if limit == 0 {
                return Ok((0, true));
            }
            visit(entry)?;
            listed += 1;
        }
        after = Some(prefix.to_owned());
    }
    let mut size = PAGE_SIZE;
    loop {
        let page = snapshot.page(group, after.as_deref(), size)?;
        if page.entries.iter().map(|entry| entry.value.len()).sum::<usize>() <= PAGE_BYTES {
            size = (4 * size).min(PAGE_SIZE_MAX);
        }
        for entry in page.entries {
            if !entry.key.starts_with(prefix) {
                return Ok((listed, false));
            }
            if listed == limit {
                return Ok((listed, true));
            }
            visit(entry)?;
            listed += 1;
        }
        after = page.next;
        if after.is_none() {
            return Ok((listed, false));
        }
    }
}

/// Prints a hint that the list is empty, on a terminal only.
fn nothing(words: &str, output: &mut Output) -> Result<(), Failure> {
    output.flush()?;
    remark(words);
    Ok(())
}

/// Prints a hint how to list the rest, on a terminal only.
fn go_on(more: bool, last: Option<String>, output: &mut Output) -> Result<(), Failure> {
    if let (true, Some(last)) = (more, last) {
        output.flush()?;
        remark(&format!("There are more. Continue with --after {}", shell_word(&last)));
    }
    Ok(())
}

/// Quotes a text for a shell.
fn shell_word(text: &str) -> String {
    let plain = |character: char| character.is_alphanumeric() || "-_.:/@%+".contains(character);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use larder::Store;

    fn listed(store: &Store, prefix: Option<&str>, after: Option<&str>, limit: usize) -> Vec<String> {
        let command = List {
            group: Some("g".into()),
            prefix: prefix.map(str::to_owned),
            keys: false,
            after: after.map(str::to_owned),
            limit: None,
        };
        let mut keys = Vec::new();
        let snapshot = store.snapshot().unwrap();
        walk(&command, "g", limit, &snapshot, |entry| {
            keys.push(entry.key);
            Ok(())
        })
        .unwrap();
        keys
    }

    #[test]
    fn prefix_after_and_limit_combine() {
        let store = Store::in_memory().unwrap();
        for key in ["", "a", "a.1", "a.2", "a/", "b"] {
            store.set("g", key, "x").unwrap();
        }
        assert_eq!(listed(&store, None, None, 9), ["", "a", "a.1", "a.2", "a/", "b"]);
        assert_eq!(listed(&store, Some("a"), None, 9), ["a", "a.1", "a.2", "a/"]);
        assert_eq!(listed(&store, Some("a."), None, 9), ["a.1", "a.2"]);
        assert_eq!(listed(&store, Some("a"), Some("a.1"), 9), ["a.2", "a/"]);
        assert_eq!(listed(&store, Some("a"), Some("a"), 1), ["a.1"]);
        assert_eq!(listed(&store, Some("a"), Some("b"), 9), [""; 0]);
        assert_eq!(listed(&store, Some("a"), None, 0), [""; 0]);
        assert_eq!(listed(&store, None, None, 2), ["", "a"]);
    }

    #[test]
    fn more_than_one_page_is_listed_in_order() {
        let store = Store::in_memory().unwrap();
        let keys: Vec<String> = (0..PAGE_SIZE * 2 + 1).map(|number| format!("{number:05}")).collect();
        keys.iter().try_for_each(|key| store.set("g", key, "x").map(drop)).unwrap();
        assert_eq!(listed(&store, None, None, usize::MAX), keys);
    }
}
