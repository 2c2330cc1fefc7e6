//! Random sequences over the whole API, on a store and on a plain map side by side.
//!
//! A sequence is decoded from bytes, so that the trial, the stored corpus and a fuzzer run the same.

#[macro_use]
mod by_method;
mod call;
mod copies;
mod face;
mod feeds;
mod listeners;
mod looks;
mod names;
mod others;
mod perform;
mod place;
mod plain;
mod replay;
mod restores;
mod run;
mod shrink;
mod stored;
mod trial;
mod wanted;

use names::namespace_of;
pub use place::{Engine, Side};
pub use stored::stored;
pub use trial::{Failure, Plan, Plant, Report, sequence, trial};

/// What went well, or one sentence that says what did not.
pub type Outcome<T = ()> = Result<T, String>;
