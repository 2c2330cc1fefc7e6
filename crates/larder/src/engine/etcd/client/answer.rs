//! What an answer says of the cluster: its header, and how much that proves.

use etcd_client::{GetResponse, ResponseHeader, StatusResponse, TxnResponse, WatchStream};

use super::timeline::Header;

/// Which state an answer shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shows {
    /// At least everything that was committed before the request was sent.
    Latest,
    /// Perhaps an earlier state, where the member lags.
    Perhaps,
}

/// An answer that may say at which revision the cluster is.
pub trait Answer {
    fn header(&self) -> Option<&ResponseHeader>;
}

impl Answer for GetResponse {
    fn header(&self) -> Option<&ResponseHeader> {
        self.header()
    }
}

impl Answer for TxnResponse {
    fn header(&self) -> Option<&ResponseHeader> {
        self.header()
    }
}

impl Answer for StatusResponse {
    fn header(&self) -> Option<&ResponseHeader> {
        self.header()
    }
}

impl Answer for WatchStream {
    fn header(&self) -> Option<&ResponseHeader> {
        None
    }
}

/// What a header says of the cluster.
pub fn header_of(header: &ResponseHeader) -> Header {
    Header { cluster_id: header.cluster_id(), revision: header.revision() }
}
