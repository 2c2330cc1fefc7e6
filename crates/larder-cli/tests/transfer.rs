//! Import and export: everything comes back, and a mistake changes nothing.
#![allow(clippy::unwrap_used, reason = "what is not there is how a test fails")]

mod common;

use std::time::{Duration, UNIX_EPOCH};

use common::Desk;
use larder::Store;
use serde_json::json;

/// 2100-01-01, so that it is still to come.
const EXPIRY_MS: u64 = 4_102_444_800_123;

fn fill(store: &Store) {
    let expiry = UNIX_EPOCH + Duration::from_millis(EXPIRY_MS);
    store.set("config", "colour", "blue").unwrap();
    store.set("config", "server.port", "8080").unwrap();
    store.set("config", "", "empty key").unwrap();
    store.set("config", "empty", "").unwrap();
    store
        .set("config", "lines", "one\ntwo\r\n\tthree \"quoted\" 'so' \\ $HOME `x` # é 日本 \u{1f600}")
        .unwrap();
    store.set("config", "bytes", b"\xff\x00\x01").unwrap();
    store.set("config", "nul", "a\0b").unwrap();
    store.set_until("config", "expiring", "text", Some(expiry)).unwrap();
    store.set_until("a.b \"c\"\n", "$value", b"\x80", Some(expiry)).unwrap();
    store.set("", "k", "group without a name").unwrap();
}

/// Everything that a store holds, without the revisions.
fn content(desk: &Desk) -> Vec<serde_json::Value> {
    desk.json(&["export"])
}

#[test]
fn every_format_brings_everything_back() {
    for file in ["all.ndjson", "all.json", "all.toml"] {
        let (desk, other) = (Desk::new(), Desk::new());
        fill(&desk.store());
        desk.ok(&["export", file]);
        other.write(file, desk.read(file));
        assert_eq!(other.ok(&["import", file]), "10\n", "{file}");
        assert_eq!(content(&other), content(&desk), "{file}");

        let through_pipes = Desk::new();
        let format = file.rsplit('.').next().unwrap();
        let exported = desk.run(&["export", "--format", format]);
        assert_eq!(exported.text(), desk.read(file));
        let imported = through_pipes.run_with_input(&["import", "-", "--format", format], &exported.out);
        assert_eq!((imported.code, imported.text().as_str()), (0, "10\n"), "{}", imported.error);
        assert_eq!(content(&through_pipes), content(&desk), "{file}");
    }
}

#[test]
fn one_group_is_the_whole_document() {
    for file in ["one.ndjson", "one.json", "one.toml"] {
        let (desk, other) = (Desk::new(), Desk::new());
        fill(&desk.store());
        desk.ok(&["export", file, "--group", "config"]);
        other.write(file, desk.read(file));
        assert_eq!(other.ok(&["import", file, "--group", "config"]), "8\n", "{file}");
        assert_eq!(content(&other), desk.json(&["export", "--group", "config"]), "{file}");
    }
    let desk = Desk::new();
    desk.ok(&["set", "g", "k", "v"]);
    assert_eq!(desk.ok(&["export", "--group", "g", "--format", "json"]), "{\n  \"k\": \"v\"\n}\n");
    assert_eq!(desk.ok(&["export", "--group", "g", "--format", "toml"]), "k = \"v\"\n");
    assert_eq!(desk.ok(&["export", "--format", "toml"]), "[g]\nk = \"v\"\n");
    assert_eq!(desk.ok(&["export", "--format", "json"]), "{\n  \"g\": {\n    \"k\": \"v\"\n  }\n}\n");
    assert_eq!(desk.ok(&["export", "--format", "json", "--group", "none"]), "{}\n");
}

#[test]
fn ndjson_has_the_entry_without_its_revision() {
    let desk = Desk::new();
    desk.ok(&["set", "g", "k", "v"]);
    assert_eq!(desk.ok(&["export"]), "{\"group\":\"g\",\"key\":\"k\",\"value\":\"v\",\"expires_at\":null}\n");
    let expiry = UNIX_EPOCH + Duration::from_millis(EXPIRY_MS);
    desk.store().set_until("g", "k", b"\xff", Some(expiry)).unwrap();
    let entry =
        json!({ "group": "g", "key": "k", "value_base64": "/w==", "expires_at": "2100-01-01T00:00:00.123Z" });
    assert_eq!(desk.json(&["export"]), [entry]);
}

#[test]
fn an_import_into_a_namespace_may_have_more_entries_than_a_batch_of_a_tenant() {
    let desk = Desk::new();
    let lines: String = (0..10_001).map(|key| format!("KEY_{key}=v\n")).collect();
    for (name, more) in [("whole", &[][..]), ("batches", &["--batch", "10001"])] {
        let import = ["--namespace", name, "import", "-", "--format", "env", "--group", "env"];
        let imported = desk.run_with_input(&[&import, more].concat(), lines.as_bytes());
        assert_eq!((imported.code, imported.text().as_str()), (0, "10001\n"), "{}", imported.error);
    }
}

#[test]
fn what_list_prints_as_json_can_be_imported() {
    let (desk, other) = (Desk::new(), Desk::new());
    fill(&desk.store());
    let listed = desk.run(&["--json", "list", "config"]);
    assert_eq!(other.run_with_input(&["import", "-"], &listed.out).text(), "8\n");
    assert_eq!(content(&other), desk.json(&["export", "--group", "config"]));
}

#[test]
fn dotenv_brings_every_value_back_and_says_what_it_cannot_keep() {
    let (desk, other) = (Desk::new(), Desk::new());
    let values: [&[u8]; 9] = [
        b"",
        b"plain",
        b" spaces ",
        b"one\ntwo",
        b"\"double\" 'single' $HOME `x` \\n # \r\n",
        "é 日本 \u{1f600}".as_bytes(),
        b"\xff\x00",
        b"a\0b",
        b"larder-base64:looks like it",
    ];
    for (number, value) in values.iter().enumerate() {
        desk.store().set("env", format!("KEY_{number}"), *value).unwrap();
    }
    let exported = desk.run(&["export", ".env", "--group", "env"]);
    assert_eq!(exported.code, 0);
    assert!(exported.error.starts_with("warning: readers of .env files disagree"), "{}", exported.error);
    assert!(exported.error.ends_with(": KEY_4, KEY_6, KEY_7, KEY_8\n"), "{}", exported.error);
    assert_eq!(exported.error.lines().count(), 1);
    other.write(".env", desk.read(".env"));
    assert_eq!(other.ok(&["import", ".env", "--group", "env"]), "9\n");
    assert_eq!(content(&other), content(&desk));

    desk.ok(&["set", "tokens", "TOKEN", "abc", "--ttl", "1h"]);
    let exported = desk.run(&["export", "--format", "env", "--group", "tokens"]);
    assert_eq!(exported.code, 0);
    assert_eq!(exported.text(), "TOKEN=abc\n");
    assert!(exported.error.starts_with("warning: 1 entry would expire"), "{}", exported.error);
    assert!(exported.error.ends_with("\nadvice: Export NDJSON to keep that.\n"), "{}", exported.error);
}

#[test]
fn dotenv_is_written_in_the_form_that_its_readers_agree_on() {
    let desk = Desk::new();
    for (key, value) in [
        ("BACKSLASH", "C:\\dir\\"),
        ("BOTH", "it's $5"),
        ("COLOUR", "#ff0000"),
        ("DIR", "C:\\dir"),
        ("EMPTY", ""),
        ("HASH", "$2y$10$abc"),
        ("LAST", "it's"),
        ("LINES", "one\ntwo"),
        ("PEM", "a\r\nb"),
        ("PORT", "8080"),
        ("TEMPLATE", "${HOST}/x"),
        ("URL", "postgres://u:p@db:5432/app?sslmode=require"),
        ("WORDS", "two words"),
    ] {
        desk.store().set("env", key, value).unwrap();
    }
    let exported = desk.run(&["export", "--group", "env", "--format", "env"]);
    let expected = r##"BACKSLASH=larder-base64:QzpcZGlyXA==
BOTH=larder-base64:aXQncyAkNQ==
COLOUR="#ff0000"
DIR='C:\dir'
EMPTY=
HASH='$2y$10$abc'
LAST="it's"
LINES="one
two"
PEM=larder-base64:YQ0KYg==
PORT=8080
TEMPLATE=larder-base64:JHtIT1NUfS94
URL=postgres://u:p@db:5432/app?sslmode=require
WORDS="two words"
"##;
    assert_eq!(exported.text(), expected);
    assert!(exported.error.ends_with(": BACKSLASH, BOTH, PEM, TEMPLATE\n"), "{}", exported.error);
}

#[cfg(unix)]
#[test]
fn a_shell_reads_a_dotenv_file_as_it_was_meant() {
    let desk = Desk::new();
    let values = ["plain", "a \"b\" $HOME \\ `c`", "it's 5", "one\n two", "# é"];
    for (number, value) in values.iter().enumerate() {
        desk.store().set("env", format!("KEY_{number}"), *value).unwrap();
    }
    desk.ok(&["export", "x.env", "--group", "env"]);
    let shell = std::process::Command::new("sh")
        .current_dir(desk.folder.path())
        .args(["-c", ". ./x.env; printf '%s|' \"$KEY_0\" \"$KEY_1\" \"$KEY_2\" \"$KEY_3\" \"$KEY_4\""])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(shell.stdout).unwrap(), values.join("|") + "|");
}

#[test]
fn dotenv_needs_a_group_and_names_of_variables() {
    let desk = Desk::new();
    desk.ok(&["set", "config", "server.port", "1"]);
    desk.write("old.env", "KEPT=1\n");
    desk.fails(2, "--group", &["export", ".env"]);
    desk.fails(2, "--group", &["import", "old.env"]);
    desk.fails(3, "NDJSON", &["export", "old.env", "--group", "config"]);
    assert_eq!(desk.read("old.env"), "KEPT=1\n");
}

#[test]
fn a_dotenv_name_that_no_shell_takes_is_imported_with_a_warning_and_not_exported() {
    let desk = Desk::new();
    desk.write(".env", "A=1\nA.B=2\nA-B=3\n");
    let imported = desk.run(&["import", ".env", "--group", "g"]);
    assert_eq!((imported.code, imported.text().as_str()), (0, "3\n"));
    assert!(imported.error.starts_with("warning: .env, lines 2, 3: "), "{}", imported.error);
    desk.fails(3, "A-B", &["export", "--group", "g", "--format", "env"]);
}

#[test]
fn an_export_that_is_refused_writes_nothing_to_standard_output_either() {
    let desk = Desk::new();
    for key in ["A", "B", "C.D"] {
        desk.ok(&["set", "g", key, "v"]);
    }
    desk.fails(3, "C.D", &["export", "--group", "g", "--format", "env"]);
    #[cfg(unix)]
    desk.fails(3, "C.D", &["export", "/dev/stdout", "--group", "g", "--format", "env"]);
}

#[test]
fn a_dotenv_line_that_others_read_differently_is_named() {
    let desk = Desk::new();
    desk.write("shell.env", "HOST=db\nURL=postgres://${HOST}/x\n");
    desk.fails(3, "shell.env, line 2: the value of URL", &["import", "shell.env", "--group", "g"]);
    assert!(!desk.has_store());
    desk.write("words.env", "A=two words\nB=x\nC = y\nD=three more words\n");
    let imported = desk.run(&["import", "words.env", "--group", "g"]);
    assert_eq!((imported.code, imported.text().as_str()), (0, "4\n"));
    assert!(imported.error.contains("warning: words.env, lines 1, 4: "), "{}", imported.error);
    assert!(imported.error.contains("warning: words.env, line 3: "), "{}", imported.error);
    assert!(imported.error.contains("\nadvice: Put the value in quotes.\n"), "{}", imported.error);
    assert_eq!(imported.error.lines().count(), 4, "{}", imported.error);
    assert_eq!(desk.ok(&["get", "g", "D"]), "three more words");
}

#[test]
fn a_mistake_in_the_input_is_said_with_its_line_and_nothing_is_imported() {
    let cases = [
        ("bad.ndjson", "{\"group\":\"g\",\"key\":\"a\",\"value\":\"1\"}\nnonsense\n", "bad.ndjson, line 2"),
        ("bad.json", "{\"g\": {\n\"a\": \"1\",\n\"b\": null}}", "bad.json, line 3"),
        ("twice.json", "{\"g\": {\n\"a\": \"1\",\n\"a\": \"2\"}}", "twice.json, line 3"),
        ("flat.json", "{\"a\": \"1\"}", "name it with --group"),
        ("bad.toml", "[g]\na = 1\nb = \n", "bad.toml, line 3"),
        ("digits.toml", "[g]\na = 0x\n", "digits.toml, line 2: 0x is no TOML number"),
        ("array.toml", "[g]\na = [1,\n0o]\n", "array.toml, line 3: 0o is no TOML number"),
        ("arabic.toml", "[g]\na = 1_0\u{660}\n", "arabic.toml, line 2"),
        ("groups.json", "{\"g\": {\"a\": 1},\n\"g\": {\"b\": 1}}", "groups.json, line 2"),
        ("bad.env", "A=1\nB=\"x\n", "bad.env, line 2"),
    ];
    for (file, text, words) in cases {
        let desk = Desk::new();
        desk.write(file, text);
        let group: &[&str] = if file.ends_with(".env") { &["--group", "g"] } else { &[] };
        desk.fails(3, words, &[&["import", file], group].concat());
        assert!(!desk.has_store(), "{file}");
        let answer = desk.run_with_input(&["import", "-", "--format", "ndjson"], b"\n\n{}");
        answer.failed(3, "standard input, line 3", "standard input");
    }
    Desk::new().fails(3, "could not be read", &["import", "nowhere.json"]);
    let desk = Desk::new();
    desk.write("a.txt", "");
    desk.fails(2, "--format", &["import", "a.txt"]);
    desk.fails(2, "xml", &["import", "a.txt", "--format", "xml"]);
}

#[test]
fn an_import_that_a_quota_refuses_changes_nothing() {
    let desk = Desk::new();
    desk.ok(&["--namespace", "t", "set", "g", "old", "1"]);
    desk.ok(&["namespace", "quota", "t", "--max-keys", "2"]);
    desk.write("g.json", r#"{"g": {"old": "2", "a": "3", "b": "4"}}"#);
    desk.fails(3, "quota exceeded", &["--namespace", "t", "import", "g.json"]);
    assert_eq!(desk.ok(&["--namespace", "t", "list", "g"]), "old\t1\t1\t-\n");
    desk.ok(&["namespace", "quota", "t", "--max-keys", "3"]);
    let before = desk.store().revision().unwrap();
    assert_eq!(desk.ok(&["--namespace", "t", "import", "g.json"]), "3\n");
    assert_eq!(desk.store().revision().unwrap(), before.next(), "one commit");
}

#[test]
fn a_prefix_or_a_group_narrows_what_is_taken() {
    let desk = Desk::new();
    for group in ["a:1", "a:2", "b"] {
        desk.ok(&["set", group, "k", "v"]);
    }
    assert_eq!(desk.json(&["export", "--prefix", "a:"]).len(), 2);
    desk.ok(&["export", "all.ndjson"]);
    let other = Desk::new();
    other.write("all.ndjson", desk.read("all.ndjson"));
    assert_eq!(
        other.json(&["import", "all.ndjson", "--prefix", "a:"]),
        [json!({ "imported": 2, "left_out": 1, "expired": 0 })]
    );
    assert_eq!(other.ok(&["list"]), "a:1\t1\t2\na:2\t1\t2\n");
    assert_eq!(other.ok(&["import", "all.ndjson", "--group", "b"]), "1\n");
    other.fails(2, "cannot be used with", &["import", "all.ndjson", "--group", "b", "--prefix", "a"]);
}

#[test]
fn what_expired_on_the_way_is_left_out_and_counted() {
    let desk = Desk::new();
    let line = r#"{"group":"g","key":"k","value":"v","expires_at":"2020-01-01T00:00:00.000Z"}"#;
    desk.write("old.ndjson", line);
    assert_eq!(desk.json(&["import", "old.ndjson"]), [json!({ "imported": 0, "left_out": 0, "expired": 1 })]);
}

#[test]
fn a_namespace_is_exported_and_imported_under_its_own_names() {
    let desk = Desk::new();
    desk.ok(&["--namespace", "a", "set", "p", "k", "v"]);
    desk.ok(&["set", "other", "k", "v"]);
    let exported = desk.run(&["--namespace", "a", "export"]);
    assert_eq!(exported.text(), "{\"group\":\"p\",\"key\":\"k\",\"value\":\"v\",\"expires_at\":null}\n");
    desk.run_with_input(&["--namespace", "b", "import", "-"], &exported.out);
    assert_eq!(desk.ok(&["get", "b:p", "k"]), "v");
}

#[cfg(unix)]
#[test]
fn an_exported_file_keeps_its_permissions_and_a_new_one_has_ordinary_ones() {
    use std::os::unix::fs::PermissionsExt;
    let desk = Desk::new();
    desk.ok(&["set", "g", "k", "v"]);
    let mode = |name: &str| std::fs::metadata(desk.path(name)).unwrap().permissions().mode() & 0o777;
    desk.write("kept.json", "old");
    std::fs::set_permissions(desk.path("kept.json"), std::fs::Permissions::from_mode(0o640)).unwrap();
    desk.ok(&["export", "kept.json"]);
    assert_eq!(mode("kept.json"), 0o640);
    desk.write("ordinary", "");
    desk.ok(&["export", "new.json"]);
    assert_eq!(mode("new.json"), mode("ordinary"));
    desk.fails(3, "could not be written", &["export", "nowhere/new.json"]);
}

#[test]
fn an_import_in_batches_that_is_stopped_says_how_to_go_on() {
    let desk = Desk::new();
    let lines: String =
        (0..10).map(|n| format!("{{\"group\":\"g\",\"key\":\"{n}\",\"value\":\"v\"}}\n")).collect();
    desk.write("g.ndjson", &lines);
    desk.ok(&["namespace", "quota", "t", "--max-keys", "7"]);
    let import = ["--namespace", "t", "import", "g.ndjson", "--batch", "3"];
    desk.fails(3, "Go on with --batch 3 --skip 6", &import);
    assert_eq!(desk.ok(&["--namespace", "t", "count", "g"]).trim(), "6");
    desk.ok(&["namespace", "quota", "t", "--max-keys", "10"]);
    desk.ok(&[&import[..], &["--skip", "6"]].concat());
    assert_eq!(desk.ok(&["--namespace", "t", "count", "g"]).trim(), "10");
    desk.fails(2, "--batch", &["import", "g.ndjson", "--skip", "1"]);
}
