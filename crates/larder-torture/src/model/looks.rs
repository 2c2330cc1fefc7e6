//! Compares what a store shows with the model.

use std::fmt::Debug;
use std::time::{Duration, SystemTime};

use larder::{AsyncStore, Entry, Error, Quota, Revision};

use super::Outcome;
use super::face::{AnyView, Face, Looker, call, read};
use super::names::{GROUPS, KEYS, NAMESPACES, PREFIXES};
use super::plain::{Plain, Row};
use super::run::Began;

/// Complains unless two things are equal.
pub fn same<T: PartialEq<U> + Debug, U: Debug>(what: &str, answer: &T, expected: &U) -> Outcome {
    if answer == expected { Ok(()) } else { Err(format!("{what}: {answer:?}, expected {expected:?}")) }
}

/// What a read failed with.
pub fn failed(what: &str) -> impl Fn(Error) -> String {
    move |error| format!("{what} failed: {error}")
}

/// How much is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Every kind of read, on the group and the prefix of a turn.
    Turn(usize),
    Everything,
}

impl Depth {
    fn takes(self, index: usize, of: usize) -> bool {
        match self {
            Self::Turn(turn) => turn % of == index,
            Self::Everything => true,
        }
    }
}

/// Compares every read of a view with the model. The view's names come without `scope`. `has_revisions` is false of a
/// copy, whose revisions are its own.
pub fn view(
    looker: Looker<'_>,
    scope: &str,
    plain: &Plain,
    began: Began,
    depth: Depth,
    has_revisions: bool,
) -> Outcome {
    let own = PREFIXES.iter().filter_map(|full| Some((full, full.strip_prefix(scope)?)));
    for (index, (full, prefix)) in own.enumerate() {
        if depth.takes(index, PREFIXES.len()) {
            prefixed(looker, scope, full, prefix, plain)?;
        }
    }
    let own = GROUPS.iter().filter_map(|full| Some((full, full.strip_prefix(scope)?)));
    for (index, (full, group)) in own.enumerate() {
        if depth.takes(index, GROUPS.len()) {
            grouped(looker, full, group, plain, began, has_revisions)?;
        }
    }
    Ok(())
}

fn prefixed(looker: Looker<'_>, scope: &str, full: &str, prefix: &str, plain: &Plain) -> Outcome {
    let count = read!(looker, |view| view.count_all(prefix)).map_err(failed("count_all"))?;
    same(&format!("count_all {full:?}"), &count, &plain.usage(full).keys)?;
    let answer = read!(looker, |view| view.groups(prefix)).map_err(failed("groups"))?;
    let answer: Vec<_> = answer.iter().map(|group| (group.name.as_str(), group.keys, group.bytes)).collect();
    let groups = plain.groups();
    let own = groups.iter().filter(|(name, _)| name.starts_with(full));
    let expected: Vec<_> = own.map(|(name, usage)| (&name[scope.len()..], usage.keys, usage.bytes)).collect();
    same(&format!("groups {full:?}"), &answer, &expected)
}

fn grouped(
    looker: Looker<'_>,
    full: &str,
    group: &str,
    plain: &Plain,
    began: Began,
    has_revisions: bool,
) -> Outcome {
    let expected: Vec<Entry> =
        plain.group(full).into_iter().map(|(key, row)| began.entry(key, row)).collect();
    let answer = entries(looker, group)?;
    if has_revisions {
        same(&format!("entries of {full:?}"), &answer, &expected)?;
    } else {
        let bare = |entries: &[Entry]| -> Vec<Entry> {
            entries.iter().map(|entry| Entry { revision: Revision(0), ..entry.clone() }).collect()
        };
        same(&format!("entries of {full:?}"), &bare(&answer), &bare(&expected))?;
    }
    let count = read!(looker, |view| view.count(group)).map_err(failed("count"))?;
    same(&format!("count of {full:?}"), &count, &(expected.len() as u64))?;
    let all = read!(looker, |view| view.get_all(group)).map_err(failed("get_all"))?;
    let all: Vec<_> = all.iter().map(|(key, value)| (key.to_owned(), value)).collect();
    let values: Vec<_> = expected.iter().map(|entry| (entry.key.clone(), entry.value.clone())).collect();
    same(&format!("get_all of {full:?}"), &all, &values)?;
    let exists = read!(looker, |view| view.group_exists(group)).map_err(failed("group_exists"))?;
    same(&format!("group_exists of {full:?}"), &exists, &!expected.is_empty())?;
    let keys = keys(looker, group)?;
    same(
        &format!("keys of {full:?}"),
        &keys,
        &expected.iter().map(|entry| entry.key.clone()).collect::<Vec<_>>(),
    )?;
    for key in KEYS {
        let what = format!("{full:?} {key:?}");
        let entry = answer.iter().find(|entry| entry.key == key).cloned();
        let value = read!(looker, |view| view.get(group, key)).map_err(failed("get"))?;
        same(&format!("get {what}"), &value, &entry.as_ref().map(|entry| entry.value.clone()))?;
        let exists = read!(looker, |view| view.exists(group, key)).map_err(failed("exists"))?;
        same(&format!("exists {what}"), &exists, &entry.is_some())?;
        let read = read!(looker, |view| view.entry(group, key)).map_err(failed("entry"))?;
        same(&format!("entry {what}"), &read, &entry)?;
        let page = read!(looker, |view| view.page(group, Some(key), 1)).map_err(failed("page"))?;
        let mut after = answer.iter().filter(|entry| entry.key.as_str() > key);
        same(&format!("page after {what}"), &page.entries.first(), &after.next())?;
        let next = after.next().and(page.entries.first()).map(|entry| entry.key.clone());
        same(&format!("next of the page after {what}"), &page.next, &next)?;
    }
    let rest: Vec<_> = answer.into_iter().skip(1).take(2).collect();
    let page = read!(looker, |view| view.get_page(group, 1, 2)).map_err(failed("get_page"))?;
    same(&format!("get_page of {full:?}"), &page, &rest)
}

fn entries(looker: Looker<'_>, group: &str) -> Outcome<Vec<Entry>> {
    let entries = match looker.view {
        AnyView::Blocking(view) => looker.driver.now(|| view.entries(group)?.collect()),
        AnyView::Async(view) => looker.driver.wait(async {
            let (mut stream, mut entries) = (view.entries(group).await?, Vec::new());
            while let Some(entry) = stream.next().await {
                entries.push(entry?);
            }
            Ok(entries)
        }),
    };
    entries.map_err(failed("entries"))
}

fn keys(looker: Looker<'_>, group: &str) -> Outcome<Vec<String>> {
    let keys = match looker.view {
        AnyView::Blocking(view) => looker.driver.now(|| view.keys(group)?.collect()),
        AnyView::Async(view) => looker.driver.wait(async {
            let (mut stream, mut keys) = (view.keys(group).await?, Vec::new());
            while let Some(key) = stream.next().await {
                keys.push(key?);
            }
            Ok(keys)
        }),
    };
    keys.map_err(failed("keys"))
}

/// Compares the namespaces, and one of them from within.
pub fn namespaces(face: &Face, plain: &Plain, began: Began, depth: Depth) -> Outcome {
    let answer = call!(face, |store| store.namespaces()).map_err(failed("namespaces"))?;
    let answer: Vec<_> = answer.into_iter().map(|info| (info.name, info.usage, info.quota)).collect();
    let all = NAMESPACES.map(|name| (name.to_owned(), plain.usage(&format!("{name}:")), plain.quota(name)));
    let expected: Vec<_> =
        all.into_iter().filter(|(_, usage, quota)| usage.keys > 0 || *quota != Quota::default()).collect();
    same("namespaces", &answer, &expected)?;
    for (index, name) in NAMESPACES.into_iter().enumerate() {
        if !depth.takes(index, NAMESPACES.len()) {
            continue;
        }
        let tenant = face.scoped(name).map_err(failed("scoped"))?;
        let prefix = format!("{name}:");
        view(tenant.looker(), &prefix, plain, began, depth, true)?;
        let usage = call!(tenant, |store| store.usage()).map_err(failed("usage"))?;
        same(&format!("usage of {name:?}"), &usage, &plain.usage(&prefix))?;
        let quota = call!(tenant, |store| store.quota()).map_err(failed("quota"))?;
        same(&format!("quota of {name:?}"), &quota, &plain.quota(name))?;
    }
    Ok(())
}

/// Compares a template with every entry in it. It can only put out text.
pub fn rendered(looker: Looker<'_>, plain: &Plain) -> Outcome {
    let names = || GROUPS.iter().flat_map(|group| KEYS.iter().map(move |key| (*group, *key)));
    let template: String =
        names().map(|(group, key)| format!("{{{{ get(\"{group}\", \"{key}\") }}}};")).collect();
    let text = |(group, key): (&str, &str)| match plain.rows.get(&(group.to_owned(), key.to_owned())) {
        None => Some(";".to_owned()),
        Some(row) => row.value.as_str().map(|text| format!("{text};")),
    };
    let expected: Option<String> = names().map(text).collect();
    let answer = read!(looker, |view| view.render(&template, "a"));
    match (answer, expected) {
        (Ok(answer), Some(expected)) => same("what a template became", &answer, &expected),
        (Err(Error::Template { .. }), None) => Ok(()),
        (answer, expected) => Err(format!("a template became {answer:?}, expected {expected:?}")),
    }
}

/// Starts reads, and drops their futures. Nothing comes of it on the blocking face.
pub fn dropped(store: &AsyncStore, looker: Looker<'_>, cut: super::call::Cut) {
    let driver = looker.driver;
    let begin = || driver.cut_next(Some(cut));
    begin();
    let _ = driver.wait(store.get("a", "k"));
    begin();
    let _ = driver.wait(store.get_all("a:x"));
    begin();
    let _ = driver.wait(store.groups(""));
    begin();
    let _ = driver.wait(store.namespaces());
    begin();
    let _ = driver.wait(store.snapshot());
    begin();
    let _ = driver.wait(store.check());
    begin();
    let _ = driver.wait(async {
        let mut stream = store.entries("a").await?;
        stream.next().await.transpose()
    });
    driver.was_cut();
}

impl Began {
    /// An entry as a read shows it.
    pub fn entry(self, key: &str, row: &Row) -> Entry {
        Entry {
            key: key.to_owned(),
            value: row.value.clone(),
            revision: Revision(row.revision),
            expires_at: row.expires_at.map(|at| self.time(at)),
        }
    }

    pub fn time(self, ms: u64) -> SystemTime {
        self.0 + Duration::from_millis(ms)
    }
}
