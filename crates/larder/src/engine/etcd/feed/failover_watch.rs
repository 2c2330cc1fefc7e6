//! A watch that fails over to another member.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::{WatchResponse, WatchStream};
use tokio::time::{Instant, sleep, timeout_at};

use crate::data::Error;
use crate::engine::etcd::client::{CallError, Cluster, ReadAt, header_of};
use crate::engine::etcd::layout::Span;

/// How long a watch may bring nothing before another member is asked: this part of the timeout of a call, within
/// these bounds.
const SILENCE_PART: u32 = 4;
const SILENCE_MIN: Duration = Duration::from_millis(200);
const SILENCE_MAX: Duration = Duration::from_secs(2);

/// How long to pause before a watch is reopened. The first time there is no pause.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// A watch for a reader that knows that there is something to read. A watch that ends or stalls is reopened at
/// another member, until nothing has come for the timeout of a call.
pub struct FailoverWatch {
    cluster: Arc<Cluster>,
    span: Span,
    /// The open watch and the index of its member; `None` before it is opened and after it has ended.
    open: Option<(WatchStream, usize)>,
}

/// A response with events.
pub struct WatchMessage {
    pub response: WatchResponse,
    /// Whether the watch was reopened before it: then all events from the start come again.
    pub is_reopened: bool,
}

/// Why a watch brings no more.
pub enum WatchError {
    /// The watch starts before the oldest revision that the cluster still has, which is this one.
    Compacted(i64),
    Failed(Error),
}

impl FailoverWatch {
    pub fn new(cluster: Arc<Cluster>, span: Span) -> Self {
        Self { cluster, span, open: None }
    }

    /// Waits for the next response with events. A watch that has to be opened starts at revision `start`.
    pub async fn next(&mut self, start: i64) -> Result<WatchMessage, WatchError> {
        let deadline = Instant::now() + self.cluster.timeout;
        let mut silence = (self.cluster.timeout / SILENCE_PART).clamp(SILENCE_MIN, SILENCE_MAX);
        let mut pause = Duration::ZERO;
        let mut is_reopened = false;
        loop {
            let Some((stream, member)) = &mut self.open else {
                let opened = self.cluster.watch(&self.span, start).await;
                self.open = Some(opened.map_err(|error| self.failed(error))?);
                is_reopened = true;
                continue;
            };
            let member = *member;
            let until = deadline.min(Instant::now() + silence);
            let reason = match timeout_at(until, stream.message()).await {
                // A restored cluster brings what other calls notice first.
                Ok(Ok(Some(response))) if self.is_of_another_cluster(&response) => {
                    "the member belongs to another cluster".into()
                }
                Ok(Ok(Some(response))) if response.canceled() => {
                    self.open = None;
                    if response.compact_revision() > 0 {
                        return Err(WatchError::Compacted(response.compact_revision()));
                    }
                    self.authenticate().await?;
                    response.cancel_reason().to_owned()
                }
                // The member only confirms that it has created the watch.
                Ok(Ok(Some(response))) if response.events().is_empty() => continue,
                Ok(Ok(Some(response))) => return Ok(WatchMessage { response, is_reopened }),
                Ok(Ok(None)) => "the watch has ended".into(),
                Ok(Err(error)) => error.to_string(),
                Err(_) => {
                    // The member may have to search much history before the first event.
                    silence *= 2;
                    "the watch brings no changes".into()
                }
            };
            if self.open.take().is_some() {
                self.cluster.turn_from(member);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let waited = self.cluster.timeout;
                return Err(self.failed(CallError::Lost { reason, waited, sent: false }));
            }
            sleep(pause.min(left)).await;
            pause = (pause * 2).clamp(PAUSE_MIN, PAUSE_MAX);
        }
    }

    fn is_of_another_cluster(&self, response: &WatchResponse) -> bool {
        response.header().is_some_and(|header| self.cluster.timeline.is_other(header_of(header)))
    }

    /// Reads a key after a member has refused the watch. If the member has forgotten the client's token, the
    /// read gets a new one, which a watch does not. A client without read permission gets the error.
    async fn authenticate(&self) -> Result<(), WatchError> {
        let read = self.cluster.read_key(&self.span.start, ReadAt::Linearizable).await;
        read.map(drop).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: CallError) -> WatchError {
        WatchError::Failed(self.cluster.error(error))
    }
}
