//! Nothing that a scoped store does or leaves behind reaches another namespace, also not later and elsewhere.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
mod common;

use std::cell::Cell;

use common::Rig;
use larder::{Error, Store};

/// A store in which the tenant `t` has a group by a name that is another tenant's outside of `t`.
fn with_intruder(rig: &Rig) -> Store {
    let store = rig.store();
    let tenant = store.scoped("t").unwrap();
    tenant.set("plain", "k", "v").unwrap();
    tenant.set("victim:settings", "colour", "forged").unwrap();
    store
}

/// Whether the group that the tenant's name stands for is as its owner left it.
fn is_untouched(store: &Store) -> bool {
    let victim = store.scoped("victim").unwrap();
    victim.get("settings", "colour").unwrap().is_some_and(|value| value == "blue")
        && victim.count_all("").unwrap() == 1
}

fn with_victim(rig: &Rig) -> Store {
    let store = rig.store();
    store.scoped("victim").unwrap().set("settings", "colour", "blue").unwrap();
    store
}

on_every_engine! {
    fn a_copy_out_of_a_namespace_never_writes_into_another(rig: &Rig) {
        let source = with_intruder(rig);
        let tenant = source.scoped("t").unwrap();
        let elsewhere = rig.another();
        let target = with_victim(&elsewhere);
        for copying in [
            tenant.copy_to(&target),
            tenant.copy_to(&target).exactly(),
            tenant.copy_to(&target).in_one_transaction(),
            tenant.copy_to(&target).follow_until(|| true),
        ] {
            let refused = copying.run();
            assert!(
                matches!(&refused, Err(Error::LeavesNamespace { group, namespace })
                    if group == "victim:settings" && namespace == "victim"),
                "{refused:?}"
            );
            assert!(is_untouched(&target));
            assert_eq!(target.count_all("").unwrap(), 1, "something was written before the refusal");
        }
        let own = target.scoped("t").unwrap();
        assert!(tenant.copy_to(&own).run().unwrap().is_exact());
        assert_eq!(own.get("victim:settings", "colour").unwrap().unwrap(), "forged");
        assert!(is_untouched(&target));
    }

    fn a_copy_that_follows_a_namespace_never_changes_another(rig: &Rig) {
        let source = rig.store();
        let tenant = source.scoped("t").unwrap();
        tenant.set("plain", "k", "v").unwrap();
        let elsewhere = rig.another();
        let target = with_victim(&elsewhere);

        // Deletions and other endings of what is never copied.
        let looks = Cell::new(0);
        let copying = tenant.copy_to(&target).follow_until(|| {
            looks.set(looks.get() + 1);
            if looks.get() == 1 {
                tenant.delete_group("victim:settings").unwrap();
                tenant.set("plain", "k", "w").unwrap();
            }
            looks.get() > 1 && target.get("plain", "k").unwrap().unwrap() == "w"
        });
        assert!(copying.run().unwrap().is_exact());
        assert!(is_untouched(&target));

        let looks = Cell::new(0);
        let copying = tenant.copy_to(&target).follow_until(|| {
            looks.set(looks.get() + 1);
            if looks.get() == 1 {
                tenant.set("victim:settings", "colour", "forged").unwrap();
            }
            // Ends what it should not have come to.
            !is_untouched(&target)
        });
        let refused = copying.run();
        assert!(matches!(refused, Err(Error::LeavesNamespace { .. })), "{refused:?}");
        assert!(is_untouched(&target));

        // The rest of an interrupted copy deletes what the source has deleted since, but nothing of others.
        tenant.delete_group("victim:settings").unwrap();
        tenant.set("victim:settings", "colour", "forged").unwrap();
        tenant.delete("victim:settings", "colour").unwrap();
        tenant.delete("plain", "k").unwrap();
        assert!(tenant.copy_to(&target).run().unwrap().is_exact());
        assert!(is_untouched(&target));
        assert!(!target.exists("plain", "k").unwrap());
    }
}
