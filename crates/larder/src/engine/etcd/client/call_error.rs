//! Why a call on the cluster has no answer.

use std::time::Duration;

use crate::data::Error;

/// Why a call on the cluster has no answer.
#[derive(Debug)]
pub enum CallError {
    /// The cluster has compacted the revision that was asked for.
    Compacted,
    /// The request was refused, and would be refused again. `sent` says whether an earlier attempt may have
    /// reached the cluster without being answered.
    Refused { error: Error, sent: bool },
    /// A member answered with more than this client takes, and would do so again. What was asked for has happened.
    AnswerTooLarge { reason: String, waited: Duration },
    /// No member answered in time. `sent` says whether the request may have reached the cluster.
    Lost { reason: String, waited: Duration, sent: bool },
}

impl CallError {
    /// Returns the error for a caller whose earlier request may still take effect.
    pub fn after_sending(self) -> Self {
        match self {
            Self::Refused { error, .. } => Self::Refused { error, sent: true },
            Self::Lost { reason, waited, .. } => Self::Lost { reason, waited, sent: true },
            other @ (Self::Compacted | Self::AnswerTooLarge { .. }) => other,
        }
    }

    /// Returns whether the request certainly never reached the cluster, and never will.
    pub fn is_unsent(&self) -> bool {
        matches!(self, Self::Refused { sent: false, .. } | Self::Lost { sent: false, .. })
    }
}
