//! Templates from the issue trackers of Jinja, minijinja and programs that render Jinja's language: there they crash,
//! hang or fill the memory. Here each gives what is right, or ends with an error.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use larder::{Clock, Error, Store};

/// What a rendering gives: its text, or the reason for which it is refused.
fn rendered(store: &Store, template: &str) -> Result<String, String> {
    match store.render(template, "web") {
        Ok(text) => Ok(text),
        Err(Error::Template { reason, .. }) => Err(reason),
        Err(error) => panic!("{error:?}"),
    }
}

#[test]
fn templates_that_crash_other_engines_are_refused_or_right() {
    let store = Store::in_memory().unwrap();
    let many = |begin: &str, step: &str, end: &str| format!("{begin}{}{end}", step.repeat(20_000));
    let syntax = Err("nested deeper than 150 levels");
    let mut wrong = Vec::new();
    for (source, template, expected) in [
        ("minijinja #924", "{{ '-' * 10000000000 }}".into(), Err("out of fuel")),
        ("minijinja #924", "{{ 'a'|indent(10000000000, true) }}".into(), Err("out of fuel")),
        ("minijinja #924", "{{ [1]|tojson(indent=10000000000) }}".into(), Err("")),
        ("jinja #2149", "{{ 'A' * 10**9 }}".into(), Err("out of fuel")),
        (
            "minijinja #907",
            "{% set n = namespace(m=[]) %}{% for x in range(3000) %}{% set n.m = n.m + [x] %}{% endfor %}{{ n.m|length }}".into(),
            Err("out of fuel"),
        ),
        (
            "minijinja #907",
            "{% set n = namespace(m=[]) %}{% for x in range(300) %}{% set n.m = n.m + [x] %}{% endfor %}{{ n.m|length }}".into(),
            Ok("300"),
        ),
        ("minijinja #740", format!("{}{{{{ 1 }}}}", "\n".repeat(200_000)), Ok("1")),
        ("minijinja #740", format!("{}{{{{ 1 }}}}", " ".repeat(200_000)), Ok("1")),
        ("minijinja #49", "{{ \\{ }}".into(), Err("syntax error")),
        ("minijinja #904", "{{ 9223372036854775807 < 1e300 }}".into(), Ok("True")),
        ("minijinja #904", "{{ 9223372036854775807 == 9223372036854775807.0 }}".into(), Ok("False")),
        ("minijinja #904", "{{ [1e300, -9223372036854775808, 1.5]|sort }}".into(), Ok("[-9223372036854775808, 1.5, 1e300]")),
        ("llama.cpp #19085", "{% macro x() %}{{ x() }}{% endmacro %}{{ x() }}".into(), Err("recursion limit")),
        ("llama.cpp #26387", many("{{ ", "(", "1"), syntax),
        ("llama.cpp #26387", many("{{ ", "[", "1"), syntax),
        ("llama.cpp #26387", many("{{ ", "{1:", "1"), syntax),
        ("llama.cpp #26387", many("{{ ", "not ", "1 }}"), Ok("True")),
        ("llama.cpp #26387", many("{{ ", "-", "1 }}"), Ok("1")),
        ("llama.cpp #26387", many("", "{% if 1 %}", ""), syntax),
        ("llama.cpp #26387", format!("{{{{ {}1{} }}}}", "1 if 1 else (".repeat(9000), ")".repeat(9000)), syntax),
        ("llama.cpp #26387", many("{{ x", ".a", " }}"), Ok("")),
        ("llama.cpp #26387", many("{{ 'a'", "|upper", " }}"), Ok("A")),
        ("llama.cpp #26387", many("{{ 1", "+1", " }}"), Ok("20001")),
        ("llama.cpp #26387", many("{{ 1", "~1", " }}"), Err("out of fuel")),
        ("llama.cpp #26387", format!("{{% if 0 %}}{}{{% endif %}}", "{% elif 0 %}".repeat(15_000)), Ok("")),
        ("llama.cpp #25282", "{{9|9|{".into(), Err("syntax error")),
        ("minja #92", "{{ 1/0 }}".into(), Err("")),
        ("minja #92", "{{ 5//0 }}".into(), Err("")),
        ("minja #92", "{{ 1 % 0 }}".into(), Err("")),
        ("minja #92", "{{ -9223372036854775808 // -1 }}".into(), Ok("9223372036854775808")),
        ("jinja #857", " ".repeat(250_000), Ok(" ")),
        ("jinja #2109", format!("{{{{ '{}", format!("\\a{}", "b".repeat(400)).repeat(400)), Err("syntax error")),
        ("noctalia #2325", format!("{{{{ {}", " ".repeat(250_000)), Err("syntax error")),
        ("jinja #549", "{% for c in [].__class__.__base__.__subclasses__() %}{% endfor %}".into(), Err("")),
        ("CVE-2016-10745", "{{ '{0.__class__}'.format(1) }}".into(), Err("")),
        ("CVE-2024-56326", "{{ ['{0.__class__}'.format]|map('upper')|list }}".into(), Ok("['']")),
    ] {
        let shown: String = template.chars().take(80).collect();
        let begun = Instant::now();
        let result = rendered(&store, &template);
        let is_right = match (&result, expected) {
            (Ok(text), Ok(expected)) => text.trim() == expected.trim(),
            (Err(reason), Err(words)) => reason.contains(words),
            _ => false,
        };
        if !is_right {
            let result = result.map(|text| text.chars().take(80).collect::<String>());
            wrong.push(format!("{source}: {shown}: {result:?} in {:?}", begun.elapsed()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A clock that stands for a store whose reads take long, once it is told to.
#[derive(Clone, Debug, Default)]
struct SlowClock(Arc<AtomicBool>);

impl Clock for SlowClock {
    fn now(&self) -> SystemTime {
        if self.0.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(50));
        }
        SystemTime::UNIX_EPOCH
    }
}

#[test]
fn a_rendering_whose_reads_take_long_ends_after_five_seconds() {
    let clock = SlowClock::default();
    let store = Store::options().clock(clock.clone()).in_memory().unwrap();
    let keys = (0..1000).map(|key| (format!("k{key}"), "v"));
    for (key, value) in keys {
        store.set_with_ttl("mail", key, value, Duration::from_secs(60)).unwrap();
    }
    clock.0.store(true, Ordering::Relaxed);
    let result = rendered(&store, "{% for x in range(1000) %}{{ get('mail', 'k' ~ x) }}{% endfor %}");
    assert_eq!(result, Err("it takes more than 5s".to_owned()));
}
