//! etcd alone, through its client: the peer of a store on a cluster. It has no tallies, no change log and no
//! expiry.

use etcd_client::{
    Client, Compare, CompareOp, GetOptions, GetResponse, Txn, TxnOp, WatchOptions, WatchStream,
};
use tokio::runtime::{Builder, Runtime};

use super::{AsyncTimedStore, Strings, TimedStore};
use crate::Outcome;
use crate::sample::{Key, Sample};

/// The prefix of its keys, which no store uses.
const PREFIX: &str = "alone/";

/// How many puts a transaction by hand has: etcd takes up to 128 operations.
pub const TRANSACTION: usize = 120;

/// A connection to one member.
pub struct Etcd {
    client: Client,
    pub runtime: Runtime,
}

impl Etcd {
    pub fn connect(endpoint: &str) -> Outcome<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let client = runtime.block_on(Client::connect([format!("http://{endpoint}")], None))?;
        Ok(Self { client, runtime })
    }

    /// Connects, and writes a sample.
    pub fn filled(endpoint: &str, sample: &Sample) -> Outcome<Self> {
        let etcd = Self::connect(endpoint)?;
        etcd.fill(sample)?;
        Ok(etcd)
    }

    /// Whether its member is the leader.
    pub fn leads(&self) -> Outcome<bool> {
        let status = self.runtime.block_on(self.client.clone().status())?;
        Ok(status.header().is_some_and(|header| header.member_id() == status.leader()))
    }

    async fn read(&self, key: Key<'_>) -> Outcome<GetResponse> {
        Ok(self.client.kv_client().get(path(key), None).await?)
    }

    /// Puts several keys in one transaction.
    pub async fn put_all(&self, pairs: impl Iterator<Item = (Key<'_>, Vec<u8>)>) -> Outcome {
        let puts: Vec<_> = pairs.map(|(key, value)| TxnOp::put(path(key), value, None)).collect();
        self.client.kv_client().txn(Txn::new().and_then(puts)).await?;
        Ok(())
    }

    /// Reads a key and puts a new value made from the old one; repeats that if another client has put the key
    /// meanwhile.
    pub async fn change(&self, key: Key<'_>, change: impl Fn(Option<&[u8]>) -> Outcome<Vec<u8>>) -> Outcome {
        loop {
            let found = self.read(key).await?;
            let pair = found.kvs().first();
            let value = change(pair.map(|pair| pair.value()))?;
            let revision = pair.map_or(0, |pair| pair.mod_revision());
            let transaction = Txn::new()
                .when([Compare::mod_revision(path(key), CompareOp::Equal, revision)])
                .and_then([TxnOp::put(path(key), value, None)]);
            if self.client.kv_client().txn(transaction).await?.succeeded() {
                return Ok(());
            }
        }
    }

    /// All its entries.
    pub async fn all(&self) -> Outcome<Strings> {
        let mut kv = self.client.kv_client().max_decoding_message_size(usize::MAX);
        let mut found = kv.get(PREFIX, Some(GetOptions::new().with_prefix())).await?;
        let strings = found.take_kvs().into_iter().map(|pair| {
            let (key, value) = pair.into_key_value();
            Ok((String::from_utf8(key)?, String::from_utf8(value)?))
        });
        strings.collect()
    }

    /// Watches all its keys.
    pub async fn watch(&self) -> Outcome<WatchStream> {
        let options = WatchOptions::new().with_prefix();
        Ok(self.client.watch_client().watch(PREFIX, Some(options)).await?)
    }
}

fn path(key: Key<'_>) -> String {
    format!("{PREFIX}{}", key.with_group())
}

impl AsyncTimedStore for Etcd {
    async fn get<T>(&self, key: Key<'_>, look: impl FnOnce(&[u8]) -> T) -> Outcome<Option<T>> {
        Ok(self.read(key).await?.kvs().first().map(|pair| look(pair.value())))
    }

    async fn set(&self, key: Key<'_>, value: Vec<u8>) -> Outcome {
        self.client.kv_client().put(path(key), value, None).await?;
        Ok(())
    }
}

impl TimedStore for Etcd {
    fn get<T>(&self, key: Key<'_>, look: impl FnOnce(&[u8]) -> T) -> Outcome<Option<T>> {
        self.runtime.block_on(AsyncTimedStore::get(self, key, look))
    }

    fn set(&self, key: Key<'_>, value: &[u8]) -> Outcome {
        self.runtime.block_on(AsyncTimedStore::set(self, key, value.to_vec()))
    }

    fn fill(&self, sample: &Sample) -> Outcome {
        let (keys, mut values): (Vec<_>, _) = (sample.keys().collect(), sample.values());
        for some in keys.chunks(TRANSACTION) {
            let pairs = some.iter().map(|key| (*key, values.of(*key).to_vec()));
            self.runtime.block_on(self.put_all(pairs))?;
        }
        Ok(())
    }
}
