//! The client side of the cluster: what a location names, the members, and requests to them.

mod address;
mod anchor;
mod answer;
mod answer_size;
mod attempts;
mod call_error;
mod causes;
mod cluster;
mod counts;
mod files;
mod fresh_options;
mod member;
mod reads;
mod refusal;
mod runtime;
mod strangers;
mod timeline;

pub(crate) use self::address::Address;
pub(super) use self::answer::header_of;
pub(super) use self::call_error::CallError;
pub(super) use self::cluster::Cluster;
pub(super) use self::reads::{KeyState, ReadAt, first_state};
pub(super) use self::refusal::REQUEST_BYTES_MAX;
pub(super) use self::runtime::{EngineRuntime, block_on, pending_answer, spawn_answer};
pub(super) use self::strangers::ANSWER_MAX;
pub(super) use self::timeline::{Asked, Timeline};
