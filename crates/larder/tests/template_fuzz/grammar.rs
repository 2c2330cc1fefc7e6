//! The grammar of templates, from which it makes some at random: mostly well-formed, and often hostile.

pub struct Grammar {
    state: u64,
}

const NAMES: [&str; 22] = [
    "host",
    "server",
    "server.port",
    "a",
    "a.b",
    "hosts",
    "json",
    "long",
    "bytes",
    "absent",
    "x",
    "y",
    "z",
    "n",
    "n.x",
    "n.y",
    "m",
    "loop",
    "caller",
    "range",
    "get",
    "loop.index",
];
const NUMBERS: [&str; 14] = [
    "0", "1", "2", "3", "-1", "60", "1000", "99999", "1000000", "10 ** 9", "10 ** 18", "2 ** 126", "0.5",
    "1e308",
];
const TEXTS: [&str; 12] = [
    "''",
    "'a'",
    "'ab\\n'",
    "','",
    "'%s'",
    "'%9999999d'",
    "'%(a)r'",
    "'[[1], {\"a\": [2]}]'",
    "'ß'",
    "'a.b'",
    "'0'",
    "'upper'",
];
const OPERATORS: [&str; 20] = [
    "+",
    "-",
    "*",
    "*",
    "/",
    "//",
    "%",
    "**",
    "~",
    "~",
    "==",
    "!=",
    "<",
    "<=",
    ">",
    "in",
    "not in",
    "and",
    "or",
    "if true else",
];
const FILTERS: [&str; 48] = [
    "abs",
    "attr",
    "batch",
    "bool",
    "capitalize",
    "chain",
    "count",
    "default",
    "dictsort",
    "e",
    "escape",
    "first",
    "float",
    "format",
    "fromjson",
    "groupby",
    "indent",
    "int",
    "items",
    "join",
    "last",
    "length",
    "lines",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "pprint",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "safe",
    "select",
    "selectattr",
    "slice",
    "sort",
    "split",
    "string",
    "sum",
    "title",
    "trim",
    "unique",
    "upper",
    "zip",
    "nonsense",
];
const TESTS: [&str; 20] = [
    "defined",
    "undefined",
    "none",
    "odd",
    "even",
    "divisibleby",
    "string",
    "sequence",
    "mapping",
    "eq",
    "lt",
    "in",
    "sameas",
    "startingwith",
    "iterable",
    "upper",
    "filter",
    "test",
    "number",
    "float",
];
const NAMED: [&str; 12] = [
    "attribute",
    "default",
    "reverse",
    "case_sensitive",
    "by",
    "start",
    "width",
    "first",
    "blank",
    "count",
    "d",
    "caller",
];

impl Grammar {
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    fn below(&mut self, limit: usize) -> usize {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) as usize % limit
    }

    fn one_of<'a>(&mut self, pieces: &[&'a str]) -> &'a str {
        pieces[self.below(pieces.len())]
    }

    /// A template; some are cut off or have a piece in the wrong place.
    pub fn template(&mut self) -> String {
        let statements = 1 + self.below(8);
        let mut template = String::new();
        if self.below(3) == 0 {
            template += "{% set n = namespace(x=[1], y='ab') %}";
        }
        for _ in 0..statements {
            template += &self.statement(3);
        }
        match self.below(20) {
            0 => {
                let end = self.below(template.len().max(1));
                template.truncate(
                    (0..=end).rev().find(|end| template.is_char_boundary(*end)).unwrap_or_default(),
                );
            }
            1 => {
                template +=
                    self.one_of(&["{{", "{%", "{#", "}}", "{% endfor %}", "{% raw %}", "{{ (", "{{ 'a"])
            }
            _ => {}
        }
        template
    }

    fn statements(&mut self, depth: usize) -> String {
        (0..=self.below(3)).map(|_| self.statement(depth)).collect()
    }

    fn statement(&mut self, depth: usize) -> String {
        if depth == 0 {
            return match self.below(3) {
                0 => "text\n".into(),
                1 => format!("{{{{ {} }}}}", self.expression(2)),
                _ => self.set(2),
            };
        }
        match self.below(16) {
            0 | 1 => format!("{{{{ {} }}}}", self.expression(5)),
            2 | 3 => self.set(4),
            // A step that is made many times: what doubles becomes great.
            4 => self.set(2).repeat(1 + self.below(70)),
            5 => format!(
                "{{% if {} %}}{}{{% else %}}{}{{% endif %}}",
                self.expression(3),
                self.statements(depth - 1),
                self.statements(depth - 1)
            ),
            6 | 7 => {
                let (name, items, body) = (
                    self.one_of(&["x", "y", "x, y", "(x, y), z"]),
                    self.iterable(),
                    self.statements(depth - 1),
                );
                let condition =
                    if self.below(4) == 0 { format!(" if {}", self.expression(2)) } else { String::new() };
                format!("{{% for {name} in {items}{condition} %}}{body}{{% endfor %}}")
            }
            8 => {
                let (items, body, again) = (self.iterable(), self.statements(depth - 1), self.expression(2));
                format!("{{% for x in {items} recursive %}}{body}{{{{ loop({again}) }}}}{{% endfor %}}")
            }
            9 => {
                let (default, body) = (self.expression(2), self.statements(depth - 1));
                let arguments = self.arguments(2);
                format!("{{% macro m(x, y={default}) %}}{body}{{% endmacro %}}{{{{ m{arguments} }}}}")
            }
            10 => {
                let (body, again) = (self.statements(depth - 1), self.arguments(2));
                format!("{{% macro m(x) %}}{body}{{{{ m{again} }}}}{{% endmacro %}}{{{{ m(x) }}}}")
            }
            11 => {
                format!("{{% call(x) m{} %}}{}{{% endcall %}}", self.arguments(2), self.statements(depth - 1))
            }
            12 => format!("{{% filter {} %}}{}{{% endfilter %}}", self.filter(2), self.statements(depth - 1)),
            13 => format!("{{% set x %}}{}{{% endset %}}", self.statements(depth - 1)),
            14 => format!(
                "{{% with x = {}, y = x %}}{}{{% endwith %}}",
                self.expression(3),
                self.statements(depth - 1)
            ),
            _ => self
                .one_of(&[
                    "{# no #}",
                    "{%- raw -%}{{ x }}{%- endraw -%}",
                    "text",
                    "{% do x %}",
                    "{{ debug() }}",
                ])
                .to_owned(),
        }
    }

    fn set(&mut self, depth: usize) -> String {
        let name = self.one_of(&["x", "y", "z", "n.x", "n.y", "n.z", "x, y"]);
        match self.below(6) {
            0 => format!("{{% set {name} = {name} ~ {name} %}}"),
            1 => format!("{{% set {name} = [{name}, {name}] %}}"),
            2 => format!("{{% set {name} = {{'a': {name}, 'b': {name}}} %}}"),
            3 => format!("{{% set {name} = {name} {} {name} %}}", self.one_of(&["+", "*", "and", "or"])),
            _ => format!("{{% set {name} = {} %}}", self.expression(depth)),
        }
    }

    fn iterable(&mut self) -> String {
        match self.below(5) {
            0 => format!("range({})", self.one_of(&NUMBERS)),
            1 => "range(100000)".into(),
            2 => "[1, [2, [3, []]]]".into(),
            _ => self.expression(3),
        }
    }

    fn expression(&mut self, depth: usize) -> String {
        if depth == 0 {
            return match self.below(5) {
                0 | 1 => self.one_of(&NAMES),
                2 => self.one_of(&NUMBERS),
                3 => self.one_of(&TEXTS),
                _ => self.one_of(&[
                    "true",
                    "none",
                    "[]",
                    "{}",
                    "()",
                    "(1,)",
                    "range(9)",
                    "range(100000)",
                    "namespace()",
                    "get",
                    "'x' * 1000000",
                ]),
            }
            .to_owned();
        }
        let below = depth - 1;
        match self.below(14) {
            0 => self.expression(0),
            1 | 2 => {
                format!("({} {} {})", self.expression(below), self.one_of(&OPERATORS), self.expression(below))
            }
            3..=6 => format!("({})|{}", self.expression(below), self.filter(below)),
            7 => format!("({} is {}({}))", self.expression(below), self.one_of(&TESTS), self.expression(0)),
            8 => format!("[{}, {}]", self.expression(below), self.expression(below)),
            9 => format!(
                "{{{}: {}, 'a': {}}}",
                self.expression(0),
                self.expression(below),
                self.expression(below)
            ),
            10 => format!("({})[{}]", self.expression(below), self.expression(0)),
            11 => format!(
                "({})[{}:{}:{}]",
                self.expression(below),
                self.expression(0),
                self.one_of(&NUMBERS),
                self.one_of(&NUMBERS)
            ),
            12 => {
                let called = self.one_of(&[
                    "get",
                    "range",
                    "dict",
                    "namespace",
                    "debug",
                    "m",
                    "loop",
                    "caller",
                    "loop.cycle",
                    "loop.changed",
                ]);
                format!("{called}{}", self.arguments(below))
            }
            _ => self.one_of(&["-", "not ", "--"]).to_owned() + &self.expression(below),
        }
    }

    fn filter(&mut self, depth: usize) -> String {
        let name = self.one_of(&FILTERS);
        match self.below(3) {
            0 => format!("{name}{}", self.arguments(depth.min(2))),
            1 if matches!(name, "map" | "select" | "reject") => {
                let filter = if name == "map" { self.one_of(&FILTERS) } else { self.one_of(&TESTS) };
                format!("{name}('{filter}', {})", self.expression(0))
            }
            _ => name.to_owned(),
        }
    }

    fn arguments(&mut self, depth: usize) -> String {
        let mut arguments: Vec<String> = (0..self.below(4)).map(|_| self.expression(depth.min(2))).collect();
        if self.below(3) == 0 {
            arguments.push(format!("{}={}", self.one_of(&NAMED), self.expression(depth.min(1))));
        }
        if self.below(12) == 0 {
            arguments.push(format!("**{}", self.expression(1)));
        }
        format!("({})", arguments.join(", "))
    }
}
