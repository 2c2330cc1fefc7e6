//! One member of the cluster, and the connection to it.

use std::time::Duration;

use etcd_client::{Client, ConnectOptions};
use tokio::sync::Mutex;

use super::address::Address;
use super::tls::tls_options;
use crate::data::Result;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How often a connection with a request or a watch on it is pinged, and how long the reply may take. Without
/// pings, an idle watch would not notice a dead connection. Members close a connection that pings more often
/// than every five seconds.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

pub struct Member {
    /// With `http://` or `https://`.
    pub endpoint: String,
    /// Held while connecting, so that concurrent requests share one connection.
    connection: Mutex<Connection>,
}

#[derive(Default)]
struct Connection {
    /// `None` until the first request, and after the connection was dropped.
    client: Option<Client>,
    /// Counts the connections to this member.
    number: u64,
}

impl Member {
    /// Returns the members that an address names.
    pub fn all_of(address: &Address) -> Vec<Self> {
        let scheme = if address.tls.is_some() { "https" } else { "http" };
        let member =
            |endpoint| Self { endpoint: format!("{scheme}://{endpoint}"), connection: Mutex::default() };
        address.endpoints.iter().map(member).collect()
    }

    /// Returns the connection and its number, and connects first if there is none.
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

    /// Drops the connection with this number, which does not answer, so that the next request connects anew:
    /// the operating system may take minutes to notice that the other end is gone, or is back. Requests that are
    /// already on the connection keep it.
    pub fn drop_connection(&self, number: u64) {
        // If the lock is taken, another request is already replacing the connection.
        if let Ok(mut connection) = self.connection.try_lock()
            && connection.number == number
        {
            connection.client = None;
        }
    }
}

/// Returns the options with which the client connects to every member.
pub fn connect_options(address: &Address) -> Result<ConnectOptions> {
    let mut options = ConnectOptions::new()
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_keep_alive(PING_INTERVAL, PING_TIMEOUT)
        .with_require_leader(true)
        .with_auto_token_refresh(true);
    if let Some((user, password)) = &address.user {
        options = options.with_user(user, password);
    }
    if let Some(files) = &address.tls {
        options = options.with_tls(tls_options(files, address)?);
    }
    Ok(options)
}
