//! Says on standard error what the library logs: `--log`.
//!
//! What other libraries log is left out. It may hold what a connection sends, and so a password.

use std::fmt::{self, Write};

use clap::ValueEnum;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::notice::Notice;

/// The least important that is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Level {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// Says what the library logs, up to a level.
struct Log {
    most: LevelFilter,
    as_json: bool,
}

/// Says from now on what the library logs, in every thread.
pub fn listen(level: Level, as_json: bool) {
    let most = match level {
        Level::Off => return,
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
    // It is the first of this process, so it is taken.
    let _ = tracing::subscriber::set_global_default(Log { most, as_json });
}

fn is_of_larder(target: &str) -> bool {
    target == "larder" || target.starts_with("larder::")
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= self.most && is_of_larder(metadata.target())
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.most)
    }

    fn event(&self, event: &Event<'_>) {
        let mut said = Said::default();
        event.record(&mut said);
        said.notice(*event.metadata().level()).say(self.as_json);
    }

    // It has no use for spans, and none is enabled.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// What an event says.
#[derive(Default)]
struct Said {
    message: String,
    facts: String,
    causes: Vec<String>,
}

impl Visit for Said {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            "error" | "detail" => self.causes.push(format!("{value:?}")),
            name => {
                let separator = if self.facts.is_empty() { "" } else { ", " };
                // Writing to a String does not fail.
                let _ = write!(self.facts, "{separator}{name}: {value:?}");
            }
        }
    }
}

impl Said {
    fn notice(self, level: tracing::Level) -> Notice {
        let message = match self.facts.as_str() {
            "" => self.message,
            facts => format!("{} ({facts})", self.message),
        };
        let kind = match level {
            tracing::Level::INFO => "info",
            tracing::Level::DEBUG => "debug",
            tracing::Level::TRACE => "trace",
            // A command that has failed says so itself.
            _ => "warning",
        };
        self.causes.into_iter().fold(Notice::logged(kind, message), Notice::because)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_larder_logs_is_said() {
        assert!(is_of_larder("larder") && is_of_larder("larder::engine::etcd"));
        assert!(!is_of_larder("h2::codec") && !is_of_larder("larder_of_another") && !is_of_larder(""));
    }
}
