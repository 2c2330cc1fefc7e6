//! Log readers that stay open for callers that come back for more.

use crate::data::locked;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::sleep;

use super::log_reader::LogReader;

/// How many readers are kept at most. A watch that is not read fills up to 2 MiB of the 5 MiB that a connection
/// buffers for all its requests. More idle readers would block the connection.
const READERS_MAX: usize = 2;

/// How long an idle reader is kept. A caller that reads on does so at once.
const KEPT_FOR: Duration = Duration::from_secs(5);

/// The readers that are not in use.
#[derive(Default)]
pub struct IdleReaders {
    /// Held only to look and to move a reader, never while waiting.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The oldest first, each with the number of the [`IdleReaders::put`] that has left it here.
    readers: Vec<(u64, LogReader)>,
    puts: u64,
}

impl IdleReaders {
    /// Takes out a reader that covers the log from a revision on.
    pub fn take(&self, start: i64) -> Option<LogReader> {
        let mut state = locked(&self.state);
        let index = state.readers.iter().position(|(_, reader)| reader.covers(start))?;
        Some(state.readers.remove(index).1)
    }

    /// Drops all readers.
    pub fn clear(&self) {
        locked(&self.state).readers.clear();
    }

    /// Keeps a reader for a while.
    pub fn put(self: &Arc<Self>, reader: LogReader) {
        let mut state = locked(&self.state);
        if state.readers.len() == READERS_MAX {
            state.readers.remove(0);
        }
        state.puts += 1;
        let number = state.puts;
        state.readers.push((number, reader));
        drop(state);
        let idle = Arc::downgrade(self);
        tokio::spawn(async move {
            sleep(KEPT_FOR).await;
            if let Some(idle) = idle.upgrade() {
                locked(&idle.state).readers.retain(|(kept, _)| *kept != number);
            }
        });
    }
}
