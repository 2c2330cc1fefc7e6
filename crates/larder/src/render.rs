use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Object;
use minijinja::{Environment, ErrorKind, UndefinedBehavior, Value as Shown};

use crate::{Entries, Error, Result, Value, View};

/// What a rendering may use: one fuel for each step, and one for about each 64 bytes that it makes,
/// in the output or on the way to it. A million is far more than any configuration file takes, and
/// ends within a second and 64 MiB.
const FUEL: u64 = 1_000_000;

/// The longest template, in bytes.
const TEMPLATE_BYTES_MAX: usize = 256 << 10;

/// The longest expression or statement within a template, in bytes. Compiling one takes time with the
/// square of its operators.
const EXPRESSION_BYTES_MAX: usize = 2 << 10;

/// The most branches of conditions that a template may have: each is compiled within the one before.
const ELIF_MAX: usize = 1000;

/// What each byte of a template may take of the stack. minijinja compiles by recursion, as deep as an
/// expression has operators, and a chain of signs has one a byte: with chains of 256 KiB, an
/// unoptimised build gets by with this and not with a quarter of it.
const STACK_PER_BYTE: usize = 2 << 10;

/// How deep macros may call each other.
const RECURSION_MAX: usize = 200;

/// The stack that a rendering may take in any case, for that.
const STACK_BASE: usize = 16 << 20;

impl View {
    /// Fills in a template with the keys of a group. Names that are not there are empty.
    ///
    /// The language is that of [minijinja](https://docs.rs/minijinja), which is Jinja2's: a key is a
    /// name (`{{ host }}`), a dotted key can be reached by its parts (`{{ server.port }}`), and
    /// `get` reaches any key of this group (`{{ get("max-age") }}`) or another
    /// (`{{ get("mail", "host") }}`). On a scoped store it reaches the namespace's groups only. A
    /// template reads no files and includes no others, and what it may use of time and memory is
    /// bounded, with one exception that is known: a list that is added to itself (`l + l`) and the sum
    /// to itself again, dozens of times, takes minijinja time without end.
    ///
    /// The group is read at one moment, every other group when the template asks. To have all from
    /// one moment, render from a [`Snapshot`](crate::Snapshot).
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// store.set("web", "server.port", "8080")?;
    /// store.set("web", "hosts", "a,b")?;
    /// store.set("mail", "host", "smtp.example.com")?;
    /// let template = "listen {{ server.port }}\
    ///     {% for host in hosts|split(',') %} {{ host }}{% endfor %} via {{ get('mail', 'host') }}{{ absent }}";
    /// assert_eq!(store.render(template, "web")?, "listen 8080 a b via smtp.example.com");
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any read, [`Error::TooLarge`] for a template of more than 256 KiB, and [`Error::Template`], with
    /// the line, where the template is not well-formed, calls what cannot be called, asks for a value
    /// that is not UTF-8, or takes too much.
    pub fn render(&self, template: impl AsRef<str>, group: impl AsRef<str>) -> Result<String> {
        self.render_with(template.as_ref(), group.as_ref(), UndefinedBehavior::Chainable)
    }

    /// As [`render`](Self::render), but a name that is not there is an error.
    ///
    /// # Errors
    /// As [`render`](Self::render), and [`Error::Template`] where a name is not there.
    pub fn render_strict(&self, template: impl AsRef<str>, group: impl AsRef<str>) -> Result<String> {
        self.render_with(template.as_ref(), group.as_ref(), UndefinedBehavior::Strict)
    }

    fn render_with(&self, template: &str, group: &str, undefined: UndefinedBehavior) -> Result<String> {
        if template.len() > TEMPLATE_BYTES_MAX {
            let (size, limit) = (template.len() as u64, TEMPLATE_BYTES_MAX as u64);
            return Err(Error::TooLarge { what: "template", size, limit });
        }
        if let Some(line) = line_of_overlong_expression(template) {
            let reason = format!("an expression has more than {EXPRESSION_BYTES_MAX} bytes; split it up");
            return Err(Error::Template { line: Some(line), reason });
        }
        if template.matches("elif").count() > ELIF_MAX {
            let reason = format!("it has more than {ELIF_MAX} times elif; split it up");
            return Err(Error::Template { line: None, reason });
        }
        let names = Names::of(&self.get_all(group)?);
        // Whatever the template, the stack is deep enough for it. The memory is only taken as it is used.
        let stack = STACK_BASE + template.len() * STACK_PER_BYTE;
        let thread = std::thread::Builder::new().name("larder-render".into()).stack_size(stack);
        std::thread::scope(|scope| {
            let rendering =
                thread.spawn_scoped(scope, || self.render_here(template, group, names, undefined));
            match rendering.map(std::thread::ScopedJoinHandle::join) {
                Ok(Ok(rendered)) => rendered,
                Ok(Err(panic)) => std::panic::resume_unwind(panic),
                Err(error) => {
                    let reason = format!("the system gives no thread to render it on: {error}");
                    Err(Error::Template { line: None, reason })
                }
            }
        })
    }

    fn render_here(
        &self,
        template: &str,
        group: &str,
        names: Arc<Names>,
        undefined: UndefinedBehavior,
    ) -> Result<String> {
        let names = Shown::from_dyn_object(names);
        let mut environment = Environment::new();
        environment.set_undefined_behavior(undefined);
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(RECURSION_MAX);
        // Values are put in as they are: a template may be of any language, and HTML is only one.
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        let syntax =
            SyntaxConfig::builder().keep_trailing_newline(true).build().map_err(|error| mistake(&error))?;
        environment.set_syntax(syntax);
        let view = self.clone();
        let own_group = group.to_owned();
        environment.add_function("get", move |first: String, second: Option<String>| {
            let (group, key) = second.map_or((own_group.clone(), first.clone()), |key| (first.clone(), key));
            match view.get(&group, &key) {
                Ok(Some(value)) => shown(&key, &value),
                Ok(None) => Ok(Shown::UNDEFINED),
                Err(error) => {
                    Err(minijinja::Error::new(ErrorKind::InvalidOperation, error.to_string())
                        .with_source(error))
                }
            }
        });
        environment
            .template_from_str(template)
            .and_then(|template| template.render(names))
            .map_err(|error| mistake(&error))
    }
}

/// The line on which an expression or statement begins that is too long, if one does. It knows as much
/// of the language as it takes to tell where each ends: strings, comments, raw blocks.
fn line_of_overlong_expression(template: &str) -> Option<usize> {
    let mut rest = template;
    while let Some(start) = rest.as_bytes().windows(2).position(|pair| matches!(pair, b"{{" | b"{%" | b"{#"))
    {
        let tag = &rest[start..];
        let length = match &tag[..2] {
            "{#" => tag.find("#}").map(|end| end + 2),
            opening => {
                expression_length(&tag[2..], if opening == "{{" { "}}" } else { "%}" }).map(|end| end + 4)
            }
        }
        .unwrap_or(tag.len());
        if length > EXPRESSION_BYTES_MAX && !tag.starts_with("{#") {
            let before = &template[..template.len() - tag.len()];
            return Some(before.matches('\n').count() + 1);
        }
        let statement = tag[2..length].trim_start_matches(['-', '+']).trim_start();
        rest = &tag[length..];
        if tag.starts_with("{%") && statement.starts_with("raw") {
            rest = rest.find("endraw").map_or("", |end| &rest[end..]);
        }
    }
    None
}

/// How far it is to the end of an expression, past the strings in it.
fn expression_length(expression: &str, end: &str) -> Option<usize> {
    let bytes = expression.as_bytes();
    let mut quote = None;
    let mut index = 0;
    while index < bytes.len() {
        match (quote, bytes[index]) {
            (Some(_), b'\\') => index += 1,
            (Some(open), byte) if byte == open => quote = None,
            (None, byte @ (b'"' | b'\'')) => quote = Some(byte),
            (None, _) if bytes[index..].starts_with(end.as_bytes()) => return Some(index),
            _ => {}
        }
        index += 1;
    }
    None
}

/// What is wrong with a template, or what went wrong below it.
fn mistake(error: &minijinja::Error) -> Error {
    let cause = std::error::Error::source(error).and_then(|source| source.downcast_ref::<Error>());
    if let Some(cause) = cause {
        return cause.clone();
    }
    let reason = match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    };
    Error::Template { line: error.line(), reason }
}

/// A value as a template gets it.
fn shown(key: &str, value: &Value) -> Result<Shown, minijinja::Error> {
    match value.as_str() {
        Some(text) => Ok(Shown::from(text)),
        None => Err(minijinja::Error::new(
            ErrorKind::BadSerialization,
            format!("the value of {key:?} is not UTF-8, so it has no place in a template"),
        )),
    }
}

/// The keys of a group, as names: `server.port` is the name `port` within `server`.
#[derive(Clone, Debug, Default)]
struct Names {
    /// The value of the key that ends here.
    value: Option<Shown>,
    within: BTreeMap<String, Arc<Names>>,
}

impl Names {
    fn of(entries: &Entries) -> Arc<Self> {
        let mut root = Self::default();
        for (key, value) in entries {
            let value = shown(key, &value).unwrap_or_else(Shown::from);
            let mut place = &mut root;
            // A key that is dotted beyond all measure is reached by `get`.
            for part in key.splitn(DEPTH_MAX, '.') {
                // Nobody else has it while it is made, so this never copies.
                place = Arc::make_mut(place.within.entry(part.to_owned()).or_default());
            }
            place.value = Some(value);
        }
        Arc::new(root)
    }
}

/// How many parts of a dotted key are names of their own.
const DEPTH_MAX: usize = 32;

impl Object for Names {
    fn get_value(self: &Arc<Self>, name: &Shown) -> Option<Shown> {
        let found = self.within.get(name.as_str()?)?;
        // A name that has others within it is an object that shows itself as its value.
        Some(match &found.value {
            Some(value) if found.within.is_empty() => value.clone(),
            _ => Shown::from_dyn_object(Arc::clone(found)),
        })
    }

    fn enumerate(self: &Arc<Self>) -> minijinja::value::Enumerator {
        minijinja::value::Enumerator::Values(self.within.keys().map(Shown::from).collect())
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => fmt::Display::fmt(value, f),
            // The parts of a name, where the name itself has no value: empty, as any absent name.
            None => Ok(()),
        }
    }
}
