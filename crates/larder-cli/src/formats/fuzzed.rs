//! What a fuzzer does with the files of an import: `fuzz/fuzz_targets/import.rs`.

use std::collections::BTreeMap;

use larder::{Entry, Revision, Value};

use crate::formats::{Format, Record, Writer, read};

/// Reads a file. The first byte says its format, and whether it is to be one group's. What is understood and written
/// again means the same.
pub fn import(bytes: &[u8]) {
    let Some((kind, file)) = bytes.split_first() else { return };
    let formats = [Format::Ndjson, Format::Json, Format::Toml, Format::Env];
    let format = formats[usize::from(kind & 3)];
    let group = (kind & 4 != 0 || format == Format::Env).then_some("own");
    let Ok(document) = read(format, file, group) else { return };
    let mut groups: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
    document.records.iter().for_each(|record| groups.entry(&record.group).or_default().push(record));
    let is_single = group.is_some() && groups.len() == 1;
    let mut written = Vec::new();
    let mut writer = Writer::new(format, &mut written, is_single);
    for (group, records) in &mut groups {
        records.sort_by(|one, other| one.key.cmp(&other.key));
        for record in records {
            let entry = Entry {
                key: record.key.clone(),
                value: Value::from(record.value.as_slice()),
                revision: Revision(1),
                expires_at: record.expires_at,
            };
            // A format need not have a place for every key.
            if writer.entry(group, &entry).is_err() {
                return;
            }
        }
    }
    if writer.finish().is_err() {
        return;
    }
    let shown = String::from_utf8_lossy(&written).into_owned();
    let again = match read(format, &written, group) {
        Ok(document) => document.records,
        Err(mistake) => panic!("{mistake:?} in {shown}"),
    };
    let sorted = |records: &[Record]| -> Vec<_> {
        let parts =
            records.iter().map(|one| (one.group.clone(), one.key.clone(), one.value.clone(), one.expires_at));
        let mut parts: Vec<_> = parts.collect();
        parts.sort();
        parts
    };
    assert_eq!(sorted(&again), sorted(&document.records), "written as {shown}");
}
