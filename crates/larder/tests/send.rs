//! Async handles and futures move between the threads of an executor.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::future::Future;
use std::time::Duration;

use larder::{
    AsyncBackingUp, AsyncBatch, AsyncCopying, AsyncCursor, AsyncEntryStream, AsyncKeyStream, AsyncMirror,
    AsyncRestoring, AsyncScopedStore, AsyncSnapshot, AsyncStore, AsyncView, AsyncWatcher, Condition, Event,
    History, Options, Pattern, Quota, Repair, Subscription, Tenant, Whole,
};

fn handle<T: Send>() {}

fn shared_handle<T: Send + Sync>() {}

/// Takes a future that a multi-threaded executor can spawn.
fn future<T: Send>(future: impl Future<Output = T> + Send) {
    drop(future);
}

#[test]
fn every_async_handle_and_future_can_be_spawned() {
    shared_handle::<AsyncStore>();
    shared_handle::<AsyncScopedStore>();
    shared_handle::<AsyncView>();
    shared_handle::<AsyncSnapshot>();
    shared_handle::<AsyncWatcher>();
    shared_handle::<AsyncMirror>();
    shared_handle::<AsyncCursor>();
    shared_handle::<AsyncEntryStream>();
    shared_handle::<AsyncKeyStream>();
    shared_handle::<AsyncBatch>();
    shared_handle::<AsyncBackingUp>();
    shared_handle::<AsyncRestoring>();
    shared_handle::<Subscription>();
    handle::<AsyncCopying<Whole, Whole>>();
    handle::<AsyncCopying<Tenant, Whole>>();

    future(AsyncStore::open("app.db"));
    future(AsyncStore::open_with(Options::default(), "app.db"));
    future(AsyncStore::in_memory());
    future(AsyncStore::connect("app.db"));
    future(AsyncStore::connect_with(Options::default(), "app.db"));

    // The rest borrows from handles. None of it runs, but all of it has to compile.
    let _ = futures_of_a_store;
    let _ = futures_of_a_namespace;
    let _ = futures_of_a_view;
    let _ = futures_of_subscriptions;
    let _ = future_of_a_task;
}

fn futures_of_a_store(store: &AsyncStore) {
    let (absent, ttl) = (Condition::Absent, Duration::from_secs(1));
    future(store.close());
    future(store.namespaces());
    future(store.stats());
    future(store.check());
    future(store.repair(Repair::default()));
    future(store.compact());
    future(store.note_restored());
    future(store.unfinished_copies());
    future(store.abandon_copies());
    future(store.set_quota("t", Quota::default()));
    future(store.set_history("sessions", History::NONE));
    future(store.remove_history("sessions"));
    future(store.histories());
    future(store.backup_to("backup.db"));
    future(store.backup("backup.db").verified().replacing().keeping(7).run());
    future(AsyncStore::restore("backup.db", "app.db").keep_old().run());
    future(store.set("g", "k", "v"));
    future(store.set_json("g", "k", &7));
    future(store.set_with_ttl("g", "k", "v", ttl));
    future(store.set_until("g", "k", "v", None));
    future(store.set_if("g", "k", absent, "v"));
    future(store.set_if_with_ttl("g", "k", absent, "v", ttl));
    future(store.delete("g", "k"));
    future(store.delete_if("g", "k", absent));
    future(store.touch("g", "k", ttl));
    future(store.persist("g", "k"));
    future(store.increment("g", "k", 1));
    future(store.delete_group("g"));
    future(store.delete_prefix("g"));
    future(store.purge_expired());
    future(store.batch().set("g", "k", "v").commit());
    future(store.transaction(|tx| tx.set("g", "k", "v")));
    future(store.snapshot());
    future(store.revision());
    future(store.watch(Pattern::all()));
    future(store.watch_from(Pattern::all(), 0));
    future(store.mirror(Pattern::all()));
    future(store.cursor("c"));
    future(store.cursor_on("c", Pattern::all()));
    future(store.cursor_from("c", Pattern::all(), 0));
    future(store.cursors());
    future(store.delete_cursor("c"));
    future(store.token());
    future(store.history("g", "k"));
    let copying =
        store.copy_to(store).exactly().in_one_transaction().follow_until(|| true).on_progress(|_| {});
    future(copying.run());
}

fn futures_of_a_namespace(tenant: &AsyncScopedStore) {
    future(tenant.quota());
    future(tenant.usage());
    future(tenant.set("g", "k", "v"));
    future(tenant.copy_to(tenant).run());
}

fn futures_of_a_view(
    view: &AsyncView,
    snapshot: &AsyncSnapshot,
    mut entries: AsyncEntryStream,
    mut keys: AsyncKeyStream,
) {
    future(view.get("g", "k"));
    future(view.get_with("g", "k", <[u8]>::len));
    future(view.get_json::<i32>("g", "k"));
    future(view.entry("g", "k"));
    future(view.exists("g", "k"));
    future(view.get_all("g"));
    future(view.entries("g"));
    future(view.keys("g"));
    future(view.page("g", None, 1));
    future(view.get_page("g", 0, 1));
    future(view.count("g"));
    future(view.count_all(""));
    future(view.groups(""));
    future(view.group_exists("g"));
    future(view.split("g", "k", ","));
    future(view.fields("g", "k"));
    #[cfg(feature = "templates")]
    future(view.render("", "g"));
    #[cfg(feature = "templates")]
    future(view.render_strict("", "g"));
    future(snapshot.revision());
    future(entries.next());
    future(keys.next());
}

fn futures_of_subscriptions(
    mut watcher: AsyncWatcher,
    mut mirror: AsyncMirror,
    mut cursor: AsyncCursor,
    event: &Event,
) {
    future(watcher.recv());
    future(watcher.try_recv());
    future(mirror.recv());
    future(mirror.try_recv());
    future(cursor.recv());
    future(cursor.try_recv());
    future(cursor.seek(0));
    future(cursor.ack(event));
}

/// Handles are held across await points.
fn future_of_a_task(store: AsyncStore) {
    future(async move {
        let mut cursor = store.cursor("c").await?;
        let mut mirror = store.mirror(Pattern::all()).await?;
        let mut changes = store.watch(Pattern::all()).await?;
        let event = cursor.recv().await?;
        cursor.ack(&event).await?;
        mirror.recv().await?;
        changes.recv().await?;
        let mut entries = store.entries("g").await?;
        while let Some(entry) = entries.next().await {
            store.set("h", entry?.key, "v").await?;
        }
        store.batch().set("g", "k", "v").commit().await
    });
}
