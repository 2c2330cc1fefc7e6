//! How large a batch or transaction of a tenant may be, so that it does not hold up the others for as long as it likes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
mod common;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::mpsc::channel;
use std::task::Poll;

use common::{Rig, ms};
use larder::{Batch, Condition, Error, Resource, Result, Revision, ScopedStore, Store};
use tokio::runtime::Builder;

/// Asserts what was refused.
fn assert_too_large<T>(result: Result<T>, resource: Resource, limit: u64, wanted: u64) {
    let error = result.err().expect("a refusal");
    let Error::QuotaExceeded { namespace, resource: of, limit: least, wanted: size } = &error else {
        panic!("{error:?}")
    };
    assert_eq!((&**namespace, *of, *least, *size), ("t", resource, limit, wanted));
    assert!(error.to_string().contains("one batch or transaction"), "{error}");
    assert_eq!(error.advice().as_deref(), Some("Write it in several smaller ones, or raise `batch_max`."));
}

/// A batch of some writes of small entries.
fn writes<F>(batch: Batch<F>, keys: u32) -> Batch<F> {
    (0..keys).fold(batch, |batch, key| batch.set("g", key.to_string(), "v"))
}

/// Commits a batch of some writes through the async face.
fn awaited(tenant: &ScopedStore, keys: u32) -> Result<Revision> {
    let tenant = tenant.clone().into_async();
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async { writes(tenant.batch(), keys).commit().await })
}

fn filled(store: &Store, keys: u32) {
    for first in (0..keys).step_by(50) {
        let batch = store.batch();
        let batch =
            (first..keys.min(first + 50)).fold(batch, |batch, key| batch.set("t:g", key.to_string(), "v"));
        batch.commit().unwrap();
    }
}

on_every_engine! {
    fn a_batch_of_a_tenant_with_too_many_steps_is_refused_whole_on_both_faces(rig: &Rig) {
        let store = rig.open_with(|options| options.batch_max(10, 1 << 20));
        let tenant = store.scoped("t").unwrap();
        assert_too_large(writes(tenant.batch(), 11).commit(), Resource::BatchSteps, 10, 11);
        assert_too_large(awaited(&tenant, 25), Resource::BatchSteps, 10, 25);
        assert_eq!((store.revision().unwrap(), tenant.count_all("").unwrap()), (rig.revision(0), 0));
        writes(tenant.batch(), 10).commit().unwrap();
        awaited(&tenant, 10).unwrap();
        assert_eq!(tenant.count("g").unwrap(), 10);
    }

    fn each_call_is_a_step_of_a_batch_and_a_deletion_of_groups_is_64(rig: &Rig) {
        let store = rig.open_with(|options| options.batch_max(70, 1 << 20));
        let tenant = store.scoped("t").unwrap();
        let seven = |batch: Batch| {
            batch
                .require("g", "a", Condition::Absent)
                .set_if("g", "b", Condition::Absent, "v")
                .set_with_ttl("g", "c", "v", ms(1000))
                .increment("g", "d", 1)
                .touch("g", "e", ms(1000))
                .persist("g", "f")
                .delete("g", "h")
        };
        let wanted = |steps| (Resource::BatchSteps, 70, steps);
        let refused = |batch: Batch, (resource, limit, steps)| {
            assert_too_large(batch.commit(), resource, limit, steps);
        };
        refused(writes(seven(tenant.batch()), 64), wanted(71));
        refused(seven(tenant.batch()).delete_group("g"), wanted(71));
        refused(seven(tenant.batch()).delete_prefix(""), wanted(71));
        writes(seven(tenant.batch()), 63).commit().unwrap();
    }

    fn a_batch_of_a_tenant_with_too_many_bytes_is_refused_whole(rig: &Rig) {
        let store = rig.open_with(|options| options.batch_max(10, 1000));
        let tenant = store.scoped("t").unwrap();
        // The group is called t:g in the store.
        let of = |bytes: usize| tenant.batch().set("g", "k", "v").set("g", "key", vec![b'v'; bytes - 11]);
        assert_too_large(of(1001).commit(), Resource::BatchBytes, 1000, 1001);
        assert_eq!(tenant.count_all("").unwrap(), 0);
        of(1000).commit().unwrap();
        let names = |batch: Batch| batch.delete("g", "k".repeat(500)).require("g", "k".repeat(500), Condition::Absent);
        assert_too_large(names(tenant.batch()).commit(), Resource::BatchBytes, 1000, 1006);
        // One value has a limit of its own.
        tenant.batch().set("g", "large", vec![b'v'; 5000]).commit().unwrap();
        tenant.transaction(|tx| tx.set("g", "large", vec![b'w'; 5000])).unwrap();
    }

    fn the_values_that_a_tenant_touches_count_since_they_are_written_again(rig: &Rig) {
        let store = rig.open_with(|options| options.batch_max(10, 1000));
        let tenant = store.scoped("t").unwrap();
        tenant.set("g", "k", vec![b'v'; 400]).unwrap();
        let touches = |count: u32| {
            let batch = tenant.batch().set("g", "other", "").touch("g", "missing", ms(1000));
            (1..=count).fold(batch, |batch, nth| batch.touch("g", "k", ms(nth.into())))
        };
        // The group is called t:g in the store.
        assert_too_large(touches(3).commit(), Resource::BatchBytes, 1000, 8 + 10 + 3 * 4 + 3 * 400);
        assert!(!tenant.exists("g", "other").unwrap());
        assert_eq!(tenant.entry("g", "k").unwrap().unwrap().expires_at, None);
        touches(2).commit().unwrap();
        tenant
            .transaction(|tx| {
                tx.touch("g", "k", ms(1000))?;
                tx.touch("g", "missing", ms(1000))?;
                tx.persist("g", "k")?;
                tx.touch("g", "k", ms(1000))?;
                assert_too_large(tx.set("g", "other", "v"), Resource::BatchBytes, 1000, 3 * 404 + 10 + 9);
                Ok(())
            })
            .unwrap();
        // One value has a limit of its own, and the whole store has none.
        tenant.set("g", "large", vec![b'v'; 5000]).unwrap();
        tenant.batch().touch("g", "large", ms(1000)).commit().unwrap();
        let whole = (1..10).fold(store.batch(), |batch, nth| batch.touch("t:g", "large", ms(nth)));
        whole.commit().unwrap();
    }

    fn the_step_that_makes_a_transaction_of_a_tenant_too_large_is_refused(rig: &Rig) {
        let store = rig.open_with(|options| options.batch_max(10, 1000));
        let tenant = store.scoped("t").unwrap();
        let all = tenant.transaction(|tx| {
            (0..11).try_for_each(|key| tx.set("g", key.to_string(), "v"))
        });
        assert_too_large(all, Resource::BatchSteps, 10, 11);
        assert_eq!(tenant.count_all("").unwrap(), 0);
        tenant
            .transaction(|tx| {
                tx.require("g", "0", Condition::Absent)?;
                // What is refused for another reason is a step, too.
                assert!(matches!(tx.require("g", "0", Condition::Present), Err(Error::Conflict { .. })));
                assert_too_large(tx.set("g", "large", vec![b'v'; 1000]), Resource::BatchBytes, 1000, 1016);
                assert_too_large(tx.delete_group("g"), Resource::BatchSteps, 10, 66);
                (0..8).try_for_each(|key| tx.set("g", key.to_string(), "v"))?;
                assert_too_large(tx.require("g", "0", Condition::Present), Resource::BatchSteps, 10, 11);
                assert_too_large(tx.increment("g", "n", 1), Resource::BatchSteps, 10, 11);
                // Reads are free.
                assert_eq!(tx.count("g")?, 8);
                Ok(())
            })
            .unwrap();
        assert_eq!(tenant.count("g").unwrap(), 8);
        // The next transaction begins anew.
        tenant.transaction(|tx| (0..10).try_for_each(|key| tx.set("h", key.to_string(), "v"))).unwrap();
    }

    fn batches_and_transactions_of_the_whole_store_have_no_such_limit(rig: &Rig) {
        let store = rig.open_with(|options| options.batch_max(10, 100));
        let all = (0..50).fold(store.batch(), |batch, key| batch.set("t:g", key.to_string(), "a value"));
        all.commit().unwrap();
        store
            .transaction(|tx| (0..50).try_for_each(|key| tx.set("t:h", key.to_string(), "a value")))
            .unwrap();
        assert_eq!(store.scoped("t").unwrap().count_all("").unwrap(), 100);
    }

    fn what_larder_does_for_a_tenant_itself_is_not_refused_for_its_size(rig: &Rig) {
        let store = rig.open_with(|options| options.batch_max(10, 100));
        let (from, tenant) = (store.scoped("t").unwrap(), store.scoped("copy").unwrap());
        filled(&store, 200);
        assert_eq!(from.copy_to(&tenant).run().unwrap().entries, 200);
        // A copy in one transaction is one transaction.
        tenant.delete_group("g").unwrap();
        let whole = from.copy_to(&tenant).in_one_transaction().run();
        assert!(matches!(whole, Err(Error::QuotaExceeded { limit: 10, wanted: 11, .. })), "{whole:?}");
        assert_eq!(tenant.count_all("").unwrap(), 0);
        assert_eq!(from.delete_group("g").unwrap(), 200);
        filled(&store, 200);
        assert_eq!(from.delete_prefix("").unwrap(), 200);
        for key in 0..50 {
            from.set_with_ttl("g", key.to_string(), "v", ms(1)).unwrap();
        }
        rig.advance_ms(1);
        assert_eq!(from.purge_expired().unwrap(), 50);
    }

    fn a_tenant_may_write_10_000_steps_and_64_mib_at_once_if_nothing_else_is_said(rig: &Rig) {
        let tenant = rig.store().scoped("t").unwrap();
        assert_too_large(writes(tenant.batch(), 10_001).commit(), Resource::BatchSteps, 10_000, 10_001);
        let large = tenant.batch().set("g", "k", vec![0; 64 << 20]).set("g", "k", "");
        assert_too_large(large.commit(), Resource::BatchBytes, 64 << 20, (64 << 20) + 8);
    }

    fn a_batch_that_is_too_large_does_not_wait_to_be_refused(rig: &Rig) {
        let store = rig.open_with(|options| options.batch_max(10, 100));
        let tenant = store.scoped("t").unwrap().into_async();
        let (begun, has_begun) = channel();
        let (release, released) = channel::<()>();
        let thread = std::thread::spawn({
            let store = store.clone();
            move || {
                store.transaction(|_| {
                    begun.send(()).unwrap();
                    // Disconnected below.
                    released.recv().unwrap_err();
                    Ok(())
                })
            }
        });
        has_begun.recv_timeout(common::WAIT_MAX).unwrap();
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        let polled = runtime.block_on(async {
            let mut refused = pin!(writes(tenant.batch(), 11).commit());
            poll_fn(|context| Poll::Ready(refused.as_mut().poll(context))).await
        });
        drop(release);
        thread.join().unwrap().unwrap();
        let Poll::Ready(refused) = polled else { panic!("it waits") };
        assert_too_large(refused, Resource::BatchSteps, 10, 11);
    }
}
