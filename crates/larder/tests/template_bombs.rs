//! Templates that try to use more than they may: each ends with the error that says why.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use larder::{AsyncStore, Error, Store};

/// Several times what any rendering may take.
const LONG_ENOUGH: Duration = Duration::from_secs(60);

const STEPS: &str = "out of fuel: it takes more than 1000000 steps";
const BYTES: &str = "out of fuel: it makes more than 64 MiB";
const DEEP: &str = "invalid operation: recursion limit exceeded";
const NESTED: &str = "invalid operation: a value is nested deeper than 128 levels";
const NAMESPACE: &str = "invalid operation: a namespace cannot be a part of a value";

fn store() -> Store {
    let store = Store::in_memory().unwrap();
    store.set("web", "host", "example.com").unwrap();
    store.set("web", "long", "x".repeat(1 << 20)).unwrap();
    store
}

#[track_caller]
fn assert_fails(store: &Store, template: &str, expected: &str) {
    let shown: String = template.chars().take(100).collect();
    for result in [store.render(template, "web"), store.render_strict(template, "web")] {
        match result {
            Err(Error::Template { reason, .. }) => assert_eq!(reason, expected, "{shown}"),
            Err(error) => panic!("{shown}: {error:?}"),
            Ok(rendered) => panic!("{shown}: {} bytes", rendered.len()),
        }
    }
}

#[test]
fn what_is_empty_is_repeated_at_once_however_often() {
    let store = store();
    for (template, expected) in [
        ("{{ '' * 9223372036854775807 }}", ""),
        ("{{ 9223372036854775807 * '' }}", ""),
        ("{{ '' * 10 ** 30 }}", ""),
        ("{{ [] * 9223372036854775807 }}", "[]"),
        ("{{ () * 10 ** 30 }}", "()"),
        ("{{ range(0) * 10 ** 18 }}", "[]"),
        ("{{ ''|indent(10 ** 18) }}", ""),
        ("{{ '\n'|indent(10 ** 18) }}", ""),
        ("{{ []|batch(10 ** 18, 0) }}", "[]"),
        ("{{ ''|replace('', '', 10 ** 18) }}", ""),
        ("{{ ''[::9223372036854775807] }}", ""),
    ] {
        let (ended, rendering) = mpsc::channel();
        thread::spawn({
            let store = store.clone();
            move || {
                // Nobody listens any more if it took too long.
                let _ = ended.send([store.render(template, "web"), store.render_strict(template, "web")]);
            }
        });
        let rendered =
            rendering.recv_timeout(LONG_ENOUGH).unwrap_or_else(|_| panic!("{template} never ends"));
        assert_eq!(rendered.map(Result::unwrap), [expected, expected], "{template}");
    }
    for template in
        ["{{ []|slice(10 ** 18) }}", "{{ [1]|batch(10 ** 18, 0) }}", "{{ ''|indent(10 ** 18, true, true) }}"]
    {
        assert_fails(&store, template, BYTES);
    }
}

/// `{% set l = … %}` so often.
fn repeated(begin: &str, step: &str, times: usize, end: &str) -> String {
    format!("{begin}{}{end}", step.repeat(times))
}

#[test]
fn no_value_contains_itself() {
    let store = store();
    for template in [
        "{% set n = namespace() %}{% set n.x = n %}{{ n }}",
        "{% set n = namespace() %}{% set n.x = [n] %}{{ n ~ '' }}",
        "{% set n = namespace() %}{% set n.x = {'a': n} %}{{ n == n }}",
        "{% set n = namespace() %}{% set m = namespace(x=n) %}{% set n.x = m %}{{ [n, m]|sort }}",
        "{% set n = namespace() %}{% set n.x = (n, 1) %}{{ n|pprint }}",
        "{% set n = namespace() %}{{ dict(a=n) }}",
        "{% set n = namespace() %}{{ [[1, 2]]|map('batch', 2, n)|list }}{{ [1]|batch(2, n) }}",
        "{% set n = namespace() %}{% for x in [1] %}{{ loop.changed(n) }}{% endfor %}",
    ] {
        assert_fails(&store, template, NAMESPACE);
    }
    let template = "{% macro m() %}{% endmacro %}{% set n = namespace(x=m) %}";
    assert_fails(&store, template, "invalid operation: a macro cannot be a part of a value");
    let template = "{% for x in [1] %}{% set l = [loop] %}{% endfor %}";
    assert_fails(&store, template, "invalid operation: a loop cannot be a part of a value");
    let template = "{% set n = namespace() %}{% for x in range(9) %}{% set n.x = get %}{% endfor %}";
    assert_fails(&store, template, "invalid operation: a function cannot be a part of a value");
}

#[test]
fn no_value_is_so_deep_that_walking_through_it_overflows_the_stack() {
    let store = store();
    for template in [
        repeated("{% set l = [] %}", "{% set l = [l] %}", 10_000, "{{ l }}"),
        repeated("{% set l = {} %}", "{% set l = {'a': l} %}", 9_000, "{{ l ~ '' }}"),
        repeated("{% set l = () %}", "{% set l = (l,) %}", 10_000, "{{ l == l }}"),
        repeated("{% set l = 1 %}", "{% set l = dict(a=l) %}", 8_000, "{{ [l, l]|sort }}"),
        "{% set n = namespace(l=[]) %}{% for x in range(100000) %}{% set n.l = [n.l] %}{% endfor %}{{ n.l }}".into(),
        "{% set n = namespace(l={}) %}{% for x in range(100000) %}{% set n.l = {'l': n.l} %}{% endfor %}{{ n.l|pprint }}".into(),
        "{% set n = namespace(l=[]) %}{% for x in range(100000) %}{% set n.l = [n.l]|batch(1) %}{% endfor %}".into(),
        "{% set n = namespace(l=[]) %}{% for x in range(100000) %}{% set n.l = [n.l]|zip([1])|list %}{% endfor %}".into(),
        "{% set n = namespace(l={}) %}{% for x in range(100000) %}{% set n.l = {'l': n.l}|items|list %}{% endfor %}".into(),
        "{% set n = namespace(l=[]) %}{% for x in range(100000) %}{% set n.l = [{'a': n.l}]|groupby('a') %}{% endfor %}".into(),
    ] {
        assert_fails(&store, &template, NESTED);
    }
    // Each of these macros knows the one before.
    let mut template = String::from("{% with %}{% macro m0() %}{% endmacro %}");
    for index in 1..2000 {
        let before = index - 1;
        template += &format!("{{% macro m{index}() %}}{{{{ m{before} }}}}{{% endmacro %}}");
    }
    assert_eq!(store.render(template + "{% endwith %}", "web").unwrap(), "");
    // As JSON, which has a limit of its own.
    let json = format!("{{{{ '{}'|fromjson }}}}", "[".repeat(100_000));
    assert_fails(
        &store,
        &json,
        "invalid operation: the text is no JSON: it is malformed, at line 1 column 128",
    );
}

#[test]
fn values_that_share_their_parts_are_not_walked_through_for_ever() {
    let store = store();
    for (end, expected) in [
        ("{{ l }}", STEPS),
        ("{{ l ~ '' }}", STEPS),
        ("{{ l|string|length }}", STEPS),
        ("{{ l|pprint }}", BYTES),
        ("{{ [l, l]|join }}", STEPS),
        ("{{ l|replace('a', 'b') }}", STEPS),
        ("{{ '%s'|format(l) }}", STEPS),
        ("{{ '%r'|format(l) }}", STEPS),
        ("{{ l == m }}", STEPS),
        ("{{ l < m }}", STEPS),
        ("{{ l is eq m }}", STEPS),
        ("{{ l in [m] }}", STEPS),
        ("{{ [l, m]|sort }}", STEPS),
        ("{{ [l, m]|unique }}", STEPS),
        ("{{ [l, m]|max }}", STEPS),
        ("{{ [{'a': l}, {'a': m}]|groupby('a') }}", STEPS),
        ("{{ {'a': l, 'b': m}|dictsort(by='value') }}", STEPS),
        ("{{ [l]|select('eq', m)|list }}", STEPS),
        ("{{ [{'a': l}]|rejectattr('a', 'lt', m)|list }}", STEPS),
        ("{{ debug(l) }}", BYTES),
        ("{{ debug() }}", BYTES),
        ("{% for x in [1, 2] %}{{ loop.changed(l if loop.first else m) }}{% endfor %}", STEPS),
        ("{% for x in [l] if x == m %}{% endfor %}", STEPS),
        ("{% set x %}{{ l }}{% endset %}", STEPS),
        ("{% filter upper %}{{ l }}{% endfilter %}", STEPS),
    ] {
        // 2^60 elements, in 60 lists.
        let begin = "{% set l = [1] %}{% set m = [1] %}";
        let template = repeated(begin, "{% set l = [l, l] %}{% set m = [m, m] %}", 60, end);
        assert_fails(&store, &template, expected);
    }
    let template = repeated("{% set l = {'a': 1} %}", "{% set l = {'a': l, 'b': l} %}", 60, "{{ l }}");
    assert_fails(&store, &template, STEPS);
    let begin =
        "{% set n = namespace(l=[1]) %}{% for x in range(60) %}{% set n.l = [n.l, n.l] %}{% endfor %}";
    assert_fails(&store, &format!("{begin}{{{{ n.l }}}}"), STEPS);
    assert_fails(
        &store,
        &format!("{begin}{{{{ {{n.l: 1}} }}}}"),
        "invalid operation: sequence cannot be the key of a map",
    );
}

#[test]
fn memory_is_counted_before_it_is_allocated() {
    let store = store();
    for template in [
        "{{ (['a'*1000000]*1000)|join|length }}",
        "{% for x in range(1000) %}{{ (['a'*1000000]*50)|join|length }}{% endfor %}",
        "{{ 'a' * 10 ** 30 }}",
        "{{ ('a' * 1000000) * 1000000 }}",
        "{{ 1000000000 * 'ab' }}",
        "{{ [0] * 10 ** 12 }}",
        "{{ range(100000)|list * 1000 }}",
        "{{ 'x\ny'|indent(10 ** 15) }}",
        "{{ ('\n' * 100000)|indent(100000, true, true) }}",
        "{{ 'a'|replace('', 'x' * 1000000)|replace('', 'x' * 1000000) }}",
        "{{ ('a' * 100000)|replace('a', 'b' * 100000) }}",
        "{{ ('a,' * 1000000)|split(',')|join('x' * 1000000) }}",
        "{{ ('a ' * 1000000)|split }}",
        "{{ ('\n' * 10000000)|lines }}",
        "{{ '%1000000000s'|format('x') }}",
        "{{ '%*d'|format(10 ** 15, 1) }}",
        "{{ '%.1000000000d'|format(1) }}",
        "{{ '%-1000000000s|'|format('x') }}",
        "{{ '%01000000000d'|format(1) }}",
        "{{ [1]|batch(10 ** 15, 0) }}",
        "{{ [1]|slice(10 ** 15) }}",
        "{{ ('x' * 10000000)|list }}",
        "{{ ('x' * 40000000)[::-1] }}",
        "{{ ('x' * 40000000)|reverse }}",
        "{{ ('x' * 20000000)|trim ~ ('x' * 20000000) ~ ('x' * 20000000) }}",
        "{{ ('[1' ~ (',1' * 10000000) ~ ']')|fromjson }}",
        "{{ ('[[]' ~ (',[]' * 10000000) ~ ']')|fromjson }}",
        "{% set n = namespace(s='xxxxxxxxxx') %}{% for a in range(100) %}{% set n.s = n.s ~ n.s %}{% endfor %}{{ n.s }}",
        "{% macro m(s) %}{{ m(s ~ s) }}{% endmacro %}{{ m('xxxxxxxxxx') }}",
        "{% set s %}{{ 'x' * 30000000 }}{% endset %}{% set t %}{{ s }}{{ s }}{% endset %}{{ t }}",
        "{% filter replace('x', 'y' * 1000) %}{{ 'x' * 1000000 }}{% endfilter %}",
        "{% for x in range(100) %}{{ long }}{% endfor %}",
        "{% for x in range(100) %}{{ get('long') }}{% endfor %}",
        "{{ ((('x' * 1000),) * 100000)|join }}",
    ] {
        assert_fails(&store, template, BYTES);
    }
    for (begin, step, end, expected) in [
        ("{% set s = 'x' %}", "{% set s = s ~ s %}", "{{ s|length }}", BYTES),
        ("{% set s = 'x' %}", "{% set s = s + s %}", "{{ s|length }}", BYTES),
        ("{% set l = [1] %}", "{% set l = l + l %}", "{{ l|length }}", STEPS),
        ("{% set l = (1,) %}", "{% set l = l + l %}", "{{ l|length }}", STEPS),
        ("{% set l = [1] %}", "{% set l = l|chain(l) %}", "{{ l|length }}", BYTES),
        ("{% set l = [1] %}", "{% set l = l * 2 %}", "{{ l|length }}", STEPS),
        ("{% set s = 'x' %}", "{% set s %}{{ s }}{{ s }}{% endset %}", "{{ s|length }}", BYTES),
    ] {
        assert_fails(&store, &repeated(begin, step, 60, end), expected);
    }
}

#[test]
fn the_reason_for_a_refusal_is_short_whatever_names_a_template_makes() {
    let store = store();
    for template in [
        "{{ [1]|map('ß' * 1000000)|list }}".to_owned(),
        "{{ [1]|select('x' * 1000000)|list }}".to_owned(),
        "{{ 1|upper(**{'x' * 1000000: 1}) }}".to_owned(),
        "{{ get('x' * 1000000) + 1 }}".to_owned(),
        format!("{{{{ 1|{} }}}}", "x".repeat(200_000)),
        format!("{{{{ {}() }}}}", "x".repeat(200_000)),
        format!("{{% {} %}}", "x".repeat(200_000)),
    ] {
        let error = store.render(&template, "web").unwrap_err();
        assert!(error.to_string().len() < 1000, "{} bytes", error.to_string().len());
    }
}

#[test]
fn time_ends_the_work_and_not_only_the_wait() {
    let store = store();
    for template in [
        "{{ ('<' * 30000000)|escape }}",
        "{{ ('x' * 30000000)|upper|lower|title|capitalize }}",
        "{% for a in range(10000) %}{% for b in range(10000) %}{% for c in range(10000) %}{% endfor %}{% endfor %}{% endfor %}",
        "{% for a in range(100000) %}{% set x = range(100000)|sum %}{% endfor %}",
        "{% for a in range(10000) %}{{ -1 in range(100000) }}{% endfor %}",
        "{% set l = range(9999)|list %}{% for a in range(10000) %}{% set x = l|sort == l %}{% endfor %}",
        "{% set s = 'x' * 1000000 %}{% for a in range(100000) %}{% set x = 'y' in s %}{% endfor %}",
        "{% set s = 'x' * 1000000 %}{% for a in range(100000) %}{% set x = s == s[:-1] ~ 'y' %}{% endfor %}",
        "{% set s = 'x' * 1000000 %}{% for a in range(100000) %}{% set x = s|length %}{% endfor %}",
        "{% set s = 'x' * 1000000 %}{% for a in range(100000) %}{% set x = s[999999] %}{% endfor %}",
        "{% set s = 'x' * 100000 %}{{ s|trim(s) }}",
        "{% for x in range(100000) %}{% set y = get('mail', 'host') %}{% endfor %}",
        "{% macro a() %}{{ b() }}{{ b() }}{% endmacro %}{% macro b() %}{% if false %}{{ a() }}{% endif %}{% for x in range(100000) %}{% endfor %}{% endmacro %}{% for x in range(100) %}{{ a() }}{% endfor %}",
        "{{ range(100000)|map('string')|map('upper')|map('lower')|map('title')|map('trim')|map('capitalize')|map('length')|list }}",
        "{{ (range(99999)|list + range(99999)|list)|unique|length }}{{ range(99999)|sort|sort|sort|sort }}",
    ] {
        let reason = match store.render(template, "web") {
            Err(Error::Template { reason, .. }) => reason,
            other => panic!("{template}: {:?}", other.map(|rendered| rendered.len())),
        };
        assert!([STEPS, BYTES].contains(&reason.as_str()), "{template}: {reason}");
    }
}

#[test]
fn recursion_is_refused_before_the_stack_is_full() {
    let store = store();
    for template in [
        "{% macro m(x) %}{{ m(x) }}{% endmacro %}{{ m(1) }}",
        "{% macro m() %}{% if true %}{% with %}{{ (m()) }}{% endwith %}{% endif %}{% endmacro %}{{ m() }}",
        "{% macro m() %}{{ [[[[(((m() ~ '') ~ '') ~ '')]]]] }}{% endmacro %}{{ m() }}",
        "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}",
        "{% macro m(x=1) %}{% call m() %}{{ caller() }}{% endcall %}{% endmacro %}{{ m() }}",
        "{% macro m(x=m()) %}{% endmacro %}{{ m() }}",
        "{% macro m() %}{% filter upper %}{{ m() }}{% endfilter %}{% endmacro %}{{ m() }}",
        "{% macro m() %}{% set x %}{{ m() }}{% endset %}{% endmacro %}{{ m() }}",
        "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
        "{% for x in [1] recursive %}{% if loop([x]) %}{% endif %}{% endfor %}",
        "{% macro m() %}{{ not -(1 if m() == 1 else [m()][0])|length }}{% endmacro %}{{ m() }}",
    ] {
        assert_fails(&store, template, DEEP);
    }
}

#[test]
fn names_of_the_language_stay_what_they_are_whatever_keys_a_group_has() {
    let store = store();
    let names = [
        "get",
        "range",
        "dict",
        "namespace",
        "debug",
        "loop",
        "self",
        "super",
        "caller",
        "varargs",
        "kwargs",
        "cycle",
        "true",
        "false",
        "none",
        "not",
        "and",
        "or",
        "in",
        "is",
        "if",
        "else",
        "upper",
        "length",
        "join",
        "map",
        "defined",
        "eq",
        "string",
        "m",
        "grouper",
        "list",
        "index",
        "item",
        "items",
        "name",
    ];
    for name in names {
        store.set("web", name, "the key").unwrap();
        store.set("web", format!("{name}.index"), "the key").unwrap();
    }
    for (template, expected) in [
        (
            "{{ 'a'|upper }}{{ [1, 2]|length }}{{ [1, 2]|join('-') }}{{ ['a']|map('upper')|list }}",
            "A21-2['A']",
        ),
        (
            "{{ 1 is defined }}{{ 1 is eq 1 }}{{ '' is string }}{{ [1]|select('eq', 1)|list }}",
            "TrueTrueTrue[1]",
        ),
        ("{% for x in [7, 8] %}{{ loop.index }}{{ loop.cycle('a', 'b') }}{% endfor %}", "1a2b"),
        ("{% for x in [[], [[]]] recursive %}{{ loop.depth }}{{ loop(x) }}{% endfor %}", "112"),
        (
            "{% macro m(x) %}<{{ x }}>{{ caller() if caller is defined else '' }}{% endmacro %}{{ m(1) }}{% call m(2) %}in{% endcall %}",
            "<1><2>in",
        ),
        ("{% macro n() %}{{ caller is defined }}{% endmacro %}{{ n() }}", "False"),
        (
            "{{ get('host') }}{{ range(2)|list }}{{ dict(a=1) }}{{ namespace(a=1).a }}{{ debug(1) }}",
            "example.com[0, 1]{'a': 1}11",
        ),
        (
            "{{ true }}{{ none }}{{ false or not true }}{{ 1 in [1] }}{{ 1 if true else 2 }}",
            "TrueNoneFalseTrue1",
        ),
        ("{{ ([{'a': 1}]|groupby('a'))[0].grouper }}{{ ([{'a': 1}]|groupby('a'))[0].list }}", "1[{'a': 1}]"),
        ("{{ namespace(items=1).items }}{{ {'name': 2}.name }}", "12"),
    ] {
        assert_eq!(store.render(template, "web").unwrap(), expected, "{template}");
        assert_eq!(store.render_strict(template, "web").unwrap(), expected, "{template}");
    }
    for (template, expected) in [
        ("{{ self() }}", "unknown function: self is unknown"),
        ("{{ super() }}", "unknown function: super is unknown"),
        ("{{ loop([1]) }}", "unknown function: loop is unknown"),
        ("{{ caller() }}", "unknown function: caller is unknown"),
        ("{{ m() }}", "unknown function: m is unknown"),
        ("{{ upper('a') }}", "unknown function: upper is unknown"),
        ("{{ 'a'|get }}", "unknown filter: filter get is unknown"),
        ("{{ 'a' is get }}", "unknown test: test get is unknown"),
    ] {
        assert_fails(&store, template, expected);
    }
}

#[test]
fn sixteen_bombs_at_once_do_not_stall_async_reads() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let store = AsyncStore::open(folder.path().join("larder.db")).await.unwrap();
        store.set("web", "host", "example.com").await.unwrap();
        let bomb = "{% for a in range(100000) %}{% set x = range(100000)|sum %}{% endfor %}";
        let bombs: Vec<_> = (0..16)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move { store.render(bomb, "web").await })
            })
            .collect();
        // Each of these reads goes to a blocking thread: a whole group is not answered from the cache.
        let mut reads = 0;
        while bombs.iter().any(|bomb| !bomb.is_finished()) && reads < 10_000 {
            assert_eq!(store.get_all("web").await.unwrap().len(), 1);
            reads += 1;
        }
        assert!(reads > 16, "{reads} reads while sixteen templates were rendered");
        for bomb in bombs {
            let Err(Error::Template { reason, .. }) = bomb.await.unwrap() else {
                panic!("a bomb was rendered")
            };
            assert_eq!(reason, STEPS);
        }
    });
}
