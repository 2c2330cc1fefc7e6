//! The expressions of a template: brackets put together, words told apart, conditions and comparisons found.
//!
//! It knows of the language what it takes to see how far a value goes. What binds tighter than a comparison is
//! one piece to it.

use super::tokens::{Token, TokenKind};

/// A token, or brackets and what is between them.
pub(super) enum Item {
    Token(Token),
    Group { open: Token, items: Vec<Item>, close: Token },
}

impl Item {
    pub fn start(&self) -> usize {
        match self {
            Self::Token(token) | Self::Group { open: token, .. } => token.start,
        }
    }

    pub fn end(&self) -> usize {
        match self {
            Self::Token(token) | Self::Group { close: token, .. } => token.end,
        }
    }
}

/// How deep brackets may be within each other. minijinja refuses a template long before.
const DEPTH_MAX: usize = 150;

/// Puts the brackets together. What is within some ends with the closing one.
pub(super) fn items(tokens: &mut impl Iterator<Item = Token>, depth: usize) -> Option<Vec<Item>> {
    if depth > DEPTH_MAX {
        return None;
    }
    let mut found = Vec::new();
    loop {
        match tokens.next() {
            None => return (depth == 0).then_some(found),
            Some(open) if open.kind == TokenKind::Open => {
                let mut within = items(tokens, depth + 1)?;
                let Some(Item::Token(close)) = within.pop() else { return None };
                found.push(Item::Group { open, items: within, close });
            }
            Some(token) => {
                found.push(Item::Token(token));
                if token.kind == TokenKind::Close {
                    return (depth > 0).then_some(found);
                }
            }
        }
    }
}

/// What a name is in an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The beginning of a value: a key, a variable, a function, a constant.
    Value,
    Attribute,
    Filter,
    Is,
    IsNot,
    Test,
    Keyword,
    /// Not a name.
    None,
}

/// One side of `and` and `or`: a value, or a chain of comparisons.
#[derive(Default)]
pub(super) struct Unit {
    pub start: usize,
    pub end: usize,
    /// Where its comparisons are, and what they are called.
    pub comparisons: Vec<(usize, &'static str)>,
    /// Whether it is a condition.
    pub is_tested: bool,
}

pub(super) fn is_operator(item: &Item) -> bool {
    matches!(item, Item::Token(token) if token.kind == TokenKind::Operator)
}

fn is_name(item: &Item) -> bool {
    matches!(item, Item::Token(token) if token.kind == TokenKind::Name)
}

/// The template that items are a part of.
#[derive(Clone, Copy)]
pub(super) struct Source<'a>(pub &'a str);

impl<'a> Source<'a> {
    pub fn text(self, item: &Item) -> &'a str {
        &self.0[item.start()..item.end()]
    }

    pub fn is_operator(self, item: &Item, operators: &[&str]) -> bool {
        is_operator(item) && operators.contains(&self.text(item))
    }

    fn is_after(self, items: &[Item], at: usize, operator: &str) -> bool {
        at > 0 && self.is_operator(&items[at - 1], &[operator])
    }

    /// The items before the first of some operators.
    pub fn before<'b>(self, items: &'b [Item], operators: &[&str]) -> &'b [Item] {
        let end = items.iter().position(|item| self.is_operator(item, operators));
        &items[..end.unwrap_or(items.len())]
    }

    /// The items between some operators.
    pub fn pieces<'b>(self, items: &'b [Item], operators: &[&str]) -> Vec<&'b [Item]> {
        items.split(|item| self.is_operator(item, operators)).collect()
    }

    pub fn is_group(self, item: &Item, open: &str) -> bool {
        matches!(item, Item::Group { open: token, .. } if &self.0[token.start..token.end] == open)
    }

    /// The position of the first of some word that is not a part of a name.
    pub fn find(self, items: &[Item], word: &str) -> Option<usize> {
        (0..items.len()).find(|&at| {
            is_name(&items[at]) && self.text(&items[at]) == word && !self.is_after(items, at, ".")
        })
    }

    /// The names among some items that are not parts of others.
    pub fn names(self, items: &[Item]) -> Vec<&'a str> {
        let mut names = Vec::new();
        for (at, item) in items.iter().enumerate() {
            match item {
                Item::Group { items, .. } => names.extend(self.names(items)),
                Item::Token(_) if is_name(item) && !self.is_after(items, at, ".") => {
                    names.push(self.text(item));
                }
                Item::Token(_) => {}
            }
        }
        names
    }

    /// Tells keywords from names, and what each name is, as minijinja's parser does.
    pub fn roles(self, items: &[Item]) -> Vec<Role> {
        let mut roles: Vec<Role> = Vec::with_capacity(items.len());
        for (at, item) in items.iter().enumerate() {
            let word = self.text(item);
            roles.push(match roles.last().copied().unwrap_or(Role::None) {
                _ if !is_name(item) => Role::None,
                _ if self.is_after(items, at, ".") => Role::Attribute,
                _ if self.is_after(items, at, "|") => Role::Filter,
                Role::Is if word == "not" => Role::IsNot,
                Role::Is | Role::IsNot => Role::Test,
                // What stands behind a test without an operator is its argument.
                Role::Test if !matches!(word, "and" | "or" | "else" | "is") => Role::Value,
                _ => match word {
                    "is" => Role::Is,
                    "and" | "or" | "not" | "if" | "else" | "in" => Role::Keyword,
                    _ => Role::Value,
                },
            });
        }
        roles
    }

    /// Takes an expression apart at `if`, `else`, `and`, `or` and `not`. `None` where it is none.
    pub fn units(self, items: &[Item], roles: &[Role], is_condition: bool) -> Option<Vec<Unit>> {
        let mut units = Vec::new();
        let mut unit = Unit { is_tested: is_condition, ..Unit::default() };
        let mut region_is_tested = is_condition;
        let mut at = 0;
        while at < items.len() {
            let word = if roles[at] == Role::Keyword { self.text(&items[at]) } else { "" };
            let is_not_in = || roles.get(at + 1) == Some(&Role::Keyword) && self.text(&items[at + 1]) == "in";
            match word {
                "" => {
                    if let Some(operator) = self.comparison(&items[at]) {
                        unit.comparisons.push((at, operator));
                    }
                }
                "in" => unit.comparisons.push((at, "in")),
                "not" if at == unit.start => {
                    unit.start = at + 1;
                    unit.is_tested = true;
                }
                "not" => {
                    is_not_in().then_some(())?;
                    unit.comparisons.push((at, "not in"));
                    at += 1;
                }
                word => {
                    unit.end = at;
                    unit.is_tested |= matches!(word, "and" | "or");
                    units.push(std::mem::take(&mut unit));
                    match word {
                        "if" => region_is_tested = true,
                        "else" => region_is_tested = is_condition,
                        _ => {}
                    }
                    unit = Unit { start: at + 1, is_tested: region_is_tested, ..Unit::default() };
                }
            }
            at += 1;
        }
        unit.end = items.len();
        units.push(unit);
        units.iter().all(|unit| self.is_well_formed(unit, items)).then_some(units)
    }

    /// Whether it stays what it is in the brackets of a call: with something on both sides of each comparison,
    /// and nothing that separates arguments, or marks them.
    fn is_well_formed(self, unit: &Unit, items: &[Item]) -> bool {
        let of_unit = &items[unit.start..unit.end];
        let mut start = unit.start;
        let has_sides = unit.comparisons.iter().all(|(at, operator)| {
            let before = std::mem::replace(&mut start, at + if *operator == "not in" { 2 } else { 1 });
            before < *at
        });
        let is_marked = of_unit.first().is_some_and(|first| self.is_operator(first, &["*", "**"]));
        let is_several = of_unit.iter().any(|item| self.is_operator(item, &[",", ":", "="]));
        has_sides && (unit.comparisons.is_empty() || start < unit.end) && !is_marked && !is_several
    }

    fn comparison(self, item: &Item) -> Option<&'static str> {
        ["==", "!=", "<", "<=", ">", ">="].into_iter().find(|operator| self.is_operator(item, &[operator]))
    }

    /// A part of a name that is written out, `.part` or `["part"]`, and where it ends. The name of a method
    /// is none.
    pub fn part(self, items: &[Item], at: usize, end: usize) -> Option<(&'a str, usize)> {
        if at >= end {
            return None;
        }
        if self.is_operator(&items[at], &["."]) && at + 1 < end && is_name(&items[at + 1]) {
            let is_called = at + 2 < end && self.is_group(&items[at + 2], "(");
            return (!is_called).then(|| (self.text(&items[at + 1]), at + 2));
        }
        let text = self.written_out(&items[at])?;
        Some((text, at + 1))
    }

    /// The text of `["text"]`.
    fn written_out(self, item: &Item) -> Option<&'a str> {
        let Item::Group { items, .. } = item else { return None };
        match &items[..] {
            [only @ Item::Token(Token { kind: TokenKind::Text, .. })] if self.is_group(item, "[") => {
                let text = self.text(only);
                (!text.contains('\\')).then(|| &text[1..text.len() - 1])
            }
            _ => None,
        }
    }

    /// Whether it is `[expression]`, and no slice.
    pub fn is_index(self, item: &Item) -> bool {
        let Item::Group { items, .. } = item else { return false };
        self.is_group(item, "[") && !items.iter().any(|item| self.is_operator(item, &[":"]))
    }
}
