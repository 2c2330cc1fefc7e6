//! Filling in a template: minijinja, and what larder gives it.

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, ErrorKind, UndefinedBehavior, Value as Shown};

use super::names::Names;
use super::rewriting::rewrite;
use super::{kinds, limits};
use crate::data::{Error, Result, Value};

/// Fills in a template with names, and what `fetch` finds when it calls `get`: with a key, or with a group
/// and a key.
pub(super) fn fill_in(
    template: &str,
    names: Arc<Names>,
    undefined: UndefinedBehavior,
    fetch: impl Fn(Option<String>, String) -> Result<Option<Value>> + Send + Sync + 'static,
) -> Result<String> {
    let is_strict = matches!(undefined, UndefinedBehavior::Strict);
    let mut environment = Environment::new();
    environment.set_undefined_behavior(undefined);
    kinds::add_reading(&mut environment);
    if is_strict {
        kinds::add_strict_tests(&mut environment);
    }
    environment.set_fuel(Some(limits::FUEL));
    environment.set_recursion_limit(limits::RECURSION_MAX);
    // Values are put in as they are: a template may be of any language, and HTML is only one.
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    let syntax =
        SyntaxConfig::builder().keep_trailing_newline(true).build().map_err(|error| mistake(&error))?;
    environment.set_syntax(syntax);
    environment.add_function("get", move |first: String, second: Option<String>| {
        let (group, key) = second.map_or((None, first.clone()), |key| (Some(first.clone()), key));
        match fetch(group, key.clone()) {
            Ok(Some(value)) => shown(&key, &value),
            Ok(None) => Ok(Shown::UNDEFINED),
            Err(error) => {
                Err(minijinja::Error::new(ErrorKind::InvalidOperation, error.to_string()).with_source(error))
            }
        }
    });
    let functions: BTreeMap<String, Shown> =
        environment.globals().map(|(name, function)| (name.to_owned(), function)).collect();
    let rewritten = rewrite(template, &names, &functions, is_strict);
    if let Some(rewritten) = &rewritten {
        for (name, value) in &rewritten.values {
            environment.add_global(name.clone(), value.clone());
        }
        environment.add_function(rewritten.compare.clone(), kinds::compare_all);
        environment.add_function(rewritten.condition.clone(), kinds::check_condition);
        environment.add_function(rewritten.items.clone(), kinds::check_items);
    }
    environment
        .template_from_str(rewritten.as_ref().map_or(template, |rewritten| &rewritten.text))
        .and_then(|template| template.render(Shown::from_dyn_object(names)))
        .map_err(|error| mistake(&error))
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
pub(super) fn shown(key: &str, value: &Value) -> Result<Shown, minijinja::Error> {
    match value.as_str() {
        Some(text) => Ok(Shown::from(text)),
        None => Err(minijinja::Error::new(
            ErrorKind::BadSerialization,
            format!("the value of {key:?} is not UTF-8, so it has no place in a template"),
        )),
    }
}
