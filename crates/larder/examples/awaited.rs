//! An async program: one task has hundreds of writes in flight and receives events as a stream.

use futures_util::StreamExt;
use futures_util::future::try_join_all;
use larder::{AsyncStore, Pattern};

/// Runs the example.
pub fn main() -> larder::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(larder::Error::other)?;
    runtime.block_on(async {
        let store = AsyncStore::in_memory().await?;
        let changes = store.watch(Pattern::group("readings")).await?;

        // Sequential writes would each wait for their own fsync. Concurrent ones share a few.
        try_join_all((0..256).map(|number| store.set("readings", number.to_string(), "21.5"))).await?;

        let received = changes.take(256).count().await;
        println!("{received} changes, {} keys", store.count("readings").await?);

        // A transaction uses the blocking calls, on a thread that may block.
        let sum = store.transaction(|tx| tx.increment("stats", "batches", 1)).await?;
        assert_eq!((received, sum), (256, 1));
        store.close().await
    })
}
