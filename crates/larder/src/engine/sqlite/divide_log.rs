//! Gives a namespace that fills a shared history one of its own.

use super::cohort::failure_of;
use super::writer::{Trouble, Uncommitted, Writer};
use crate::data::report;
use crate::engine::Interest;
use crate::rules::Division;

impl Writer {
    /// Divides a history, if the last commit has shown that this is needed: in a transaction of its own, since it is
    /// no part of what the callers have asked for.
    pub(super) fn divide_log(&mut self) {
        let Some(Division { prefix, bounds }) = self.known.log.division.take() else { return };
        let divided =
            self.begin(Interest::None).and_then(|()| match self.set_history(prefix.clone(), Some(bounds)) {
                Ok(_) => self.commit(),
                Err(Trouble::Failed(error)) => Err(error.into()),
                Err(Trouble::Refused(error)) => Err(Uncommitted::Stopped(error)),
            });
        if let Err(failed) = divided {
            let error = failure_of(self, failed);
            // Until the next look the history is pruned as a whole: it must not grow for ever.
            let index = self.known.log.parts.of(&prefix);
            if let Some(part) = self.known.log.parts.0.get_mut(index) {
                part.looked_at = (part.last.number, part.last.bytes);
            }
            let error: &dyn std::error::Error = &error;
            report(|| tracing::warn!(prefix, error, "a history could not be divided"));
        }
    }
}
