//! Templates: a group's keys are the variables, `get` reads any other key, and resources are limited.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
mod common;

use common::Rig;
use larder::{Error, Store, View};

/// A store with the groups of a small configuration.
fn furnished(rig: &Rig) -> Store {
    let store = rig.store();
    for (group, key, value) in [
        ("web", "host", "example.com"),
        ("web", "server.port", "8080"),
        ("web", "server.tls.cert", "a.pem"),
        ("web", "server", "nginx"),
        ("web", "max-age", "60"),
        ("web", "hosts", "a,b,c"),
        ("web", "empty", ""),
        ("web", "html", "<b>&\"'"),
        ("web", "schlüssel", "ü"),
        ("mail", "host", "smtp.example.com"),
        ("tenant-42:web", "host", "of the tenant"),
        ("tenant-9:web", "host", "of another"),
    ] {
        store.set(group, key, value).unwrap();
    }
    store.set("binary", "bytes", vec![0xff, 0xfe]).unwrap();
    store
}

#[track_caller]
fn assert_renders(view: &View, group: &str, cases: &[(&str, &str)]) {
    for (template, expected) in cases {
        assert_eq!(view.render(template, group).unwrap(), *expected, "{template}");
    }
}

/// The line and reason of a template error.
#[track_caller]
fn failure(result: larder::Result<String>) -> (Option<usize>, String) {
    match result.unwrap_err() {
        Error::Template { line, reason } => (line, reason),
        error => panic!("{error:?}"),
    }
}

on_every_engine! {
    fn the_keys_of_the_group_are_the_templates_variables(rig: &Rig) {
        let store = furnished(rig);
        assert_renders(&store, "web", &[
            ("", ""),
            ("plain text\n", "plain text\n"),
            ("{{ host }}:{{ hosts }}", "example.com:a,b,c"),
            ("{{ empty }}|", "|"),
            ("{% for host in hosts|split(',') %}[{{ host }}]{% endfor %}", "[a][b][c]"),
            ("{% if host == 'example.com' %}yes{% endif %}", "yes"),
            ("{{ host|upper }}", "EXAMPLE.COM"),
            ("{{ html }}", "<b>&\"'"),
            ("{# nothing #}{{ 1 + 2 }}", "3"),
        ]);
        assert_eq!(store.render("{{ host }}", "mail").unwrap(), "smtp.example.com");
    }

    fn dotted_keys_are_nested_variables(rig: &Rig) {
        let store = furnished(rig);
        assert_renders(&store, "web", &[
            ("{{ server.port }}", "8080"),
            ("{{ server.tls.cert }}", "a.pem"),
            ("{{ server }}", "nginx"),
            ("{{ server.tls }}|", "|"),
            ("{{ get('server.port') }}", "8080"),
            ("{{ server['port'] }}", "8080"),
        ]);
        assert_eq!(store.render_strict("{{ server.port }} {{ server }}", "web").unwrap(), "8080 nginx");
        for key in ["a.", ".b", "..", ".", "a..b"] {
            store.set("dots", key, key).unwrap();
            assert_eq!(store.render(format!("{{{{ get('{key}') }}}}"), "dots").unwrap(), key);
        }
        store.set("dots", vec!["x"; 10_000].join("."), "deep").unwrap();
        assert_eq!(store.render("{{ x.x.x }}|", "dots").unwrap(), "|");
    }

    fn get_reads_any_key_of_this_and_other_groups(rig: &Rig) {
        let store = furnished(rig);
        assert_renders(&store, "web", &[
            (r#"{{ get("mail", "host") }}"#, "smtp.example.com"),
            (r#"{{ get("max-age") }}"#, "60"),
            (r#"{{ get("schlüssel") }}"#, "ü"),
            (r#"{{ get("mail", "absent") }}|"#, "|"),
            (r#"{{ get("absent") }}|{{ get("no group", "k") }}|"#, "||"),
            (r#"{{ get("tenant-42:web", "host") }}"#, "of the tenant"),
            (r#"{% for group in ["web", "mail"] %}{{ get(group, "host") }} {% endfor %}"#, "example.com smtp.example.com "),
        ]);
    }

    fn absent_variables_are_empty_and_strict_rendering_refuses_them(rig: &Rig) {
        let store = furnished(rig);
        assert_renders(&store, "web", &[
            ("{{ absent }}|{{ absent.deep.er }}|{{ server.absent }}|", "|||"),
            ("{{ absent|default('x') }}", "x"),
        ]);
        assert_eq!(store.render("{{ host }}|", "no such group").unwrap(), "|");
        for template in ["{{ absent }}", "{{ server.absent }}", "{{ get('absent') }}", "{{ get('mail', 'absent') }}"] {
            let (line, reason) = failure(store.render_strict(format!("a\nb\n{template}"), "web"));
            assert_eq!(line, Some(3), "{template}");
            assert!(reason.contains("undefined"), "{reason}");
        }
        assert_eq!(store.render_strict("{{ host }}{{ empty }}", "web").unwrap(), "example.com");
        assert_eq!(store.render_strict("{{ absent|default('x') }}", "web").unwrap(), "x");
    }

    fn template_errors_give_line_and_reason(rig: &Rig) {
        let store = furnished(rig);
        for template in [
            "{{ host", "{% if %}", "{% for x in %}{% endfor %}", "{% endif %}", "{% nonsense %}", "{{ }}", "{{ 'open }}",
            "{{ host() }}", "{{ 1 + host }}", "{{ host.upper.x() }}", "{{ get() }}", "{{ get(1, 2, 3) }}", "{{ none() }}",
            "{{ host|no_such_filter }}", "{% if host is no_such_test %}{% endif %}", "{{ 1 // 0 }}",
        ] {
            let error = store.render(format!("first\nsecond {template}"), "web").expect_err(template);
            let Error::Template { line, reason } = &error else { panic!("{template}: {error:?}") };
            assert_eq!(*line, Some(2), "{template}: {error}");
            assert!(!reason.is_empty() && error.to_string().starts_with("the template fails at line 2: "), "{error}");
        }
        let (_, reason) = failure(store.render("{{ get('binary', 'bytes') }}", "web"));
        assert!(reason.contains("not UTF-8"), "{reason}");
        failure(store.render("{{ bytes }}", "binary"));
        assert_eq!(store.render("fine", "binary").unwrap(), "fine", "an unused binary value is an error");
    }

    fn a_template_of_a_scoped_store_reaches_its_namespace_alone(rig: &Rig) {
        let store = furnished(rig);
        let tenant = store.scoped("tenant-42").unwrap();
        assert_renders(&tenant, "web", &[
            ("{{ host }}", "of the tenant"),
            ("{{ get('web', 'host') }}", "of the tenant"),
            ("{{ get('mail', 'host') }}|", "|"),
            ("{{ get('tenant-9:web', 'host') }}|", "|"),
            ("{{ get('tenant-42:web', 'host') }}|", "|"),
            ("{{ get('../tenant-9:web', 'host') }}|{{ get(':web', 'host') }}|", "||"),
        ]);
    }

    fn a_template_reads_no_files_and_includes_no_others(rig: &Rig) {
        let store = furnished(rig);
        let path = rig.folder().join("secret.txt");
        std::fs::write(&path, "secret").unwrap();
        for statement in ["include", "import", "extends", "from"] {
            for name in [path.to_str().unwrap(), "/etc/hostname", "web", "<string>"] {
                let rest = match statement {
                    "import" => " as x",
                    "from" => " import x",
                    _ => "",
                };
                let rendered = store.render(format!("{{% {statement} \"{name}\"{rest} %}}"), "web");
                let (_, reason) = failure(rendered);
                assert!(!reason.contains("secret\""), "{reason}");
            }
        }
        for call in ["{{ open('/etc/hostname') }}", "{{ load('x') }}", "{{ env('HOME') }}", "{{ host.__class__() }}"] {
            failure(store.render(call, "web"));
        }
    }

    fn every_template_ends_or_is_stopped(rig: &Rig) {
        let store = furnished(rig);
        for template in [
            "{% for a in range(10000) %}{% for b in range(10000) %}{% for c in range(10000) %}x{% endfor %}{% endfor %}{% endfor %}".to_owned(),
            "{% set ns = namespace(s='xxxxxxxxxx') %}{% for a in range(100) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ ns.s }}".to_owned(),
            format!("{{% set s = 'x' %}}{}{{{{ s|length }}}}", "{% set s = s ~ s %}".repeat(60)),
            "{% set s = 'x' * 100000000000 %}{{ s|length }}".to_owned(),
            "{% macro m(x) %}{{ m(x) }}{% endmacro %}{{ m(1) }}".to_owned(),
            "{% macro a() %}{{ b() }}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{{ a() }}{% endmacro %}{{ a() }}".to_owned(),
            "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}".to_owned(),
            "{{ range(100000000000) | list | length }}".to_owned(),
            "{% for x in range(1000000000) %}{{ get('mail', 'host') }}{% endfor %}".to_owned(),
            "{{ 'a' | replace('', 'x' * 1000000) | replace('', 'x' * 1000000) }}".to_owned(),
            "{{ ('a,' * 1000000)|split(',')|join('x' * 1000000) }}".to_owned(),
            "{{ '%1000000000s'|format('x') }}".to_owned(),
            "{{ 'x'|indent(1000000000000) }}".to_owned(),
            "{{ 9**9**9**9 }}".to_owned(),
            "{% set l = [1] %}".to_owned() + &"{% set l = l + l %}".repeat(60) + "{{ l|length }}",
        ] {
            let shown: String = template.chars().take(80).collect();
            match store.render(&template, "web") {
                Err(Error::Template { .. } | Error::TooLarge { .. }) => {}
                Err(error) => panic!("{shown}: {error:?}"),
                Ok(rendered) => assert!(rendered.len() <= 64 << 20, "{shown}: {} bytes", rendered.len()),
            }
        }
        assert_eq!(store.render("{{ host }}", "web").unwrap(), "example.com");
    }

    fn deep_nesting_does_not_overflow_the_stack(rig: &Rig) {
        let store = furnished(rig);
        for (open, middle, close) in [
            ("{{ ", "(", " }}"),
            ("{{ ", "[", " }}"),
            ("{{ ", "{1:", " }}"),
            ("{{ ", "-", "1 }}"),
            ("{{ ", "not ", "1 }}"),
            ("{{ ", "1 ~ ", "1 }}"),
            ("{{ ", "1 + ", "1 }}"),
            ("{{ ", "1 if 1 else ", "1 }}"),
            ("{{ ", "2 ** ", "1 }}"),
            ("{{ ", "1 and ", "1 }}"),
            ("{{ x", ".x", " }}"),
            ("{{ x", "|upper", " }}"),
            ("{{ x", "()", " }}"),
            ("{{ x", "[0]", " }}"),
            ("{{ ", "get(", " }}"),
            ("", "{% if 1 %}", ""),
            ("", "{% for x in [1] %}", ""),
            ("", "{% macro m() %}", ""),
            ("", "{% set x %}", ""),
            ("{% if 0 %}", "{% elif 0 %}", "{% endif %}"),
        ] {
            // First a fixed depth, then the deepest template that the size limit allows.
            for deep in [1000, 4000, 8000 / middle.len(), 250_000 / middle.len(), 100_000] {
                let closing = match middle {
                    "(" => ")",
                    "[" => "]",
                    "{% if 1 %}" => "{% endif %}",
                    "{% for x in [1] %}" => "{% endfor %}",
                    _ => "",
                };
                let template = format!("{open}{}{}{close}", middle.repeat(deep), closing.repeat(deep));
                match store.render(&template, "web") {
                    Ok(_) | Err(Error::Template { .. } | Error::TooLarge { .. }) => {}
                    Err(error) => panic!("{deep} times {middle}: {error:?}"),
                }
            }
        }
    }

    fn a_template_that_is_too_long_is_refused(rig: &Rig) {
        let store = furnished(rig);
        let error = store.render("x".repeat(16 << 20), "web").unwrap_err();
        let Error::TooLarge { what: "template", size: 16_777_216, limit } = error else { panic!("{error:?}") };
        assert!(error.to_string().contains("shorten it"), "{error}");
        let most = usize::try_from(limit).unwrap();
        assert_eq!(store.render("x".repeat(most), "web").unwrap().len(), most);
        assert!(matches!(store.render("x".repeat(most + 1), "web"), Err(Error::TooLarge { .. })));
    }

    fn any_template_text_renders_or_is_an_error(rig: &Rig) {
        let store = furnished(rig);
        let pieces = ["{{", "}}", "{%", "%}", "{#", "#}", "host", "'", "\"", "(", ")", "\\", "\0", "鍵", "|", ".", "1e999", "-", "~", "\r\n", "get", "for x in y", "%}{%", "\u{202e}"];
        let mut state = 7_usize;
        for _ in 0..rig.repetitions(3000) {
            let mut template = String::new();
            for _ in 0..12 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                template.push_str(pieces[(state >> 33) % pieces.len()]);
            }
            for rendered in [store.render(&template, "web"), store.render_strict(&template, "web")] {
                assert!(matches!(rendered, Ok(_) | Err(Error::Template { .. })), "{template:?}: {rendered:?}");
            }
        }
    }

    fn a_failed_render_writes_nothing(rig: &Rig) {
        let store = furnished(rig);
        let revision = store.revision().unwrap();
        failure(store.render("{{ host }} {{ host() }}", "web"));
        assert_eq!(store.revision().unwrap(), revision);
    }

    fn rendering_from_a_snapshot_shows_the_snapshot(rig: &Rig) {
        let store = furnished(rig);
        let snapshot = store.snapshot().unwrap();
        store.set("web", "host", "new").unwrap();
        store.set("mail", "host", "new").unwrap();
        let template = "{{ host }} {{ get('mail', 'host') }}";
        assert_eq!(snapshot.render(template, "web").unwrap(), "example.com smtp.example.com");
        assert_eq!(store.render(template, "web").unwrap(), "new new");
    }
}
