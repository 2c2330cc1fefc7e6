//! The options of each new connection, with certificates and password as they are at that moment.

use std::sync::Mutex;
use std::time::Duration;

use etcd_client::ConnectOptions;

use super::address::Address;
use super::files::{password, tls_options};
use crate::data::{Result, Secret, locked, report};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How often a connection with a request or a watch on it is pinged, and how long the reply may take. Without
/// pings, an idle watch would not notice a dead connection. Members close a connection that pings more often
/// than every five seconds.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// The options of a connection. Certificates and passwords are replaced while programs run, so each new connection reads
/// their files again.
pub struct FreshOptions {
    address: Address,
    /// The last options whose files could be read. Held only to look and to store.
    last: Mutex<Fresh>,
}

/// What a new connection uses.
#[derive(Clone)]
pub struct Fresh {
    pub options: ConnectOptions,
    /// The password among them.
    pub password: Option<Secret>,
}

impl FreshOptions {
    pub fn new(address: &Address) -> Result<Self> {
        Ok(Self { address: address.clone(), last: Mutex::new(connect_options(address)?) })
    }

    pub fn get(&self) -> Fresh {
        if self.address.tls.is_some() || self.address.has_password_file() {
            match connect_options(&self.address) {
                Ok(last) => *locked(&self.last) = last,
                // A file may be missing for a moment while it is replaced.
                Err(error) => report(
                    || tracing::warn!(%error, "a connection uses certificates and password of the last one"),
                ),
            }
        }
        locked(&self.last).clone()
    }

    /// Whether the password's file holds another password than a connection has used. Another request may have connected
    /// with that one already.
    pub fn password_has_changed(&self, used: Option<&Secret>) -> bool {
        self.address.has_password_file()
            && password_of(&self.address).is_ok_and(|password| password.as_ref() != used)
    }
}

/// Returns the options with which the client connects to every member.
fn connect_options(address: &Address) -> Result<Fresh> {
    let mut options = ConnectOptions::new()
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_keep_alive(PING_INTERVAL, PING_TIMEOUT)
        .with_require_leader(true)
        .with_auto_token_refresh(true);
    let password = password_of(address)?;
    if let (Some(user), Some(password)) = (&address.user, &password) {
        options = options.with_user(&user.name, password.reveal());
    }
    if let Some(files) = &address.tls {
        options = options.with_tls(tls_options(files, address)?);
    }
    Ok(Fresh { options, password })
}

fn password_of(address: &Address) -> Result<Option<Secret>> {
    address.user.as_ref().map(|user| password(&user.password, address)).transpose()
}
