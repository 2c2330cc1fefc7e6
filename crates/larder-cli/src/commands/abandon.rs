//! `larder copy --abandon`: gives up the copies into a store that are not complete.

use larder::UnfinishedCopy;
use serde_json::json;

use super::confirm::confirm_or;
use crate::arguments::{Copy, Place};
use crate::failure::Failure;
use crate::opening::open_to_write;
use crate::output::Output;
use crate::text::counted;

pub fn abandon(command: &Copy, place: &Place, output: &mut Output) -> Result<(), Failure> {
    let location = command.target();
    let store = open_to_write(location, &place.whole("copy --abandon")?.access, false)?;
    let copies = store.unfinished_copies()?;
    if copies.is_empty() {
        return Err(Failure::NotFound(format!("{location} has no unfinished copy"))
            .advise("Name the store that was copied into."));
    }
    if !command.yes {
        let which: Vec<String> = copies.iter().map(described).collect();
        let question =
            format!("Give up {} into {location}? It cannot be resumed then.", which.join(", and "));
        confirm_or(&question, "nothing was given up")?;
    }
    let abandoned = store.abandon_copies()?;
    let shown = copies.iter().map(|copy| {
        json!({
            "source": copy.source, "from_namespace": copy.from_namespace,
            "into_namespace": copy.into_namespace, "lifted": copy.lifted,
        })
    });
    let answer = json!({ "abandoned": abandoned, "copies": shown.collect::<Vec<_>>() });
    let quotas = copies.iter().map(|copy| copy.lifted.len() as u64).sum();
    let words = format!(
        "gave up {}, and restored {} that had been lifted; what was copied stays",
        counted(abandoned, "copy"),
        counted(quotas, "quota")
    );
    output.answer(&answer, &words, Some(&abandoned.to_string()))
}

/// What is copied, from where to where.
fn described(copy: &UnfinishedCopy) -> String {
    let UnfinishedCopy { source, from_namespace, into_namespace, .. } = copy;
    let mut words = format!("the copy of the store {source}");
    if let Some(namespace) = from_namespace {
        words = format!("the copy of the namespace {namespace:?} of the store {source}");
    }
    if let Some(namespace) = into_namespace {
        words += &format!(" to the namespace {namespace:?}");
    }
    words
}
