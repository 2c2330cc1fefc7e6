//! Single reads of the latest moment. What is asked for while enough requests are under way goes into the next
//! one together: a member takes hardly longer for many keys than for one.
//!
//! Each is still of a moment after it was asked for, since a request is only made of those that wait already.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::cluster::{Cluster, Trouble, at_most};
use super::fetch::{self, Moment};
use super::knowledge::{Kept, Wanted};
use crate::data::{Error, Result};

/// How many requests are under way before reads wait for one another.
const AT_ONCE: usize = 4;

/// How many reads one request makes at the most, and how many bytes their names and, by those that were read
/// before, their values may have: a member takes no longer message, and a slow line takes its time for one.
const TOGETHER_MAX: usize = 64;
const NAME_BYTES_MAX: usize = 512 << 10;
const VALUE_BYTES_MAX: usize = 4 << 20;

/// What was found under a key, and the revision of the cluster at which it was.
type Found = (Kept, i64);

/// Reads for all threads of one process.
pub(super) struct Gets {
    cluster: Arc<Cluster>,
    /// Where requests are made that nobody in particular waits for.
    handle: Handle,
    /// Held for as long as it takes to look and to take, never while anything is waited for.
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    under_way: usize,
    waiting: VecDeque<Waiting>,
    /// How large a value is to be expected: the largest of those that were read of late.
    value_bytes: usize,
}

impl Queue {
    /// Takes out those that go into one request.
    fn take(&mut self) -> Vec<Waiting> {
        let most = (VALUE_BYTES_MAX / self.value_bytes.max(1)).clamp(1, TOGETHER_MAX);
        let (mut some, mut name_bytes) = (Vec::new(), 0);
        while let Some(next) = self.waiting.front()
            && some.len() < most
            && (some.is_empty() || name_bytes + next.key.len() <= NAME_BYTES_MAX)
        {
            name_bytes += next.key.len();
            // Who has given up wants it no more.
            some.extend(self.waiting.pop_front().filter(|waiting| !waiting.reply.is_closed()));
        }
        some
    }

    fn has_read(&mut self, value: Option<&Bytes>) {
        self.value_bytes = value.map_or(0, Bytes::len).max(self.value_bytes / 8 * 7);
    }
}

struct Waiting {
    key: Bytes,
    reply: oneshot::Sender<Result<Found>>,
}

impl Gets {
    pub fn new(cluster: Arc<Cluster>, handle: Handle) -> Arc<Self> {
        Arc::new(Self { cluster, handle, queue: Mutex::default() })
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads one key. To be polled by a task of the engine's, since others may have to wait for it.
    pub async fn get(self: &Arc<Self>, key: Bytes) -> Result<Found> {
        let Some(found) = self.queue_behind_others(&key) else {
            let _turn = Turn(Arc::clone(self));
            let found = fetch::key(&self.cluster, &key, Moment::Now).await;
            if let Ok((kept, _)) = &found {
                self.queue().has_read(kept.value.as_ref());
            }
            return found.map_err(|trouble| self.cluster.error(trouble));
        };
        match at_most(self.cluster.timeout, found).await {
            Some(found) => found.map_err(|_| Error::Closed)?,
            None => {
                let reason = "other reads have waited in vain, too".to_owned();
                let waited = self.cluster.timeout;
                Err(self.cluster.error(Trouble::Lost { reason, waited, sent: false }))
            }
        }
    }

    /// Waits for somebody's turn to end; `None` where one is to be had.
    fn queue_behind_others(&self, key: &Bytes) -> Option<oneshot::Receiver<Result<Found>>> {
        let mut queue = self.queue();
        if queue.under_way < AT_ONCE {
            queue.under_way += 1;
            return None;
        }
        let (reply, found) = oneshot::channel();
        queue.waiting.push_back(Waiting { key: key.clone(), reply });
        Some(found)
    }

    /// Reads for some who wait.
    async fn get_together(&self, some: Vec<Waiting>) {
        let wanted: Vec<_> = some.iter().map(|waiting| Wanted::Key(waiting.key.clone())).collect();
        match fetch::keys(&self.cluster, &wanted).await {
            Ok((found, revision)) => {
                let mut queue = self.queue();
                found.iter().for_each(|kept| queue.has_read(kept.value.as_ref()));
                drop(queue);
                for (waiting, kept) in some.into_iter().zip(found) {
                    let _ = waiting.reply.send(Ok((kept, revision)));
                }
            }
            // What one of them is refused, another may be given.
            Err(Trouble::Refused { .. }) if some.len() > 1 => {
                for waiting in some {
                    let found = fetch::key(&self.cluster, &waiting.key, Moment::Now).await;
                    let _ = waiting.reply.send(found.map_err(|trouble| self.cluster.error(trouble)));
                }
            }
            Err(trouble) => {
                let error = self.cluster.error(trouble);
                for waiting in some {
                    let _ = waiting.reply.send(Err(error.clone()));
                }
            }
        }
    }
}

/// The right to make a request. It goes over to those who wait, whether or not the request came to its end.
struct Turn(Arc<Gets>);

impl Drop for Turn {
    fn drop(&mut self) {
        let mut queue = self.0.queue();
        let some = queue.take();
        if some.is_empty() {
            queue.under_way -= 1;
            return;
        }
        drop(queue);
        let turn = Self(Arc::clone(&self.0));
        self.0.handle.spawn(async move { turn.0.get_together(some).await });
    }
}
