//! What a template may be, and may use.

use crate::data::{Error, Result};

/// One fuel for each step, and one for about each 64 bytes that it makes, in the output or on the way to
/// it. A million is far more than any configuration file takes, and ends within a second and 64 MiB.
pub(super) const FUEL: u64 = 1_000_000;

/// How deep macros may call each other.
pub(super) const RECURSION_MAX: usize = 200;

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

/// The stack that a rendering may take in any case, for macros that call each other.
const STACK_BASE: usize = 16 << 20;

/// How much stack is enough for a template. The memory is only taken as it is used.
pub(super) fn stack_bytes(template: &str) -> usize {
    STACK_BASE + template.len() * STACK_PER_BYTE
}

/// Refuses a template that would take too long to compile.
pub(super) fn check(template: &str) -> Result<()> {
    if template.len() > TEMPLATE_BYTES_MAX {
        let (size, limit) = (template.len() as u64, TEMPLATE_BYTES_MAX as u64);
        return Err(Error::TooLarge { what: "template", size, limit, option: None });
    }
    if let Some(line) = line_of_overlong_expression(template) {
        let reason = format!("an expression has more than {EXPRESSION_BYTES_MAX} bytes");
        return Err(Error::Template { line: Some(line), reason });
    }
    if template.matches("elif").count() > ELIF_MAX {
        let reason = format!("it has more than {ELIF_MAX} times elif");
        return Err(Error::Template { line: None, reason });
    }
    Ok(())
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
