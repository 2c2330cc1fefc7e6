//! One member of the cluster, and the connection to it.

use std::time::{Duration, Instant};

use etcd_client::Client;
use tokio::sync::Mutex;

use super::address::Address;
use super::fresh_options::FreshOptions;
use crate::data::{Secret, locked};

/// No cluster is stopped, restored and started again in less time: an election alone takes longer.
const RESTART_MIN: Duration = Duration::from_millis(500);

pub struct Member {
    /// With `http://` or `https://`.
    pub endpoint: String,
    /// Held while connecting, so that concurrent requests share one connection.
    connection: Mutex<Connection>,
    /// When it has answered last; `None` after a request without an answer. Held only to look and to store.
    answered_at: std::sync::Mutex<Option<Instant>>,
}

#[derive(Default)]
struct Connection {
    /// `None` until the first request, and after the connection was dropped.
    client: Option<Client>,
    /// Counts the connections to this member.
    number: u64,
    /// The password that it was made with.
    password: Option<Secret>,
}

/// A connection to a member, as one request uses it.
pub struct Connected {
    pub client: Client,
    pub number: u64,
    /// The password that it was made with.
    pub password: Option<Secret>,
}

/// No connection could be made.
pub struct NotConnected {
    pub error: etcd_client::Error,
    /// The password that was tried.
    pub password: Option<Secret>,
}

impl Member {
    /// Returns the members that an address names.
    pub fn all_of(address: &Address) -> Vec<Self> {
        let scheme = if address.tls.is_some() { "https" } else { "http" };
        let member = |endpoint| Self {
            endpoint: format!("{scheme}://{endpoint}"),
            connection: Mutex::default(),
            answered_at: Default::default(),
        };
        address.endpoints.iter().map(member).collect()
    }

    /// Returns the connection, and connects first if there is none.
    pub async fn connection(&self, options: &FreshOptions) -> Result<Connected, NotConnected> {
        let mut connection = self.connection.lock().await;
        let Connection { client, number, password } = &mut *connection;
        if let Some(client) = client {
            return Ok(Connected { client: client.clone(), number: *number, password: password.clone() });
        }
        let fresh = options.get();
        match Client::connect([&self.endpoint], Some(fresh.options)).await {
            Ok(connected) => {
                *number += 1;
                password.clone_from(&fresh.password);
                let client = client.insert(connected).clone();
                Ok(Connected { client, number: *number, password: fresh.password })
            }
            Err(error) => Err(NotConnected { error, password: fresh.password }),
        }
    }

    /// Whether the connection may be another one than that of the last answer. The client connects anew by itself.
    pub fn may_be_reconnected(&self) -> bool {
        locked(&self.answered_at).is_none_or(|at| at.elapsed() > RESTART_MIN)
    }

    /// Notes whether the member has answered just now.
    pub fn note_answer(&self, answered: bool) {
        *locked(&self.answered_at) = answered.then(Instant::now);
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
