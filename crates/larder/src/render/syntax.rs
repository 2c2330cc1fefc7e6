//! What a template consists of, once it is parsed.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

pub(super) type Body = Vec<Statement>;

#[derive(Debug)]
pub(super) enum Statement {
    Text(Rc<str>),
    Print(Expression),
    If(Vec<(Expression, Body)>, Body),
    For(Rc<For>),
    Set(Target, Expression),
    SetBlock(Target, Vec<Step>, Body),
    With(Vec<(Target, Expression)>, Body),
    Macro(Rc<Macro>),
    /// Calls a macro, with a body that it may put in: `caller`.
    Call(Rc<Macro>, Expression),
    Filter(Vec<Step>, Body),
    Do(Expression),
    /// `autoescape`, which can only be switched off.
    Escape(Expression, Body),
}

#[derive(Debug)]
pub(super) struct For {
    pub line: usize,
    pub target: Target,
    pub items: Expression,
    pub condition: Option<Expression>,
    pub is_recursive: bool,
    pub body: Body,
    pub otherwise: Body,
}

#[derive(Debug)]
pub(super) struct Macro {
    pub name: Rc<str>,
    pub parameters: Vec<(Rc<str>, Option<Expression>)>,
    pub body: Body,
    /// The names that stand in it anywhere.
    pub mentioned: BTreeSet<Rc<str>>,
}

/// What is assigned to.
#[derive(Debug)]
pub(super) enum Target {
    Name(Rc<str>),
    /// A member of a namespace.
    Member(Rc<str>, Vec<Rc<str>>, usize),
    Several(Vec<Target>, usize),
}

#[derive(Debug)]
pub(super) struct Expression {
    pub line: usize,
    pub kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Constant(Constant),
    Name(Rc<str>),
    List(Vec<Expression>),
    Tuple(Vec<Expression>),
    Map(Vec<(Expression, Expression)>),
    Or(Vec<Expression>),
    And(Vec<Expression>),
    /// `not`, and whether there is an odd number of them.
    Not(Box<Expression>, bool),
    Compare(Box<Expression>, Vec<(Comparison, Expression)>),
    /// Operators of one precedence, from left to right.
    Chain(Box<Expression>, Vec<(Operator, Expression)>),
    /// Signs.
    Negate(Box<Expression>, usize),
    /// Values with their conditions, and what it is otherwise.
    Choice(Vec<(Expression, Expression)>, Option<Box<Expression>>),
    /// A value, and where to go from it. Brackets are one without steps.
    Path(Box<Expression>, Vec<Step>),
}

#[derive(Debug)]
pub(super) enum Constant {
    None,
    Bool(bool),
    Integer(i128),
    Fraction(f64),
    Text(Arc<str>),
}

#[derive(Debug)]
pub(super) struct Step {
    pub line: usize,
    pub kind: StepKind,
}

#[derive(Debug)]
pub(super) enum StepKind {
    Attribute(Rc<str>),
    Index(Expression),
    Slice([Option<Expression>; 3]),
    Call(Vec<Argument>),
    Filter(Rc<str>, Vec<Argument>),
    /// A test, and whether it is negated.
    Test(Rc<str>, Vec<Argument>, bool),
}

#[derive(Debug)]
pub(super) enum Argument {
    Positional(Expression),
    Named(Rc<str>, Expression),
    AllOf(Expression),
    AllNamedOf(Expression),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    DivideDown,
    Remainder,
    Power,
    Join,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    NotIn,
}

impl Comparison {
    pub fn sign(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::Unequal => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::In => "in",
            Self::NotIn => "not in",
        }
    }
}
