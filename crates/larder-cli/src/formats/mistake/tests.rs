//! Where a mistake is found, and that its parts are kept apart.

use crate::formats::{Format, read};

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
        (Format::Ndjson, "{\"group\":\"ü\",\"key\":\"a\",\"value\":\"1\"}\r\n\n{\"key\":".as_bytes(), 3),
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
        // A parser that names a line in its own words names the line of the file.
        if let Some((_, place)) = mistake.cause.as_deref().and_then(|cause| cause.split_once(" at line ")) {
            assert!(place.starts_with(&format!("{line} column ")), "{mistake:?}");
        }
    }
}

#[test]
fn a_mistake_keeps_its_reason_the_words_of_the_parser_and_the_advice_apart() {
    let all_parts = |format, text: &str| {
        let mistake = read(format, text.as_bytes(), None).unwrap_err();
        (mistake.line, mistake.reason, mistake.cause, mistake.advice)
    };
    let owned = str::to_owned;
    assert_eq!(
        all_parts(Format::Ndjson, "\n{\"group\":\"g\",\"kee\":\"a\"}"),
        (
            2,
            owned("this is not an entry"),
            Some(owned(
                "unknown field `kee`, expected one of `group`, `key`, `value`, `value_base64`, `expires_at`, \
                 `revision` at line 2 column 18"
            )),
            None,
        )
    );
    assert_eq!(
        all_parts(Format::Json, "{\n \"g\": {\"a\": [\"\\ud800\"]}}"),
        (
            2,
            owned("this is not valid JSON"),
            Some(owned("unexpected end of hex escape at line 2 column 21")),
            None,
        )
    );
    assert_eq!(
        all_parts(Format::Toml, "[g]\na ="),
        (
            2,
            owned("this is not valid TOML"),
            Some(owned("string values must be quoted, expected literal string")),
            None
        )
    );
    assert_eq!(
        all_parts(Format::Json, "{\"g\": {\"a\": null}}"),
        (
            1,
            owned("\"a\" is null, which a store does not know"),
            None,
            Some("Leave it out, or write \"\".".into()),
        )
    );
}

/// Every mistake and warning that a reader of this file can make is one of these.
#[test]
fn advice_is_in_sentences_and_no_reason_is() {
    for (format, text) in [
        (Format::Json, "[]"),
        (Format::Json, "{\"g\": 1}"),
        (Format::Json, "{\"g\": {\"a\": {\"$value\": \"1\", \"$base64\": \"MQ==\"}}}"),
        (Format::Json, "{\"g\": {\"a\": {\"$value\": \"1\", \"b\": \"\"}}}"),
        (Format::Json, "{\"g\": {\"a\": {\"$value\": {}}}}"),
        (Format::Json, "{\"g\": {\"a\": {\"$base64\": \"!\"}}}"),
        (Format::Json, "{\"g\": {\"a\": {\"$expires_at\": \"soon\"}}}"),
        (Format::Json, "{\"g\": {\"a\": {\"$expires_at\": \"2030-01-01T00:00:00Z\"}}}"),
        (Format::Json, "{\"g\": {\"a\": 1, \"a\": 2}}"),
        (Format::Toml, "[g.b]\nc = 1\n[g]\n\"b.c\" = 1"),
        (Format::Ndjson, "{\"key\":\"a\",\"value\":\"1\"}"),
        (Format::Ndjson, "{\"key\":\"a\"}"),
        (Format::Ndjson, "{\"key\":\"a\",\"value\":\"1\",\"value_base64\":\"\"}"),
        (Format::Ndjson, "{\"group\":\"g\",\"key\":\"a\",\"value_base64\":\"!\"}"),
        (Format::Ndjson, "{\"group\":\"g\",\"key\":\"a\",\"value\":\"\",\"expires_at\":\"soon\"}"),
        (Format::Env, "A=$HOME"),
        (Format::Env, "A=\"`id`\""),
        (Format::Env, "A=~"),
        (Format::Env, "A=it's"),
        (Format::Env, "A='x"),
        (Format::Env, "A=\"x"),
        (Format::Env, "A='x'y"),
        (Format::Env, "A=\"x\\\ny\""),
        (Format::Env, "A=\rx"),
        (Format::Env, "A=\0"),
        (Format::Env, "nonsense"),
        (Format::Env, "2=x"),
        (Format::Env, "A B=two words"),
        (Format::Env, "\u{feff}\u{feff}"),
        (Format::Env, "A.B = two words"),
    ] {
        let found = match read(format, text.as_bytes(), None) {
            Ok(document) => document.warnings,
            Err(mistake) => vec![mistake],
        };
        assert!(!found.is_empty(), "{text}");
        for mistake in found {
            let advice = mistake.advice.as_deref().unwrap_or_default();
            assert!(advice.starts_with(char::is_uppercase) && advice.ends_with('.'), "{text}: {mistake:?}");
            assert!(!mistake.reason.contains(';') || mistake.reason.contains(";&|"), "{text}: {mistake:?}");
            assert!(!mistake.reason.ends_with('.'), "{text}: {mistake:?}");
        }
    }
}
