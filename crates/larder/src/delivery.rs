//! How committed changes reach watchers and callbacks.

mod callbacks;
mod index;
mod mailbox;
mod registry;

pub(crate) use self::callbacks::Callback;
pub(crate) use self::mailbox::{Delivery, Mailbox};
pub(crate) use self::registry::Registry;
