//! Sessions as entries: their content, expiry, tenants and errors.
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

/// How long a test waits for something before it fails.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// A store in memory with a manual clock, and a session store in it.
struct Rig {
    clock: ManualClock,
    store: AsyncStore,
    sessions: Sessions,
}

fn rig() -> Rig {
    let clock = ManualClock::new();
    let store = Store::options().clock(clock.clone()).expiry_timer(false).in_memory().unwrap().into_async();
    let sessions = Sessions::new(store.clone());
    Rig { clock, store, sessions }
}

impl Rig {
    /// One hour from now, by the store's clock.
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
async fn a_session_loads_as_it_was_saved_until_it_is_deleted() {
    let rig = rig();
    let mut visitor = rig.record("visitor");
    rig.sessions.create(&mut visitor).await.unwrap();
    assert_eq!(rig.sessions.load(&visitor.id).await.unwrap().unwrap(), visitor);
    assert_eq!(rig.sessions.load(&Id::default()).await.unwrap(), None);

    visitor.data.insert("visits".into(), 2.into());
    visitor.expiry_date += HOUR;
    rig.sessions.save(&visitor).await.unwrap();
    assert_eq!(rig.sessions.load(&visitor.id).await.unwrap().unwrap(), visitor);

    rig.sessions.delete(&visitor.id).await.unwrap();
    assert_eq!(rig.sessions.load(&visitor.id).await.unwrap(), None);
    rig.sessions.delete(&visitor.id).await.unwrap();
}

#[tokio::test]
async fn a_session_is_one_readable_entry() {
    let rig = rig();
    let mut visitor = rig.record("visitor");
    rig.sessions.create(&mut visitor).await.unwrap();
    let entry = rig.store.entry("session", visitor.id.to_string()).await.unwrap().unwrap();
    assert_eq!(entry.value, r#"{"basket":[1,2],"user":"visitor"}"#);
    assert_eq!(entry.expires_at, Some(rig.in_an_hour()));

    let elsewhere = Sessions::new(rig.store.clone()).in_group("visitors");
    elsewhere.save(&visitor).await.unwrap();
    assert!(rig.store.exists("visitors", visitor.id.to_string()).await.unwrap());
    assert_eq!(rig.store.count_all("").await.unwrap(), 2);
}

#[tokio::test]
async fn a_new_session_never_overwrites_another() {
    let rig = rig();
    let mut first = rig.record("visitor");
    rig.sessions.create(&mut first).await.unwrap();
    let mut second = Record { id: first.id, ..rig.record("other") };
    rig.sessions.create(&mut second).await.unwrap();
    assert_ne!(first.id, second.id);
    assert_eq!(rig.sessions.load(&first.id).await.unwrap().unwrap(), first);
    assert_eq!(rig.sessions.load(&second.id).await.unwrap().unwrap(), second);
}

#[tokio::test]
async fn new_sessions_with_a_colliding_id_each_get_their_own() {
    let rig = rig();
    let same = rig.record("visitor");
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let (sessions, mut record) = (rig.sessions.clone(), same.clone());
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
    assert_eq!(rig.store.count("session").await.unwrap(), 20);
}

#[tokio::test]
async fn a_session_is_gone_when_it_expires_and_its_end_is_an_event() {
    let rig = rig();
    let mut visitor = rig.record("visitor");
    rig.sessions.create(&mut visitor).await.unwrap();
    let mut changes = rig.store.watch(("session", "*")).await.unwrap();
    rig.clock.advance(HOUR - Duration::from_millis(1));
    assert!(rig.sessions.load(&visitor.id).await.unwrap().is_some());
    rig.clock.advance(Duration::from_millis(1));
    assert_eq!(rig.sessions.load(&visitor.id).await.unwrap(), None);

    rig.store.purge_expired().await.unwrap();
    let event = changes.recv().await.unwrap();
    assert_eq!((event.kind, event.key), (EventKind::Expire, Some(visitor.id.to_string())));

    // The id is free again, and a session saved after its expiry does not exist.
    let id = visitor.id;
    visitor.expiry_date = rig.in_an_hour().into();
    rig.sessions.create(&mut visitor).await.unwrap();
    assert_eq!(visitor.id, id);
    for past in [OffsetDateTime::UNIX_EPOCH - HOUR, larder::Clock::now(&rig.clock).into()] {
        rig.sessions.save(&Record { expiry_date: past, ..visitor.clone() }).await.unwrap();
        assert_eq!(rig.sessions.load(&visitor.id).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_session_may_last_for_ever() {
    let rig = rig();
    let far = time::PrimitiveDateTime::MAX.assume_utc();
    let mut visitor = record("visitor", far);
    rig.sessions.create(&mut visitor).await.unwrap();
    rig.clock.advance(HOUR * 24 * 365 * 1000);
    assert_eq!(rig.sessions.load(&visitor.id).await.unwrap().unwrap().data, visitor.data);

    rig.store.persist("session", visitor.id.to_string()).await.unwrap();
    assert_eq!(rig.sessions.load(&visitor.id).await.unwrap().unwrap(), visitor);
}

#[tokio::test]
async fn a_tenants_sessions_are_its_own_and_end_with_it() {
    let rig = rig();
    let tenant = rig.store.scoped("tenant-42").unwrap();
    let sessions = Sessions::new(tenant.clone());
    let mut visitor = rig.record("visitor");
    sessions.create(&mut visitor).await.unwrap();
    assert!(sessions.load(&visitor.id).await.unwrap().is_some());
    assert_eq!(rig.sessions.load(&visitor.id).await.unwrap(), None);
    let other = Sessions::new(rig.store.scoped("tenant-4").unwrap());
    assert_eq!(other.load(&visitor.id).await.unwrap(), None);
    other.delete(&visitor.id).await.unwrap();
    assert!(sessions.load(&visitor.id).await.unwrap().is_some());

    rig.store.set_quota("tenant-42", Quota { max_keys: Some(1), ..Quota::default() }).await.unwrap();
    sessions.save(&visitor).await.unwrap();
    let Err(Error::Backend(refusal)) = sessions.create(&mut rig.record("other")).await else {
        panic!("a session over quota was stored")
    };
    assert!(refusal.starts_with("quota exceeded: namespace \"tenant-42\""), "{refusal}");

    tenant.delete_prefix("").await.unwrap();
    assert_eq!(sessions.load(&visitor.id).await.unwrap(), None);
}

#[tokio::test]
async fn an_unreadable_or_unreachable_session_is_an_error() {
    let rig = rig();
    let visitor = rig.record("visitor");
    rig.store.set("session", visitor.id.to_string(), "no JSON").await.unwrap();
    assert!(matches!(rig.sessions.load(&visitor.id).await, Err(Error::Decode(_))));
    rig.store.set("session", visitor.id.to_string(), "[1]").await.unwrap();
    assert!(matches!(rig.sessions.load(&visitor.id).await, Err(Error::Decode(_))));

    rig.store.close().await.unwrap();
    let closed = "the store is closed";
    let is_closed = |result: Result<(), Error>| matches!(result, Err(Error::Backend(text)) if text == closed);
    assert!(is_closed(rig.sessions.load(&visitor.id).await.map(drop)));
    assert!(is_closed(rig.sessions.create(&mut visitor.clone()).await));
    assert!(is_closed(rig.sessions.save(&visitor).await));
    assert!(is_closed(rig.sessions.delete(&visitor.id).await));
}

#[tokio::test]
async fn a_waiting_save_does_not_block_the_executor() {
    let rig = rig();
    let (began, has_begun) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let blocking = rig.store.blocking().clone();
    let writer = std::thread::spawn(move || {
        blocking.transaction(|_| {
            began.send(()).unwrap();
            released.recv_timeout(WAIT_MAX).map_err(larder::Error::other)
        })
    });
    has_begun.recv_timeout(WAIT_MAX).unwrap();
    // The executor's only thread must not block in the save, because it releases the writer that the save
    // waits for.
    let visitor = rig.record("visitor");
    let (saved, ()) = tokio::join!(rig.sessions.save(&visitor), async { release.send(()).unwrap() });
    saved.unwrap();
    writer.join().unwrap().unwrap();
    assert!(rig.sessions.load(&visitor.id).await.unwrap().is_some());
}

#[tokio::test]
async fn logging_in_keeps_the_session_under_a_new_id() {
    let Rig { store, .. } = rig();
    let sessions = Arc::new(Sessions::new(store.clone()));
    let expiry = Some(Expiry::OnInactivity(time::Duration::HOUR));
    let session = Session::new(None, Arc::clone(&sessions), expiry);
    session.insert("basket", vec!["tea"]).await.unwrap();
    session.save().await.unwrap();
    let anonymous = session.id().unwrap();

    session.cycle_id().await.unwrap();
    session.insert("user", "visitor").await.unwrap();
    session.save().await.unwrap();
    assert_eq!(sessions.load(&anonymous).await.unwrap(), None);
    let same = Session::new(session.id(), Arc::clone(&sessions), expiry);
    assert_eq!(same.get::<Vec<String>>("basket").await.unwrap().unwrap(), ["tea"]);

    same.flush().await.unwrap();
    assert_eq!(store.count("session").await.unwrap(), 0);
}

#[tokio::test]
async fn a_session_loads_with_the_date_it_was_saved_with_however_precise_or_far() {
    let Rig { sessions, clock, .. } = rig();
    let now = OffsetDateTime::from(larder::Clock::now(&clock));
    let never = time::PrimitiveDateTime::MAX.assume_utc();
    let nanosecond = time::Duration::nanoseconds(1);
    for date in [
        now + nanosecond,
        now + time::Duration::MINUTE + time::Duration::nanoseconds(123_456_789),
        now + time::Duration::HOUR,
        never,
        never - nanosecond,
        never - time::Duration::nanoseconds(999_999),
        never - time::Duration::nanoseconds(1_000_000),
        (now + time::Duration::HOUR).to_offset(time::UtcOffset::from_hms(5, 30, 0).unwrap()),
    ] {
        let mut record = record("visitor", date);
        for name in ["$expires_at", "$", "$$x", "x"] {
            record.data.insert(name.into(), name.into());
        }
        sessions.create(&mut record).await.unwrap();
        assert_eq!(sessions.load(&record.id).await.unwrap().as_ref(), Some(&record));
        sessions.save(&record).await.unwrap();
        assert_eq!(sessions.load(&record.id).await.unwrap().as_ref(), Some(&record));
    }
}

#[tokio::test]
async fn a_session_whose_entry_was_given_another_expiry_has_that() {
    let Rig { sessions, clock, store } = rig();
    let now = OffsetDateTime::from(larder::Clock::now(&clock));
    let mut record = record("visitor", now + time::Duration::nanoseconds(1_500_000));
    sessions.create(&mut record).await.unwrap();
    store.touch("session", record.id.to_string(), HOUR).await.unwrap();
    let touched = sessions.load(&record.id).await.unwrap().unwrap();
    assert_eq!(touched, Record { expiry_date: now + HOUR, ..record.clone() });
    store.persist("session", record.id.to_string()).await.unwrap();
    let kept = sessions.load(&record.id).await.unwrap().unwrap();
    assert_eq!(kept.expiry_date, time::PrimitiveDateTime::MAX.assume_utc());
}

#[tokio::test]
async fn an_expiry_beyond_every_date_is_no_panic() {
    let Rig { sessions, store, .. } = rig();
    for seconds in [253_402_300_799, 253_402_300_800, 400_000_000_000, 9_000_000_000_000_000] {
        let id = Id::default();
        let at = std::time::UNIX_EPOCH + Duration::from_secs(seconds);
        store.set_until("session", id.to_string(), "{}", Some(at)).await.unwrap();
        assert!(sessions.load(&id).await.unwrap().unwrap().expiry_date.year() == 9999);
    }
}
