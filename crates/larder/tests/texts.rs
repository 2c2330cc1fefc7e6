//! Values as text: what `to_string` writes, `parse` reads.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fmt::{Debug, Display};
use std::str::FromStr;

use larder::{
    Condition, Consistency, Durability, Error, EventKind, ParseError, Pattern, ResumeToken, Revision, Since,
};
use proptest::prelude::*;

/// Checks that a value has this text and is parsed from it.
fn is_written<T>(value: T, text: &str)
where
    T: Display + FromStr<Err = ParseError> + PartialEq + Debug,
{
    assert_eq!(value.to_string(), text);
    assert_eq!(text.parse::<T>(), Ok(value));
}

/// Checks that none of the texts is accepted, and that the error says what would be.
fn are_refused<T>(texts: &[&str], what: &str, expected: &str)
where
    T: FromStr<Err = ParseError> + Debug,
{
    for text in texts {
        let refused = text.parse::<T>().unwrap_err().to_string();
        assert_eq!(refused, format!("{text:?} is not a valid {what}: expected {expected}"));
    }
}

#[test]
fn each_kind_durability_and_consistency_has_a_text_and_comes_back_from_it() {
    is_written(EventKind::Set, "set");
    is_written(EventKind::Delete, "delete");
    is_written(EventKind::DeleteGroup, "delete_group");
    is_written(EventKind::Expire, "expire");
    is_written(Durability::Full, "full");
    is_written(Durability::Relaxed, "relaxed");
    is_written(Consistency::Linearizable, "linearizable");
    is_written(Consistency::Cached, "cached");
    assert_eq!(format!("{:>8}|{:<8}|", EventKind::Set, Durability::Full), "     set|full    |");
}

#[test]
fn each_condition_has_a_text_and_comes_back_from_it() {
    is_written(Condition::Absent, "absent");
    is_written(Condition::Present, "present");
    is_written(Condition::Revision(Revision(0)), "revision:0");
    is_written(Condition::Revision(Revision(u64::MAX)), "revision:18446744073709551615");
}

#[test]
fn each_form_of_a_pattern_has_a_text_and_comes_back_from_it() {
    is_written(Pattern::all(), "*/*");
    is_written(Pattern::group("config"), "config/*");
    is_written(Pattern::group(""), "/*");
    is_written(Pattern::key("config", "colour"), "config/colour");
    is_written(Pattern::key("", ""), "/");
    is_written(Pattern::key_prefix("config", "mail."), "config/mail.*");
    is_written(Pattern::group_prefix("app-"), "app-*/*");
    is_written(Pattern::from(("*", "colour")), "*/colour");
    is_written(Pattern::key("a/b", "*"), r"a\/b/\*");
    is_written(Pattern::key_prefix("*", "*"), r"\*/\**");
    is_written(Pattern::group_prefix(r"C:\"), r"C:\\*/*");
    is_written(Pattern::key("a \"quoted\" name", "two\nlines"), "a \"quoted\" name/two\nlines");
}

#[test]
fn a_text_that_is_no_value_is_refused_with_what_is_accepted() {
    are_refused::<EventKind>(
        &["", "Set", " set", "deleted"],
        "event kind",
        "set, delete, delete_group or expire",
    );
    are_refused::<Durability>(&["", "FULL", "none"], "durability", "full or relaxed");
    are_refused::<Consistency>(&["", "eventual"], "consistency", "linearizable or cached");
    are_refused::<Condition>(
        &["", "revision", "revision:", "revision:+1", "revision: 1", "revision:18446744073709551616", "42"],
        "condition",
        "absent, present, or revision:42 with any number",
    );
    are_refused::<Revision>(
        &["", "+1", "-1", " 1", "1.0", "0x1", "18446744073709551616"],
        "revision",
        "a whole number from 0 to 18446744073709551615, such as 42",
    );
    are_refused::<Since>(
        &["", "+1", "now", "0123456789abcdef@42", "0123456789abcdef0123456789abcdef@"],
        "place to begin",
        "a revision, such as 42, or a resume token, such as 0123456789abcdef0123456789abcdef@42",
    );
}

#[test]
fn a_text_that_is_no_pattern_is_refused_with_what_is_wrong_with_it() {
    let pattern = "GROUP/KEY, such as config/colour, or config/* for a whole group";
    are_refused::<Pattern>(&["", "*", "config", r"config\/colour"], "pattern", pattern);
    let slash = r"one / between group and key; write \/ for a / in a name";
    are_refused::<Pattern>(&["a/b/c", "a/b/", "//", "*/*/*"], "pattern", slash);
    let star = r"a * at the end of a name only; write \* for a * in a name";
    are_refused::<Pattern>(&["*a/b", "a/*b", "a/**", "**/a"], "pattern", star);
    let escape = r"a \ before /, * or \ only; write \\ for a \ in a name";
    are_refused::<Pattern>(&[r"a\n/b", r"a/b\", r"\"], "pattern", escape);
}

#[test]
fn a_parse_error_becomes_an_error_of_the_library() {
    fn parsed(text: &str) -> larder::Result<Durability> {
        Ok(text.parse()?)
    }
    let error = parsed("slow").unwrap_err();
    assert!(matches!(error, Error::InvalidText(_)), "{error:?}");
    assert_eq!(error.to_string(), r#""slow" is not a valid durability: expected full or relaxed"#);
}

#[test]
fn a_place_to_begin_is_a_revision_or_a_token() {
    assert_eq!("42".parse::<Since>(), Ok(Since::from(42)));
    let token = "0123456789abcdef0123456789abcdef@42.1";
    assert_eq!(token.parse::<Since>(), Ok(Since::from(token.parse::<ResumeToken>().unwrap())));
}

/// Names of the characters that matter to the syntax, and of any others.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![r"[a*/\\]{0,6}", any::<String>()]
}

proptest! {
    #[test]
    fn every_pattern_comes_back_from_its_text(group in name(), key in name()) {
        for pattern in [
            Pattern::group(&group),
            Pattern::group_prefix(&group),
            Pattern::key(&group, &key),
            Pattern::key_prefix(&group, &key),
            Pattern::from((group.as_str(), key.as_str())),
            Pattern::from(("*", key.as_str())),
        ] {
            prop_assert_eq!(pattern.to_string().parse(), Ok(pattern));
        }
    }

    #[test]
    fn every_text_that_is_a_pattern_is_the_text_of_that_pattern(text in r"[a*/\\]{0,8}") {
        if let Ok(pattern) = text.parse::<Pattern>() {
            prop_assert_eq!(pattern.to_string(), text);
        }
    }

    #[test]
    fn every_revision_and_every_condition_on_one_comes_back_from_its_text(number: u64) {
        prop_assert_eq!(Revision(number).to_string().parse(), Ok(Revision(number)));
        let condition = Condition::Revision(Revision(number));
        prop_assert_eq!(condition.to_string().parse(), Ok(condition));
    }

    #[test]
    fn every_resume_token_comes_back_from_its_text(
        store in "[0-9a-f]{32}",
        revision: u64,
        step in proptest::option::of(0..u64::MAX),
    ) {
        let step = step.map(|step| format!(".{step}")).unwrap_or_default();
        let text = format!("{store}@{revision}{step}");
        prop_assert_eq!(text.parse::<ResumeToken>().unwrap().to_string(), text);
    }
}
