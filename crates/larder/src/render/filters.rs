//! The filters of a template.

mod collections;
mod json;
mod numbers;
mod picking;
mod printf;
mod text;

use super::arguments::Arguments;
use super::fault::{Fault, Outcome};
use super::machine::Machine;
use super::value::Shown;

type Filter = fn(&mut Machine<'_>, Shown, &mut Arguments) -> Outcome<Shown>;

/// Whether there is a filter of this name.
pub(super) fn is_filter(name: &str) -> bool {
    filter(name).is_some()
}

fn filter(name: &str) -> Option<Filter> {
    Some(match name {
        "abs" => numbers::abs,
        "attr" => picking::attr,
        "batch" => collections::batch,
        "bool" => numbers::bool,
        "capitalize" => text::capitalize,
        "chain" => collections::chain,
        "count" | "length" => picking::length,
        "d" | "default" => picking::default,
        "dictsort" => collections::dictsort,
        "e" | "escape" => text::escape,
        "first" => picking::first,
        "float" => numbers::float,
        "format" => printf::format,
        "fromjson" => json::fromjson,
        "groupby" => collections::groupby,
        "indent" => text::indent,
        "int" => numbers::int,
        "items" => collections::items,
        "join" => text::join,
        "last" => picking::last,
        "lines" => text::lines,
        "list" => collections::list,
        "lower" => text::lower,
        "map" => picking::map,
        "max" => picking::max,
        "min" => picking::min,
        "pprint" => text::pprint,
        "reject" => picking::reject,
        "rejectattr" => picking::rejectattr,
        "replace" => text::replace,
        "reverse" => collections::reverse,
        "round" => numbers::round,
        "safe" | "string" => text::string,
        "select" => picking::select,
        "selectattr" => picking::selectattr,
        "slice" => collections::slice,
        "sort" => collections::sort,
        "split" => text::split,
        "sum" => numbers::sum,
        "title" => text::title,
        "trim" => text::trim,
        "unique" => collections::unique,
        "upper" => text::upper,
        "zip" => collections::zip,
        _ => return None,
    })
}

impl Machine<'_> {
    /// Applies a filter to a value.
    pub fn filter(&mut self, name: &str, value: Shown, mut arguments: Arguments) -> Outcome<Shown> {
        let Some(filter) = filter(name) else {
            return Err(Fault::new(format_args!("unknown filter: filter {name} is unknown")));
        };
        self.meter.step(1)?;
        let value = if matches!(name, "d" | "default") { value } else { self.known(value)? };
        let result = filter(self, value, &mut arguments)?;
        arguments.finish()?;
        Ok(result)
    }
}
