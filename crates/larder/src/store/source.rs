//! Where a view reads from.

use std::sync::Arc;

use super::shared::Open;
use crate::data::Result;
use crate::engine::{Read, Transact};

/// Where a view reads from.
#[derive(Clone)]
pub(crate) enum Source {
    /// The store; each call sees the latest commit.
    Store(Arc<Open>),
    /// The store at one moment.
    Snapshot(Arc<Open>, Arc<dyn Read>),
    /// A transaction in progress.
    Transaction(Arc<Open>, Arc<dyn Transact>),
}

impl Source {
    pub fn reader(&self) -> Result<&dyn Read> {
        match self {
            Self::Store(shared) => shared.reader(),
            // A snapshot takes no lock, so it may be read inside a transaction of the store.
            Self::Snapshot(shared, read) => {
                shared.check_open()?;
                Ok(&**read)
            }
            Self::Transaction(shared, transaction) => {
                shared.check_process()?;
                Ok(&**transaction)
            }
        }
    }
}
