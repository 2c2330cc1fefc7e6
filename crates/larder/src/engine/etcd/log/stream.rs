//! What is written under some keys, from a revision on, from whichever member brings it.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::{WatchResponse, WatchStream};
use tokio::time::{Instant, sleep, timeout_at};

use super::super::cluster::{Cluster, Trouble};
use super::super::fetch::{self, Moment};
use super::super::layout::Span;
use crate::data::Error;

/// For how long nothing may come before another member is asked: a part of the time of a call, but not less or
/// more than these.
const SILENCE_PARTS: u32 = 4;
const SILENCE_MIN: Duration = Duration::from_millis(200);
const SILENCE_MAX: Duration = Duration::from_secs(2);

/// How long to rest before a stream is opened anew that has just been: the first time it is done at once.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// A stream for somebody who waits for what is known to be there. One that is lost, or stands still, is opened
/// anew, at another member, until the time of a call is over in which nothing has come.
pub(super) struct Stream {
    cluster: Arc<Cluster>,
    span: Span,
    /// The stream, and the member that it comes from. `None` before it was opened and once it is lost.
    open: Option<(WatchStream, usize)>,
}

/// An answer that tells of something.
pub(super) struct Brought {
    pub response: WatchResponse,
    /// Whether it is the first of a stream that was opened anew, where all comes again from its start on.
    pub anew: bool,
}

/// Why no more comes.
pub(super) enum Ended {
    /// It begins before what the cluster still has; from this revision on that has all.
    Compacted(i64),
    Failed(Error),
}

impl Stream {
    pub fn new(cluster: Arc<Cluster>, span: Span) -> Self {
        Self { cluster, span, open: None }
    }

    /// The next answer. `start` is the revision from which on something is not known yet.
    pub async fn next(&mut self, start: i64) -> Result<Brought, Ended> {
        let deadline = Instant::now() + self.cluster.timeout;
        let mut silence = (self.cluster.timeout / SILENCE_PARTS).clamp(SILENCE_MIN, SILENCE_MAX);
        let mut pause = Duration::ZERO;
        let mut anew = false;
        loop {
            let Some((stream, member)) = &mut self.open else {
                let opened = self.cluster.watch(&self.span, start).await;
                self.open = Some(opened.map_err(|trouble| self.failed(trouble))?);
                anew = true;
                continue;
            };
            let member = *member;
            let until = deadline.min(Instant::now() + silence);
            let reason = match timeout_at(until, stream.message()).await {
                Ok(Ok(Some(response))) if response.canceled() => {
                    self.open = None;
                    if response.compact_revision() > 0 {
                        return Err(Ended::Compacted(response.compact_revision()));
                    }
                    self.introduce().await?;
                    response.cancel_reason().to_owned()
                }
                // This says only that it was created.
                Ok(Ok(Some(response))) if response.events().is_empty() => continue,
                Ok(Ok(Some(response))) => return Ok(Brought { response, anew }),
                Ok(Ok(None)) => "the stream of changes has ended".into(),
                Ok(Err(error)) => error.to_string(),
                Err(_) => {
                    // It may be that there is much to look through before the first change.
                    silence *= 2;
                    "no changes come".into()
                }
            };
            if self.open.take().is_some() {
                self.cluster.turn_from(member);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let waited = self.cluster.timeout;
                return Err(self.failed(Trouble::Lost { reason, waited, sent: false }));
            }
            sleep(pause.min(left)).await;
            pause = (pause * 2).clamp(PAUSE_MIN, PAUSE_MAX);
        }
    }

    /// Asks for something, after a member that is well has refused a stream. A member that has forgotten who
    /// was let in says so there alone, and is told again; and who may not read at all hears so.
    async fn introduce(&self) -> Result<(), Ended> {
        let asked = fetch::key(&self.cluster, &self.span.start, Moment::Now).await;
        asked.map(drop).map_err(|trouble| self.failed(trouble))
    }

    fn failed(&self, trouble: Trouble) -> Ended {
        Ended::Failed(self.cluster.error(trouble))
    }
}
