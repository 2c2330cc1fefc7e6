//! Copying into another store: complete, exact, resumable, and following later changes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
mod common;

use std::cell::Cell;
use std::error::Error as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use common::{Rig, STRANGE_NAMES, verify};
use larder::{Copying, Difference, Error, Pattern, Quota, Stage, Store, View, Whole};

/// Every entry of a store: group, key, value, expiry.
fn content(view: &View) -> Vec<(String, String, Vec<u8>, Option<SystemTime>)> {
    let mut all = Vec::new();
    for group in view.groups("").unwrap() {
        for entry in view.entries(&group.name).unwrap() {
            let entry = entry.unwrap();
            all.push((group.name.clone(), entry.key, entry.value.as_bytes().to_vec(), entry.expires_at));
        }
    }
    all
}

fn in_memory(rig: &Rig) -> Store {
    Store::options().clock(rig.clock.clone()).expiry_timer(false).in_memory().unwrap()
}

/// Runs a test from the rig's engine to memory, from memory to the engine, and between two stores of the
/// engine.
fn with_each_pair(rig: &Rig, test: impl Fn(&Store, &Store)) {
    let rigs: [Rig; 4] = std::array::from_fn(|_| rig.another());
    // All use one clock.
    let opened = rigs.each_ref().map(|other| other.open_with(|options| options.clock(rig.clock.clone())));
    for (source, target) in
        [(&opened[0], &in_memory(rig)), (&in_memory(rig), &opened[1]), (&opened[2], &opened[3])]
    {
        test(source, target);
        verify(source);
        verify(target);
    }
}

fn is_marked(target: &Store) -> bool {
    !target.unfinished_copies().unwrap().is_empty()
}

fn fill(store: &Store, group: &str, count: usize) {
    for chunk in (0..count).collect::<Vec<_>>().chunks(100) {
        let batch = chunk
            .iter()
            .fold(store.batch(), |batch, n| batch.set(group, format!("key-{n:05}"), format!("value {n}")));
        batch.commit().unwrap();
    }
}

fn limit(store: &Store, namespace: &str, max_keys: u64) {
    let quota = Quota { max_keys: Some(max_keys), ..Quota::default() };
    store.set_quota(namespace, quota).unwrap();
}

fn max_keys(store: &Store, namespace: &str) -> Option<u64> {
    store.scoped(namespace).unwrap().quota().unwrap().max_keys
}

/// Ends a copy as if it were killed: it cleans up nothing.
fn kill(copying: Copying<'_, Whole, Whole>) {
    let copying = copying.on_progress(|progress| assert_ne!(progress.stage, Stage::Copying, "killed"));
    catch_unwind(AssertUnwindSafe(|| copying.run())).unwrap_err();
}

on_every_engine! {
    fn a_copy_has_every_entry_expiry_and_quota(rig: &Rig) {
        with_each_pair(rig, |source, target| {
            for (number, name) in STRANGE_NAMES.iter().enumerate() {
                let other = STRANGE_NAMES[(number * 7 + 3) % STRANGE_NAMES.len()];
                source.set(name, other, vec![0xff, 0, u8::try_from(number).unwrap()]).unwrap();
                source.set(name, *name, *name).unwrap();
            }
            fill(source, "many", 2300);
            source.set("large", "value", vec![7; 700 << 10]).unwrap();
            source.set_with_ttl("session", "token", "abc", Duration::from_millis(60_001)).unwrap();
            source.set_with_ttl("session", "gone", "abc", Duration::from_millis(1)).unwrap();
            let tenant = source.scoped("tenant-42").unwrap();
            tenant.set("preferences", "locale", "en-GB").unwrap();
            source.set_quota("tenant-42", Quota { max_keys: Some(1), ..Quota::default() }).unwrap();
            rig.advance_ms(1);

            let mut last = None;
            let before = source.revision().unwrap();
            let copied = source.copy_to(target).on_progress(|progress| last = Some(progress.clone())).run().unwrap();
            assert!(copied.is_exact(), "{copied:?}");
            assert_eq!(content(target), content(source));
            assert_eq!(target.scoped("tenant-42").unwrap().quota().unwrap(), tenant.quota().unwrap());
            let all = source.count_all("").unwrap();
            assert_eq!((copied.entries, copied.written, copied.beside), (all, all, 0));
            assert_eq!(copied.revision, before);
            assert_eq!(source.revision().unwrap(), before, "the source was written to");
            assert!(!is_marked(target));
            let last = last.unwrap();
            assert_eq!((last.stage, last.entries, last.entries_total), (Stage::Verifying, all, all));
        });
    }

    fn a_second_copy_writes_only_differences_and_keeps_extra_entries(rig: &Rig) {
        with_each_pair(rig, |source, target| {
            fill(source, "config", 300);
            target.set("own", "key", "stays").unwrap();
            target.set("config", "own", "stays").unwrap();
            target.set("config", "key-00007", "is overwritten").unwrap();
            assert_eq!(source.copy_to(target).run().unwrap().beside, 2);

            source.set("config", "key-00100", "changed").unwrap();
            source.set_with_ttl("config", "key-00200", "value 200", Duration::from_secs(9)).unwrap();
            source.set("config", "new", "").unwrap();
            let copied = source.copy_to(target).run().unwrap();
            assert_eq!((copied.written, copied.entries, copied.beside), (3, 301, 2));
            assert!(copied.is_exact());
            assert_eq!(target.get("own", "key").unwrap().unwrap(), "stays");
            assert_eq!(target.get("config", "own").unwrap().unwrap(), "stays");
            assert_eq!(target.get("config", "key-00007").unwrap().unwrap(), "value 7");
        });
    }

    fn an_exact_copy_deletes_everything_else(rig: &Rig) {
        with_each_pair(rig, |source, target| {
            fill(source, "config", 150);
            fill(target, "config", 400);
            fill(target, "a", 120);
            fill(target, "tenant:z", 120);
            target.set_quota("tenant", Quota { max_keys: Some(120), ..Quota::default() }).unwrap();
            let copied = source.copy_to(target).exactly().run().unwrap();
            assert!(copied.is_exact());
            assert_eq!((copied.beside, copied.written), (0, 250 + 120 + 120));
            assert_eq!(content(target), content(source));
        });
    }

    fn an_interrupted_copy_resumes_and_deletes_what_the_source_deleted(rig: &Rig) {
        let source = rig.store();
        fill(&source, "a", 250);
        fill(&source, "b", 250);
        source.set("c", "expiring", "x").unwrap();
        source.set("z", "too large", vec![0; 2000]).unwrap();
        let other = rig.another();
        let target = other.open_with(|options| options.clock(rig.clock.clone()).max_value_bytes(1000));
        target.set("a", "own", "stays").unwrap();
        target.set("own", "key", "stays").unwrap();
        let error = source.copy_to(&target).run().unwrap_err();
        assert!(matches!(&error, Error::Uncopied { group, .. } if group == "z"), "{error:?}");
        let reason = error.source().unwrap().to_string();
        assert_eq!(error.to_string(), r#"the entry "z" "too large" cannot be copied"#);
        assert!(reason.starts_with("the value has 2000 bytes"), "{reason}");
        assert!(is_marked(&target), "the target keeps the copied entries and the mark of an unfinished copy");
        // It is not known which batches were committed.
        assert!(target.count("a").unwrap() > 200);

        source.delete("a", "key-00003").unwrap();
        source.delete_group("b").unwrap();
        source.set("b", "key-00009", "set again").unwrap();
        source.set_with_ttl("c", "expiring", "x", Duration::from_millis(5)).unwrap();
        source.delete_group("z").unwrap();
        rig.advance_ms(5);
        let copied = source.copy_to(&target).run().unwrap();
        assert!(copied.is_exact());
        assert_eq!(copied.beside, 2, "the target's own two entries");
        assert_eq!((target.count("a").unwrap(), target.count("b").unwrap()), (250, 1));
        assert!(!is_marked(&target));
        assert!(!target.exists("c", "expiring").unwrap());
        verify(&target);
    }

    fn deletions_that_the_log_no_longer_shows_are_not_guessed(rig: &Rig) {
        let rig = rig.with_own_history();
        let source = rig.open_with(|options| options.history(10, 1 << 20));
        fill(&source, "a", 300);
        source.set("z", "too large", vec![0; 2000]).unwrap();
        let target = Store::options().clock(rig.clock.clone()).max_value_bytes(1000).in_memory().unwrap();
        source.copy_to(&target).run().unwrap_err();
        limit(&source, "killed", 5);
        limit(&target, "killed", 4);
        kill(source.copy_to(&target));
        source.delete("a", "key-00003").unwrap();
        source.delete_group("z").unwrap();
        for _ in 0..30 {
            source.increment("stats", "visits", 1).unwrap();
        }
        rig.compact_up_to(rig.number_of(source.revision().unwrap()) - 1);
        let error = source.copy_to(&target).run().unwrap_err();
        assert!(matches!(error, Error::CopyTooOld { .. }), "{error:?}");
        assert!(target.exists("a", "key-00003").unwrap());
        assert_eq!(max_keys(&target, "killed"), Some(4), "a quota lifted by an earlier run was not restored");
        limit(&target, "t", 3);
        source.set("z", "too large", vec![0; 2000]).unwrap();
        source.copy_to(&target).exactly().run().unwrap_err();
        assert_eq!(max_keys(&target, "t"), Some(3), "a failed copy changed a quota");
        source.delete_group("z").unwrap();
        assert!(source.copy_to(&target).exactly().run().unwrap().is_exact());
        assert_eq!(content(&target), content(&source));
        assert_eq!(["t", "killed"].map(|name| max_keys(&target, name)), [None, Some(5)]);
        assert!(!is_marked(&target));
    }

    fn a_copy_follows_its_source_until_it_cuts_over(rig: &Rig) {
        with_each_pair(rig, |source, target| {
            fill(source, "a", 300);
            source.scoped("t").unwrap().set("g", "k", "v").unwrap();
            let done = AtomicBool::new(false);
            let (followed, verifying) = (AtomicBool::new(false), Cell::new(None));
            thread::scope(|scope| {
                scope.spawn(|| {
                    common::eventually("the copy follows", || followed.load(Ordering::Relaxed));
                    for round in 0..40 {
                        source.set("a", format!("key-{round:05}"), "again").unwrap();
                        source.delete("a", format!("key-{:05}", round + 100)).unwrap();
                        source.set_with_ttl("ttl", format!("{round}"), "x", Duration::from_secs(round + 1)).unwrap();
                        source.batch().set("c", "n", "1").increment("c", "n", 1).delete("c", "n").set("c", "m", vec![0xff]).commit().unwrap();
                        source.touch("a", format!("key-{:05}", round + 50), Duration::from_secs(100)).unwrap();
                        if round % 10 == 5 {
                            source.delete_group("c").unwrap();
                            source.delete_prefix("d").unwrap();
                        }
                        source.set(format!("d{}", round % 3), "k", "v").unwrap();
                    }
                    source.set_quota("t", Quota { max_keys: Some(1), ..Quota::default() }).unwrap();
                    rig.advance_ms(20_000);
                    source.purge_expired().unwrap();
                    done.store(true, Ordering::Relaxed);
                });
                let copied = source
                    .copy_to(target)
                    .follow_until(|| {
                        followed.store(true, Ordering::Relaxed);
                        done.load(Ordering::Relaxed)
                    })
                    .on_progress(|progress| {
                        if progress.stage == Stage::Verifying && verifying.get().is_none() {
                            // From now on both stores may be written to.
                            source.set("a", "late", "not copied").unwrap();
                            target.set("a", "own", "of the target").unwrap();
                            target.set("a", "key-00000", "of the target").unwrap();
                            verifying.set(Some(progress.revision));
                        }
                    })
                    .run()
                    .unwrap();
                assert!(copied.is_exact(), "{copied:?}");
                assert!(copied.applied > 0);
                assert_eq!((copied.beside, Some(copied.revision)), (0, verifying.get()));
            });
            assert_eq!(target.scoped("t").unwrap().quota().unwrap().max_keys, Some(1));
            assert!(!is_marked(target));
            source.delete("a", "late").unwrap();
            target.delete("a", "own").unwrap();
            target.set("a", "key-00000", "again").unwrap();
            source.set("a", "key-00000", "again").unwrap();
            assert_eq!(content(target), content(source));
        });
    }

    fn a_copy_that_falls_behind_the_log_omits_nothing_silently(rig: &Rig) {
        // The last change applied before the copy is told to stop: before the lost changes, or after them.
        let (before, behind) = (("b", "key-00499"), ("c", "key-00099"));
        for (exact, last) in [(false, before), (false, behind), (true, before), (true, behind)] {
            let rig = rig.with_own_history();
            let source = rig.open_with(|options| options.history(600, 1 << 20));
            let target = in_memory(&rig);
            fill(&source, "a", 100);
            let calls = Cell::new(0);
            let copying = source.copy_to(&target).follow_until(|| {
                calls.set(calls.get() + 1);
                match calls.get() {
                    // As much as one read of the log returns, applied in several steps.
                    1 => fill(&source, "b", 500),
                    // Meanwhile the log loses the next changes, except the last ones.
                    2 => {
                        source.delete("a", "key-00003").unwrap();
                        (0..7).for_each(|_| fill(&source, "c", 100));
                        rig.compact_up_to(13);
                    }
                    _ => {}
                }
                target.exists(last.0, last.1).unwrap()
            });
            if exact {
                let copied = copying.exactly().run().unwrap();
                assert!(copied.is_exact(), "{copied:?}");
                assert_eq!(content(&target), content(&source));
            } else {
                let error = copying.run().unwrap_err();
                assert!(matches!(error, Error::CopyTooOld { .. }), "{error:?}");
                assert!(is_marked(&target));
            }
        }
    }

    fn writes_to_the_target_by_others_are_reported(rig: &Rig) {
        with_each_pair(rig, |source, target| {
            for key in ["a", "b", "c", "d", "e"] {
                source.set("g", key, key).unwrap();
            }
            let mut is_first = true;
            let copied = source
                .copy_to(target)
                .exactly()
                .on_progress(|progress| {
                    if progress.entries == progress.entries_total && is_first {
                        is_first = false;
                        target.set("g", "a", "theirs").unwrap();
                        target.delete("g", "b").unwrap();
                        target.touch("g", "c", Duration::from_secs(1)).unwrap();
                        target.set("g", "theirs", "x").unwrap();
                    }
                })
                .run()
                .unwrap();
            let names = |key: &str| ("g".to_owned(), key.to_owned());
            let ((group, key), (g2, k2), (g3, k3), (g4, k4)) = (names("a"), names("b"), names("c"), names("theirs"));
            assert_eq!(copied.differences, [
                Difference::Value { group, key },
                Difference::Missing { group: g2, key: k2 },
                Difference::Expiry { group: g3, key: k3 },
                Difference::Extra { group: g4, key: k4 },
            ]);
            assert_eq!((copied.differing, copied.entries), (4, 5));
            assert!(is_marked(target));
            assert!(source.copy_to(target).exactly().run().unwrap().is_exact());
            assert_eq!(content(target), content(source));
        });
    }

    fn a_namespace_can_be_copied_alone_within_its_quota(rig: &Rig) {
        let source = rig.store();
        source.set("other:g", "k", "v").unwrap();
        let tenant = source.scoped("tenant-42").unwrap();
        fill(&source, "tenant-42:g", 150);
        let target = in_memory(rig);
        let renamed = target.scoped("renamed").unwrap();
        target.set_quota("renamed", Quota { max_keys: Some(149), ..Quota::default() }).unwrap();
        let refused = tenant.copy_to(&renamed).run();
        assert!(matches!(refused, Err(Error::QuotaExceeded { limit: 149, .. })), "{refused:?}");
        tenant.delete("g", "key-00000").unwrap();
        let copied = tenant.copy_to(&renamed).run().unwrap();
        assert_eq!((copied.entries, copied.beside), (149, 0));
        assert_eq!(content(&renamed), content(&tenant));
        assert_eq!(target.count_all("").unwrap(), 149);
    }

    fn a_full_namespace_can_be_copied_while_its_entries_change(rig: &Rig) {
        with_each_pair(rig, |source, target| {
            let tenant = source.scoped("tenant-42").unwrap();
            source.set_quota("tenant-42", Quota { max_keys: Some(2), ..Quota::default() }).unwrap();
            tenant.set("g", "m", "").unwrap();
            tenant.set("g", "n", "").unwrap();
            assert!(source.copy_to(target).run().unwrap().is_exact());
            tenant.delete_group("g").unwrap();
            tenant.set("g", "a", "").unwrap();
            tenant.set("g", "z", "").unwrap();
            assert!(source.copy_to(target).exactly().run().unwrap().is_exact());
            assert_eq!(content(target), content(source));
            assert_eq!(target.scoped("tenant-42").unwrap().quota().unwrap().max_keys, Some(2));
        });
    }

    fn quotas_lifted_by_a_killed_copy_are_restored(rig: &Rig) {
        let source = &rig.store();
        let other = rig.another();
        let target = &other.open_with(|options| options.clock(rig.clock.clone()).max_value_bytes(1000));
        limit(source, "both", 5);
        limit(source, "unlimited-soon", 5);
        let scarce = Quota { max_keys: Some(3), max_groups: Some(2), max_bytes: Some(1 << 40) };
        target.set_quota("both", scarce).unwrap();
        limit(target, "unlimited-soon", 4);
        limit(target, "own", 7);

        // Begun as an exact copy, finished as an ordinary one.
        kill(source.copy_to(target).exactly());
        assert_eq!(["both", "unlimited-soon", "own"].map(|name| max_keys(target, name)), [None; 3]);
        source.set_quota("unlimited-soon", Quota::default()).unwrap();
        assert!(source.copy_to(target).run().unwrap().is_exact());
        let quotas = ["both", "unlimited-soon", "own"].map(|name| max_keys(target, name));
        assert_eq!(quotas, [Some(5), Some(4), Some(7)]);
        assert!(!is_marked(target));

        // Killed twice, then failed.
        target.set_quota("both", scarce).unwrap();
        kill(source.copy_to(target).exactly());
        kill(source.copy_to(target).exactly());
        // Meanwhile an operator changed one quota by hand.
        limit(target, "own", 8);
        source.set("z", "too large", vec![0; 2000]).unwrap();
        source.copy_to(target).exactly().run().unwrap_err();
        assert_eq!(target.scoped("both").unwrap().quota().unwrap(), scarce);
        assert_eq!(["unlimited-soon", "own"].map(|name| max_keys(target, name)), [Some(4), Some(8)]);

        // A complete copy has the source's quotas, and none is left to restore.
        source.delete_group("z").unwrap();
        assert!(source.copy_to(target).exactly().run().unwrap().is_exact());
        let quotas = ["both", "unlimited-soon", "own"].map(|name| max_keys(target, name));
        assert_eq!(quotas, [Some(5), None, None]);
        assert!(!is_marked(target));
        verify(target);
    }

    fn an_entry_that_expires_during_a_copy_leaves_no_former_value_behind(rig: &Rig) {
        with_each_pair(rig, |source, target| {
            for in_one_transaction in [false, true] {
                source.set_with_ttl("g", "k", "former", Duration::from_secs(100)).unwrap();
                assert!(source.copy_to(target).exactly().run().unwrap().is_exact());
                source.set_with_ttl("g", "k", "latter", Duration::from_secs(10)).unwrap();
                let mut copying = source.copy_to(target).exactly();
                if in_one_transaction {
                    copying = copying.in_one_transaction();
                }
                let mut has_begun = false;
                let copying = copying.on_progress(|progress| {
                    if progress.stage == Stage::Copying && !has_begun {
                        has_begun = true;
                        rig.clock.advance(Duration::from_secs(20));
                    }
                });
                let copied = copying.run().unwrap();
                assert!(copied.is_exact(), "{copied:?}");
                assert_eq!(target.get("g", "k").unwrap(), None);
            }
        });
    }

    fn a_read_only_source_can_be_copied_and_followed(rig: &Rig) {
        if !rig.promises.can_be_opened_again {
            return;
        }
        let writer = rig.store();
        fill(&writer, "a", 120);
        let source = rig.open_with(|options| options.read_only(true));
        let target = in_memory(rig);
        let is_first = Cell::new(true);
        let copied = source
            .copy_to(&target)
            .follow_until(|| {
                if is_first.replace(false) {
                    writer.set("a", "late", "is followed").unwrap();
                }
                target.exists("a", "late").unwrap()
            })
            .run()
            .unwrap();
        assert!(copied.is_exact());
        assert_eq!(content(&target), content(&source));
    }

    fn a_store_can_be_copied_into_its_own_namespace_but_cannot_follow_itself(rig: &Rig) {
        let store = rig.store();
        fill(&store, "a", 120);
        let inner = store.scoped("inner").unwrap();
        assert!(store.copy_to(&inner).run().unwrap().is_exact());
        assert_eq!(inner.count_all("").unwrap(), 120);
        let other = rig.second_handle(&store);
        let refused = store.copy_to(&other.scoped("other").unwrap()).follow_until(|| true).run();
        assert!(matches!(refused, Err(Error::FollowsItself)), "{refused:?}");
        assert_eq!(other.scoped("other").unwrap().count_all("").unwrap(), 0);
    }

    fn a_copy_in_one_transaction_is_exact_if_asked_and_leaves_no_note(rig: &Rig) {
        with_each_pair(rig, |source, target| {
            fill(source, "a", 50);
            source.set_with_ttl("session", "token", "abc", Duration::from_secs(60)).unwrap();
            limit(source, "limited", 5);
            limit(target, "extra", 7);
            target.set("a", "extra", "x").unwrap();
            target.set("extra", "key", "x").unwrap();
            let before = target.revision().unwrap();
            let copied = source.copy_to(target).in_one_transaction().run().unwrap();
            assert!(copied.is_exact(), "{copied:?}");
            assert_eq!((copied.entries, copied.written, copied.beside), (51, 51, 2));
            assert_eq!(["limited", "extra"].map(|name| max_keys(target, name)), [Some(5), Some(7)]);
            let events = target.watch_from(Pattern::all(), before).unwrap();
            let first = events.recv().unwrap().revision;
            assert!(std::iter::from_fn(|| events.try_recv().unwrap()).all(|event| event.revision == first));
            assert!(!is_marked(target));

            let copied = source.copy_to(target).in_one_transaction().exactly().run().unwrap();
            assert_eq!((copied.written, copied.beside), (2, 0), "what is the same is not written again");
            assert_eq!(["limited", "extra"].map(|name| max_keys(target, name)), [Some(5), None]);
            assert_eq!(content(target), content(source));
        });
    }

    fn a_failed_copy_in_one_transaction_has_written_nothing(rig: &Rig) {
        let source = rig.store();
        fill(&source, "a", 5);
        source.set("z", "too large", vec![0; 2000]).unwrap();
        let target = Store::options().clock(rig.clock.clone()).max_value_bytes(1000).in_memory().unwrap();
        target.set("a", "extra", "x").unwrap();
        limit(&target, "limited", 4);
        let before = (content(&target), target.revision().unwrap());
        let refused = source.copy_to(&target).in_one_transaction().exactly().run();
        assert!(matches!(refused, Err(Error::TooLarge { .. })), "{refused:?}");
        assert_eq!((content(&target), target.revision().unwrap()), before);
        assert_eq!(max_keys(&target, "limited"), Some(4));
    }

    fn a_copy_in_one_transaction_can_follow_its_source(rig: &Rig) {
        let source = rig.store();
        let target = in_memory(rig);
        fill(&source, "a", 20);
        let is_first = Cell::new(true);
        let cut_over = || {
            if is_first.replace(false) {
                source.set("a", "late", "is followed").unwrap();
                source.delete("a", "key-00003").unwrap();
            }
            target.exists("a", "late").unwrap()
        };
        let copied = source.copy_to(&target).in_one_transaction().follow_until(cut_over).run().unwrap();
        assert!(copied.is_exact(), "{copied:?}");
        assert_eq!((copied.entries, copied.beside), (20, 0));
        assert_eq!(content(&target), content(&source));
        assert!(!is_marked(&target));
    }
}
