//! Every format brings back what it was given.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use larder::{Revision, Value};
use proptest::prelude::*;

use super::*;

fn entry(key: &str, value: &[u8], expires_at: Option<SystemTime>) -> Entry {
    Entry { key: key.into(), value: Value::from(value), revision: Revision(1), expires_at }
}

/// What comes back of entries that are written and read again.
fn there_and_back(format: Format, groups: &[(&str, Vec<Entry>)], group: Option<&str>) -> Vec<Record> {
    let text = written(format, groups, group.is_some());
    match read(format, &text, group) {
        Ok(records) => records,
        Err(mistake) => panic!("{mistake:?} in {}", String::from_utf8_lossy(&text)),
    }
}

fn written(format: Format, groups: &[(&str, Vec<Entry>)], single: bool) -> Vec<u8> {
    let mut text = Vec::new();
    let mut writer = Writer::new(format, &mut text, single);
    for (group, entries) in groups {
        entries.iter().for_each(|entry| writer.entry(group, entry).unwrap());
    }
    writer.finish().unwrap();
    text
}

fn same(records: &[Record], groups: &[(&str, Vec<Entry>)]) {
    let expected: Vec<_> = groups
        .iter()
        .flat_map(|(group, entries)| entries.iter().map(move |entry| (*group, entry)))
        .map(|(group, entry)| (group, entry.key.as_str(), entry.value.as_bytes(), entry.expires_at))
        .collect();
    let found: Vec<_> = records
        .iter()
        .map(|record| {
            (record.group.as_str(), record.key.as_str(), record.value.as_slice(), record.expires_at)
        })
        .collect();
    assert_eq!(found, expected);
}

fn any_entries() -> impl Strategy<Value = Vec<Entry>> {
    let value = prop_oneof![any::<String>().prop_map(String::into_bytes), any::<Vec<u8>>()];
    let expiry = proptest::option::of(0..4_000_000_000_000u64);
    proptest::collection::btree_map(any::<String>(), (value, expiry), 1..8).prop_map(|entries| {
        let time = |ms| UNIX_EPOCH + Duration::from_millis(ms);
        entries.into_iter().map(|(key, (value, ms))| entry(&key, &value, ms.map(time))).collect()
    })
}

proptest! {
    #[test]
    fn ndjson_json_and_toml_bring_everything_back(entries in any_entries(), more in any_entries()) {
        let groups = [("", entries.clone()), ("a.b: \"c\"\n", more)];
        for format in [Format::Ndjson, Format::Json, Format::Toml] {
            same(&there_and_back(format, &groups, None), &groups);
            let one = [("one", entries.clone())];
            same(&there_and_back(format, &one, Some("one")), &one);
        }
    }

    #[test]
    fn dotenv_brings_every_value_back(
        text in "[ a'\"\\\\$`#=\n\t\r{}\u{e9}\u{0}\u{1b}\u{7f}-]{0,12}",
        bytes in any::<Vec<u8>>(),
        anything in any::<String>(),
    ) {
        let entries = [text.as_bytes(), &bytes, anything.as_bytes()]
            .into_iter()
            .zip(["A", "b_1", "_"])
            .map(|(value, key)| entry(key, value, None))
            .collect();
        let groups = [("env", entries)];
        same(&there_and_back(Format::Env, &groups, Some("env")), &groups);
    }

    #[test]
    fn no_input_makes_a_reader_panic(bytes in any::<Vec<u8>>(), text in any::<String>()) {
        for format in [Format::Ndjson, Format::Json, Format::Toml, Format::Env] {
            let _ = read(format, &bytes, Some("g"));
            let _ = read(format, text.as_bytes(), None);
        }
    }
}

fn values(format: Format, text: &str) -> Vec<(String, String)> {
    read(format, text.as_bytes(), Some("g"))
        .unwrap()
        .into_iter()
        .map(|record| (record.key, String::from_utf8(record.value).unwrap()))
        .collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

#[test]
fn json_of_others_becomes_dotted_keys_and_text() {
    let text = r#"{"server": {"port": 8080, "tls": true, "": "x"}, "ratio": 1.10,
        "big": 123456789012345678901234567890, "hosts": [ "a b", {"c": null} ], "none": {}}"#;
    let expected = pairs(&[
        ("server.port", "8080"),
        ("server.tls", "true"),
        ("server.", "x"),
        ("ratio", "1.10"),
        ("big", "123456789012345678901234567890"),
        ("hosts", r#"["a b",{"c":null}]"#),
    ]);
    assert_eq!(values(Format::Json, text), expected);
}

#[test]
fn toml_of_others_becomes_dotted_keys_and_text() {
    let text = "title = 'Ü'\nwhen = 2026-01-31T12:00:00Z\n[server]\nport = 0x1F90\nratio = 1.50\ntls.on = true\n\
                hosts = ['a', 1, 1979-05-27, { b = inf }]\n";
    let expected = pairs(&[
        ("title", "Ü"),
        ("when", "2026-01-31T12:00:00Z"),
        ("server.port", "8080"),
        ("server.ratio", "1.50"),
        ("server.tls.on", "true"),
        ("server.hosts", r#"["a",1,"1979-05-27",{"b":"inf"}]"#),
    ]);
    assert_eq!(values(Format::Toml, text), expected);
}

#[test]
fn dotenv_of_others_is_read_as_they_mean_it() {
    let text = "# comment\n\nexport A=1\nB = two words # comment\nC='$x # \\n'\nD=\"a\\n\\\"b\\\" \\$x \\d\" # c\r\n\
                E=\nF=a#b\nG=\"two\r\nlines\"\nA=last\nmy.key-2=x\nexport=y";
    let expected = pairs(&[
        ("A", "last"),
        ("B", "two words"),
        ("C", "$x # \\n"),
        ("D", "a\n\"b\" $x \\d"),
        ("E", ""),
        ("F", "a#b"),
        ("G", "two\nlines"),
        ("my.key-2", "x"),
        ("export", "y"),
    ]);
    assert_eq!(values(Format::Env, text), expected);
}

#[test]
fn a_mistake_is_found_in_its_line() {
    let cases: &[(Format, &[u8], usize)] = &[
        (Format::Json, b"{\n\"g\": {\n\"a\": 1,,\n}}", 3),
        (Format::Json, b"{\n\"g\": {\n\"a\": null}}", 3),
        (Format::Json, b"{\"g\": {\n\"a\": 1,\n\"b\": {},\n\"a\": 2}}", 4),
        (Format::Json, b"{\"g\": {\"a.b\": 1,\n\"a\": {\"b\": 2}}}", 2),
        (Format::Json, b"{\"g\": {\n\n\"a\": \"\\ud800\"}}", 3),
        (Format::Json, b"\n[]", 2),
        (Format::Json, b"{\n\"g\": 1}", 2),
        (Format::Json, b"{\"g\": {\n\"a\": {\"$base64\": \"!\"}}}", 2),
        (Format::Json, b"{\"g\": {\n\"a\": {\"$expires_at\": \"2030-01-01T00:00:00Z\"}}}", 2),
        (Format::Toml, b"[g]\na = 1\na = 2", 3),
        (Format::Toml, b"[g]\na = ", 2),
        (Format::Toml, b"[g]\na = 1\n\"x.y\" = 1\nx.y = 2", 4),
        (
            Format::Ndjson,
            b"{\"group\":\"g\",\"key\":\"a\",\"value\":\"1\"}\n\n{\"group\":\"g\",\"key\":\"b\"}",
            3,
        ),
        (Format::Ndjson, b"{\"group\":\"g\",\"key\":\"a\",\"value\":\"1\"}\nnonsense", 2),
        (Format::Ndjson, b"{\"group\":\"g\",\"key\":\"a\",\"value\":\"1\",\"expire\":\"\"}", 1),
        (Format::Ndjson, b"{\"group\":\"g\",\"key\":\"a\",\"value\":\"1\",\"expires_at\":\"soon\"}", 1),
        (Format::Ndjson, b"\n\xff", 2),
        (Format::Env, b"A=1\nnonsense", 2),
        (Format::Env, b"A=1\n2=x", 2),
        (Format::Env, b"A=1\nB=\"x\n\n", 2),
        (Format::Env, b"A=1\nB='x' y", 2),
        (Format::Env, b"A=larder-base64:!", 1),
    ];
    for (format, text, line) in cases {
        let mistake = read(*format, text, None).unwrap_err();
        assert_eq!(mistake.line, *line, "{mistake:?} in {}", String::from_utf8_lossy(text));
        assert!(!mistake.reason.contains(" at line "), "{mistake:?}");
    }
}

#[test]
fn the_file_s_name_says_the_format() {
    for (name, format) in [
        ("a.ndjson", Format::Ndjson),
        ("a.jsonl", Format::Ndjson),
        ("-", Format::Ndjson),
        ("b/a.JSON", Format::Json),
        ("a.toml", Format::Toml),
        (".env", Format::Env),
        ("x/.env.local", Format::Env),
        ("prod.env", Format::Env),
    ] {
        assert_eq!(Format::of(Path::new(name), None).unwrap(), format, "{name}");
    }
    assert!(Format::of(Path::new("a.txt"), None).is_err());
    assert_eq!(Format::of(Path::new("a.txt"), Some(Format::Toml)).unwrap(), Format::Toml);
}
