//! What damage came to: whether it was noticed, and whether what was not noticed is allowed to be.

use std::collections::BTreeMap;

use serde::Serialize;

use super::harm::{Harm, Part};
use super::sample::{Content, Sample};
use super::user::Seen;

/// What one damaged store came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is not opened.
    Refused,
    /// `check` names it.
    FoundByCheck,
    /// A read fails, and `check` finds nothing.
    FoundByRead,
    /// Everything is as it was after an earlier commit: the log ends where it is damaged.
    LogCut,
    /// A value, in an entry or in the change log, is one that was never written.
    SilentInAValue,
    /// A name is one that was never written.
    SilentInAName,
    Harmless,
}

/// The kinds of errors with which damage may be refused.
const KINDS: [&str; 5] = ["damaged", "no_store", "failed", "denied", "stale"];

/// Judges what a process has seen of a damaged store.
pub fn judge(sample: &Sample, keys: &[(String, String)], harm: Harm, seen: &Seen) -> (Verdict, Vec<String>) {
    let mut complaints = Vec::new();
    for failure in seen.refused.iter().chain(&seen.unread).chain(&seen.unwritten) {
        if !KINDS.contains(&failure.kind.as_str()) {
            complaints.push(format!("{} fails with {}: {}", failure.call, failure.kind, failure.message));
        }
    }
    if seen.refused.is_some() {
        return (Verdict::Refused, complaints);
    }
    if !seen.findings.is_empty() {
        return (Verdict::FoundByCheck, complaints);
    }
    if let Some(failure) = seen.unread.first() {
        complaints.push(format!("{} fails, and check finds nothing: {}", failure.call, failure.message));
        return (Verdict::FoundByRead, complaints);
    }
    // From here on nothing has noticed anything.
    complaints.extend(seen.wrong.iter().map(|wrong| format!("{wrong}, and check finds nothing")));
    complaints.extend(
        seen.unwritten
            .iter()
            .map(|failure| format!("{} fails, and check finds nothing: {}", failure.call, failure.message)),
    );
    let found: Content =
        seen.entries.iter().map(|(group, key, hash)| ((group.clone(), key.clone()), *hash)).collect();
    let asked = keys.iter().zip(&seen.asked).filter(|(key, hash)| found.get(key) != hash.as_ref()).count();
    if asked > 0 {
        complaints.push(format!("{asked} keys are read differently one by one, and check finds nothing"));
    }
    let (verdict, more) = unnoticed(sample, harm, seen, &found);
    complaints.extend(more);
    (verdict, complaints)
}

fn unnoticed(sample: &Sample, harm: Harm, seen: &Seen, found: &Content) -> (Verdict, Vec<String>) {
    let is_new = |(group, key, hash): &&(String, String, u64)| {
        sample.ever.get(&(group.clone(), key.clone())).is_none_or(|ever| !ever.contains(hash))
    };
    if found == sample.last() {
        let is_silent = seen.logged.iter().any(|logged| is_new(&logged));
        return (if is_silent { Verdict::SilentInAValue } else { Verdict::Harmless }, Vec::new());
    }
    let whole = |(length, _): &&(u64, Content)| harm.part == Part::Log && *length <= harm.from;
    if let Some(place) = sample.moments.iter().rposition(|(_, content)| content == found) {
        let last_whole = sample.moments.iter().rposition(|moment| whole(&moment));
        let needed = if harm.part == Part::Log { last_whole.unwrap_or(0) } else { sample.moments.len() };
        let missing = needed.saturating_sub(place);
        let complaint = (missing > 0).then(|| format!("{missing} commits before the damage are missing"));
        return (Verdict::LogCut, complaint.into_iter().collect());
    }
    differences(sample, found)
}

/// Compares with what was acknowledged. Only the bytes of values and names may differ.
fn differences(sample: &Sample, found: &Content) -> (Verdict, Vec<String>) {
    let (last, mut complaints) = (sample.last(), Vec::new());
    let (mut is_in_value, mut shapes) = (false, BTreeMap::<(usize, usize), i64>::new());
    for (name, hash) in found {
        match last.get(name) {
            Some(written) if written == hash => {}
            Some(_) if sample.ever.get(name).is_some_and(|ever| ever.contains(hash)) => {
                complaints.push(format!("{name:?} has an earlier value, and check finds nothing"));
            }
            Some(_) => is_in_value = true,
            None => *shapes.entry((name.0.len(), name.1.len())).or_default() += 1,
        }
    }
    for name in last.keys().filter(|name| !found.contains_key(*name)) {
        *shapes.entry((name.0.len(), name.1.len())).or_default() -= 1;
    }
    // A name in which a bit was changed is as long as before.
    let is_in_name = !shapes.is_empty();
    if shapes.values().any(|more| *more != 0) {
        let (there, expected) = (found.len(), last.len());
        complaints.push(format!("{there} entries are there instead of {expected}, and check finds nothing"));
    }
    let verdict = if is_in_name { Verdict::SilentInAName } else { Verdict::SilentInAValue };
    if !is_in_name && !is_in_value && complaints.is_empty() {
        complaints.push("the content differs".into());
    }
    (verdict, complaints)
}
