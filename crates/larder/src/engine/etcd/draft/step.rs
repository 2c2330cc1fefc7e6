//! A step of a draft, and why it cannot be made yet, or at all.

use bytes::Bytes;
use prost::Message;

use super::knowledge::Wanted;
use crate::data::Error;
use crate::engine::etcd::client::Cluster;
use crate::engine::etcd::layout::unreadable;

/// Why a step cannot be made.
#[derive(Debug)]
pub enum StepError {
    /// The store refuses the step.
    Refused(Error),
    /// These facts have to be fetched first.
    Missing(Vec<Wanted>),
    /// The step depends on the revision of the draft's own writes, which their commit decides.
    NeedsOwnRevision,
    /// The cluster holds something that larder did not write.
    Damaged(String),
}

pub type Step<T> = Result<T, StepError>;

impl From<Error> for StepError {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl StepError {
    /// Converts the error of a step for which everything was fetched that it needs.
    pub fn into_error(self, cluster: &Cluster) -> Error {
        match self {
            Self::Refused(error) => error,
            Self::Damaged(detail) => cluster.damaged(detail),
            Self::Missing(_) | Self::NeedsOwnRevision => cluster.damaged("a step was made too early"),
        }
    }
}

/// Decodes the message that larder wrote under a key.
pub fn decode<M: Message + Default>(key: &[u8], bytes: Bytes) -> Step<M> {
    M::decode(bytes).map_err(|error| StepError::Damaged(unreadable(key, &error)))
}
