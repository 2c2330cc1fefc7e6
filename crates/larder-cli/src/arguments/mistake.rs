//! What is wrong with a command line, by what the parser found.

use std::error::Error;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::failure::Failure;

/// What is wrong with a command line, or `None` where nothing is: where help or the version was asked for, which the
/// error is then.
pub fn mistake(error: &clap::Error) -> Option<Failure> {
    use ErrorKind::{DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion};
    if matches!(error.kind(), DisplayHelp | DisplayHelpOnMissingArgumentOrSubcommand | DisplayVersion) {
        return None;
    }
    let failure = Failure::Usage(message(error));
    let failure = match error.source() {
        Some(cause) => failure.because(cause),
        None => failure,
    };
    Some(failure.advise(advice(error)))
}

fn message(error: &clap::Error) -> String {
    let argument = words(error, ContextKind::InvalidArg);
    let value = words(error, ContextKind::InvalidValue);
    match (error.kind(), argument) {
        (ErrorKind::InvalidSubcommand, _) => {
            format!(
                "unrecognized command '{}'",
                words(error, ContextKind::InvalidSubcommand).unwrap_or_default()
            )
        }
        (ErrorKind::UnknownArgument, Some(argument)) => format!("unexpected argument '{argument}'"),
        (ErrorKind::MissingRequiredArgument, Some(arguments)) => format!("missing: {arguments}"),
        (ErrorKind::ArgumentConflict, Some(argument)) => match words(error, ContextKind::PriorArg) {
            Some(prior) if prior != argument => format!("'{argument}' cannot be used with '{prior}'"),
            _ => format!("'{argument}' cannot be used several times"),
        },
        (ErrorKind::InvalidValue, Some(argument)) if value.as_deref().unwrap_or_default().is_empty() => {
            format!("'{argument}' needs a value")
        }
        (ErrorKind::InvalidValue | ErrorKind::ValueValidation, Some(argument)) => {
            format!("invalid value '{}' for '{argument}'", value.unwrap_or_default())
        }
        (kind, Some(argument)) => format!("{kind}: '{argument}'"),
        (kind, None) => kind.to_string(),
    }
}

fn advice(error: &clap::Error) -> String {
    let mut advice = String::new();
    let suggested =
        [ContextKind::SuggestedSubcommand, ContextKind::SuggestedArg, ContextKind::SuggestedValue];
    if let Some(suggested) = suggested.into_iter().find_map(|kind| error.get(kind)) {
        advice += &format!("Try {}. ", any_of(suggested));
    }
    // That is all that the parser suggests in its own words.
    if error.kind() == ErrorKind::UnknownArgument && error.get(ContextKind::Suggested).is_some() {
        advice += "If it is a value, write -- before it. ";
    }
    if let Some(valid) = words(error, ContextKind::ValidValue).filter(|valid| !valid.is_empty()) {
        advice += &format!("Choose from {valid}. ");
    }
    match words(error, ContextKind::Usage) {
        Some(usage) => advice + &format!("{usage} (more with --help)."),
        None => advice + "See `larder --help`.",
    }
}

/// Several names in quotes, of which one will do.
fn any_of(names: &ContextValue) -> String {
    match names {
        ContextValue::Strings(names) => {
            let names: Vec<_> = names.iter().map(|name| format!("'{name}'")).collect();
            names.join(" or ")
        }
        name => format!("'{name}'"),
    }
}

fn words(error: &clap::Error, kind: ContextKind) -> Option<String> {
    Some(match error.get(kind)? {
        ContextValue::Strings(several) => several.join(", "),
        other => other.to_string(),
    })
}
