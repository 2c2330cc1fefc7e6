//! The tags of a template and the tokens in them, found by the same rules as minijinja's.

/// A tag that is printed (`{{ … }}`) or does something (`{% … %}`); comments and raw blocks are left out.
pub(super) struct Tag {
    pub is_statement: bool,
    pub tokens: Vec<Token>,
}

/// A token, as a range of bytes of the template.
#[derive(Clone, Copy)]
pub(super) struct Token {
    pub kind: TokenKind,
    pub start: usize,
    pub end: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    Name,
    Number,
    /// A string, with its quotes.
    Text,
    Open,
    Close,
    Operator,
}

/// Finds the tags of a template. `None` where it is not well-formed: what is wrong is for minijinja to say.
pub(super) fn tags(template: &str) -> Option<Vec<Tag>> {
    let mut tags = Vec::new();
    let mut position = 0;
    while let Some(found) = start_of_tag(&template[position..]) {
        position += found;
        let is_statement = match template.as_bytes()[position + 1] {
            b'#' => {
                position += 2 + template[position + 2..].find("#}")? + 2;
                continue;
            }
            marker => marker == b'%',
        };
        position += 2;
        position += usize::from(template[position..].starts_with(['-', '+']));
        if is_statement && let Some(length) = basic_tag(&template[position..], "raw") {
            position += length;
            position += end_of_raw(&template[position..])?;
            continue;
        }
        let mut tag = Tag { is_statement, tokens: Vec::new() };
        position = read_tag(template, position, &mut tag)?;
        tags.push(tag);
    }
    Some(tags)
}

fn start_of_tag(text: &str) -> Option<usize> {
    text.as_bytes().windows(2).position(|pair| matches!(pair, b"{{" | b"{%" | b"{#"))
}

/// How long the rest of a tag is that consists of one word.
fn basic_tag(rest: &str, word: &str) -> Option<usize> {
    let space = |character: char| character.is_ascii_whitespace();
    let after = rest.trim_start_matches(space).strip_prefix(word)?.trim_start_matches(space);
    let after = after.strip_prefix(['-', '+']).unwrap_or(after).strip_prefix("%}")?;
    Some(rest.len() - after.len())
}

/// How far it is past the end of a raw block.
fn end_of_raw(text: &str) -> Option<usize> {
    let mut position = 0;
    loop {
        position += text[position..].find("{%")? + 2;
        let sign = usize::from(text[position..].starts_with(['-', '+']));
        if let Some(length) = basic_tag(&text[position + sign..], "endraw") {
            return Some(position + sign + length);
        }
    }
}

/// Reads the tokens of a tag, and returns where it ends.
fn read_tag(template: &str, start: usize, tag: &mut Tag) -> Option<usize> {
    let closing = if tag.is_statement { "%}" } else { "}}" };
    let mut open = 0_usize;
    let mut position = start;
    loop {
        let rest = &template[position..];
        let space = rest.bytes().take_while(u8::is_ascii_whitespace).count();
        if space > 0 {
            position += space;
            continue;
        }
        if open == 0 {
            if rest.starts_with(closing) {
                return Some(position + closing.len());
            }
            if rest.starts_with(['-', '+']) && rest[1..].starts_with(closing) {
                return Some(position + 1 + closing.len());
            }
        }
        let (kind, length) = token(rest, template[..position].ends_with('.'))?;
        match kind {
            TokenKind::Open => open += 1,
            TokenKind::Close => open = open.checked_sub(1)?,
            _ => {}
        }
        tag.tokens.push(Token { kind, start: position, end: position + length });
        position += length;
    }
}

/// The first token of some text, and how long it is.
fn token(text: &str, after_dot: bool) -> Option<(TokenKind, usize)> {
    if ["//", "**", "==", "!=", ">=", "<="].iter().any(|operator| text.starts_with(operator)) {
        return Some((TokenKind::Operator, 2));
    }
    Some(match *text.as_bytes().first()? {
        b'(' | b'[' | b'{' => (TokenKind::Open, 1),
        b')' | b']' | b'}' => (TokenKind::Close, 1),
        b'+' | b'-' | b'*' | b'/' | b'%' | b'.' | b',' | b':' | b'~' | b'|' | b'=' | b'>' | b'<' => {
            (TokenKind::Operator, 1)
        }
        quote @ (b'"' | b'\'') => (TokenKind::Text, text_length(text, quote)?),
        b'0'..=b'9' => (TokenKind::Number, number_length(text, after_dot)),
        _ => match name_length(text) {
            0 => return None,
            length => (TokenKind::Name, length),
        },
    })
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
