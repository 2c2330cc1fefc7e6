//! Reads a template.
//!
//! Operators of one precedence, steps from a value and branches of a condition are lists, so what recurses is
//! only what the template itself nests, to a limited depth.

mod expressions;
mod statements;

use std::collections::BTreeSet;
use std::rc::Rc;

use super::fault::{Fault, Outcome};
use super::lexer::{Lexer, Token};
use super::limits::SYNTAX_DEPTH_MAX;
use super::syntax::Body;

/// Reads a whole template.
pub(super) fn parse(template: &str) -> Outcome<Body> {
    let mut parser = Parser {
        lexer: Lexer::new(template),
        token: Token::End,
        line: 1,
        depth: 0,
        mentioned: BTreeSet::new(),
    };
    parser.advance()?;
    let (body, _) = parser.body(&[])?;
    Ok(body)
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    /// The next token, and its line.
    token: Token<'a>,
    line: usize,
    depth: usize,
    /// The names that stand in the macro that is read.
    mentioned: BTreeSet<Rc<str>>,
}

impl<'a> Parser<'a> {
    /// Returns the next token, and reads the one after it.
    fn advance(&mut self) -> Outcome<Token<'a>> {
        let (token, line) = self.lexer.next()?;
        self.line = line;
        Ok(std::mem::replace(&mut self.token, token))
    }

    fn fail<T>(&self, detail: impl std::fmt::Display) -> Outcome<T> {
        Err(Fault::syntax(detail).at(self.line))
    }

    fn unexpected<T>(&self, expected: &str) -> Outcome<T> {
        self.fail(format!("unexpected {}, expected {expected}", self.token.describe()))
    }

    fn is_sign(&self, sign: &str) -> bool {
        self.token == Token::Sign(sign)
    }

    fn is_word(&self, word: &str) -> bool {
        self.token == Token::Name(word)
    }

    fn skip(&mut self, token: &Token<'_>) -> Outcome<bool> {
        let is_next = self.token == *token;
        if is_next {
            self.advance()?;
        }
        Ok(is_next)
    }

    fn skip_sign(&mut self, sign: &str) -> Outcome<bool> {
        self.skip(&Token::Sign(sign))
    }

    fn skip_word(&mut self, word: &str) -> Outcome<bool> {
        self.skip(&Token::Name(word))
    }

    fn expect(&mut self, token: &Token<'_>) -> Outcome<()> {
        if self.skip(token)? { Ok(()) } else { self.unexpected(&token.describe()) }
    }

    fn expect_sign(&mut self, sign: &str) -> Outcome<()> {
        self.expect(&Token::Sign(sign))
    }

    fn name(&mut self) -> Outcome<Rc<str>> {
        let Token::Name(name) = self.token else { return self.unexpected("identifier") };
        self.advance()?;
        Ok(name.into())
    }

    /// Reads something that lies within something else.
    fn within<T>(&mut self, read: impl FnOnce(&mut Self) -> Outcome<T>) -> Outcome<T> {
        self.depth += 1;
        if self.depth > SYNTAX_DEPTH_MAX {
            return self.fail(format!("it is nested deeper than {SYNTAX_DEPTH_MAX} levels"));
        }
        let result = read(self);
        self.depth -= 1;
        result
    }
}
