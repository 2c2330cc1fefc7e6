//! An ordinary template means in larder what it means in Jinja: what minijinja makes of it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use larder::Store;
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, UndefinedBehavior, context};

/// What minijinja renders, set up as larder is.
fn by_minijinja(template: &str, undefined: UndefinedBehavior) -> Result<String, minijinja::Error> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(undefined);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_fuel(Some(1_000_000));
    environment.set_syntax(SyntaxConfig::builder().keep_trailing_newline(true).build()?);
    let server = context! { port => "8080", tls => context! { cert => "a.pem" } };
    environment.template_from_str(template)?.render(context! {
        host => "example.com", hosts => "a,b,c", empty => "", text => "Some text, 'quoted' & <b>\nSecond line\n\n  third", server => server,
        number => "42", greek => "ὈΔΥΣΣΕΎΣ ß",
    })
}

fn store() -> Store {
    let store = Store::in_memory().unwrap();
    for (key, value) in [
        ("host", "example.com"),
        ("hosts", "a,b,c"),
        ("empty", ""),
        ("text", "Some text, 'quoted' & <b>\nSecond line\n\n  third"),
        ("server.port", "8080"),
        ("server.tls.cert", "a.pem"),
        ("number", "42"),
        ("greek", "ὈΔΥΣΣΕΎΣ ß"),
    ] {
        store.set("web", key, value).unwrap();
    }
    store
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    fn one_of<'a>(&mut self, pieces: &[&'a str]) -> &'a str {
        pieces[self.below(pieces.len())]
    }

    fn text(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self
                .one_of(&[
                    "host",
                    "hosts",
                    "text",
                    "greek",
                    "empty",
                    "server.port",
                    "'a\\tb'",
                    "\"x\"",
                    "'ab' 'cd'",
                ])
                .to_owned();
        }
        let (text, number) = (self.text(depth - 1), self.number(depth - 1));
        match self.below(9) {
            0 => format!("({text} ~ {})", self.any(depth - 1)),
            1 => format!("({text} * {})", self.below(4)),
            2 => format!(
                "({text})[{}:{}:{}]",
                self.below(9) as isize - 4,
                self.below(12) as isize - 2,
                self.one_of(&["1", "2", "-1", "-2"])
            ),
            3 => format!("({text})|replace('a', {})", self.text(0)),
            4 => format!(
                "({text})|indent({}, {}, {})",
                self.below(5),
                self.one_of(&["true", "false"]),
                self.one_of(&["true", "false"])
            ),
            5 => format!("({})|join({})", self.list(depth - 1), self.text(0)),
            6 => format!(
                "'{}'|format({number}, {text})",
                self.one_of(&[
                    "%d %s",
                    "%5d|%-8s|",
                    "%05d %r",
                    "%x %s",
                    "%+d %.3s",
                    "%o %s",
                    "%8.3f %s",
                    "%e %s",
                    "%g %s"
                ])
            ),
            7 => format!("({text} + {})", self.text(0)),
            _ => format!(
                "({text})|{}",
                self.one_of(&[
                    "upper",
                    "lower",
                    "title",
                    "capitalize",
                    "trim",
                    "string",
                    "reverse",
                    "safe",
                    "trim('a')",
                    "first",
                    "last",
                    "default('x')"
                ])
            ),
        }
    }

    fn number(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self
                .one_of(&[
                    "0",
                    "1",
                    "7",
                    "-3",
                    "2.5",
                    "1e3",
                    "100",
                    "true",
                    "number|int",
                    "0x1f",
                    "1_000",
                    "server.port|float",
                ])
                .to_owned();
        }
        let (a, b) = (self.number(depth - 1), self.number(depth - 1));
        match self.below(8) {
            0..=3 => format!("({a} {} {b})", self.one_of(&["+", "-", "*", "/", "//", "%", "**"])),
            4 => format!("({})|length", self.list(depth - 1)),
            5 => format!(
                "({a})|{}",
                self.one_of(&[
                    "abs",
                    "int",
                    "float",
                    "round",
                    "round(1)",
                    "round(-1)",
                    "round(0, 'ceil')",
                    "round(1, 'floor')"
                ])
            ),
            6 => format!("-({a})"),
            _ => format!("[{a}, {b}]|{}", self.one_of(&["sum", "min", "max"])),
        }
    }

    fn list(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self
                .one_of(&[
                    "[3, 1, 2]",
                    "['b', 'A', 'a']",
                    "[]",
                    "hosts|split(',')",
                    "range(4)|list",
                    "text|lines",
                    "text|split",
                    "(1, 'x')",
                    "[{'k': 2, 'v': 'x'}, {'k': 1, 'v': 'y'}]",
                    "text|split(' ', 1)",
                ])
                .to_owned();
        }
        let (list, any) = (self.list(depth - 1), self.any(depth - 1));
        match self.below(10) {
            0 => format!("[{any}, {}]", self.any(depth - 1)),
            1 => format!(
                "({list})|{}",
                self.one_of(&[
                    "sort",
                    "sort(reverse=true)",
                    "unique",
                    "reverse",
                    "list",
                    "batch(2)",
                    "batch(2, 0)",
                    "slice(2)",
                    "slice(3, 'f')"
                ])
            ),
            2 => format!(
                "({list})|map('{}')|list",
                self.one_of(&["string", "upper", "list", "length", "first"])
            ),
            3 => format!(
                "({list})|{}|list",
                self.one_of(&[
                    "select",
                    "reject",
                    "select('string')",
                    "reject('number')",
                    "select('eq', 1)",
                    "map(attribute='k')",
                    "selectattr('k')"
                ])
            ),
            4 => format!("({list})[{}:{}]", self.below(6) as isize - 3, self.below(6) as isize - 2),
            5 => format!("({list} + {})", self.list(0)),
            6 => format!(
                "{{'k': {any}, 'j': 1}}|{}",
                self.one_of(&[
                    "items|list",
                    "list",
                    "dictsort",
                    "dictsort(by='value')",
                    "dictsort(reverse=true)"
                ])
            ),
            7 => format!("({list})|zip({})|list", self.list(0)),
            8 => format!("({list} * {})", self.below(3)),
            _ => format!("({list})|chain({})|list", self.list(0)),
        }
    }

    fn any(&mut self, depth: usize) -> String {
        match self.below(7) {
            0 => self.number(depth),
            1 | 2 => self.text(depth),
            3 => self.list(depth),
            4 => format!("{{'a': {}, 'b c': {}}}", self.any(depth.saturating_sub(1)), self.number(0)),
            5 => self.condition(depth),
            _ => self.one_of(&["none", "true", "false", "1", "server.tls.cert", "absent"]).to_owned(),
        }
    }

    fn condition(&mut self, depth: usize) -> String {
        let depth = depth.saturating_sub(1);
        match self.below(6) {
            0 => format!(
                "({} {} {})",
                self.number(depth),
                self.one_of(&["==", "!=", "<", "<=", ">", ">="]),
                self.number(depth)
            ),
            1 => format!(
                "({} {} {})",
                self.text(depth),
                self.one_of(&["==", "!=", "<", "in", "not in"]),
                self.text(depth)
            ),
            2 => format!(
                "({} is {}{})",
                self.any(depth),
                self.one_of(&["", "not "]),
                self.one_of(&[
                    "string",
                    "number",
                    "defined",
                    "none",
                    "odd",
                    "even",
                    "iterable",
                    "mapping",
                    "integer",
                    "float",
                    "boolean",
                    "divisibleby(3)",
                    "eq(1)",
                    "in([1])",
                    "lower",
                    "upper",
                    "true"
                ])
            ),
            3 => format!("({} in {})", self.any(0), self.list(depth)),
            4 => format!("not {}", self.condition(depth)),
            _ => format!("({} {} {})", self.any(depth), self.one_of(&["and", "or"]), self.any(depth)),
        }
    }

    fn template(&mut self, depth: usize) -> String {
        let within = |random: &mut Self| if depth == 0 { "-".to_owned() } else { random.template(depth - 1) };
        match self.below(12) {
            0..=3 => format!("{{{{ {} }}}}\n", self.any(4)),
            4 => format!(
                "{{% if {} %}}{}{{%- elif {} -%}} e {{% else %}}{}{{% endif %}}",
                self.condition(3),
                within(self),
                self.condition(2),
                within(self)
            ),
            5 => format!(
                "{{% for x in {} %}}{{{{ loop.index }}}}{{{{ x }}}}{}{{{{ ',' if not loop.last }}}}{{% else %}}none{{% endfor %}}",
                self.list(2),
                within(self)
            ),
            6 => format!(
                "{{% for x in {} if x %}}{{{{ loop.revindex0 }}}}:{{{{ loop.length }}}}{{% endfor %}}",
                self.list(2)
            ),
            7 => format!(
                "{{% set v = {} %}}{{{{ v }}}}{{% set w %}}{}{{% endset %}}{{{{ w|length }}}}",
                self.any(3),
                within(self)
            ),
            8 => format!("{{% with v = {}, u = v %}}{{{{ u }}}}{}{{% endwith %}}", self.any(3), within(self)),
            9 => format!(
                "{{% macro f(a, b={}) %}}<{{{{ a }}}}|{{{{ b }}}}{}>{{% endmacro %}}{{{{ f({}) }}}}{{{{ f(1, b=2) }}}}",
                self.any(1),
                within(self),
                self.any(1)
            ),
            10 => format!(
                "{{% filter {} %}} {} {{% endfilter %}}{{%- raw -%}} {{{{ }}}} {{%- endraw %}}{{#- c -#}}  ",
                self.one_of(&["upper", "trim", "replace('a', 'o')", "indent(2)"]),
                within(self)
            ),
            _ => format!(
                "{{% set ns = namespace(n=0) %}}{{% for i in range({}) %}}{{% set ns.n = ns.n + i %}}{{% endfor %}}{{{{ ns.n }}}}{{% macro g(v) %}}{{% call f2() %}}{{{{ v }}}}{{% endcall %}}{{% endmacro %}}{{% macro f2() %}}({{{{ caller() }}}}){{% endmacro %}}{{{{ g({}) }}}}",
                self.below(5),
                self.any(1)
            ),
        }
    }
}

#[test]
fn an_ordinary_template_means_what_it_means_in_jinja() {
    let store = store();
    let rounds =
        std::env::var("LARDER_SEQUENCES").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(1500);
    let (mut same, mut differences) = (0, Vec::new());
    for seed in 0..rounds {
        let mut random = Random(seed * 7919 + 11);
        random.below(2);
        let template = random.template(2) + &random.template(2);
        let expected = by_minijinja(&template, UndefinedBehavior::Chainable);
        match (expected, store.render(&template, "web")) {
            (Ok(expected), Ok(rendered)) if expected == rendered => same += 1,
            (Ok(expected), Ok(rendered)) => {
                differences.push(format!("{template:?}\n  jinja  {expected:?}\n  larder {rendered:?}"))
            }
            (Ok(expected), Err(error)) => {
                differences.push(format!("{template:?}\n  jinja  {expected:?}\n  larder {error}"))
            }
            (Err(_), _) => {}
        }
    }
    println!("{same} of {rounds} are the same, {} differ", differences.len());
    for difference in differences.iter().take(40) {
        println!("{difference}");
    }
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}
