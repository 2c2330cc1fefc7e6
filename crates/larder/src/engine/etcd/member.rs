//! One member of the cluster, and the connection to it.

use std::time::Duration;

use etcd_client::{Client, ConnectOptions};
use tokio::sync::Mutex;

use super::address::Address;
use crate::data::Result;

/// How long a connection may take to come about.
const CONNECTING_MAX: Duration = Duration::from_secs(1);

/// How often a connection with something under way is asked whether anybody is still there, and how long
/// that may take to be answered. A watch that nothing happens in would not notice otherwise. Members take
/// offence at less than five seconds.
const ASKED_EVERY: Duration = Duration::from_secs(10);
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);

pub(super) struct Member {
    /// With `http://` or `https://`.
    pub endpoint: String,
    /// The lock is held while the connection comes about.
    connection: Mutex<Connection>,
}

#[derive(Default)]
struct Connection {
    /// `None` until it is wanted, and after it was let go.
    client: Option<Client>,
    /// Tells it from those before.
    number: u64,
}

impl Member {
    /// The members that an address names.
    pub fn all_of(address: &Address) -> Vec<Self> {
        let scheme = if address.tls.is_some() { "https" } else { "http" };
        let member =
            |endpoint| Self { endpoint: format!("{scheme}://{endpoint}"), connection: Mutex::default() };
        address.endpoints.iter().map(member).collect()
    }

    /// The connection, and its number. Where there is none, it is made.
    pub async fn client(&self, options: &ConnectOptions) -> Result<(Client, u64), etcd_client::Error> {
        let mut connection = self.connection.lock().await;
        let Connection { client, number } = &mut *connection;
        if let Some(client) = client {
            return Ok((client.clone(), *number));
        }
        let connected = Client::connect([&self.endpoint], Some(options.clone())).await?;
        *number += 1;
        Ok((client.insert(connected).clone(), *number))
    }

    /// Lets a connection go that does not answer, so that the next request makes a new one: the system may
    /// take minutes to find out that nobody is at the other end, or that somebody is again. Who has
    /// something under way on it keeps it.
    pub fn let_go(&self, number: u64) {
        // Whoever holds the lock is busy with the next one.
        if let Ok(mut connection) = self.connection.try_lock()
            && connection.number == number
        {
            connection.client = None;
        }
    }
}

/// How each of them is connected to.
pub(super) fn options(address: &Address) -> Result<ConnectOptions> {
    let mut options = ConnectOptions::new()
        .with_connect_timeout(CONNECTING_MAX)
        .with_keep_alive(ASKED_EVERY, ANSWERED_WITHIN)
        .with_require_leader(true)
        .with_auto_token_refresh(true);
    if let Some((user, password)) = &address.user {
        options = options.with_user(user, password);
    }
    if let Some(tls) = &address.tls {
        options = options.with_tls(super::tls::options(tls, address)?);
    }
    Ok(options)
}
