//! Reads the statements of a template.

use std::mem::take;
use std::rc::Rc;

use super::Parser;
use crate::render::fault::Outcome;
use crate::render::lexer::Token;
use crate::render::syntax::{Body, For, Kind, Macro, Statement, Step, StepKind, Target};

/// Names that nothing can be assigned to.
const RESERVED: [&str; 8] = ["true", "True", "false", "False", "none", "None", "loop", "self"];

impl Parser<'_> {
    /// Reads up to a statement with one of these names, which it returns, or up to the end if there are none.
    pub fn body(&mut self, ends: &[&'static str]) -> Outcome<(Body, &'static str)> {
        let mut body = Vec::new();
        loop {
            match self.advance()? {
                Token::Data(text) => body.push(Statement::Text(text.into())),
                Token::PrintStart => {
                    body.push(Statement::Print(self.expression()?));
                    self.expect(&Token::PrintEnd)?;
                }
                Token::BlockStart => {
                    if let Some(end) = ends.iter().find(|end| self.is_word(end)) {
                        self.advance()?;
                        return Ok((body, end));
                    }
                    body.push(self.within(Self::statement)?);
                    self.expect(&Token::BlockEnd)?;
                }
                Token::End if ends.is_empty() => return Ok((body, "")),
                Token::End => {
                    return self.fail(format!("unexpected end of input, expected {}", ends.join(" or ")));
                }
                token => return self.fail(format!("unexpected {}", token.describe())),
            }
        }
    }

    /// The body of a block, once its own tag is complete.
    fn block(&mut self, end: &'static str) -> Outcome<Body> {
        self.expect(&Token::BlockEnd)?;
        Ok(self.body(&[end])?.0)
    }

    fn statement(&mut self) -> Outcome<Statement> {
        let Token::Name(keyword) = self.token else { return self.unexpected("statement") };
        self.advance()?;
        match keyword {
            "if" => self.condition(),
            "for" => self.looped(),
            "set" => self.set(),
            "with" => {
                let mut given = Vec::new();
                while self.token != Token::BlockEnd {
                    if !given.is_empty() {
                        self.expect_sign(",")?;
                    }
                    let target = if self.skip_sign("(")? {
                        let target = self.target(false)?;
                        self.expect_sign(")")?;
                        target
                    } else {
                        self.assigned_name(false)?
                    };
                    self.expect_sign("=")?;
                    given.push((target, self.expression()?));
                }
                Ok(Statement::With(given, self.block("endwith")?))
            }
            "macro" => {
                let name = self.name()?;
                Ok(Statement::Macro(self.macro_of(name, "endmacro")?))
            }
            "call" => self.call(),
            "filter" => {
                let filters = self.filters()?;
                Ok(Statement::Filter(filters, self.block("endfilter")?))
            }
            "do" => Ok(Statement::Do(self.expression()?)),
            "autoescape" => {
                let enabled = self.expression()?;
                Ok(Statement::Escape(enabled, self.block("endautoescape")?))
            }
            keyword => self.fail(format!("unknown statement {keyword}")),
        }
    }

    fn condition(&mut self) -> Outcome<Statement> {
        let mut branches = Vec::new();
        loop {
            let condition = self.alternatives()?;
            self.expect(&Token::BlockEnd)?;
            let (body, end) = self.body(&["endif", "else", "elif"])?;
            branches.push((condition, body));
            match end {
                "elif" => {}
                "else" => return Ok(Statement::If(branches, self.block("endif")?)),
                _ => return Ok(Statement::If(branches, Vec::new())),
            }
        }
    }

    fn looped(&mut self) -> Outcome<Statement> {
        let line = self.line;
        let target = self.target(false)?;
        self.expect(&Token::Name("in"))?;
        let items = self.alternatives()?;
        let condition = if self.skip_word("if")? { Some(self.expression()?) } else { None };
        let is_recursive = self.skip_word("recursive")?;
        self.expect(&Token::BlockEnd)?;
        let (body, end) = self.body(&["endfor", "else"])?;
        let otherwise = if end == "else" { self.block("endfor")? } else { Vec::new() };
        Ok(Statement::For(Rc::new(For { line, target, items, condition, is_recursive, body, otherwise })))
    }

    fn set(&mut self) -> Outcome<Statement> {
        let target = self.target(true)?;
        if self.token == Token::BlockEnd || self.is_sign("|") {
            let filters = if self.skip_sign("|")? { self.filters()? } else { Vec::new() };
            return Ok(Statement::SetBlock(target, filters, self.block("endset")?));
        }
        self.expect_sign("=")?;
        let line = self.line;
        let mut items = vec![self.expression()?];
        let is_tuple = self.is_sign(",");
        while self.skip_sign(",")? && self.token != Token::BlockEnd {
            items.push(self.expression()?);
        }
        let value = match items.pop() {
            Some(value) if !is_tuple => value,
            last => {
                items.extend(last);
                crate::render::syntax::Expression { line, kind: Kind::Tuple(items) }
            }
        };
        Ok(Statement::Set(target, value))
    }

    /// Names to assign to, one or several.
    fn target(&mut self, may_be_member: bool) -> Outcome<Target> {
        let line = self.line;
        let mut targets = Vec::new();
        let mut is_tuple = false;
        loop {
            let is_over = matches!(
                self.token,
                Token::PrintEnd | Token::BlockEnd | Token::Name("in") | Token::Sign(")")
            );
            if is_over && is_tuple {
                break;
            }
            targets.push(if self.skip_sign("(")? {
                let target = self.within(|parser| parser.target(may_be_member))?;
                self.expect_sign(")")?;
                target
            } else {
                self.assigned_name(may_be_member)?
            });
            if !self.skip_sign(",")? {
                break;
            }
            is_tuple = true;
        }
        match targets.pop() {
            Some(only) if !is_tuple => Ok(only),
            last => {
                targets.extend(last);
                Ok(Target::Several(targets, line))
            }
        }
    }

    fn assigned_name(&mut self, may_be_member: bool) -> Outcome<Target> {
        let line = self.line;
        let name = self.name()?;
        if RESERVED.contains(&&*name) {
            return self.fail(format!("cannot assign to reserved variable name {name}"));
        }
        let mut members = Vec::new();
        while may_be_member && self.skip_sign(".")? {
            members.push(self.name()?);
        }
        if members.is_empty() {
            return Ok(Target::Name(name));
        }
        self.mentioned.insert(Rc::clone(&name));
        Ok(Target::Member(name, members, line))
    }

    fn filters(&mut self) -> Outcome<Vec<Step>> {
        let mut filters = vec![self.filter(self.line)?];
        while self.skip_sign("|")? {
            filters.push(self.filter(self.line)?);
        }
        Ok(filters)
    }

    /// The parameters and the body of a macro.
    fn macro_of(&mut self, name: Rc<str>, end: &'static str) -> Outcome<Rc<Macro>> {
        let outside = take(&mut self.mentioned);
        let mut parameters = Vec::new();
        let mut has_default = false;
        if self.skip_sign("(")? {
            while !self.skip_sign(")")? {
                let Target::Name(name) = self.assigned_name(false)? else {
                    return self.unexpected("identifier");
                };
                let default = if self.skip_sign("=")? { Some(self.expression()?) } else { None };
                if has_default && default.is_none() {
                    return self.unexpected("`=`");
                }
                has_default = default.is_some();
                parameters.push((name, default));
                if !self.skip_sign(",")? {
                    self.expect_sign(")")?;
                    break;
                }
            }
        } else if end == "endmacro" {
            return self.unexpected("`(`");
        }
        let body = if end == "endmacro" { self.block(end)? } else { Vec::new() };
        let mentioned = std::mem::replace(&mut self.mentioned, outside);
        self.mentioned.extend(mentioned.iter().cloned());
        Ok(Rc::new(Macro { name, parameters, body, mentioned }))
    }

    /// `call` and its body, which is a macro that the called one knows as `caller`.
    fn call(&mut self) -> Outcome<Statement> {
        let header = self.macro_of("caller".into(), "endcall")?;
        let called = self.expression()?;
        let is_call = matches!(&called.kind, Kind::Path(_, steps)
            if matches!(steps.last(), Some(Step { kind: StepKind::Call(_), .. })));
        if !is_call {
            return self.fail("expected call expression in call block");
        }
        let outside = take(&mut self.mentioned);
        let body = self.block("endcall")?;
        let inside = std::mem::replace(&mut self.mentioned, outside);
        self.mentioned.extend(inside.iter().cloned());
        let Some(Macro { name, parameters, mut mentioned, .. }) = Rc::into_inner(header) else {
            return self.fail("expected call expression in call block");
        };
        mentioned.extend(inside);
        Ok(Statement::Call(Rc::new(Macro { name, parameters, body, mentioned }), called))
    }
}
