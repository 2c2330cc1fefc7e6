//! Tenants: a scoped store does everything a store does, but only inside its namespace.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
mod common;

use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use common::{Engine, Rig, STRANGE_NAMES, events_now, ms};
use larder::{Condition, Error, Event, NamespaceInfo, Pattern, Quota, Revision, Store, Usage, View};

/// Makes every kind of call and returns all the answers.
fn everything<S: 'static>(store: &Store<S>, rig: &Rig) -> Vec<String> {
    let mut answers = Vec::new();
    let number_of = |revision| rig.number_of(revision);
    let mut note = |what: &dyn Debug| answers.push(numbered(&format!("{what:?}"), number_of));
    let watcher = store.watch(("*", "*")).unwrap();
    let of_group = store.watch(Pattern::group("a")).unwrap();
    let of_key = store.watch(("a", "k")).unwrap();
    let of_prefix = store.watch(Pattern::group_prefix("a:")).unwrap();
    let received: Arc<Mutex<Vec<Event>>> = Arc::default();
    let ear = Arc::clone(&received);
    let _subscription = store.on_change(move |event: &Event| ear.lock().unwrap().push(event.clone()));

    note(&store.set("a", "k", "1"));
    note(&store.set_json("a", "json", &[1, 2]));
    note(&store.set_with_ttl("a", "short", "v", ms(10)));
    note(&store.set_until("a:b", "short", "v", None));
    note(&store.touch("a:b", "short", ms(10)));
    note(&store.set("", "", ""));
    for name in STRANGE_NAMES {
        note(&store.set(name, *name, *name));
    }
    note(&store.persist("a", "short"));
    note(&store.increment("a", "k", 41));
    note(&store.set_if("a", "k", Condition::Present, "words of one value"));
    note(
        &store
            .batch()
            .require("a", "k", Condition::Present)
            .set("x:1", "k", "v")
            .delete("a", "json")
            .commit(),
    );
    note(&store.batch().set("never", "k", "v").require("a", "k", Condition::Absent).commit().is_err());
    let within = store.transaction(|tx| {
        tx.set("x:2", "k", "v")?;
        tx.increment("x:2", "n", 2)?;
        tx.set_with_ttl("x:2", "short", "v", ms(10))?;
        tx.set_if("x:2", "k", Condition::Present, "w")?;
        tx.delete("%", "%")?;
        tx.delete_group("_")?;
        reads(tx)
    });
    // A transaction's own writes show a revision that may differ from that of its commit.
    note(&numbered(&format!("{within:?}"), |revision| rig.number_in_transaction(revision)));
    let snapshot = store.snapshot().unwrap();
    note(&store.delete("a", "absent"));
    note(&store.delete_if("a", "k", Condition::Present));
    rig.clock.advance(ms(10));
    note(&reads(store));
    note(&store.purge_expired());
    note(&store.delete_group("*"));
    note(&store.delete_prefix("x:"));
    note(&reads(store));
    note(&reads(&snapshot));
    note(&(store.revision(), snapshot.revision(), store.history("a", "k")));
    for watcher in
        [watcher, of_group, of_key, of_prefix, store.watch_from(("*", "k"), rig.revision(1)).unwrap()]
    {
        note(&events_now(&watcher));
    }
    note(&received.lock().unwrap());
    note(&store.delete_prefix(""));
    answers
}

/// The text of an answer, with the number of each commit instead of its revision.
fn numbered(answers: &str, number_of: impl Fn(Revision) -> u64) -> String {
    let mut pieces = answers.split("Revision(");
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |numbered, piece| {
        let (revision, rest) = piece.split_once(')').unwrap();
        numbered + &format!("commit {}", number_of(Revision(revision.parse().unwrap()))) + rest
    })
}

/// The answers of every read.
fn reads(view: &View) -> larder::Result<Vec<String>> {
    let mut answers = vec![format!("{:?} {:?}", view.groups("")?, view.count_all("")?)];
    for name in STRANGE_NAMES.iter().chain(&["x:", "x:1", "x:2", "never"]) {
        answers.push(format!("{name:?} {:?} {:?}", view.groups(name)?, view.count_all(name)?));
        answers.push(format!(
            "{:?} {:?} {:?}",
            view.get_all(name)?,
            view.count(name)?,
            view.group_exists(name)?
        ));
        answers.push(format!(
            "{:?} {:?}",
            view.entries(name)?.collect::<Vec<_>>(),
            view.keys(name)?.collect::<Vec<_>>()
        ));
        answers.push(format!("{:?} {:?}", view.page(name, None, 2)?, view.get_page(name, 1, 1)?));
        answers.push(format!("{:?} {:?}", view.entry(name, name)?, view.exists(name, "k")?));
        answers.push(format!("{:?} {:?}", view.split(name, "k", " ")?, view.fields(name, "k")?));
    }
    #[cfg(feature = "templates")]
    answers.push(view.render("{{ k }}", "a")?);
    Ok(answers)
}

/// Every entry of every group.
fn dump(view: &View) -> Vec<String> {
    let groups = view.groups("").unwrap();
    groups
        .iter()
        .map(|group| format!("{group:?} {:?}", view.page(&group.name, None, 1000).unwrap()))
        .collect()
}

const NEIGHBOURS: [&str; 10] =
    ["tenant", "tenant-4", "tenant-42", "tenant-421", "tenant-42-", "TENANT-42", "t", "-", "0", "other"];

/// A store with every namespace and plain group that a faulty scope could reach.
fn crowded(rig: &Rig) -> Store {
    let store = rig.store();
    for namespace in NEIGHBOURS {
        let tenant = store.scoped(namespace).unwrap();
        for name in ["", "g", "..", "*", "%", ":", "tenant-42:g", "other:g"] {
            tenant.set(name, "k", namespace).unwrap();
        }
    }
    for name in
        ["", "g", "..", "*", "%", ":", "::", "tenant-42", "tenant-42;g", "tenant-42\0:g", " tenant-42:g"]
    {
        store.set(name, "k", "outside").unwrap();
    }
    store
}

on_every_engine! {
    fn a_namespace_is_letters_digits_and_hyphens(rig: &Rig) {
        let store = rig.store();
        for name in ["a", "Z", "0", "-", "tenant-42", "TENANT", &"n".repeat(1000)] {
            assert_eq!(store.scoped(name).unwrap().namespace(), name);
        }
        for name in [
            "", " ", "a b", "a:b", ":", "a:", "..", "*", "%", "a_b", "é", "a\0", "a\n", "\n", "а", "a/b",
            "a.b",
        ] {
            match store.scoped(name) {
                Err(Error::InvalidNamespace { namespace }) => assert_eq!(namespace, name),
                other => panic!("{name:?}: {other:?}"),
            }
        }
    }

    fn a_scoped_store_can_do_everything_a_store_can(rig: &Rig) {
        let store = rig.store();
        let batch = NEIGHBOURS
            .iter()
            .fold(store.batch(), |batch, name| batch.set(format!("{name}:a"), "k", "not mine"));
        batch.set("a", "k", "not mine").commit().unwrap();
        let tenant = store.scoped("my").unwrap();
        // Another store to compare with: in memory, or in the same cluster.
        let other = if rig.promises.answers_locally { Rig::new(Engine::Memory) } else { rig.another() };
        let alone = other.store();
        // The neighbours took one revision, so this store takes one too, with a batch that leaves nothing.
        alone.batch().set("g", "k", "v").delete("g", "k").commit().unwrap();
        let (scoped, whole) = (everything(&tenant, rig), everything(&alone, &other));
        assert_eq!(scoped.len(), whole.len());
        for (scoped, whole) in scoped.iter().zip(&whole) {
            assert_eq!(scoped, whole);
        }
    }

    fn a_tenants_groups_are_the_stores_groups_with_its_prefix(rig: &Rig) {
        let store = rig.store();
        let tenant = store.scoped("tenant-42").unwrap();
        for name in STRANGE_NAMES {
            tenant.set(name, "k", *name).unwrap();
            assert_eq!(store.get(format!("tenant-42:{name}"), "k").unwrap().unwrap(), *name);
            store.set(format!("tenant-42:{name}"), "k2", "v").unwrap();
            assert_eq!(tenant.count(name).unwrap(), 2);
        }
        assert_eq!(store.count_all("tenant-42:").unwrap(), tenant.count_all("").unwrap());
        let stripped: Vec<_> =
            tenant.groups("").unwrap().into_iter().map(|group| format!("tenant-42:{}", group.name)).collect();
        let whole: Vec<_> = store.groups("tenant-42:").unwrap().into_iter().map(|group| group.name).collect();
        assert_eq!(stripped, whole);
    }

    fn no_read_of_a_tenant_reaches_outside_its_namespace(rig: &Rig) {
        let store = crowded(rig);
        for namespace in NEIGHBOURS {
            let tenant = store.scoped(namespace).unwrap();
            assert_eq!(tenant.count_all("").unwrap(), 8);
            assert_eq!(tenant.usage().unwrap().groups, 8);
            assert_eq!(tenant.groups("").unwrap().len(), 8);
            for entry in tenant
                .groups("")
                .unwrap()
                .iter()
                .map(|group| tenant.entry(&group.name, "k").unwrap().unwrap())
            {
                assert_eq!(entry.value, namespace);
            }
        }
        for namespace in ["empty", "tenan", "tenant-", "tenant-42-x", "g", "42", "Tenant"] {
            let tenant = store.scoped(namespace).unwrap();
            let names = NEIGHBOURS
                .iter()
                .flat_map(|name| [format!("{name}:g"), format!(":{name}:g"), format!("../{name}:g")]);
            for name in names
                .chain(rig.sample_of(STRANGE_NAMES).iter().map(|name| (*name).to_owned()))
                .chain(["g".into(), "2:g".into()])
            {
                assert_eq!(tenant.get(&name, "k").unwrap(), None);
                assert!(tenant.get_all(&name).unwrap().is_empty());
                assert_eq!(tenant.keys(&name).unwrap().count(), 0);
                assert_eq!(tenant.page(&name, None, 10).unwrap().entries, []);
                assert_eq!((tenant.count(&name).unwrap(), tenant.count_all(&name).unwrap()), (0, 0));
                assert_eq!(tenant.groups(&name).unwrap(), []);
                assert_eq!(tenant.history(&name, "k").unwrap(), []);
            }
            assert_eq!(tenant.usage().unwrap(), Usage::default());
        }
    }

    fn no_write_of_a_tenant_reaches_outside_its_namespace(rig: &Rig) {
        let store = crowded(rig);
        store.set_with_ttl("other:short", "k", "v", ms(1)).unwrap();
        rig.advance_ms(1);
        let before = dump(&store);
        for namespace in ["empty", "tenan", "tenant-", "tenant-42-x", "g"] {
            let tenant = store.scoped(namespace).unwrap();
            for name in ["", "*", "..", "%", ":", "tenant-42:", "tenant-42:g", "../other:g", "2:g", "\0"] {
                assert!(!tenant.delete(name, "k").unwrap());
                assert!(!tenant.touch(name, "k", ms(1)).unwrap());
                assert_eq!((tenant.delete_group(name).unwrap(), tenant.delete_prefix(name).unwrap()), (0, 0));
                let revision = store.revision().unwrap();
                tenant.batch().delete(name, "k").delete_group(name).commit().unwrap();
                tenant.transaction(|tx| Ok((tx.delete(name, "k")?, tx.delete_prefix(name)?))).unwrap();
                assert_eq!(store.revision().unwrap(), revision);
                tenant.set(name, "k", "mine").unwrap();
                assert_eq!(store.get(format!("{namespace}:{name}"), "k").unwrap().unwrap(), "mine");
            }
            assert_eq!(tenant.purge_expired().unwrap(), 0);
            assert_eq!(tenant.delete_prefix("").unwrap(), 10);
            assert_eq!(dump(&store), before);
        }
        assert_eq!(store.scoped("other").unwrap().purge_expired().unwrap(), 1);
    }

    fn a_tenant_receives_only_its_own_changes_with_its_own_group_names(rig: &Rig) {
        let store = crowded(rig);
        let start = store.revision().unwrap();
        let tenant = store.scoped("tenant-42").unwrap();
        let patterns = || [Pattern::all(), ("*", "*").into(), Pattern::group_prefix("")];
        let watchers: Vec<_> = patterns().map(|pattern| tenant.watch(pattern).unwrap()).into();
        let narrow = [("tenant-4:g", "*"), ("..", "*"), ("other:g", "k")]
            .map(|pattern| tenant.watch(pattern).unwrap());
        for namespace in NEIGHBOURS {
            let tenant = store.scoped(namespace).unwrap();
            tenant.set("new", "k", "v").unwrap();
            tenant.set_with_ttl("short", "k", "v", ms(1)).unwrap();
            tenant.delete_group("g").unwrap();
        }
        store.set("..", "k", "v").unwrap();
        rig.advance_ms(1);
        store.purge_expired().unwrap();
        store.set("tenant-42:by the store", "k", "v").unwrap();
        store.delete_prefix("").unwrap();
        let expected = [
            "new",
            "short",
            "g",
            "short",
            "by the store",
            "",
            "%",
            "*",
            "..",
            ":",
            "by the store",
            "new",
            "other:g",
            "tenant-42:g",
        ];
        let late = patterns().map(|pattern| tenant.watch_from(pattern, start).unwrap());
        for watcher in watchers.into_iter().chain(late) {
            let received: Vec<String> = events_now(&watcher).into_iter().map(|event| event.group).collect();
            assert_eq!(received, expected);
        }
        let [of_another, of_dots, of_other] = narrow.map(|watcher| events_now(&watcher).len());
        // The tenant's group ".." is its own, and was deleted with the others.
        assert_eq!((of_another, of_dots, of_other), (0, 1, 1));
    }

    fn errors_of_a_scoped_store_use_its_own_group_names(rig: &Rig) {
        let tenant = rig.store().scoped("tenant-42").unwrap();
        tenant.set("g", "k", "text").unwrap();
        for refused in [
            tenant.set_if("g", "k", Condition::Absent, "v").map(drop),
            tenant.delete_if("g", "k", Condition::Absent).map(drop),
            tenant.batch().require("g", "k", Condition::Absent).commit().map(drop),
            tenant.transaction(|tx| tx.require("g", "k", Condition::Absent)),
            tenant.increment("g", "k", 1).map(drop),
            tenant.transaction(|tx| tx.increment("g", "k", 1).map(drop)),
        ] {
            match refused.unwrap_err() {
                Error::Conflict { group, .. } | Error::NotANumber { group, .. } => assert_eq!(group, "g"),
                other => panic!("{other}"),
            }
        }
    }

    fn a_group_belongs_to_a_namespace_only_if_its_name_begins_with_one(rig: &Rig) {
        let store = rig.store();
        store.set("ab:g", "k", "v").unwrap();
        for group in ["ab\0c:g", "ab", "ab ", ":g", "a b:g", "a_b:g", "é:g", "..:g", "ab\n:g", "*:g", "\0:g"]
        {
            store.set(group, "k", "v").unwrap();
            store.set_with_ttl(group, "gone", "v", ms(1)).unwrap();
            store.set_with_ttl(format!("{group}2"), "gone", "v", ms(1)).unwrap();
            rig.advance_ms(1);
            let namespaces = store.namespaces().unwrap();
            assert_eq!(namespaces.len(), 1, "{group:?}");
            let usage = Usage { keys: 1, groups: 1, bytes: 2 };
            assert_eq!((namespaces[0].name.as_str(), namespaces[0].usage), ("ab", usage), "{group:?}");
        }
    }

    fn every_namespace_with_entries_or_a_quota_is_listed(rig: &Rig) {
        let store = rig.store();
        assert_eq!(store.namespaces().unwrap(), []);
        let usage = |keys, groups, bytes| Usage { keys, groups, bytes };
        let info = |name: &str, usage, quota| NamespaceInfo { name: name.to_owned(), usage, quota };
        let [a, ab] = ["a", "a-b"].map(|name| store.scoped(name).unwrap());
        ab.set("g", "key", "value").unwrap();
        ab.set("", "", "").unwrap();
        a.set_with_ttl("g", "k", "v", ms(5)).unwrap();
        store.set("a-b", "k", "v").unwrap();
        let quota = Quota { max_keys: Some(7), ..Quota::default() };
        store.set_quota("quiet", quota).unwrap();
        let none = Quota::default();
        let all = [
            info("a", usage(1, 1, 2), none),
            info("a-b", usage(2, 2, 8), none),
            info("quiet", usage(0, 0, 0), quota),
        ];
        assert_eq!(store.namespaces().unwrap(), all);
        assert_eq!((a.usage().unwrap(), ab.usage().unwrap()), (usage(1, 1, 2), usage(2, 2, 8)));
        rig.advance_ms(5);
        assert_eq!(store.namespaces().unwrap(), all[1..]);
        ab.delete_prefix("").unwrap();
        store.set_quota("quiet", none).unwrap();
        assert_eq!(store.namespaces().unwrap(), []);
        assert_eq!(rig.reopen(store).namespaces().unwrap(), []);
    }

    fn a_tenants_entries_can_be_copied_to_another(rig: &Rig) {
        let store = crowded(rig);
        let (from, to) = (store.scoped("tenant-42").unwrap(), store.scoped("copy").unwrap());
        let others = dump(&store);
        assert_eq!(from.copy_to(&to).in_one_transaction().run().unwrap().entries, 8);
        assert_eq!(to.get("tenant-42:g", "k").unwrap().unwrap(), "tenant-42");
        assert_eq!(to.count_all("").unwrap(), 8);
        assert_eq!(to.delete_prefix("").unwrap(), 8);
        assert_eq!(dump(&store), others);
    }
}
