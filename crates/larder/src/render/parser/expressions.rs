//! Reads the expressions of a template.

use std::rc::Rc;

use super::Parser;
use crate::render::fault::Outcome;
use crate::render::lexer::Token;
use crate::render::syntax::{Argument, Comparison, Constant, Expression, Kind, Operator, Step, StepKind};

/// The operators that compute, from those that bind least to those that bind most.
const OPERATORS: [&[(&str, Operator)]; 4] = [
    &[("+", Operator::Add), ("-", Operator::Subtract)],
    &[("~", Operator::Join)],
    &[
        ("*", Operator::Multiply),
        ("/", Operator::Divide),
        ("//", Operator::DivideDown),
        ("%", Operator::Remainder),
    ],
    &[("**", Operator::Power)],
];

impl Parser<'_> {
    /// `value if condition else …`
    pub fn expression(&mut self) -> Outcome<Expression> {
        self.within(|parser| {
            let line = parser.line;
            let mut choices = Vec::new();
            let mut value = parser.alternatives()?;
            while parser.skip_word("if")? {
                let condition = parser.alternatives()?;
                choices.push((value, condition));
                if !parser.skip_word("else")? {
                    if parser.is_word("if") {
                        return parser.unexpected("end of expression");
                    }
                    return Ok(Expression { line, kind: Kind::Choice(choices, None) });
                }
                value = parser.alternatives()?;
            }
            if choices.is_empty() {
                return Ok(value);
            }
            Ok(Expression { line, kind: Kind::Choice(choices, Some(Box::new(value))) })
        })
    }

    /// An expression that is no choice.
    pub fn alternatives(&mut self) -> Outcome<Expression> {
        let line = self.line;
        let mut all = vec![self.conjunction()?];
        while self.skip_word("or")? {
            all.push(self.conjunction()?);
        }
        Ok(one_or(line, all, Kind::Or))
    }

    fn conjunction(&mut self) -> Outcome<Expression> {
        let line = self.line;
        let mut all = vec![self.negation()?];
        while self.skip_word("and")? {
            all.push(self.negation()?);
        }
        Ok(one_or(line, all, Kind::And))
    }

    fn negation(&mut self) -> Outcome<Expression> {
        let line = self.line;
        let mut count = 0;
        while self.skip_word("not")? {
            count += 1;
        }
        let value = self.comparison()?;
        if count == 0 {
            return Ok(value);
        }
        Ok(Expression { line, kind: Kind::Not(Box::new(value), count % 2 == 1) })
    }

    fn comparison(&mut self) -> Outcome<Expression> {
        let line = self.line;
        let first = self.chain(0)?;
        let mut rest = Vec::new();
        loop {
            let comparison = match self.token {
                Token::Sign("==") => Comparison::Equal,
                Token::Sign("!=") => Comparison::Unequal,
                Token::Sign("<") => Comparison::Less,
                Token::Sign("<=") => Comparison::LessOrEqual,
                Token::Sign(">") => Comparison::Greater,
                Token::Sign(">=") => Comparison::GreaterOrEqual,
                Token::Name("in") => Comparison::In,
                Token::Name("not") => Comparison::NotIn,
                _ => break,
            };
            self.advance()?;
            if comparison == Comparison::NotIn {
                self.expect(&Token::Name("in"))?;
            }
            rest.push((comparison, self.chain(0)?));
        }
        if rest.is_empty() {
            return Ok(first);
        }
        Ok(Expression { line, kind: Kind::Compare(Box::new(first), rest) })
    }

    /// Operators of a precedence, and all that bind more.
    fn chain(&mut self, precedence: usize) -> Outcome<Expression> {
        let Some(operators) = OPERATORS.get(precedence) else { return self.filtered() };
        let line = self.line;
        let first = self.chain(precedence + 1)?;
        let mut rest = Vec::new();
        while let Some((_, operator)) = operators.iter().find(|(sign, _)| self.is_sign(sign)) {
            self.advance()?;
            rest.push((*operator, self.chain(precedence + 1)?));
        }
        if rest.is_empty() {
            return Ok(first);
        }
        Ok(Expression { line, kind: Kind::Chain(Box::new(first), rest) })
    }

    /// A value with its filters and tests.
    fn filtered(&mut self) -> Outcome<Expression> {
        let first_line = self.line;
        let value = self.signed()?;
        let mut steps = Vec::new();
        loop {
            let line = self.line;
            if self.skip_sign("|")? {
                steps.push(self.filter(line)?);
            } else if self.skip_word("is")? {
                let is_negated = self.skip_word("not")?;
                let name = self.dotted_name()?;
                let arguments = self.arguments_of_test()?;
                steps.push(Step { line, kind: StepKind::Test(name, arguments, is_negated) });
            } else {
                return Ok(path(first_line, value, steps));
            }
        }
    }

    /// A filter and its arguments.
    pub fn filter(&mut self, line: usize) -> Outcome<Step> {
        let name = self.dotted_name()?;
        let arguments = if self.is_sign("(") { self.arguments()? } else { Vec::new() };
        Ok(Step { line, kind: StepKind::Filter(name, arguments) })
    }

    fn dotted_name(&mut self) -> Outcome<Rc<str>> {
        let mut name = self.name()?.to_string();
        while self.skip_sign(".")? {
            name.push('.');
            name.push_str(&self.name()?);
        }
        Ok(name.into())
    }

    /// In brackets, or one without.
    fn arguments_of_test(&mut self) -> Outcome<Vec<Argument>> {
        let is_argument = match &self.token {
            Token::Sign("(") => return self.arguments(),
            Token::Name(word) => !matches!(*word, "and" | "or" | "else" | "is" | "if" | "in" | "not"),
            Token::Text(_) | Token::Integer(_) | Token::Fraction(_) => true,
            Token::Sign(sign) => matches!(*sign, "-" | "[" | "{"),
            _ => false,
        };
        Ok(if is_argument { vec![Argument::Positional(self.signed()?)] } else { Vec::new() })
    }

    /// A value with signs before it, and attributes, indexes and calls behind it.
    fn signed(&mut self) -> Outcome<Expression> {
        let line = self.line;
        let mut signs = 0;
        while self.skip_sign("-")? {
            signs += 1;
        }
        let value = self.within(Self::primary)?;
        let mut steps = Vec::new();
        loop {
            let line = self.line;
            let kind = if self.skip_sign(".")? {
                match self.token {
                    Token::Integer(index) => {
                        self.advance()?;
                        let index = Kind::Constant(Constant::Integer(index));
                        StepKind::Index(Expression { line, kind: index })
                    }
                    _ => StepKind::Attribute(self.name()?),
                }
            } else if self.skip_sign("[")? {
                self.index()?
            } else if self.is_sign("(") {
                StepKind::Call(self.arguments()?)
            } else {
                break;
            };
            steps.push(Step { line, kind });
        }
        let value = path(line, value, steps);
        if signs == 0 {
            return Ok(value);
        }
        Ok(Expression { line, kind: Kind::Negate(Box::new(value), signs) })
    }

    /// What is within `[…]` behind a value.
    fn index(&mut self) -> Outcome<StepKind> {
        let mut parts = [None, None, None];
        let mut count = 0;
        loop {
            if !self.is_sign(":") && !self.is_sign("]") {
                parts[count] = Some(self.expression()?);
            }
            if count == 2 || !self.skip_sign(":")? {
                break;
            }
            count += 1;
        }
        self.expect_sign("]")?;
        match (count, parts) {
            (0, [Some(index), ..]) => Ok(StepKind::Index(index)),
            (0, _) => self.fail("empty subscript"),
            (_, parts) => Ok(StepKind::Slice(parts)),
        }
    }

    pub fn arguments(&mut self) -> Outcome<Vec<Argument>> {
        self.expect_sign("(")?;
        let mut arguments = Vec::new();
        let mut has_named = false;
        self.separated(")", |parser| {
            arguments.push(if parser.skip_sign("**")? {
                has_named = true;
                Argument::AllNamedOf(parser.expression()?)
            } else if parser.skip_sign("*")? {
                Argument::AllOf(parser.expression()?)
            } else {
                match parser.expression()? {
                    Expression { kind: Kind::Name(name), .. } if parser.skip_sign("=")? => {
                        has_named = true;
                        Argument::Named(name, parser.expression()?)
                    }
                    _ if has_named => return parser.fail("non-keyword arg after keyword arg"),
                    value => Argument::Positional(value),
                }
            });
            Ok(())
        })?;
        Ok(arguments)
    }

    /// Reads what is between commas, up to a bracket.
    fn separated(&mut self, close: &str, mut read: impl FnMut(&mut Self) -> Outcome<()>) -> Outcome<()> {
        while !self.skip_sign(close)? {
            read(self)?;
            if !self.skip_sign(",")? {
                return self.expect_sign(close);
            }
        }
        Ok(())
    }

    fn primary(&mut self) -> Outcome<Expression> {
        let line = self.line;
        let kind = match self.advance()? {
            Token::Name("true" | "True") => Kind::Constant(Constant::Bool(true)),
            Token::Name("false" | "False") => Kind::Constant(Constant::Bool(false)),
            Token::Name("none" | "None") => Kind::Constant(Constant::None),
            Token::Name(name) => {
                let name: Rc<str> = name.into();
                self.mentioned.insert(Rc::clone(&name));
                Kind::Name(name)
            }
            Token::Integer(value) => Kind::Constant(Constant::Integer(value)),
            Token::Fraction(value) => Kind::Constant(Constant::Fraction(value)),
            Token::Text(mut text) => {
                while let Token::Text(more) = &self.token {
                    text.push_str(more);
                    self.advance()?;
                }
                Kind::Constant(Constant::Text(text.into()))
            }
            Token::Sign("(") => return self.brackets(line),
            Token::Sign("[") => {
                let mut items = Vec::new();
                self.separated("]", |parser| {
                    items.push(parser.expression()?);
                    Ok(())
                })?;
                Kind::List(items)
            }
            Token::Sign("{") => {
                let mut members = Vec::new();
                self.separated("}", |parser| {
                    let name = parser.expression()?;
                    parser.expect_sign(":")?;
                    members.push((name, parser.expression()?));
                    Ok(())
                })?;
                Kind::Map(members)
            }
            token => {
                let detail = format!("unexpected {}", token.describe());
                return Err(crate::render::fault::Fault::syntax(detail).at(line));
            }
        };
        Ok(Expression { line, kind })
    }

    /// A value in brackets, or a tuple.
    fn brackets(&mut self, line: usize) -> Outcome<Expression> {
        let mut items = Vec::new();
        let mut is_tuple = true;
        self.separated(")", |parser| {
            items.push(parser.expression()?);
            is_tuple = !items.is_empty() && parser.is_sign(",");
            if items.len() > 1 {
                is_tuple = true;
            }
            Ok(())
        })?;
        match items.pop() {
            Some(value) if !is_tuple => {
                Ok(Expression { line, kind: Kind::Path(Box::new(value), Vec::new()) })
            }
            last => {
                items.extend(last);
                Ok(Expression { line, kind: Kind::Tuple(items) })
            }
        }
    }
}

fn path(line: usize, value: Expression, steps: Vec<Step>) -> Expression {
    if steps.is_empty() { value } else { Expression { line, kind: Kind::Path(Box::new(value), steps) } }
}

fn one_or(line: usize, mut all: Vec<Expression>, kind: impl FnOnce(Vec<Expression>) -> Kind) -> Expression {
    match all.pop() {
        Some(only) if all.is_empty() => only,
        last => {
            all.extend(last);
            Expression { line, kind: kind(all) }
        }
    }
}
