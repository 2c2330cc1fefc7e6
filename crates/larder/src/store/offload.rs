//! Where blocking work runs: with the feature `tokio`, on threads of a runtime once the store is awaited.

#[cfg(feature = "tokio")]
mod gate;
#[cfg(not(feature = "tokio"))]
mod inline;
#[cfg(feature = "tokio")]
mod runtime;

#[cfg(not(feature = "tokio"))]
pub(crate) use self::inline::Offload;
#[cfg(feature = "tokio")]
pub(crate) use self::runtime::{Offload, run, runtime};
