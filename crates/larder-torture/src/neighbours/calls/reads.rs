//! The calls that read.

use larder::{Entries, Entry, Page, View};

use super::{Caller, GROUPS};
use crate::face::{Face, call};
use crate::neighbours::history::Look;

pub(super) fn seen(group: &str, key: &str, found: Option<&Entry>) -> Look {
    let found = found.map(|entry| (entry.revision.0, entry.value.to_string_lossy().into_owned()));
    Look::Entry { group: group.to_owned(), key: key.to_owned(), found }
}

pub(super) fn whole(group: &str, found: &Entries) -> Look {
    let found = found.iter().map(|(key, value)| (key.to_owned(), value.to_string_lossy().into_owned()));
    Look::Group { group: group.to_owned(), after: None, limit: None, found: found.collect() }
}

/// The groups that the judge knows.
fn groups() -> impl Iterator<Item = &'static str> {
    GROUPS.into_iter().chain(["counters", "fleeting"])
}

/// Reads every group that the judge knows.
pub fn everything(view: &View) -> larder::Result<Vec<Look>> {
    groups().map(|group| Ok(whole(group, &view.get_all(group)?))).collect()
}

impl Caller<'_> {
    pub(super) fn value_of(&self, group: &str, key: &str) -> larder::Result<Look> {
        let found = call!(self.calling, |store| store.get(group, key))?;
        let found = found.map(|value| value.to_string_lossy().into_owned());
        Ok(Look::Value { group: group.to_owned(), key: key.to_owned(), found })
    }

    pub(super) fn entry(&self, group: &str, key: &str) -> larder::Result<Look> {
        let found = call!(self.calling, |store| store.entry(group, key))?;
        Ok(seen(group, key, found.as_ref()))
    }

    pub(super) fn all(&mut self) -> larder::Result<Look> {
        let group = self.random_group();
        Ok(whole(group, &call!(self.calling, |store| store.get_all(group))?))
    }

    pub(super) fn count(&mut self) -> larder::Result<Look> {
        let is_group = self.random.one_in(2);
        let group =
            if is_group { self.random_group() } else { ["part-", "keys:", "bytes:"][self.random.place(3)] };
        let found = if is_group {
            call!(self.calling, |store| store.count(group))?
        } else {
            call!(self.calling, |store| store.count_all(group))?
        };
        Ok(Look::Count { group: group.to_owned(), whole: is_group, found })
    }

    pub(super) fn page(&mut self) -> larder::Result<Look> {
        let (group, limit) = (self.random_group(), 1 + self.random.place(4));
        let after = self.random.one_in(2).then(|| self.key());
        let Page { entries, .. } = call!(self.calling, |store| store.page(group, after, limit))?;
        let found = entries.into_iter().map(|entry| (entry.key, entry.value.to_string_lossy().into_owned()));
        let after = after.map(str::to_owned);
        Ok(Look::Group { group: group.to_owned(), after, limit: Some(limit), found: found.collect() })
    }

    pub(super) fn snapshot(&self) -> larder::Result<Vec<Look>> {
        match self.face {
            Face::Blocking(store) => store.snapshot().and_then(|snapshot| everything(&snapshot)),
            Face::Async(store, runtime) => self.calling.wait(runtime, async {
                let snapshot = store.snapshot().await?;
                let mut looks = Vec::new();
                for group in groups() {
                    looks.push(whole(group, &snapshot.get_all(group).await?));
                }
                Ok(looks)
            }),
        }
    }
}
