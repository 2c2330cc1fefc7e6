//! Filters that read and change text.

use std::rc::Rc;
use std::sync::Arc;

use crate::render::arguments::Arguments;
use crate::render::fault::{Fault, Outcome};
use crate::render::machine::Machine;
use crate::render::meter::{Draft, Meter};
use crate::render::printing::{pretty, print, printed};
use crate::render::value::{Shown, reserve};

/// The text of a value, as it is printed.
fn text_of(meter: &Meter, value: &Shown) -> Outcome<Arc<str>> {
    match value {
        Shown::Text(text) => {
            meter.read(text.len())?;
            Ok(Arc::clone(text))
        }
        value => Ok(printed(meter, value)?.into()),
    }
}

/// Changes a whole text: a sigma at the end of a word is a letter of its own, so letters are not changed one by one.
fn changed(machine: &Machine<'_>, value: &Shown, change: impl Fn(&str) -> String) -> Outcome<Shown> {
    let text = text_of(&machine.meter, value)?;
    // A letter may become three bytes.
    machine.meter.make(text.len() * if text.is_ascii() { 1 } else { 3 })?;
    machine.meter.read(text.len())?;
    Ok(Shown::Text(change(&text).into()))
}

pub(super) fn upper(machine: &mut Machine<'_>, value: Shown, _: &mut Arguments) -> Outcome<Shown> {
    changed(machine, &value, str::to_uppercase)
}

pub(super) fn lower(machine: &mut Machine<'_>, value: Shown, _: &mut Arguments) -> Outcome<Shown> {
    changed(machine, &value, str::to_lowercase)
}

pub(super) fn capitalize(machine: &mut Machine<'_>, value: Shown, _: &mut Arguments) -> Outcome<Shown> {
    let text = text_of(&machine.meter, &value)?;
    let mut draft = Draft::new(&machine.meter);
    capital(&text, &mut draft)?;
    Ok(Shown::Text(draft.finish().into()))
}

/// Writes a word with a capital letter.
fn capital(word: &str, draft: &mut Draft<'_>) -> Outcome<()> {
    let mut characters = word.chars();
    for first in characters.next().into_iter().flat_map(char::to_uppercase) {
        draft.push_char(first)?;
    }
    let rest = characters.as_str();
    draft.count(rest.len() as u64 / 16)?;
    // It is held twice for a moment.
    draft.count_bytes(rest.len() * 3)?;
    draft.push(&rest.to_lowercase())
}

pub(super) fn title(machine: &mut Machine<'_>, value: Shown, _: &mut Arguments) -> Outcome<Shown> {
    let text = text_of(&machine.meter, &value)?;
    let mut draft = Draft::new(&machine.meter);
    let is_separator =
        |character: char| matches!(character, '-' | '(' | '{' | '[' | '<') || character.is_whitespace();
    for piece in text.split_inclusive(is_separator) {
        draft.count(1)?;
        capital(piece, &mut draft)?;
    }
    Ok(Shown::Text(draft.finish().into()))
}

pub(super) fn escape(machine: &mut Machine<'_>, value: Shown, _: &mut Arguments) -> Outcome<Shown> {
    let text = text_of(&machine.meter, &value)?;
    let mut draft = Draft::new(&machine.meter);
    let special = ['<', '>', '&', '"', '\'', '/'];
    for piece in text.split_inclusive(special) {
        draft.count(1)?;
        let plain = piece.trim_end_matches(special);
        draft.push(plain)?;
        draft.push(match &piece[plain.len()..] {
            "<" => "&lt;",
            ">" => "&gt;",
            "&" => "&amp;",
            "\"" => "&quot;",
            "'" => "&#x27;",
            "/" => "&#x2f;",
            other => other,
        })?;
    }
    Ok(Shown::Text(draft.finish().into()))
}

pub(super) fn string(machine: &mut Machine<'_>, value: Shown, _: &mut Arguments) -> Outcome<Shown> {
    Ok(Shown::Text(text_of(&machine.meter, &value)?))
}

pub(super) fn pprint(machine: &mut Machine<'_>, value: Shown, _: &mut Arguments) -> Outcome<Shown> {
    Ok(Shown::Text(pretty(&machine.meter, &value)?.into()))
}

pub(super) fn trim(machine: &mut Machine<'_>, value: Shown, arguments: &mut Arguments) -> Outcome<Shown> {
    let text = text_of(&machine.meter, &value)?;
    let trimmed = match arguments.text("chars")? {
        Some(characters) => {
            // Each character of the text may be compared with each of these.
            let most = text.len().saturating_mul(characters.chars().count());
            machine.meter.read(most)?;
            text.trim_matches(|character| characters.contains(character))
        }
        None => text.trim(),
    };
    Shown::text(&machine.meter, trimmed)
}

pub(super) fn replace(machine: &mut Machine<'_>, value: Shown, arguments: &mut Arguments) -> Outcome<Shown> {
    let meter = Rc::clone(&machine.meter);
    let text = text_of(&meter, &value)?;
    let (from, to) = (arguments.need("old")?, arguments.need("new")?);
    let (from, to) = (text_of(&meter, &from)?, text_of(&meter, &to)?);
    let mut left = arguments.count("count")?.unwrap_or(usize::MAX);
    let mut draft = Draft::new(&meter);
    let mut rest = 0;
    for (at, found) in text.match_indices(&*from) {
        if left == 0 {
            break;
        }
        left -= 1;
        draft.count(1)?;
        draft.push(&text[rest..at])?;
        draft.push(&to)?;
        rest = at + found.len();
    }
    draft.push(&text[rest..])?;
    Ok(Shown::Text(draft.finish().into()))
}

pub(super) fn join(machine: &mut Machine<'_>, value: Shown, arguments: &mut Arguments) -> Outcome<Shown> {
    let meter = Rc::clone(&machine.meter);
    let joiner = arguments.next("d")?.unwrap_or(Shown::None);
    let joiner = if matches!(joiner, Shown::None) { "".into() } else { text_of(&meter, &joiner)? };
    let attribute = arguments.text("attribute")?;
    let mut draft = Draft::new(&meter);
    let items = value
        .walk(&meter)
        .map_err(|_| Fault::invalid(format!("cannot join value of type {}", value.kind())))?;
    for (index, item) in items.enumerate() {
        draft.count(1)?;
        if index > 0 {
            draft.push(&joiner)?;
        }
        match &attribute {
            Some(path) => print(&machine.at_path(&item, path)?, &mut draft)?,
            None => print(&item, &mut draft)?,
        }
    }
    Ok(Shown::Text(draft.finish().into()))
}

pub(super) fn split(machine: &mut Machine<'_>, value: Shown, arguments: &mut Arguments) -> Outcome<Shown> {
    let text = text_of(&machine.meter, &value)?;
    let separator = arguments.text("separator")?;
    let most = arguments.integer("maxsplits")?.and_then(|most| usize::try_from(most).ok());
    let most = most.map_or(usize::MAX, |most| most.saturating_add(1));
    match &separator {
        Some(separator) => collect(machine, text.splitn(most, &**separator)),
        None => {
            let mut rest = text.trim_start();
            let mut left = most;
            collect(
                machine,
                std::iter::from_fn(|| {
                    if rest.is_empty() || left == 0 {
                        return None;
                    }
                    left -= 1;
                    let end = if left == 0 { None } else { rest.find(char::is_whitespace) };
                    let (piece, after) = rest.split_at(end.unwrap_or(rest.len()));
                    rest = after.trim_start();
                    Some(piece)
                }),
            )
        }
    }
}

pub(super) fn lines(machine: &mut Machine<'_>, value: Shown, _: &mut Arguments) -> Outcome<Shown> {
    let text = text_of(&machine.meter, &value)?;
    collect(machine, text.lines())
}

fn collect<'a>(machine: &Machine<'_>, pieces: impl Iterator<Item = &'a str>) -> Outcome<Shown> {
    let mut items = Vec::new();
    for piece in pieces {
        reserve(&machine.meter, &mut items, 1)?;
        items.push(Shown::text(&machine.meter, piece)?);
    }
    Shown::list(items)
}

pub(super) fn indent(machine: &mut Machine<'_>, value: Shown, arguments: &mut Arguments) -> Outcome<Shown> {
    let text = text_of(&machine.meter, &value)?;
    let width = arguments.count("width")?.unwrap_or(4);
    let (first, blank) = (arguments.flag("first")?, arguments.flag("blank")?);
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    let mut draft = Draft::new(&machine.meter);
    for (index, line) in text.split('\n').enumerate() {
        draft.count(1)?;
        let is_blank = line.is_empty() || line == "\r";
        if index > 0 {
            draft.push("\n")?;
        }
        if if index == 0 { first && (blank || !is_blank) } else { blank || !is_blank } {
            draft.repeat(" ", width)?;
        }
        draft.push(line)?;
    }
    Ok(Shown::Text(draft.finish().into()))
}
