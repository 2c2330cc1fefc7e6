//! What has come of one call so far: what each member said, and whether the request may have reached the cluster.

use std::time::Duration;

use tokio::time::Instant;

use super::call_error::CallError;
use super::causes::Doubt;
use super::refusal::{Endpoint, Failure};
use crate::data::Error;

/// The attempts of one call.
pub struct Attempts<'a> {
    members: Vec<Asked<'a>>,
    pub began: Instant,
    /// Whether the request may have reached the cluster.
    pub sent: bool,
}

/// A member, and what came of asking it last.
struct Asked<'a> {
    endpoint: Endpoint<'a>,
    words: Option<String>,
    /// The error, if asking the member again would not change it.
    unfit: Option<Error>,
    /// Why it may not be etcd.
    doubt: Option<Doubt>,
}

impl<'a> Attempts<'a> {
    pub fn new(members: impl Iterator<Item = Endpoint<'a>>) -> Self {
        let asked = |endpoint| Asked { endpoint, words: None, unfit: None, doubt: None };
        Self { members: members.map(asked).collect(), began: Instant::now(), sent: false }
    }

    /// Records a member's failure. Returns an error where no further attempt can succeed.
    pub fn record(&mut self, member: usize, failure: Failure) -> Result<(), CallError> {
        let asked = &mut self.members[member];
        asked.unfit = None;
        let doubt_before = asked.doubt.take();
        let words = match failure {
            Failure::Compacted => return Err(CallError::Compacted),
            Failure::Refused(error) => return Err(CallError::Refused { error, sent: self.sent }),
            Failure::AnswerTooLarge(reason) => {
                return Err(CallError::AnswerTooLarge { reason, waited: self.waited() });
            }
            Failure::MemberUnfit { error, words } => {
                asked.unfit = Some(error);
                words
            }
            Failure::NotSent(words) => words,
            Failure::Lost(words) => {
                self.sent = true;
                words
            }
            Failure::Doubtful(words, doubt) => {
                self.sent = true;
                // Keeps what proves that the member speaks no TLS: this doubt may prove nothing.
                let proof = doubt_before.filter(|before| *before == Doubt::ClosedInHandshake);
                asked.doubt = Some(proof.unwrap_or(doubt));
                match asked.words.take() {
                    Some(before) if proof.is_some() => before,
                    _ => words,
                }
            }
        };
        asked.words = Some(words);
        if self.members.iter().all(|asked| asked.unfit.is_some())
            && let Some(error) = self.members.first_mut().and_then(|asked| asked.unfit.take())
        {
            return Err(CallError::Refused { error, sent: self.sent });
        }
        Ok(())
    }

    /// The error of the call once its timeout is over. `has_answered`: whether any member has ever answered.
    pub fn into_error(self, has_answered: bool) -> CallError {
        if !has_answered
            && self.members.iter().all(|asked| asked.doubt.is_some())
            && let Some(Asked { endpoint, words, doubt: Some(doubt), .. }) = self.members.first()
        {
            let error = endpoint.doubtful(words.as_deref().unwrap_or_default(), *doubt);
            return CallError::Refused { error, sent: self.sent };
        }
        CallError::Lost { reason: self.reason(), waited: self.waited(), sent: self.sent }
    }

    fn waited(&self) -> Duration {
        Duration::from_millis(self.began.elapsed().as_millis().try_into().unwrap_or(u64::MAX))
    }

    /// What the members said, once if all said the same.
    fn reason(&self) -> String {
        let words =
            self.members.iter().filter_map(|asked| Some((asked.endpoint.endpoint, asked.words.as_ref()?)));
        let words: Vec<_> = words.collect();
        match &*words {
            [] => "none could be asked".into(),
            [(_, first), rest @ ..] if rest.iter().all(|(_, words)| words == first) => (*first).clone(),
            words => {
                let words: Vec<_> =
                    words.iter().map(|(member, words)| format!("{member}: {words}")).collect();
                words.join(", ")
            }
        }
    }
}
