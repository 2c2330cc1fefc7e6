//! What a copy notes down about itself until it is complete: no user's write reaches it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use common::Rig;
use larder::{Copying, Quota, Stage, Store, Whole};

fn keys(max_keys: u64) -> Quota {
    Quota { max_keys: Some(max_keys), ..Quota::default() }
}

fn quota_of(store: &Store, namespace: &str) -> Quota {
    store.scoped(namespace).unwrap().quota().unwrap()
}

/// Ends a copy in some stage as if it were killed: it cleans up nothing.
fn kill_in(stage: Stage, copying: Copying<'_, Whole, Whole>) {
    let copying = copying.on_progress(move |progress| assert_ne!(progress.stage, stage, "killed"));
    catch_unwind(AssertUnwindSafe(|| copying.run())).unwrap_err();
}

/// A source and a target with a quota each.
fn limited(rig: &Rig, other: &Rig) -> (Store, Store) {
    let (source, target) = (rig.store(), other.store());
    source.set("t:g", "k", "v").unwrap();
    source.set_quota("t", keys(7)).unwrap();
    target.set_quota("t", keys(3)).unwrap();
    (source, target)
}

on_every_engine! {
    fn a_forged_note_of_a_copy_has_no_effect(rig: &Rig) {
        let source = rig.store();
        let identity = source.token().unwrap().store().to_owned();
        let tenant = source.scoped("t").unwrap();
        let position = source.token().unwrap().to_string();
        tenant.set("larder.copies", format!("{identity} \"\" \"\" victim"), "max_keys=1 max_groups=0 max_bytes=0").unwrap();
        tenant.set("larder.copies", format!("{identity} \"\" \"\""), position.as_str()).unwrap();
        let elsewhere = rig.another();
        let target = elsewhere.store();
        target.set("victim:g", "k", "v").unwrap();
        target.set("own", "k", "v").unwrap();
        source.set("own", "k", "v").unwrap();
        source.delete("own", "k").unwrap();

        assert!(tenant.copy_to(&target).run().unwrap().is_exact());
        assert_eq!(target.count("larder.copies").unwrap(), 2, "a group like any other");
        assert!(target.unfinished_copies().unwrap().is_empty());
        assert!(source.copy_to(&target).run().unwrap().is_exact());
        assert_eq!(quota_of(&target, "victim"), Quota::default());
        assert!(target.exists("own", "k").unwrap(), "the first copy deletes nothing");
        assert_eq!(target.count("larder.copies").unwrap(), 2);
    }

    fn a_note_of_a_copy_is_no_entry_and_no_event(rig: &Rig) {
        let other = rig.another();
        let (source, target) = limited(rig, &other);
        let watcher = target.watch(("*", "*")).unwrap();
        kill_in(Stage::Copying, source.copy_to(&target));
        assert_eq!(target.unfinished_copies().unwrap().len(), 1);
        assert!(target.groups("").unwrap().is_empty());
        assert_eq!(common::events_now(&watcher), []);
        let target = other.reopen(target);
        assert_eq!(target.unfinished_copies().unwrap().len(), 1);
        // Nobody deletes it along with entries.
        target.delete_prefix("").unwrap();
        target.purge_expired().unwrap();
        let [unfinished] = &target.unfinished_copies().unwrap()[..] else { panic!("one copy") };
        assert_eq!(unfinished.source, source.token().unwrap().store());
        assert_eq!((&unfinished.from_namespace, &unfinished.into_namespace), (&None, &None));
        assert_eq!(unfinished.lifted.clone().into_iter().collect::<Vec<_>>(), [("t".to_owned(), keys(3))]);
        assert!(source.copy_to(&target).run().unwrap().is_exact());
        assert!(target.unfinished_copies().unwrap().is_empty());
        assert_eq!(quota_of(&target, "t"), keys(7));
    }

    fn an_abandoned_copy_leaves_the_quotas_as_they_were(rig: &Rig) {
        let other = rig.another();
        let (source, target) = limited(rig, &other);
        source.set_quota("u", keys(9)).unwrap();
        target.set_quota("u", keys(2)).unwrap();
        kill_in(Stage::Copying, source.copy_to(&target));
        assert_eq!(quota_of(&target, "t"), Quota::default(), "lifted");
        target.set_quota("u", keys(5)).unwrap();
        assert_eq!(target.abandon_copies().unwrap(), 1);
        assert_eq!((quota_of(&target, "t"), quota_of(&target, "u")), (keys(3), keys(5)));
        assert!(target.unfinished_copies().unwrap().is_empty());
        assert_eq!(target.abandon_copies().unwrap(), 0);
    }

    fn quotas_set_by_a_killed_copy_go_with_those_of_the_source(rig: &Rig) {
        let other = rig.another();
        let (source, target) = (rig.store(), other.store());
        let namespaces = ["new", "raised", "by-hand", "kept"];
        let quotas = || namespaces.map(|name| quota_of(&target, name));
        for namespace in namespaces {
            source.set_quota(namespace, keys(5)).unwrap();
        }
        for namespace in &namespaces[1..] {
            target.set_quota(namespace, keys(4)).unwrap();
        }
        // Two runs come as far as to set the quotas.
        for _ in 0..2 {
            kill_in(Stage::Verifying, source.copy_to(&target));
            assert_eq!(quotas(), [keys(5); 4]);
            let [unfinished] = &target.unfinished_copies().unwrap()[..] else { panic!("one copy") };
            assert!(unfinished.lifted.is_empty(), "they are not lifted any more");
        }
        // Meanwhile the source loses most of them, and an operator changes one of the target by hand.
        for namespace in &namespaces[..3] {
            source.set_quota(namespace, Quota::default()).unwrap();
        }
        target.set_quota("by-hand", keys(6)).unwrap();
        assert!(source.copy_to(&target).run().unwrap().is_exact());
        assert_eq!(quotas(), [Quota::default(), keys(4), keys(6), keys(5)]);
        assert!(target.unfinished_copies().unwrap().is_empty());

        // What is complete is forgotten: the next copy takes no quota away.
        source.set_quota("kept", Quota::default()).unwrap();
        assert!(source.copy_to(&target).run().unwrap().is_exact());
        assert_eq!(quotas(), [Quota::default(), keys(4), keys(6), keys(5)]);
    }

    fn an_entry_that_expires_while_a_copy_is_resumed_leaves_no_former_value_behind(rig: &Rig) {
        let other = rig.another();
        let source = rig.store();
        let target = other.open_with(|options| options.clock(rig.clock.clone()));
        // Full, so that nothing is set beyond the quota either.
        source.set_quota("t", keys(1)).unwrap();
        source.set_with_ttl("t:g", "k", "former", Duration::from_secs(100)).unwrap();
        kill_in(Stage::Verifying, source.copy_to(&target));
        assert_eq!(target.get("t:g", "k").unwrap().unwrap().as_bytes(), b"former");
        source.delete("t:g", "k").unwrap();
        source.set_with_ttl("t:other", "k", "latter", Duration::from_secs(100)).unwrap();
        kill_in(Stage::Verifying, source.copy_to(&target));
        source.set_with_ttl("t:other", "k", "last", Duration::from_secs(10)).unwrap();
        let mut has_begun = false;
        let copying = source.copy_to(&target).on_progress(|_| {
            if !std::mem::replace(&mut has_begun, true) {
                rig.clock.advance(Duration::from_secs(20));
            }
        });
        assert!(copying.run().unwrap().is_exact());
        assert_eq!(target.count_all("").unwrap(), 0);
    }

    fn a_copy_of_more_quotas_than_one_commit_changes_leaves_no_note(rig: &Rig) {
        let other = rig.another();
        let (source, target) = (rig.store(), other.store());
        for number in 0..130 {
            source.set_quota(format!("tenant-{number}"), keys(5)).unwrap();
        }
        assert!(source.copy_to(&target).run().unwrap().is_exact());
        assert_eq!(quota_of(&target, "tenant-129"), keys(5));
        assert!(target.unfinished_copies().unwrap().is_empty());
    }

    fn an_unfinished_copy_of_a_namespace_names_both_namespaces(rig: &Rig) {
        let store = rig.store();
        let (from, into) = (store.scoped("a").unwrap(), store.scoped("b").unwrap());
        from.set("g", "k", "v").unwrap();
        let copying = from.copy_to(&into).on_progress(|progress| assert_ne!(progress.stage, Stage::Copying));
        catch_unwind(AssertUnwindSafe(|| copying.run())).unwrap_err();
        let [unfinished] = &store.unfinished_copies().unwrap()[..] else { panic!("one copy") };
        assert_eq!(unfinished.from_namespace.as_deref(), Some("a"));
        assert_eq!(unfinished.into_namespace.as_deref(), Some("b"));
        assert_eq!(store.abandon_copies().unwrap(), 1);
    }
}
