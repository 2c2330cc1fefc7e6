//! Sessions as entries: what is kept, for how long, for whom, and what is refused.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use larder::{AsyncStore, EventKind, ManualClock, Quota, Store};
use larder_sessions::Sessions;
use time::OffsetDateTime;
use tower_sessions::session::{Id, Record};
use tower_sessions::session_store::Error;
use tower_sessions::{Expiry, Session, SessionStore};

/// How long a bounded wait lasts before it is given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// A store in memory whose time is moved by hand, and a session store in it.
struct Bench {
    clock: ManualClock,
    store: AsyncStore,
    sessions: Sessions,
}

fn bench() -> Bench {
    let clock = ManualClock::new();
    let store = Store::options().clock(clock.clone()).expiry_timer(false).in_memory().unwrap().into_async();
    let sessions = Sessions::new(store.clone());
    Bench { clock, store, sessions }
}

impl Bench {
    /// When it is an hour from now, by the store's clock.
    fn in_an_hour(&self) -> SystemTime {
        larder::Clock::now(&self.clock) + HOUR
    }

    /// A session that expires in an hour.
    fn record(&self, user: &str) -> Record {
        record(user, self.in_an_hour().into())
    }
}

const HOUR: Duration = Duration::from_secs(3600);

fn record(user: &str, expiry_date: OffsetDateTime) -> Record {
    let data = [("user".to_owned(), user.into()), ("basket".to_owned(), vec![1, 2].into())].into();
    Record { id: Id::default(), data, expiry_date }
}

#[tokio::test]
async fn a_session_is_loaded_as_it_was_saved_until_it_is_deleted() {
    let bench = bench();
    let mut ada = bench.record("ada");
    bench.sessions.create(&mut ada).await.unwrap();
    assert_eq!(bench.sessions.load(&ada.id).await.unwrap().unwrap(), ada);
    assert_eq!(bench.sessions.load(&Id::default()).await.unwrap(), None);

    ada.data.insert("visits".into(), 2.into());
    ada.expiry_date += HOUR;
    bench.sessions.save(&ada).await.unwrap();
    assert_eq!(bench.sessions.load(&ada.id).await.unwrap().unwrap(), ada);

    bench.sessions.delete(&ada.id).await.unwrap();
    assert_eq!(bench.sessions.load(&ada.id).await.unwrap(), None);
    bench.sessions.delete(&ada.id).await.unwrap();
}

#[tokio::test]
async fn a_session_is_one_entry_to_be_looked_at() {
    let bench = bench();
    let mut ada = bench.record("ada");
    bench.sessions.create(&mut ada).await.unwrap();
    let entry = bench.store.entry("session", ada.id.to_string()).await.unwrap().unwrap();
    assert_eq!(entry.value, r#"{"basket":[1,2],"user":"ada"}"#);
    assert_eq!(entry.expires_at, Some(bench.in_an_hour()));

    let elsewhere = Sessions::new(bench.store.clone()).in_group("visitors");
    elsewhere.save(&ada).await.unwrap();
    assert!(bench.store.exists("visitors", ada.id.to_string()).await.unwrap());
    assert_eq!(bench.store.count_all("").await.unwrap(), 2);
}

#[tokio::test]
async fn a_new_session_never_takes_the_place_of_another() {
    let bench = bench();
    let mut first = bench.record("ada");
    bench.sessions.create(&mut first).await.unwrap();
    let mut second = Record { id: first.id, ..bench.record("eve") };
    bench.sessions.create(&mut second).await.unwrap();
    assert_ne!(first.id, second.id);
    assert_eq!(bench.sessions.load(&first.id).await.unwrap().unwrap(), first);
    assert_eq!(bench.sessions.load(&second.id).await.unwrap().unwrap(), second);
}

#[tokio::test]
async fn of_new_sessions_with_one_id_each_gets_its_own() {
    let bench = bench();
    let same = bench.record("ada");
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let (sessions, mut record) = (bench.sessions.clone(), same.clone());
            tokio::spawn(async move {
                sessions.create(&mut record).await.unwrap();
                record.id
            })
        })
        .collect();
    let mut ids = HashSet::new();
    for task in tasks {
        assert!(ids.insert(task.await.unwrap()));
    }
    assert!(ids.contains(&same.id));
    assert_eq!(bench.store.count("session").await.unwrap(), 20);
}

#[tokio::test]
async fn a_session_is_gone_the_moment_it_expires_and_its_end_is_an_event() {
    let bench = bench();
    let mut ada = bench.record("ada");
    bench.sessions.create(&mut ada).await.unwrap();
    let mut changes = bench.store.watch(("session", "*")).await.unwrap();
    bench.clock.advance(HOUR - Duration::from_millis(1));
    assert!(bench.sessions.load(&ada.id).await.unwrap().is_some());
    bench.clock.advance(Duration::from_millis(1));
    assert_eq!(bench.sessions.load(&ada.id).await.unwrap(), None);

    bench.store.purge_expired().await.unwrap();
    let event = changes.recv().await.unwrap();
    assert_eq!((event.kind, event.key), (EventKind::Expire, Some(ada.id.to_string())));

    // Its id is free again, and what had expired before it was saved was never there.
    let id = ada.id;
    ada.expiry_date = bench.in_an_hour().into();
    bench.sessions.create(&mut ada).await.unwrap();
    assert_eq!(ada.id, id);
    for past in [OffsetDateTime::UNIX_EPOCH - HOUR, larder::Clock::now(&bench.clock).into()] {
        bench.sessions.save(&Record { expiry_date: past, ..ada.clone() }).await.unwrap();
        assert_eq!(bench.sessions.load(&ada.id).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_session_may_last_for_ever() {
    let bench = bench();
    let far = time::PrimitiveDateTime::MAX.assume_utc();
    let mut ada = record("ada", far);
    bench.sessions.create(&mut ada).await.unwrap();
    bench.clock.advance(HOUR * 24 * 365 * 1000);
    assert_eq!(bench.sessions.load(&ada.id).await.unwrap().unwrap().data, ada.data);

    bench.store.persist("session", ada.id.to_string()).await.unwrap();
    assert_eq!(bench.sessions.load(&ada.id).await.unwrap().unwrap(), ada);
}

#[tokio::test]
async fn a_tenants_sessions_are_its_own_and_end_with_it() {
    let bench = bench();
    let tenant = bench.store.scoped("tenant-42").unwrap();
    let sessions = Sessions::new(tenant.clone());
    let mut ada = bench.record("ada");
    sessions.create(&mut ada).await.unwrap();
    assert!(sessions.load(&ada.id).await.unwrap().is_some());
    assert_eq!(bench.sessions.load(&ada.id).await.unwrap(), None);
    let other = Sessions::new(bench.store.scoped("tenant-4").unwrap());
    assert_eq!(other.load(&ada.id).await.unwrap(), None);
    other.delete(&ada.id).await.unwrap();
    assert!(sessions.load(&ada.id).await.unwrap().is_some());

    tenant.set_quota(Quota { max_keys: Some(1), ..Quota::default() }).await.unwrap();
    sessions.save(&ada).await.unwrap();
    let Err(Error::Backend(refusal)) = sessions.create(&mut bench.record("eve")).await else {
        panic!("over the quota")
    };
    assert!(refusal.starts_with("quota exceeded: namespace \"tenant-42\""), "{refusal}");

    tenant.delete_prefix("").await.unwrap();
    assert_eq!(sessions.load(&ada.id).await.unwrap(), None);
}

#[tokio::test]
async fn what_is_no_session_or_cannot_be_reached_is_an_error() {
    let bench = bench();
    let ada = bench.record("ada");
    bench.store.set("session", ada.id.to_string(), "no JSON").await.unwrap();
    assert!(matches!(bench.sessions.load(&ada.id).await, Err(Error::Decode(_))));
    bench.store.set("session", ada.id.to_string(), "[1]").await.unwrap();
    assert!(matches!(bench.sessions.load(&ada.id).await, Err(Error::Decode(_))));

    bench.store.close().await.unwrap();
    let closed = "the store is closed";
    let is_closed = |result: Result<(), Error>| matches!(result, Err(Error::Backend(text)) if text == closed);
    assert!(is_closed(bench.sessions.load(&ada.id).await.map(drop)));
    assert!(is_closed(bench.sessions.create(&mut ada.clone()).await));
    assert!(is_closed(bench.sessions.save(&ada).await));
    assert!(is_closed(bench.sessions.delete(&ada.id).await));
}

#[tokio::test]
async fn a_save_that_has_to_wait_leaves_the_executor_to_others() {
    let bench = bench();
    let (began, has_begun) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let blocking = bench.store.blocking().clone();
    let writer = std::thread::spawn(move || {
        blocking.transaction(|_| {
            began.send(()).unwrap();
            released.recv_timeout(PATIENCE).map_err(larder::Error::other)
        })
    });
    has_begun.recv_timeout(PATIENCE).unwrap();
    // This executor has one thread. It has to get past the save to let go the writer that the save waits for.
    let ada = bench.record("ada");
    let (saved, ()) = tokio::join!(bench.sessions.save(&ada), async { release.send(()).unwrap() });
    saved.unwrap();
    writer.join().unwrap().unwrap();
    assert!(bench.sessions.load(&ada.id).await.unwrap().is_some());
}

#[tokio::test]
async fn a_visitor_who_logs_in_keeps_the_session_under_another_id() {
    let Bench { store, .. } = bench();
    let sessions = Arc::new(Sessions::new(store.clone()));
    let expiry = Some(Expiry::OnInactivity(time::Duration::HOUR));
    let session = Session::new(None, Arc::clone(&sessions), expiry);
    session.insert("basket", vec!["tea"]).await.unwrap();
    session.save().await.unwrap();
    let anonymous = session.id().unwrap();

    session.cycle_id().await.unwrap();
    session.insert("user", "ada").await.unwrap();
    session.save().await.unwrap();
    assert_eq!(sessions.load(&anonymous).await.unwrap(), None);
    let same = Session::new(session.id(), Arc::clone(&sessions), expiry);
    assert_eq!(same.get::<Vec<String>>("basket").await.unwrap().unwrap(), ["tea"]);

    same.flush().await.unwrap();
    assert_eq!(store.count("session").await.unwrap(), 0);
}
