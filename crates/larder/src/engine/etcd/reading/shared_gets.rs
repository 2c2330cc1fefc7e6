//! Gets of single keys that share requests.
//!
//! While enough requests are running, further gets wait and go into the next request together: a member takes
//! hardly longer for many keys than for one. A get never sees a state from before it began, because a request
//! only takes gets that already wait.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::data::{Error, Result, locked};
use crate::engine::etcd::client::{CallError, Cluster, KeyState, ReadAt};

/// How many requests run before gets wait and share one.
const REQUESTS_MAX: usize = 4;

/// How many gets share a request at most, and how many bytes their keys and their values may have. The size of
/// the values is estimated from those read before. A member accepts no longer request, and a slow line takes
/// long for a longer answer.
const GETS_MAX: usize = 64;
const KEY_BYTES_MAX: usize = 512 << 10;
const VALUE_BYTES_MAX: usize = 4 << 20;

/// Gets for all threads of a process.
pub struct SharedGets {
    cluster: Arc<Cluster>,
    /// Runs the requests that serve waiting gets.
    handle: Handle,
    /// Held only to count and to move gets, never while waiting.
    queue: Mutex<GetQueue>,
}

#[derive(Default)]
struct GetQueue {
    running_requests: usize,
    waiting: VecDeque<WaitingGet>,
    /// The size of a large value among those read lately.
    value_bytes: usize,
}

struct WaitingGet {
    key: Bytes,
    reply: oneshot::Sender<Result<(KeyState, i64)>>,
}

impl GetQueue {
    /// Takes out the gets of the next request.
    fn take(&mut self) -> Vec<WaitingGet> {
        let most = (VALUE_BYTES_MAX / self.value_bytes.max(1)).clamp(1, GETS_MAX);
        let (mut gets, mut key_bytes) = (Vec::new(), 0);
        while let Some(next) = self.waiting.front()
            && gets.len() < most
            && (gets.is_empty() || key_bytes + next.key.len() <= KEY_BYTES_MAX)
        {
            key_bytes += next.key.len();
            // Leaves out the gets of callers that have given up.
            gets.extend(self.waiting.pop_front().filter(|get| !get.reply.is_closed()));
        }
        gets
    }

    fn note_size(&mut self, value: Option<&Bytes>) {
        self.value_bytes = value.map_or(0, Bytes::len).max(self.value_bytes / 8 * 7);
    }
}

impl SharedGets {
    pub fn new(cluster: Arc<Cluster>, handle: Handle) -> Arc<Self> {
        Arc::new(Self { cluster, handle, queue: Mutex::default() })
    }

    /// Reads the latest state of a key. Returns it with the revision of the cluster that was read. Must run in a
    /// task of the engine's runtime, since other gets may wait for it.
    pub async fn get(self: &Arc<Self>, key: Bytes) -> Result<(KeyState, i64)> {
        let Some(state) = self.wait_behind_others(&key) else {
            let _permit = RequestPermit(Arc::clone(self));
            let read = self.cluster.read_key(&key, ReadAt::Linearizable).await;
            if let Ok((state, _)) = &read {
                locked(&self.queue).note_size(state.value.as_ref());
            }
            return read.map_err(|error| self.cluster.error(error));
        };
        match timeout(self.cluster.timeout, state).await {
            Ok(state) => state.map_err(|_| Error::Closed)?,
            Err(_) => {
                let reason = "the reads ahead of it have no answer either".to_owned();
                let waited = self.cluster.timeout;
                Err(self.cluster.error(CallError::Lost { reason, waited, sent: false }))
            }
        }
    }

    /// Queues a get; `None` if it may send a request of its own.
    fn wait_behind_others(&self, key: &Bytes) -> Option<oneshot::Receiver<Result<(KeyState, i64)>>> {
        let mut queue = locked(&self.queue);
        if queue.running_requests < REQUESTS_MAX {
            queue.running_requests += 1;
            return None;
        }
        let (reply, state) = oneshot::channel();
        queue.waiting.push_back(WaitingGet { key: key.clone(), reply });
        Some(state)
    }

    /// Sends one request for several gets.
    async fn get_together(&self, gets: Vec<WaitingGet>) {
        let keys: Vec<_> = gets.iter().map(|get| get.key.clone()).collect();
        match self.cluster.read_keys(&keys).await {
            Ok((states, revision)) => {
                let mut queue = locked(&self.queue);
                states.iter().for_each(|state| queue.note_size(state.value.as_ref()));
                drop(queue);
                for (get, state) in gets.into_iter().zip(states) {
                    let _ = get.reply.send(Ok((state, revision)));
                }
            }
            // Some of the gets may be refused and others not.
            Err(CallError::Refused { .. }) if gets.len() > 1 => {
                for get in gets {
                    let read = self.cluster.read_key(&get.key, ReadAt::Linearizable).await;
                    let _ = get.reply.send(read.map_err(|error| self.cluster.error(error)));
                }
            }
            Err(error) => {
                let error = self.cluster.error(error);
                for get in gets {
                    let _ = get.reply.send(Err(error.clone()));
                }
            }
        }
    }
}

/// The permit to run a request. When it is dropped, whether or not the request has ended, it passes to the gets
/// that wait.
struct RequestPermit(Arc<SharedGets>);

impl Drop for RequestPermit {
    fn drop(&mut self) {
        let mut queue = locked(&self.0.queue);
        let gets = queue.take();
        if gets.is_empty() {
            queue.running_requests -= 1;
            return;
        }
        drop(queue);
        let permit = Self(Arc::clone(&self.0));
        self.0.handle.spawn(async move { permit.0.get_together(gets).await });
    }
}
