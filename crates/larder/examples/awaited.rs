//! The same store in an async program: hundreds of writes in flight from one task, and events as a stream.

use futures_util::StreamExt;
use futures_util::future::try_join_all;
use larder::{AsyncStore, Pattern};

/// Shows it.
pub fn main() -> larder::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(larder::Error::other)?;
    runtime.block_on(async {
        let store = AsyncStore::in_memory().await?;
        let changes = store.watch(Pattern::group("readings")).await?;

        // One after the other each would wait for its own fsync; these share a few.
        try_join_all((0..256).map(|number| store.set("readings", number.to_string(), "21.5"))).await?;

        let heard = changes.take(256).count().await;
        println!("{heard} changes, {} keys", store.count("readings").await?);

        // A transaction reads and writes as on a blocking store, on a thread that may block.
        let sum = store.transaction(|tx| tx.increment("stats", "batches", 1)).await?;
        assert_eq!((heard, sum), (256, 1));
        store.close().await
    })
}
