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
        Ok(document) => document.records,
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
    fn a_line_of_a_dotenv_file_never_swallows_its_neighbours(
        values in proptest::collection::vec("[ a1'\"\\\\$`#=~:;&|<>()!*?\n\t\r{}\u{a0}\u{e9}\u{2028}\u{feff}-]{0,6}", 1..8),
    ) {
        let entries: Vec<Entry> = values
            .iter()
            .enumerate()
            .map(|(number, value)| entry(&format!("KEY_{number}"), value.as_bytes(), None))
            .collect();
        let groups = [("env", entries)];
        let text = written(Format::Env, &groups, true);
        let document = read(Format::Env, &text, Some("env")).unwrap();
        same(&document.records, &groups);
        prop_assert!(document.warnings.is_empty(), "{:?}", document.warnings);
        // A reader that knows no quotes finds each key at the beginning of a line.
        let text = format!("\n{}", String::from_utf8(text).unwrap());
        for number in 0..values.len() {
            let line = format!("\nKEY_{number}=");
            prop_assert!(text.contains(&line), "{}", text);
        }
    }

    #[test]
    fn an_array_of_toml_or_json_is_stored_as_json(text in "\\[[ 0-9a-fxob_+.eE\"\\\\{}\\[\\]=,:\u{660}-]{0,12}\\]") {
        for (format, document) in
            [(Format::Toml, format!("a = {text}")), (Format::Json, format!("{{\"a\": {text}}}"))]
        {
            let found = read(format, document.as_bytes(), Some("g")).map(|found| found.records);
            for record in found.unwrap_or_default() {
                let stored = serde_json::from_slice::<serde::de::IgnoredAny>(&record.value);
                prop_assert!(stored.is_ok(), "{} became {:?}", document, record);
            }
        }
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
        .records
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
fn a_name_that_comes_twice_in_a_json_object_is_refused_at_every_level() {
    for text in [
        "{\"g\": {\"a\": 1},\n\"g\": {\"b\": 2}}",
        "{\"g\": {\"a\": 1,\n\"a\": 1}}",
        "{\"g\": {\"a\": {\"x\": 1},\n\"a\": {\"y\": 2}}}",
        "{\"g\": {\"a\": {\"x\": {},\n\"x\": {}}}}",
        "{\"g\": {\"a\": [1, {\"x\": 1,\n\"x\": 2}]}}",
        "{\"g\": {\"a\": {\"$value\": \"1\",\n\"$value\": \"2\"}}}",
    ] {
        let mistake = read(Format::Json, text.as_bytes(), None).unwrap_err();
        assert_eq!(mistake.line, 2, "{text}");
        assert!(mistake.reason.contains("was given in line 1 already"), "{}", mistake.reason);
    }
}

#[test]
fn a_dotted_name_and_a_table_in_a_table_are_the_same_key() {
    let expected = pairs(&[("b.c.x", "1"), ("b.c.y", "2"), ("b.c.z", "3")]);
    assert_eq!(values(Format::Json, r#"{"b": {"c": {"x": 1}, "c.y": 2}, "b.c.z": 3}"#), expected);
    let mut found = values(Format::Toml, "\"b.c.z\" = 3\n[b.c]\nx = 1\n[\"b.c\"]\ny = 2\n");
    found.sort();
    assert_eq!(found, expected);
    for (format, text, line) in [
        (Format::Toml, "[b.c]\nx = 1\n[\"b.c\"]\nx = 1", 4),
        (Format::Json, "{\"b\": {\"c\": 1},\n\"b.c\": 1}", 2),
    ] {
        let mistake = read(format, text.as_bytes(), Some("g")).unwrap_err();
        assert_eq!(mistake.line, line, "{text}");
        let advice = mistake.advice.as_deref().unwrap_or_default();
        assert!(advice.contains("a dot in a name stands for a table in a table"), "{mistake:?}");
    }
}

#[test]
fn keys_that_are_named_as_what_gives_a_value_are_written_with_dots() {
    let refused = r#"{"a": {"$value": "x", "$ref": "y"}}"#;
    let mistake = read(Format::Json, refused.as_bytes(), Some("g")).unwrap_err();
    assert!(mistake.advice.as_deref().unwrap_or_default().contains("write \"a.$ref\""), "{mistake:?}");
    let expected = pairs(&[("a.$value", "x"), ("a.$ref", "y")]);
    assert_eq!(values(Format::Json, r#"{"a.$value": "x", "a.$ref": "y"}"#), expected);
    assert_eq!(values(Format::Toml, "\"a.$value\" = 'x'\n\"a.$ref\" = 'y'\n"), expected);
}

#[test]
fn what_is_within_a_json_array_is_checked_too() {
    for text in [r#"{"a": ["\ud800"]}"#, r#"{"a": [{"\udc00": 1}]}"#] {
        assert!(read(Format::Json, text.as_bytes(), Some("g")).is_err(), "{text}");
    }
    let deep = format!("{{\"a\": {}{}}}", "[".repeat(70), "]".repeat(70));
    let mistake = read(Format::Json, deep.as_bytes(), Some("g")).unwrap_err();
    assert!(mistake.reason.contains("within one another"), "{mistake:?}");
}

#[test]
fn names_within_names_without_end_are_refused_by_line_in_every_format() {
    const DEEP: usize = 20_000;
    let path = vec!["a"; DEEP].join(".");
    let within = |open: &str, close: &str| format!("{}1{}", open.repeat(DEEP), close.repeat(DEEP));
    let documents = [
        (Format::Toml, format!("[{path}]\ny = 1\n")),
        (Format::Toml, format!("[[{path}]]\ny = 1\n")),
        (Format::Toml, format!("{path} = 1\n")),
        (Format::Toml, format!("a = {{ {path} = 1 }}\n")),
        (Format::Toml, format!("a = {}\n", within("{a = ", "}"))),
        (Format::Toml, format!("a = {}\n", within("[", "]"))),
        (Format::Json, format!("{{\n\"a\": {}}}", within("{\"a\":", "}"))),
        (Format::Json, format!("{{\n\"a\": {}}}", within("[", "]"))),
        (Format::Ndjson, format!("\n{}", within("{\"key\":", "}"))),
        (Format::Ndjson, format!("\n{{\"group\":\"g\",\"key\":\"k\",\"value\":{}}}", within("[", "]"))),
    ];
    for (format, text) in documents {
        for group in [None, Some("g")] {
            let beginning: String = text.chars().take(30).collect();
            let mistake = read(format, text.as_bytes(), group).unwrap_err();
            let line = if format == Format::Toml { 1 } else { 2 };
            assert_eq!(mistake.line, line, "{beginning}: {mistake:?}");
        }
    }
}

#[test]
fn a_dotenv_value_without_quotes_is_what_a_shell_takes_it_for() {
    let text = "COLOR=#ff0000\nCHANNEL=#tech\nEMPTY= # comment\nA=a#b #c\nB=a\t# c\nC= \nD=x=y\nE=*.{a,b}!\n\
                F=\u{a0}x\u{a0}\n";
    let expected = pairs(&[
        ("COLOR", "#ff0000"),
        ("CHANNEL", "#tech"),
        ("EMPTY", ""),
        ("A", "a#b"),
        ("B", "a"),
        ("C", ""),
        ("D", "x=y"),
        ("E", "*.{a,b}!"),
        ("F", "\u{a0}x\u{a0}"),
    ]);
    assert_eq!(values(Format::Env, text), expected);
    assert_eq!(read(Format::Env, text.as_bytes(), None).unwrap().warnings.len(), 0);
}

#[test]
fn what_a_shell_would_expand_or_unquote_is_refused_with_its_line() {
    for line in [
        "URL=postgres://${HOST}/x",
        "URL=$HOST",
        "COST=5$",
        "PORT=${PORT:-5432}",
        "NOW=$(date)",
        "NOW=`date`",
        "URL=\"$HOST/x\"",
        "URL=\"`id`\"",
        "HOME_DIR=~/x",
        "PATHS=/bin:~/bin",
        "DIR=C:\\dir",
        "NAME=it's",
        "NAME=a\"b\"",
        "JSON={\"a\":1}",
        "A='it'\\''s'",
        "A='x'y",
        "A='x'#y",
        "A=\"x\\\ny\"",
        "A=a\rb",
        "A=\"a\rb\"",
        "A='a\0b'",
    ] {
        let text = format!("OK=1\n{line}\nLAST=2\n");
        let mistake = read(Format::Env, text.as_bytes(), None).unwrap_err();
        assert_eq!(mistake.line, 2, "{line}: {mistake:?}");
    }
}

#[test]
fn what_only_a_shell_would_not_take_is_read_and_warned_about() {
    let read_line = |line: &str| {
        let document = read(Format::Env, format!("OK=1\n{line}\n").as_bytes(), None).unwrap();
        let lines: Vec<usize> = document.warnings.iter().map(|warning| warning.line).collect();
        let value = String::from_utf8(document.records.into_iter().nth(1).unwrap().value).unwrap();
        (value, lines)
    };
    for (line, value) in [
        ("A=two words", "two words"),
        ("A=a&b", "a&b"),
        ("A=a;b|c", "a;b|c"),
        ("A=<x>", "<x>"),
        ("A=(x)", "(x)"),
        ("A = x", "x"),
        ("A= x", "x"),
        ("A =x", "x"),
        ("A = 'x'", "x"),
        ("A.B=x", "x"),
        ("A-B='x'", "x"),
    ] {
        assert_eq!(read_line(line), (value.to_owned(), vec![2]), "{line}");
    }
    for line in ["A=x", "A='two words'", "A=\"a&b\"", "export A=x # comment", "  A=x  ", "A='x' # c"] {
        assert_eq!(read_line(line).1, [0; 0], "{line}");
    }
}

#[test]
fn two_byte_order_marks_are_refused() {
    assert_eq!(read(Format::Env, "\u{feff}A=1".as_bytes(), None).unwrap().records.len(), 1);
    for format in [Format::Ndjson, Format::Json, Format::Toml, Format::Env] {
        assert!(read(format, "\u{feff}\u{feff}".as_bytes(), Some("g")).is_err(), "{format:?}");
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

/// 250 kB that would take 1.5 GB.
#[test]
fn a_name_is_not_repeated_for_more_bytes_than_a_file_can_mean() {
    let long = "n".repeat(60_000);
    let members =
        |assigns: &str| (0..25_000).map(|number| format!("k{number}{assigns}1")).collect::<Vec<_>>();
    let json = |around: &dyn Fn(&str) -> String| {
        let members = members("\":").iter().map(|member| format!("\"{member}")).collect::<Vec<_>>().join(",");
        around(&format!("{{{members}}}"))
    };
    let toml = members(" = ").join("\n");
    for (format, text) in [
        (Format::Json, json(&|object| format!("{{\"g\": {{\"{long}\": {object}}}}}"))),
        (Format::Json, json(&|object| format!("{{\"{long}\": {object}}}"))),
        (Format::Json, json(&|object| format!("{{\"g\": {{\"{long}\": {{\"{long}\": {object}}}}}}}"))),
        (Format::Toml, format!("[g.{long}]\n{toml}")),
        (Format::Toml, format!("[{long}]\n{toml}")),
    ] {
        assert!(text.len() < 1_000_000);
        let mistake = read(format, text.as_bytes(), None).unwrap_err();
        assert!(mistake.reason.contains("much longer than the file"), "{mistake:?}");
    }
    // What a person writes is not refused: a name of ordinary length around as many keys.
    let text = json(&|object| format!("{{\"g\": {{\"settings.of.the.web.server\": {object}}}}}"));
    assert_eq!(read(Format::Json, text.as_bytes(), None).unwrap().records.len(), 25_000);
}

#[test]
fn every_import_of_the_fuzzers_corpus_is_refused_or_brought_back() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/import");
    let mut count = 0;
    for file in std::fs::read_dir(corpus).unwrap() {
        fuzzed::import(&std::fs::read(file.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count > 0);
}
