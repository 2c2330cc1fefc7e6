//! The tokens of a template.

use super::fault::{Fault, Outcome};

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token<'a> {
    /// What is put out as it is.
    Data(&'a str),
    PrintStart,
    PrintEnd,
    BlockStart,
    BlockEnd,
    Name(&'a str),
    Text(String),
    Integer(i128),
    Fraction(f64),
    /// An operator, a bracket, or what separates.
    Sign(&'a str),
    End,
}

impl Token<'_> {
    pub fn describe(&self) -> String {
        match self {
            Self::Data(_) => "template data".into(),
            Self::PrintStart => "start of variable block".into(),
            Self::PrintEnd => "end of variable block".into(),
            Self::BlockStart => "start of block".into(),
            Self::BlockEnd => "end of block".into(),
            Self::Name(name) => format!("identifier `{name}`"),
            Self::Text(_) => "string".into(),
            Self::Integer(_) | Self::Fraction(_) => "number".into(),
            Self::Sign(sign) => format!("`{sign}`"),
            Self::End => "end of input".into(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Data,
    Print,
    Block,
}

/// Reads one token after the other.
pub(super) struct Lexer<'a> {
    template: &'a str,
    position: usize,
    /// The line of the position.
    pub line: usize,
    mode: Mode,
    /// How many brackets are open within the tag.
    open: usize,
    /// Whether the last tag takes the white space behind it.
    trims: bool,
}

impl<'a> Lexer<'a> {
    pub fn new(template: &'a str) -> Self {
        Self { template, position: 0, line: 1, mode: Mode::Data, open: 0, trims: false }
    }

    /// Returns the next token, and the line on which it begins.
    pub fn next(&mut self) -> Outcome<(Token<'a>, usize)> {
        loop {
            let found = if self.mode == Mode::Data { self.data()? } else { Some(self.token()?) };
            if let Some(found) = found {
                return Ok(found);
            }
        }
    }

    fn rest(&self) -> &'a str {
        &self.template[self.position..]
    }

    fn advance(&mut self, bytes: usize) -> &'a str {
        let passed = &self.rest()[..bytes];
        self.line += passed.bytes().filter(|byte| *byte == b'\n').count();
        self.position += bytes;
        passed
    }

    /// Reads what is outside of tags; `None` where that is nothing.
    fn data(&mut self) -> Outcome<Option<(Token<'a>, usize)>> {
        if std::mem::take(&mut self.trims) {
            let rest = self.rest();
            self.advance(rest.len() - rest.trim_start().len());
        }
        let (rest, line) = (self.rest(), self.line);
        let Some(start) = rest.as_bytes().windows(2).position(|pair| matches!(pair, b"{{" | b"{%" | b"{#"))
        else {
            let data = self.advance(rest.len());
            return Ok(Some((if data.is_empty() { Token::End } else { Token::Data(data) }, line)));
        };
        let control = rest.as_bytes().get(start + 2).copied().filter(|byte| matches!(byte, b'-' | b'+'));
        let mut data = self.advance(start);
        if control == Some(b'-') {
            data = data.trim_end();
        }
        if !data.is_empty() {
            return Ok(Some((Token::Data(data), line)));
        }
        let tag = self.rest();
        let (line, length) = (self.line, 2 + usize::from(control.is_some()));
        match tag.as_bytes()[1] {
            b'{' => {
                self.advance(length);
                self.mode = Mode::Print;
                Ok(Some((Token::PrintStart, line)))
            }
            b'#' => {
                let Some(end) = tag[length..].find("#}") else {
                    self.advance(tag.len());
                    return Err(Fault::syntax("unexpected end of comment").at(self.line));
                };
                self.trims = tag[..length + end].ends_with('-');
                self.advance(length + end + 2);
                Ok(None)
            }
            _ => match basic_tag(&tag[length..], "raw") {
                Some(raw) => {
                    let opening = self.advance(length + raw);
                    self.raw(opening.ends_with("-%}")).map(Some)
                }
                None => {
                    self.advance(length);
                    self.mode = Mode::Block;
                    Ok(Some((Token::BlockStart, line)))
                }
            },
        }
    }

    /// Reads what is between `raw` and `endraw`.
    fn raw(&mut self, trims_start: bool) -> Outcome<(Token<'a>, usize)> {
        let (rest, line) = (self.rest(), self.line);
        let mut position = 0;
        while let Some(found) = rest[position..].find("{%") {
            let start = position + found;
            position = start + 2;
            let control = usize::from(rest[position..].starts_with(['-', '+']));
            let Some(length) = basic_tag(&rest[position + control..], "endraw") else { continue };
            let trims_end = rest[position..].starts_with('-');
            let end = position + control + length;
            self.trims = rest[..end].ends_with("-%}");
            self.advance(end);
            let mut data = &rest[..start];
            data = if trims_start { data.trim_start() } else { data };
            data = if trims_end { data.trim_end() } else { data };
            return Ok((Token::Data(data), line));
        }
        self.advance(rest.len());
        Err(Fault::syntax("unexpected end of raw block").at(self.line))
    }

    /// Reads a token of a tag.
    fn token(&mut self) -> Outcome<(Token<'a>, usize)> {
        let rest = self.rest();
        self.advance(rest.bytes().take_while(u8::is_ascii_whitespace).count());
        let (rest, line) = (self.rest(), self.line);
        if rest.is_empty() {
            return Ok((Token::End, line));
        }
        if self.open == 0 {
            let (closing, token) = match self.mode {
                Mode::Block => ("%}", Token::BlockEnd),
                _ => ("}}", Token::PrintEnd),
            };
            let control = usize::from(rest.starts_with(['-', '+']));
            for length in [0, control] {
                if rest[length..].starts_with(closing) {
                    self.trims = length == 1 && rest.starts_with('-');
                    self.advance(length + 2);
                    self.mode = Mode::Data;
                    return Ok((token, line));
                }
            }
        }
        if let Some(sign) = sign(rest) {
            match sign {
                "(" | "[" | "{" => self.open += 1,
                ")" | "]" | "}" => match self.open.checked_sub(1) {
                    Some(open) => self.open = open,
                    None => return Err(Fault::syntax(format_args!("unexpected `{sign}`")).at(line)),
                },
                _ => {}
            }
            self.advance(sign.len());
            return Ok((Token::Sign(sign), line));
        }
        let first = rest.as_bytes()[0];
        let token = match first {
            b'"' | b'\'' => {
                let length = text_length(rest, first)
                    .ok_or_else(|| Fault::syntax("unexpected end of string").at(line))?;
                let text = self.advance(length);
                let text =
                    unescape(&text[1..length - 1]).ok_or_else(|| Fault::new("bad string escape").at(line))?;
                Token::Text(text)
            }
            b'0'..=b'9' => {
                let length = number_length(rest, self.template[..self.position].ends_with('.'));
                number(self.advance(length)).ok_or_else(|| Fault::syntax("invalid number").at(line))?
            }
            _ => match name_length(rest) {
                0 => return Err(Fault::syntax("unexpected character").at(line)),
                length => Token::Name(self.advance(length)),
            },
        };
        Ok((token, line))
    }
}

/// How long the rest of a tag is that consists of one word.
fn basic_tag(rest: &str, word: &str) -> Option<usize> {
    let space = |character: char| character.is_ascii_whitespace();
    let after = rest.trim_start_matches(space).strip_prefix(word)?.trim_start_matches(space);
    let after = after.strip_prefix(['-', '+']).unwrap_or(after).strip_prefix("%}")?;
    Some(rest.len() - after.len())
}

/// The sign that some text begins with.
fn sign(text: &str) -> Option<&str> {
    let is_double = ["//", "**", "==", "!=", ">=", "<="].iter().any(|sign| text.starts_with(sign));
    let is_single = text.starts_with([
        '(', ')', '[', ']', '{', '}', '+', '-', '*', '/', '%', '.', ',', ':', '~', '|', '=', '>', '<',
    ]);
    if is_double { text.get(..2) } else { text.get(..usize::from(is_single)).filter(|sign| !sign.is_empty()) }
}

fn text_length(text: &str, quote: u8) -> Option<usize> {
    let mut is_escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let ends = byte == quote && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        ends
    })?;
    Some(end + 2)
}

/// Reads the escapes in a string.
fn unescape(text: &str) -> Option<String> {
    let mut unescaped = String::with_capacity(text.len());
    let mut surrogate = None;
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        let mut push = |character: char| {
            unescaped.push(character);
            surrogate.is_none().then_some(())
        };
        if character != '\\' {
            push(character)?;
            continue;
        }
        match rest.next()? {
            'b' => push('\x08')?,
            'f' => push('\x0c')?,
            'n' => push('\n')?,
            'r' => push('\r')?,
            't' => push('\t')?,
            'u' => {
                let unit = u16::try_from(digits(&mut rest, 4, 16)?).ok()?;
                let units: Vec<u16> = surrogate.take().into_iter().chain([unit]).collect();
                match (units.len(), char::decode_utf16(units).next()?) {
                    (_, Ok(character)) => unescaped.push(character),
                    (1, Err(_)) => surrogate = Some(unit),
                    (_, Err(_)) => return None,
                }
            }
            'x' => push(char::from(u8::try_from(digits(&mut rest, 2, 16)?).ok()?))?,
            first @ '0'..='7' => {
                let mut value = first.to_digit(8)?;
                for _ in 0..2 {
                    let Some(digit) = rest.clone().next().and_then(|next| next.to_digit(8)) else { break };
                    value = value * 8 + digit;
                    rest.next();
                }
                push(char::from(u8::try_from(value).ok()?))?;
            }
            escaped @ ('"' | '\\' | '/' | '\'') => push(escaped)?,
            other => {
                push('\\')?;
                push(other)?;
            }
        }
    }
    surrogate.is_none().then_some(unescaped)
}

/// Reads so many digits, and no sign.
fn digits(rest: &mut std::str::Chars<'_>, count: usize, radix: u32) -> Option<u32> {
    (0..count).try_fold(0, |value, _| Some(value * radix + rest.next()?.to_digit(radix)?))
}

fn number(text: &str) -> Option<Token<'static>> {
    let digits = text.replace('_', "");
    let radix = match text.get(..2) {
        Some("0x" | "0X") => 16,
        Some("0b" | "0B") => 2,
        Some("0o" | "0O") => 8,
        _ => 10,
    };
    if text.ends_with('_') {
        return None;
    }
    if radix != 10 {
        return i128::from_str_radix(&digits[2..], radix).ok().map(Token::Integer);
    }
    if digits.contains(['.', 'e', 'E']) {
        return digits.parse().ok().map(Token::Fraction);
    }
    digits.parse().ok().map(Token::Integer)
}

fn name_length(text: &str) -> usize {
    let belongs = |(index, byte): &(usize, u8)| {
        *byte == b'_' || byte.is_ascii_alphabetic() || (*index > 0 && byte.is_ascii_digit())
    };
    text.bytes().enumerate().take_while(belongs).count()
}

/// The length of a number: an integer with or without a radix, or a fraction with or without an exponent. One
/// that stands after a dot is an index, and has no fraction.
fn number_length(text: &str, after_dot: bool) -> usize {
    let bytes = text.as_bytes();
    let at = |index: usize| bytes.get(index).copied().unwrap_or_default();
    let is_hexadecimal = matches!(bytes.get(..2), Some(b"0x" | b"0X"));
    if is_hexadecimal || matches!(bytes.get(..2), Some(b"0b" | b"0B" | b"0o" | b"0O")) {
        let belongs = |byte: &u8| {
            byte.is_ascii_digit() || *byte == b'_' || (is_hexadecimal && byte.is_ascii_hexdigit())
        };
        return 2 + bytes[2..].iter().copied().take_while(belongs).count();
    }
    let mut length = 0;
    let (mut has_fraction, mut has_exponent) = (false, false);
    loop {
        match at(length) {
            b'0'..=b'9' | b'_' if length > 0 || at(0).is_ascii_digit() => {}
            b'.' if !has_fraction && !has_exponent && !after_dot => {
                let is_exponent = matches!(at(length + 1), b'e' | b'E')
                    && matches!(at(length + 2), b'+' | b'-' | b'0'..=b'9');
                // `1.real` is an attribute of a number.
                if !is_exponent && name_length(&text[length + 1..]) > 0 {
                    return length;
                }
                has_fraction = true;
            }
            b'e' | b'E' if !has_exponent => has_exponent = true,
            b'+' | b'-' if matches!(at(length.wrapping_sub(1)), b'e' | b'E') => {}
            _ => return length,
        }
        length += 1;
    }
}
