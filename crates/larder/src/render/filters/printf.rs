//! `format`: fills in a text as C's `printf` and Python's `%` do.

use std::iter::Peekable;
use std::rc::Rc;
use std::str::Chars;

use crate::render::arguments::Arguments;
use crate::render::fault::{Fault, Outcome};
use crate::render::machine::Machine;
use crate::render::meter::{Draft, Meter};
use crate::render::printing::printed;
use crate::render::value::Shown;

/// The most digits behind the point: a fraction has no more.
const PRECISION_MAX: usize = 1100;

#[derive(Default)]
struct Directive {
    name: Option<String>,
    is_left: bool,
    is_signed: bool,
    is_spaced: bool,
    has_prefix: bool,
    has_zeros: bool,
    width: usize,
    precision: Option<usize>,
}

pub(super) fn format(machine: &mut Machine<'_>, value: Shown, arguments: &mut Arguments) -> Outcome<Shown> {
    let meter = Rc::clone(&machine.meter);
    let Shown::Text(text) = &value else { return Err(Fault::invalid("value is not a string")) };
    let taken = std::mem::replace(arguments, Arguments::new(Vec::new(), Default::default()));
    let (positional, mut named) = taken.into_parts();
    let mut members = None;
    if let ([only @ (Shown::Map(_) | Shown::Names(_))], true) = (&positional[..], named.is_empty()) {
        members = Some(only.clone());
    }
    let mut positional = positional.into_iter();
    let mut draft = Draft::new(&meter);
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        if character != '%' {
            draft.push_char(character)?;
            continue;
        }
        meter.step(4)?;
        let mut directive = read(&mut rest, || positional.next())?;
        let Some(conversion) = rest.next() else { return Err(Fault::invalid("incomplete format")) };
        if conversion == '%' {
            draft.push("%")?;
            continue;
        }
        let argument = match (directive.name.take(), &members) {
            (Some(name), Some(members)) => members.member(&name)?,
            (Some(name), None) => named.remove(&*name).unwrap_or(Shown::Undefined),
            (None, _) => {
                positional.next().ok_or_else(|| Fault::invalid("not enough arguments for format string"))?
            }
        };
        let argument = machine.known(argument)?;
        convert(&meter, &directive, conversion, &argument, &mut draft)?;
    }
    if members.is_none() && positional.next().is_some() {
        return Err(Fault::invalid("not all arguments converted during string formatting"));
    }
    Ok(Shown::Text(draft.finish().into()))
}

/// Reads what stands between `%` and the letter.
fn read(rest: &mut Peekable<Chars<'_>>, mut next: impl FnMut() -> Option<Shown>) -> Outcome<Directive> {
    let mut directive = Directive::default();
    if rest.next_if_eq(&'(').is_some() {
        let mut name = String::new();
        loop {
            match rest.next() {
                Some(')') => break,
                Some(character) => name.push(character),
                None => return Err(Fault::invalid("incomplete format key")),
            }
        }
        directive.name = Some(name);
    }
    while let Some(flag) = rest.next_if(|flag| matches!(flag, '-' | '+' | ' ' | '#' | '0')) {
        match flag {
            '-' => directive.is_left = true,
            '+' => directive.is_signed = true,
            ' ' => directive.is_spaced = true,
            '#' => directive.has_prefix = true,
            _ => directive.has_zeros = true,
        }
    }
    let mut number = |rest: &mut Peekable<Chars<'_>>| {
        if rest.next_if_eq(&'*').is_some() {
            let width = next().and_then(|width| width.as_integer());
            return usize::try_from(width.unwrap_or_default()).unwrap_or_default();
        }
        let mut number = 0_usize;
        while let Some(digit) = rest.peek().and_then(|digit| digit.to_digit(10)) {
            number = number.saturating_mul(10).saturating_add(digit as usize);
            rest.next();
        }
        number
    };
    directive.width = number(rest);
    if rest.next_if_eq(&'.').is_some() {
        directive.precision = Some(number(rest));
    }
    while rest.next_if(|letter| matches!(letter, 'h' | 'l' | 'L')).is_some() {}
    Ok(directive)
}

fn convert(
    meter: &Meter,
    directive: &Directive,
    conversion: char,
    argument: &Shown,
    draft: &mut Draft<'_>,
) -> Outcome<()> {
    let wrong =
        || Fault::invalid(format!("%{conversion} format: a number is required, not {}", argument.kind()));
    let whole = || match argument {
        Shown::Fraction(value) => Some(*value as i128),
        value => value.as_integer(),
    };
    // The sign, what stands before the digits, and the rest.
    let (sign, prefix, body) = match conversion {
        's' | 'r' | 'a' => {
            let text = match (conversion, argument) {
                ('s', argument) => printed(meter, argument)?,
                (_, argument) => {
                    let quoted = printed(meter, &Shown::list(vec![argument.clone()])?)?;
                    quoted[1..quoted.len() - 1].to_owned()
                }
            };
            let end = directive.precision.and_then(|most| text.char_indices().nth(most)).map(|(end, _)| end);
            ("", "", text[..end.unwrap_or(text.len())].to_owned())
        }
        'c' => match argument {
            Shown::Text(text) if text.chars().nth(1).is_none() => ("", "", text.to_string()),
            argument => {
                let code = argument.as_integer().and_then(|code| u32::try_from(code).ok());
                ("", "", code.and_then(char::from_u32).ok_or_else(wrong)?.to_string())
            }
        },
        'd' | 'i' | 'u' | 'x' | 'X' | 'o' => {
            let value = whole().ok_or_else(wrong)?;
            let digits = value.unsigned_abs();
            let (prefix, digits) = match conversion {
                'x' => ("0x", format!("{digits:x}")),
                'X' => ("0X", format!("{digits:X}")),
                'o' => ("0o", format!("{digits:o}")),
                _ => ("", digits.to_string()),
            };
            let zeros = directive.precision.unwrap_or_default().saturating_sub(digits.len());
            let mut padded = Draft::new(meter);
            padded.repeat("0", zeros)?;
            padded.push(&digits)?;
            let sign = sign(directive, value < 0);
            (sign, if directive.has_prefix { prefix } else { "" }, padded.finish())
        }
        'f' | 'F' | 'e' | 'E' | 'g' | 'G' => {
            let value = argument.as_fraction().ok_or_else(wrong)?;
            let precision = directive.precision.unwrap_or(6).min(PRECISION_MAX);
            meter.make(precision + 320)?;
            let text = fraction(value.abs(), conversion.to_ascii_lowercase(), precision);
            let text = if conversion.is_ascii_uppercase() { text.to_uppercase() } else { text };
            (sign(directive, value.is_sign_negative() && !value.is_nan()), "", text)
        }
        other => return Err(Fault::invalid(format!("unsupported format character {other:?}"))),
    };
    meter.read(body.len())?;
    let padding = directive.width.saturating_sub(sign.len() + prefix.len() + body.chars().count());
    let has_zeros = directive.has_zeros && !directive.is_left && !matches!(conversion, 's' | 'r' | 'a' | 'c');
    if !directive.is_left && !has_zeros {
        draft.repeat(" ", padding)?;
    }
    draft.push(sign)?;
    draft.push(prefix)?;
    if has_zeros {
        draft.repeat("0", padding)?;
    }
    draft.push(&body)?;
    if directive.is_left { draft.repeat(" ", padding) } else { Ok(()) }
}

fn sign(directive: &Directive, is_negative: bool) -> &'static str {
    match () {
        () if is_negative => "-",
        () if directive.is_signed => "+",
        () if directive.is_spaced => " ",
        () => "",
    }
}

/// A fraction that is not negative.
fn fraction(value: f64, conversion: char, precision: usize) -> String {
    if !value.is_finite() {
        return if value.is_nan() { "nan".into() } else { "inf".into() };
    }
    let scientific = |precision: usize| {
        let text = format!("{value:.precision$e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let exponent: i32 = exponent.parse().unwrap_or_default();
        (digits.to_owned(), exponent)
    };
    let with_exponent = |digits: String, exponent: i32| {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{digits}e{sign}{:02}", exponent.abs())
    };
    let without_zeros = |text: String| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    };
    match conversion {
        'f' => format!("{value:.precision$}"),
        'e' => {
            let (digits, exponent) = scientific(precision);
            with_exponent(digits, exponent)
        }
        _ => {
            let precision = precision.max(1);
            let (digits, exponent) = scientific(precision - 1);
            if exponent < -4 || exponent >= precision as i32 {
                return with_exponent(without_zeros(digits), exponent);
            }
            let decimals = usize::try_from(precision as i32 - 1 - exponent).unwrap_or_default();
            without_zeros(format!("{value:.decimals$}"))
        }
    }
}
