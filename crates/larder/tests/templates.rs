//! Templates: a group's keys are the variables, `get` reads any other key, and resources are limited.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
mod common;

use common::Rig;
use larder::{Error, Pattern, Reads, Store, View};

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

/// Expressions at random, in all that the language has.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    fn one_of(&mut self, pieces: &[&str]) -> String {
        pieces[self.below(pieces.len())].to_owned()
    }

    fn expression(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.one_of(&[
                "host",
                "server",
                "server.port",
                "server['tls'].cert",
                "empty",
                "range",
                "1",
                "2.5",
                "'a'",
                "\"80\"",
                "true",
                "none",
                "[]",
                "['a', '80']",
                "{'a': 1}",
                "server.port|int",
                "get('mail', 'host')",
                "range(3)",
            ]);
        }
        let [a, b] = [depth - 1, self.below(depth)].map(|depth| self.expression(depth));
        match self.below(16) {
            0 => format!("({a})"),
            1..=4 => format!("{a} {} {b}", self.one_of(&["==", "!=", "<", "<=", ">", ">="])),
            5 => format!("{a} {} {b}", self.one_of(&["in", "not in"])),
            6 | 7 => format!("{a} {} {b}", self.one_of(&["and", "or"])),
            8 => format!("not {a}"),
            9 => format!("{a} if {b} else {a}"),
            10 => format!("{a} {} {b}", self.one_of(&["~", "+", "*"])),
            11 => format!(
                "({a}){}",
                self.one_of(&["|string", "|length", "|list|length", "|default('x')", "|upper", "[0]"])
            ),
            12 => format!(
                "({a}) is {}",
                self.one_of(&["string", "not string", "defined", "eq 1", "not in ['a']", "number"])
            ),
            13 => format!("[{a}, {b}][0]"),
            14 => format!("{{'k': {a}, 'l': {b}}}['k']"),
            _ => format!("dict(k={a}, l={b}).l"),
        }
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

    fn a_key_is_its_text_though_others_begin_with_it(rig: &Rig) {
        let store = furnished(rig);
        for (key, value) in [("tls", "on"), ("tls.cert", "/c"), ("tls.cert.key", "/k"), ("a.b", "x"), ("a.b.c", "y")] {
            store.set("parts", key, value).unwrap();
        }
        let cases = [
            ("{% if tls == 'on' %}TLS{% else %}PLAIN{% endif %} {{ tls|length }} {{ tls is string }}", "TLS 2 True"),
            ("{% if tls == 'on' %}{{ tls.cert }}{% endif %}", "/c"),
            ("{{ tls.cert == '/c' }} {{ tls['cert']['key'] }} {{ tls.cert['key']|upper }}", "True /k /K"),
            ("{{ tls\n.cert\n.key }}", "/k"),
            ("{{ 'n' in tls }} {{ tls ~ tls.cert }} {{ tls < 'p' }} {{ tls[0] }} {{ tls[1:] }}", "True on/c True o n"),
            ("{% set part = 'cert' %}{{ tls[part] }} {{ tls[part][0] }} {{ [tls.cert, tls][0] }}", "/c / /c"),
            ("{{ {'cert': tls.cert}.cert }} {{ dict(tls=tls.cert).tls }} {{ tls.cert|replace(tls.cert, tls) }}", "/c /c on"),
            ("{{ a.b }}{{ a.b.c }} {{ a.b == 'x' }} {% for part in a %}{{ part }}{% endfor %}", "xy True b"),
            ("{{ (tls).cert }}|{{ tls|attr('cert') }}|{{ tls.absent }}|{{ a.absent }}|{{ tls.cert.key.deeper }}|", "|||||"),
            ("{{ tls.cert }}{# tls.cert #}{% raw %}{{ tls.cert }}{% endraw %}{{ 'tls.cert' }}", "/c{{ tls.cert }}tls.cert"),
            ("{{-tls.cert-}}{%if(tls.cert)%}{%if tls.cert.key%}yes{%endif%}{%endif%}", "/cyes"),
            // What the template itself calls so is what it says.
            ("{% for tls in [{'cert': 1}] %}{{ tls.cert }}{% endfor %}", "1"),
            ("{% set tls = {'cert': 2} %}{{ tls.cert }}", "2"),
            ("{% with tls = {'cert': 3} %}{{ tls.cert }}{% endwith %}", "3"),
            ("{% macro m(tls) %}{{ tls.cert }}{% endmacro %}{{ m({'cert': 4}) }}", "4"),
        ];
        assert_renders(&store, "parts", &cases);
        for (template, expected) in cases.into_iter().filter(|(template, _)| !template.contains("absent")) {
            assert_eq!(store.render_strict(template, "parts").unwrap(), expected, "{template}");
        }
        let (line, _) = failure(store.render("{{ tls\n.cert\n.key }}\n{{ tls.cert() }}", "parts"));
        assert_eq!(line, Some(4));
    }

    fn no_key_takes_a_function_away_and_no_function_a_key(rig: &Rig) {
        let store = furnished(rig);
        for key in ["get", "range", "dict", "namespace", "debug", "larder_0", "larder_compare", "range.end"] {
            store.set("functions", key, format!("the {key}")).unwrap();
        }
        assert_renders(&store, "functions", &[
            ("{{ get('mail', 'host') }} {{ get }} {{ get('get') }}", "smtp.example.com the get the get"),
            ("{% for n in range(3) %}{{ n }}{% endfor %} {{ range }} {{ range.end }}", "012 the range the range.end"),
            ("{{ dict(a=range(2)|list).a }} {{ dict }} {{ debug }}", "[0, 1] the dict the debug"),
            ("{% set ns = namespace(n=1) %}{% set ns.n = 2 %}{{ ns.n }}{{ namespace }}", "2the namespace"),
            ("{{ larder_0 }} {{ larder_compare }}", "the larder_0 the larder_compare"),
            ("{{ get('range')|upper == 'THE RANGE' }}", "True"),
            ("{% macro get(key) %}my {{ key }}{% endmacro %}{{ get('x') }}", "my x"),
        ]);
        assert_eq!(store.render_strict("{{ get('mail', 'host') == range }}", "functions").unwrap(), "False");
    }

    fn text_is_read_as_what_it_says(rig: &Rig) {
        let store = furnished(rig);
        for (key, value) in [("port", "80"), ("ratio", "0.5"), ("hosts", r#"["a", {"b": [1, null, true]}]"#), ("debug", "false"), ("big", "18446744073709551615")] {
            store.set("typed", key, value).unwrap();
        }
        let cases = [
            ("{{ port|int > 1024 }} {{ port|int + 1 }} {{ ratio|float * 2 }}", "False 81 1.0"),
            ("{% if debug|bool %}on{% else %}off{% endif %}", "off"),
            ("{% for host in hosts|fromjson %}[{{ host if host is string else host.b[0] }}]{% endfor %}", "[a][1]"),
            ("{{ (hosts|fromjson)[1].b }} {{ big|fromjson }} {{ '-1'|fromjson }}", "[1, None, True] 18446744073709551615 -1"),
            ("{{ 'Yes'|bool }}{{ 'on'|bool }}{{ '1'|bool }}{{ 'TRUE'|bool }}", "TrueTrueTrueTrue"),
            ("{{ 'no'|bool }}{{ 'Off'|bool }}{{ '0'|bool }}{{ ''|bool }}{{ none|bool }}", "FalseFalseFalseFalseFalse"),
            ("{{ 1|bool }}{{ []|bool }}{{ true|bool }}", "TrueFalseTrue"),
        ];
        assert_renders(&store, "typed", &cases);
        for (template, expected) in cases {
            assert_eq!(store.render_strict(template, "typed").unwrap(), expected, "{template}");
        }
        assert_renders(&store, "typed", &[("{{ absent|bool }}{{ absent|fromjson }}|", "False|")]);
        for template in ["{{ hosts|int }}", "{{ hosts|float }}", "{{ hosts|bool }}", "{{ 'a secret'|fromjson }}", "{{ 1|fromjson }}"] {
            let (line, reason) = failure(store.render(template, "typed"));
            assert_eq!(line, Some(1), "{template}");
            assert!(!reason.contains("secret") && !reason.contains("null"), "{reason}");
        }
        for template in ["{{ absent|bool }}", "{{ absent|fromjson }}"] {
            let (_, reason) = failure(store.render_strict(template, "typed"));
            assert!(reason.contains("undefined"), "{reason}");
        }
    }

    fn strict_refuses_comparisons_between_kinds(rig: &Rig) {
        let store = furnished(rig);
        store.set("typed", "port", "80").unwrap();
        store.set("typed", "debug", "false").unwrap();
        store.set("typed", "server.port", "80").unwrap();
        for template in [
            "{{ port > 1024 }}", "{{ 1024 < port }}", "{{ port == 80 }}", "{{ port != 80 }}", "{{ port >= 1.5 }}", "{{ port <= -1 }}",
            "{{ debug == false }}", "{{ true != debug }}", "{{ port in [80, 443] }}", "{{ port not in [80] }}", "{{ 80 in port }}",
            "{{ port == [80] }}", "{{ port < none }}", "{{ 1 == true }}", "{{ [1] == '1' }}", "{{ 1 in {'1': 1} }}", "{{ port in 80 }}",
            "{{ server.port > 1024 }}", "{{ get('port') > 1024 }}", "{{ get('typed', 'port') > 1024 }}", "{{ port|trim > 1024 }}", "{{ port ~ '' == 80 }}",
            "{% if port > 1024 %}{% endif %}", "{% if not port > 1024 %}{% endif %}", "{% if debug|bool or port > 1024 %}{% endif %}",
            "{% if false %}{% elif port > 1024 %}{% endif %}", "{{ 'high' if port > 1024 else 'low' }}", "{{ [(port > 1024)] }}", "{{ {'a': port > 1024} }}",
            "{{ {'a': port > 1024}.a }}", "{{ dict(a=port > 1024) }}", "{{ '80'|replace('0', '1' if port > 2 else '3') }}", "{{ 1 < 2 < port }}", "{{ '1' < port < 1024 }}",
            "{% for p in ['80']  if p > 1024 %}{{ p }}{% endfor %}", "{% set x = port > 1024 %}", "{% with x = port > 1024 %}{% endwith %}",
            "{% macro m(p=port > 1024) %}{{ p }}{% endmacro %}{{ m() }}", "{% macro m(p) %}{{ p > 1024 }}{% endmacro %}{{ m(port) }}",
            "{{ port is gt 1024 }}", "{{ port is eq(80) }}", "{{ ['80']|select('gt', 1024)|list }}", "{{ [port, port]|reject('in', [80])|list }}",
            "{% for x in [port] %}{% if x == 80 %}{% endif %}{% endfor %}", "{{port>1024}}", "{{-port>1024-}}", "{%if(port>1024)%}{%endif%}",
            "{% filter replace('a', 'b' if port > 1024 else 'c') %}a{% endfilter %}", "{% call namespace(a=port > 1024) %}{% endcall %}",
        ] {
            let (line, reason) = failure(store.render_strict(format!("first\nsecond {template}"), "typed"));
            assert_eq!(line, Some(2), "{template}: {reason}");
            assert!(reason.contains("which have nothing in common") && reason.contains("|int"), "{template}: {reason}");
        }
        for (template, expected) in [
            ("{{ port|int > 1024 }} {{ port == '80' }} {{ port|int in [80, 443] }} {{ port in ['80'] }}", "False True True True"),
            ("{{ port == none }} {{ none != port }} {{ none == none }} {{ 1 == 1.0 }} {{ 1 < 1.5 < 2 }} {{ 3 < 2 < 1 }}", "False True True True True False"),
            ("{{ '8' in port }} {{ '9' not in port }} {{ 'a' in {'a': 1} }} {{ 'b' in {'a': 1} }} {{ port in [] }}", "True True True False False"),
            ("{{ [1, 2] == [1, 2] }} {{ [1] < [2] }} {{ {'a': 1} == {'a': 1} }} {{ true == (1 < 2) }}", "True True True True"),
            ("{{ port if port == '80' and not port != '80' else 'x' }} {{ 1 == 1 and '2' == '2' or '3' == '4' }}", "80 True"),
            ("{{ port is eq '80' }} {{ port is not eq '81' }} {{ port is in ['80'] }} {{ [1, 2]|select('gt', 1)|list }}", "True True True [2]"),
            ("{{ 3 - 2 == 1 }} {{ -1 < 1 }} {{ 'a' ~ 'b' == 'ab' }} {{ 2 ** 2 >= 4 }} {{ port|length == 2 }}", "True True True True True"),
            ("{{ port is defined and port == '80' }} {{ (port == '80') == (debug == 'false') }}", "True True"),
            ("{{ 'not in' not\nin 'in' }}{{ port is divisibleby 8 if 1 > 2 else 'a==b' }}", "Truea==b"),
            ("{% for x in [1, 2, 3] if x > 1 %}{{ x }}{{ ',' if not loop.last }}{% endfor %}", "2,3"),
            ("{% if 1 not in [2] %}{{ 'yes' }}{% endif %}{% if [] == [] and port not in 'x' %}!{% endif %}", "yes!"),
        ] {
            assert_eq!(store.render_strict(template, "typed").unwrap(), expected, "{template}");
            assert_eq!(store.render(template, "typed").unwrap(), expected, "{template}");
        }
        let (line, _) = failure(store.render_strict("{{ 1 not\nin\n[1] }}\n{{ absent == 1 }}", "typed"));
        assert_eq!(line, Some(4));
    }

    fn strict_refuses_text_that_says_no_as_a_condition_and_loops_through_text(rig: &Rig) {
        let store = furnished(rig);
        store.set("typed", "debug", "false").unwrap();
        store.set("typed", "zero", "0").unwrap();
        store.set("typed", "name", "x").unwrap();
        store.set("typed", "hosts", "a,b").unwrap();
        for template in [
            "{% if debug %}{% endif %}", "{% if not debug %}{% endif %}", "{% if name and debug %}{% endif %}", "{% if name == 'y' or zero %}{% endif %}",
            "{{ 'on' if debug else 'off' }}", "{{ debug and 1 }}", "{{ debug or 1 }}", "{{ not debug }}", "{% if 'NO' %}{% endif %}", "{% if 'Off' %}{% endif %}",
            "{% if false %}{% elif get('debug') %}{% endif %}", "{% for x in [1] if debug %}{% endfor %}", "{% if (name and debug) %}{% endif %}", "{% if debug|trim %}{% endif %}",
        ] {
            let (line, reason) = failure(store.render_strict(format!("\n{template}"), "typed"));
            assert_eq!(line, Some(2), "{template}: {reason}");
            assert!(reason.contains("|bool"), "{template}: {reason}");
        }
        for template in ["{% for h in hosts %}{% endfor %}", "{% for h in get('hosts') if h %}{% endfor %}", "{% for a in hosts recursive %}{% endfor %}", "{% for h in (name if name else hosts) %}{% endfor %}"] {
            let (line, reason) = failure(store.render_strict(format!("\n{template}"), "typed"));
            assert_eq!(line, Some(2), "{template}: {reason}");
            assert!(reason.contains("|split"), "{template}: {reason}");
        }
        for (template, expected) in [
            ("{% if name %}yes{% endif %}{% if '' %}no{% endif %}{{ '' or 'no' }}{{ name and debug }}", "yesnofalse"),
            ("{% if debug|bool %}on{% else %}off{% endif %}{{ name if name }}{{ debug if name else zero }}", "offxfalse"),
            ("{% for h in hosts|split(',') %}[{{ h }}]{% endfor %}{% for c in name|list %}{{ c }}{% endfor %}", "[a][b]x"),
            ("{% for n in [[1, [[2, []]]]] recursive %}{{ n[0] }}{{ loop(n[1]) }}{% endfor %}", "12"),
            ("{% for k, v in {'a': 1}|items %}{{ k }}{{ v }}{% else %}none{% endfor %}{% for x in [] %}{% else %}none{% endfor %}", "a1none"),
        ] {
            assert_eq!(store.render_strict(template, "typed").unwrap(), expected, "{template}");
        }
    }

    fn strict_renders_the_same_as_lenient_or_refuses(rig: &Rig) {
        let store = furnished(rig);
        store.set("web", "range", "1-2").unwrap();
        let mut random = Random(11);
        let (mut rendered, rounds) = (0, rig.repetitions(1500));
        for _ in 0..rounds {
            let template = match random.below(4) {
                0 => format!("{{% if {} %}}yes{{% elif {} %}}else{{% endif %}}", random.expression(4), random.expression(3)),
                1 => format!("{{% for x in [{}] if {} %}}{{{{ x }}}}{{% endfor %}}", random.expression(3), random.expression(3)),
                2 => format!("{{% set x, y = {}, {} %}}{{{{ x == y }}}}", random.expression(3), random.expression(3)),
                _ => format!("{{{{ {} }}}}", random.expression(5)),
            };
            if let Ok(strict) = store.render_strict(&template, "web") {
                rendered += 1;
                assert_eq!(store.render(&template, "web").unwrap(), strict, "{template}");
            }
        }
        assert!(rendered > rounds / 20, "{rendered} of {rounds} could be rendered");
    }

    /// A template that is none must not become one by what a strict rendering makes of it.
    fn strict_takes_no_template_that_is_not_well_formed(rig: &Rig) {
        let store = furnished(rig);
        for expression in [
            "host ==", "== host", "host == == host", "host in", "not", "host and", "host or or host", "host not host", "host not in",
            "host, host", "host == host, host", "*host", "**host == host", "*host and host", "host = host", "host == host = host", "host : host", "(host", "host)",
            "host host", "host == host host", "host if", "host ==, host", "[*host]", "host[", "[host == host", "{host}", "host is", "host|",
        ] {
            for template in [
                format!("{{{{ {expression} }}}}"), format!("{{% if {expression} %}}{{% endif %}}"),
                format!("{{% for x in {expression} %}}{{% endfor %}}"), format!("{{% set x = ({expression}) %}}"), format!("{{{{ dict(a={expression}) }}}}"),
            ] {
                let lenient = store.render(&template, "web");
                if lenient.is_err() {
                    failure(store.render_strict(&template, "web"));
                }
            }
            failure(store.render_strict(format!("{{% if {expression} %}}{{% endif %}}"), "web"));
        }
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
        for template in [
            "{% for a in range(10000) %}{{ -1 in range(100000) }}{% endfor %}",
            "{% for a in range(10000) %}{{ range(100000) is eq range(100000) }}{% endfor %}",
            "{% set l = range(99999)|list %}{% set m = range(99999)|list %}{% for a in range(10000) %}{{ l == m }}{% endfor %}",
            "{% set s = 'x' * 1000000 %}{% for a in range(100000) %}{{ s ~ 'y' in s }}{% endfor %}",
        ] {
            let (_, reason) = failure(store.render_strict(template, "web"));
            assert!(reason.contains("fuel"), "{template}: {reason}");
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
            ("{{ ", "1 < ", "1 }}"),
            ("{{ ", "(1 < ", "1 }}"),
            ("{{ ", "1 in ", "1 }}"),
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
                    "(" | "(1 < " => ")",
                    "[" => "]",
                    "{% if 1 %}" => "{% endif %}",
                    "{% for x in [1] %}" => "{% endfor %}",
                    _ => "",
                };
                let template = format!("{open}{}{}{close}", middle.repeat(deep), closing.repeat(deep));
                for rendered in [store.render(&template, "web"), store.render_strict(&template, "web")] {
                    match rendered {
                        Ok(_) | Err(Error::Template { .. } | Error::TooLarge { .. }) => {}
                        Err(error) => panic!("{deep} times {middle}: {error:?}"),
                    }
                }
            }
        }
    }

    fn a_template_that_is_too_long_is_refused(rig: &Rig) {
        let store = furnished(rig);
        let error = store.render("x".repeat(16 << 20), "web").unwrap_err();
        let Error::TooLarge { what: "template", size: 16_777_216, limit, .. } = error else { panic!("{error:?}") };
        assert_eq!(error.advice().unwrap(), "Shorten it.");
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

    fn what_a_template_has_read_tells_which_changes_matter(rig: &Rig) {
        let store = furnished(rig);
        let template = "{{ host }}{% if get('mail', 'host') == 'smtp.example.com' %}{{ get('limits', 'rate') }}{{ get('max-age') }}{% else %}{{ get('spare', 'host') }}{% endif %}";
        let mut reads = Reads::default();
        store.render_recording(template, "web", false, &mut reads).unwrap();
        let changes = [
            ("web", "any key", true), ("mail", "host", true), ("mail", "port", false), ("limits", "rate", true), ("limits", "burst", false),
            ("spare", "host", false), ("other", "host", false), ("tenant-42:web", "host", false),
        ];
        let watcher = store.watch(Pattern::all()).unwrap();
        for (group, key, _) in changes {
            store.set(group, key, "changed").unwrap();
        }
        for (group, key, matters) in changes {
            assert_eq!(reads.matches(&watcher.recv().unwrap()), matters, "{group} {key}");
        }
        for (group, matters) in [("limits", true), ("spare", false)] {
            store.delete_group(group).unwrap();
            assert_eq!(reads.matches(&watcher.recv().unwrap()), matters, "{group}");
        }

        // Another way through the template reads something else; what fails has read what it has.
        let mut reads = Reads::default();
        failure(store.render_recording(template, "web", true, &mut reads));
        store.set("spare", "host", "new").unwrap();
        assert!(reads.matches(&watcher.recv().unwrap()));
        store.set("limits", "rate", "new").unwrap();
        let event = watcher.recv().unwrap();
        assert!(!reads.matches(&event));
        let mut others = Reads::default();
        store.render_recording("{{ get('limits', 'rate') }}", "web", true, &mut others).unwrap();
        reads.extend(others);
        assert!(reads.matches(&event));

        // A namespace's groups have the names that it knows them by, for whoever watches it.
        let tenant = store.scoped("tenant-42").unwrap();
        let watcher = tenant.watch(Pattern::all()).unwrap();
        let mut reads = Reads::default();
        tenant.render_recording("{{ get('mail', 'host') }}", "web", false, &mut reads).unwrap();
        tenant.set("mail", "host", "x").unwrap();
        assert!(reads.matches(&watcher.recv().unwrap()));
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
