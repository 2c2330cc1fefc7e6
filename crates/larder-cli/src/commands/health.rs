//! How the command line stands to a cluster, for `larder stats`.

use std::thread;
use std::time::{Duration, Instant};

use larder::{Feed, Health, Pattern, Store};

use crate::arguments::Access;
use crate::failure::Failure;
use crate::records::expiry_field;

/// How long the feed has to begin if nothing else was asked for.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How often it is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Returns how this process stands to its cluster, and whether changes reach it; `None` where the store is in a file.
pub fn of(store: &Store, access: &Access) -> Result<Option<Health>, Failure> {
    let mut health = store.health()?;
    if health.member.is_none() {
        return Ok(None);
    }
    // Nothing else needs the feed, so it is only there for a watcher.
    let watcher = match store.watch(Pattern::all()) {
        Ok(watcher) => watcher,
        Err(error) => {
            let mut feed = Feed::default();
            feed.refusal = Some(error.to_string());
            health.feed = Some(feed);
            return Ok(Some(health));
        }
    };
    let began = Instant::now();
    let timeout = access.timeout.unwrap_or(TIMEOUT);
    loop {
        health = store.health()?;
        let is_known =
            |feed: &Feed| feed.refusal.is_some() || (feed.connected_since.is_some() && feed.lag.is_some());
        if health.feed.as_ref().is_some_and(is_known) || began.elapsed() >= timeout {
            drop(watcher);
            return Ok(Some(health));
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// The figures, each with its name and what it means; `-` is none.
pub fn figures(health: &Health) -> Vec<(&'static str, String, &'static str)> {
    let feed = health.feed.clone().unwrap_or_default();
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    vec![
        ("member", or_none(health.member.clone()), "of the cluster that is asked"),
        ("feed_connected_since", expiry_field(feed.connected_since), "when changes began to come"),
        ("feed_member", or_none(feed.member), "that they come from"),
        ("feed_revision", feed.revision.to_string(), "last commit that came"),
        (
            "feed_lag_ms",
            or_none(feed.lag.map(|lag| lag.as_millis().to_string())),
            "since everything was known to have come",
        ),
        ("feed_interruptions", feed.interruptions.to_string(), "of the feed, for this command"),
        ("feed_refusal", or_none(feed.refusal), "why the cluster sends no changes"),
        ("retries", health.retries.to_string(), "requests sent again, by this command"),
        ("contended", health.contended.to_string(), "writes given up to faster writers, by this command"),
        ("unknown", health.unknown.to_string(), "writes of unknown outcome, by this command"),
        ("restores", health.restores.to_string(), "of the cluster, while this command ran"),
        ("left_out", health.left_out.to_string(), "entries that could not be read, by this command"),
    ]
}
