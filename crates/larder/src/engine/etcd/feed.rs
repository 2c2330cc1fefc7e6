//! The change feed: the change log in the cluster's history, and the follower of new commits.

mod assembler;
mod change_log;
mod cursors;
mod failover_watch;
mod follower;
mod idle_readers;
mod log_reader;
mod log_size;
mod recent;

pub(super) use self::change_log::ChangeLog;
pub(super) use self::cursors::list_cursors;
pub(super) use self::follower::Follower;
