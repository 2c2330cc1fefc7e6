//! Committing: the queue, cohorts that share an etcd transaction, submitting each once, and transactions.

mod alone;
mod cohort;
mod committer;
mod fence;
mod open_transaction;
mod purge_backoff;
mod queue;
mod rivals;
pub(super) mod stepwise;
mod submit;
mod transact;
mod writer_turns;

pub(super) use self::committer::Committer;
pub(super) use self::purge_backoff::PurgeBackoff;
pub(super) use self::queue::{CommitSender, commit_queue};
pub(super) use self::rivals::prepare_to_try_again;
pub(super) use self::transact::transact;
