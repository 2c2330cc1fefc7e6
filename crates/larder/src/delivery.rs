//! How committed changes reach watchers and callbacks.

mod account;
mod callbacks;
mod grouped;
mod index;
mod mailbox;
mod pile;
mod registry;

pub(crate) use self::callbacks::Callback;
pub(crate) use self::mailbox::{Delivery, Mailbox};
pub(crate) use self::registry::Registry;
