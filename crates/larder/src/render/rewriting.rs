//! What is changed in a template before minijinja sees it, where its language cannot say what larder means.
//!
//! - A key with a value is text, and others may begin with it: `tls` is text and `tls.cert` is another key.
//!   Text has no parts in Jinja, so `tls.cert` becomes a name for that key's value.
//! - A key that is called as a function is (`get`, `range`) does not take it away: the call is given another
//!   name, and `{{ range }}` is still the key.
//! - In a strict rendering, comparisons, conditions and loops go through functions that refuse what would
//!   quietly go wrong: see `kinds`.
//!
//! Names that the template itself gives (`set`, `for`, macros) are left alone. Lines stay as they are, so that
//! errors name the right one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use minijinja::Value as Shown;

use super::expressions::{Item, Role, Source, is_operator, items};
use super::names::Names;
use super::tokens::tags;

/// A template as minijinja gets it.
pub(super) struct Rewritten {
    pub text: String,
    /// Names that were put into it, and what they stand for.
    pub values: Vec<(String, Shown)>,
    /// What the functions are called that a strict rendering goes through.
    pub compare: String,
    pub condition: String,
    pub items: String,
}

/// Rewrites a template where it has to be; `None` where it can stay as it is, or is not well-formed.
pub(super) fn rewrite(
    template: &str,
    names: &Arc<Names>,
    functions: &BTreeMap<String, Shown>,
    is_strict: bool,
) -> Option<Rewritten> {
    let takes_a_function = functions.keys().any(|function| names.within(function).is_some());
    if !is_strict && !takes_a_function && !names.has_text_with_parts() {
        return None;
    }
    let mut prefix = String::from("larder_");
    while template.contains(&prefix) || names.begin_with(&prefix) {
        prefix.push('_');
    }
    let mut tags_of_items = Vec::new();
    for tag in tags(template)? {
        let mut tokens = tag.tokens.into_iter();
        let items = items(&mut tokens, 0)?;
        tags_of_items.push((tag.is_statement, items));
    }
    let mut rewriting = Rewriting {
        source: Source(template),
        names,
        functions,
        bound: BOUND_BY_THE_LANGUAGE.map(str::to_owned).into(),
        edits: Vec::new(),
        done: Rewritten {
            text: String::new(),
            values: Vec::new(),
            compare: format!("{prefix}compare"),
            condition: format!("{prefix}condition"),
            items: format!("{prefix}items"),
        },
        is_strict,
        prefix,
    };
    for (is_statement, items) in &tags_of_items {
        if *is_statement {
            rewriting.bind(items);
        }
    }
    for (is_statement, items) in &tags_of_items {
        if *is_statement {
            rewriting.statement(items)?;
        } else {
            rewriting.expression(items, false)?;
        }
    }
    Some(rewriting.finish())
}

/// Names that mean something where the language says so.
const BOUND_BY_THE_LANGUAGE: [&str; 4] = ["loop", "self", "super", "caller"];

struct Rewriting<'a> {
    source: Source<'a>,
    names: &'a Arc<Names>,
    functions: &'a BTreeMap<String, Shown>,
    is_strict: bool,
    prefix: String,
    /// Names that the template gives somewhere.
    bound: BTreeSet<String>,
    /// What to put where: ranges of the template, and their new text.
    edits: Vec<(usize, usize, String)>,
    done: Rewritten,
}

impl<'a> Rewriting<'a> {
    /// Notes the names that a statement gives.
    fn bind(&mut self, items: &[Item]) {
        let source = self.source;
        let Some((keyword, rest)) = items.split_first() else { return };
        let names = match (source.text(keyword), rest) {
            ("for", rest) => source.names(&rest[..source.find(rest, "in").unwrap_or(rest.len())]),
            ("set", rest) => source.names(source.before(rest, &["=", "|"])),
            ("with", given) => self.given(given),
            ("call", [Item::Group { items: given, .. }, ..]) => self.given(given),
            ("macro", [name, Item::Group { items: given, .. }, ..]) => {
                self.bound.insert(source.text(name).to_owned());
                self.given(given)
            }
            _ => return,
        };
        self.bound.extend(names.into_iter().map(str::to_owned));
    }

    /// The names on the left side of equals signs.
    fn given(&self, items: &[Item]) -> Vec<&'a str> {
        let pieces = self.source.pieces(items, &[","]);
        pieces.into_iter().flat_map(|piece| self.source.names(self.source.before(piece, &["="]))).collect()
    }

    /// Rewrites the expressions in a statement.
    fn statement(&mut self, items: &[Item]) -> Option<()> {
        let Some((keyword, rest)) = items.split_first() else { return Some(()) };
        match (self.source.text(keyword), rest) {
            ("if" | "elif", rest) => self.expression(rest, true),
            ("for", rest) => self.loop_over(rest),
            ("set", rest) => {
                let target = self.source.before(rest, &["=", "|"]).len();
                match rest.get(target) {
                    Some(item) if self.source.is_operator(item, &["="]) => self.list(&rest[target + 1..]),
                    _ => self.groups(&rest[target..]),
                }
            }
            ("with", rest) => self.list(rest),
            ("macro" | "filter", rest) => self.groups(rest),
            ("call", [parameters @ Item::Group { .. }, rest @ ..]) => {
                self.groups(std::slice::from_ref(parameters))?;
                self.expression(rest, false)
            }
            ("call" | "autoescape" | "do", rest) => self.expression(rest, false),
            _ => Some(()),
        }
    }

    /// `for … in items [if condition] [recursive]`
    fn loop_over(&mut self, items: &[Item]) -> Option<()> {
        let mut rest = &items[self.source.find(items, "in")? + 1..];
        if let [.., before, last] = rest
            && self.source.text(last) == "recursive"
            && !is_operator(before)
        {
            rest = &rest[..rest.len() - 1];
        }
        let roles = self.source.roles(rest);
        let is_if = |at: &usize| roles[*at] == Role::Keyword && self.source.text(&rest[*at]) == "if";
        let end = (0..rest.len()).find(is_if).unwrap_or(rest.len());
        let through = &rest[..end];
        let (first, last) = (through.first()?, through.last()?);
        if self.is_strict {
            let name = self.done.items.clone();
            self.open(first, &name);
        }
        self.expression(through, false)?;
        if self.is_strict {
            self.close(last);
        }
        if end < rest.len() { self.expression(&rest[end + 1..], true) } else { Some(()) }
    }

    /// Expressions between commas, colons and equals signs.
    fn list(&mut self, items: &[Item]) -> Option<()> {
        for mut piece in self.source.pieces(items, &[",", ":", "="]) {
            // Arguments that are handed on.
            if let [star, rest @ ..] = piece
                && self.source.is_operator(star, &["*", "**"])
            {
                piece = rest;
            }
            self.expression(piece, false)?;
        }
        Some(())
    }

    /// Only what is in the brackets.
    fn groups(&mut self, items: &[Item]) -> Option<()> {
        for item in items {
            if let Item::Group { items, .. } = item {
                self.list(items)?;
            }
        }
        Some(())
    }

    /// Rewrites one expression, which may be a condition.
    fn expression(&mut self, items: &[Item], is_condition: bool) -> Option<()> {
        let roles = self.source.roles(items);
        for unit in self.source.units(items, &roles, is_condition)? {
            let of_unit = items.get(unit.start..unit.end).unwrap_or_default();
            let (Some(first), Some(last)) = (of_unit.first(), of_unit.last()) else { continue };
            let wrapper = match unit.comparisons.is_empty() {
                _ if !self.is_strict => None,
                false => Some(self.done.compare.clone()),
                true => unit.is_tested.then(|| self.done.condition.clone()),
            };
            if let Some(wrapper) = &wrapper {
                self.open(first, wrapper);
            }
            let mut at = unit.start;
            while at < unit.end {
                at = self.value(items, &roles, at, unit.end)?;
            }
            if wrapper.is_some() {
                for (at, operator) in unit.comparisons {
                    self.replace(&items[at], format!(", \"{operator}\", "));
                    if operator == "not in" {
                        self.replace(&items[at + 1], String::new());
                    }
                }
                self.close(last);
            }
        }
        Some(())
    }

    /// Rewrites what begins at an item, and returns where it ends.
    fn value(&mut self, items: &[Item], roles: &[Role], at: usize, end: usize) -> Option<usize> {
        if let Item::Group { items, .. } = &items[at] {
            self.list(items)?;
            return Some(at + 1);
        }
        let root = self.source.text(&items[at]);
        let is_constant = matches!(root, "true" | "True" | "false" | "False" | "none" | "None");
        if roles[at] != Role::Value || is_constant || self.bound.contains(root) {
            return Some(at + 1);
        }
        let Some(named) = self.names.within(root) else { return Some(at + 1) };
        if at + 1 < end && self.source.is_group(&items[at + 1], "(") {
            if let Some(function) = self.functions.get(root) {
                self.name(items, at, at + 1, function.clone());
            }
            return Some(at + 1);
        }
        // As far as the names are written out, and there are keys that have them.
        let mut place = Arc::clone(named);
        let mut goes_through_text = false;
        let mut after = at + 1;
        while let Some((part, next)) = self.source.part(items, after, end) {
            let Some(within) = place.within(part).cloned() else { break };
            goes_through_text |= place.is_text();
            place = within;
            after = next;
        }
        let is_indexed = after < end && self.source.is_index(&items[after]);
        if is_indexed && place.is_text_with_parts() {
            self.name(items, at, after, Shown::from_dyn_object(Arc::clone(&place)));
        } else if goes_through_text {
            self.name(items, at, after, place.shown());
        }
        // What an index holds is rewritten when it is come to.
        Some(after)
    }

    /// Replaces these items by a name that stands for the value.
    fn name(&mut self, items: &[Item], at: usize, after: usize, value: Shown) {
        let (start, end) = (items[at].start(), items[after - 1].end());
        let name = format!("{}{}", self.prefix, self.done.values.len());
        let lines = self.source.0[start..end].matches('\n').count();
        self.edits.push((start, end, name.clone() + &"\n".repeat(lines)));
        self.done.values.push((name, value));
    }

    fn open(&mut self, before: &Item, function: &str) {
        self.edits.push((before.start(), before.start(), format!(" {function}(")));
    }

    fn close(&mut self, after: &Item) {
        self.edits.push((after.end(), after.end(), ")".into()));
    }

    fn replace(&mut self, item: &Item, text: String) {
        self.edits.push((item.start(), item.end(), text));
    }

    fn finish(mut self) -> Rewritten {
        // The sort keeps the order of insertions at one place. Before an item the first is the outermost, and
        // behind an item the last.
        self.edits.sort_by_key(|edit| edit.0);
        let mut rest = 0;
        for (start, end, text) in &self.edits {
            self.done.text.push_str(self.source.0.get(rest..*start).unwrap_or_default());
            self.done.text.push_str(text);
            rest = *end;
        }
        self.done.text.push_str(self.source.0.get(rest..).unwrap_or_default());
        self.done
    }
}
