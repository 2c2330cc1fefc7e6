//! Makes the calls of a sequence that are no writes.

use std::time::Duration;

use larder::{FindingKind, Pattern, Repair};

use super::Outcome;
use super::Plant;
use super::call::{Call, From};
use super::face::{Kind, call};
use super::feeds::{Feed, Source};
use super::listeners::Listener;
use super::looks::{self, Depth, failed, same};
use super::names::{GROUPS, KEYS};
use super::place::Engine;
use super::replay;
use super::run::{Held, Run};
use super::wanted::Wanted;

/// More of them take longer, and find no more.
const FEEDS_MAX: usize = 4;

impl Run<'_> {
    pub fn make_other(&mut self, call: &Call) -> Outcome {
        match call {
            Call::Advance { ms } => {
                self.place.clock.advance(Duration::from_millis(*ms));
                let ms = if self.plant == Some(Plant::SlowModel) { ms - 1 } else { *ms };
                self.plain.advance(ms);
                if let Some((_, plain)) = &mut self.held {
                    plain.advance(ms);
                }
            }
            Call::Reopen => self.reopen()?,
            Call::Snapshot => {
                let held = match &self.face.kind {
                    Kind::Blocking(store) => self.face.driver.now(|| store.snapshot()).map(Held::Blocking),
                    Kind::Async(store) => self.face.driver.wait(store.snapshot()).map(Held::Async),
                };
                self.held = Some((held.map_err(failed("snapshot"))?, self.plain.clone()));
            }
            Call::Watch { wanted, from } => self.watch(*wanted, *from)?,
            Call::Mirror { wanted } => {
                let source = match &self.face.kind {
                    Kind::Blocking(store) => {
                        self.face.driver.now(|| store.mirror(*wanted)).map(Source::Mirror)
                    }
                    Kind::Async(store) => {
                        self.face.driver.wait(store.mirror(*wanted)).map(Source::AsyncMirror)
                    }
                };
                let source = source.map_err(failed("mirror"))?;
                let mut feed = Feed::new(source, *wanted, self.replay.log.len());
                feed.receive_entries(&self.face.driver, &self.plain, self.began)?;
                self.add(feed);
            }
            Call::Cursor { name, wanted } => self.cursor(name, *wanted)?,
            Call::Receive { index, cut } => {
                let (driver, log) = (&self.face.driver, &self.replay.log);
                if let Some(feed) = self.feeds.get_mut(usize::from(*index)) {
                    if let Some(cut) = cut {
                        driver.cut_next(Some(*cut));
                        feed.receive_and_drop(driver, log)?;
                    }
                    feed.receive_all(driver, log)?;
                }
            }
            Call::Acknowledge { index, back } => self.acknowledge(*index, *back)?,
            Call::Seek { index, back } => {
                let (driver, log) = (&self.face.driver, &self.replay.log);
                let Some(feed) = self.feeds.get_mut(usize::from(*index)) else { return Ok(()) };
                let Some(name) = feed.name else { return Ok(()) };
                let after = log.iter().rev().nth(usize::from(*back)).map_or(0, |event| event.revision.0);
                feed.seek(driver, after).map_err(failed("seek"))?;
                feed.position = log.partition_point(|event| event.revision.0 <= after);
                feed.received.clear();
                self.unaware.remove(name);
                self.cursors.insert(name, (feed.position, feed.wanted));
            }
            Call::DeleteCursor { name } => {
                self.feeds.retain(|feed| feed.name != Some(name));
                let was_there = self.cursors.remove(name).is_some();
                self.unaware.remove(name);
                let answer = call!(self.face, |store| store.delete_cursor(name));
                same("delete_cursor", &answer.map_err(failed("delete_cursor"))?, &was_there)?;
            }
            Call::Listen if self.listeners.is_empty() => {
                self.listeners.push(Listener::new(&self.face, self.replay.log.len()));
            }
            Call::Copy { cut } => {
                if let (Kind::Async(store), Kind::Async(target), Some(cut)) =
                    (&self.face.kind, &self.target.kind, cut)
                {
                    self.face.driver.cut_next(Some(*cut));
                    let _ = self.face.driver.wait(store.copy_to(target).exactly().run());
                    self.face.driver.was_cut();
                }
                self.copy()?;
            }
            Call::CopyOtherwise { way } => self.copy_otherwise(*way)?,
            Call::Backup => self.back_up()?,
            Call::Restore => self.restore_or_save()?,
            Call::Compact if self.place.engine != Engine::Cluster && self.held.is_none() => {
                call!(self.face, |store| store.compact()).map_err(failed("compact"))?;
            }
            Call::Repair => {
                let mut done =
                    call!(self.face, |store| store.repair(Repair::default())).map_err(failed("repair"))?;
                done.left.retain(|finding| finding.kind != FindingKind::UnsafeSqlite);
                same("what a repair corrects in a sound store", &done.repaired, &Vec::new())?;
                same("what a repair leaves in a sound store", &done.left, &Vec::new())?;
            }
            Call::Render => self.render()?,
            Call::Look { cut } => {
                if let Kind::Async(store) = &self.face.kind {
                    looks::dropped(store, self.face.looker(), *cut);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn reopen(&mut self) -> Outcome {
        if !self.place.can_be_opened_again() {
            return Ok(());
        }
        self.let_go()?;
        call!(self.face, |store| store.close()).map_err(failed("close"))?;
        let open = || self.place.open(self.setup).map_err(failed("opening again"));
        if self.setup.is_shared {
            self.face = std::mem::replace(&mut self.other, open()?);
        } else {
            self.face = open()?;
            self.other = self.face.another();
        }
        Ok(())
    }

    /// Ends whatever holds the store open, beside its two handles.
    pub fn let_go(&mut self) -> Outcome {
        self.receive_all()?;
        self.feeds.clear();
        self.listeners.clear();
        self.held = None;
        Ok(())
    }

    /// Opens both handles, which are closed.
    pub fn open_both(&mut self) -> Outcome {
        let open = || self.place.open(self.setup).map_err(failed("opening again"));
        self.face = open()?;
        self.other = if self.setup.is_shared { open()? } else { self.face.another() };
        Ok(())
    }

    /// Fills in a template, from the store and from the snapshot.
    fn render(&self) -> Outcome {
        looks::rendered(self.face.looker(), &self.plain)?;
        let Some((held, plain)) = &self.held else { return Ok(()) };
        let rendered = looks::rendered(held.looker(&self.face.driver), plain);
        rendered.map_err(|complaint| format!("in the snapshot, {complaint}"))
    }

    fn watch(&mut self, wanted: Wanted, from: From) -> Outcome {
        let log = &self.replay.log;
        let after = match from {
            From::Now | From::Token => self.plain.revision,
            From::Beginning => 0,
            From::Before(back) => log.iter().rev().nth(back.into()).map_or(0, |event| event.revision.0),
        };
        let position = log.partition_point(|event| event.revision.0 <= after);
        let driver = &self.face.driver;
        let source = match (&self.face.kind, from) {
            (Kind::Blocking(store), From::Now) => driver.now(|| store.watch(wanted)).map(Source::Watcher),
            (Kind::Blocking(store), From::Token) => {
                driver.now(|| store.watch_from(wanted, store.token()?)).map(Source::Watcher)
            }
            (Kind::Blocking(store), _) => driver.now(|| store.watch_from(wanted, after)).map(Source::Watcher),
            (Kind::Async(store), From::Now) => driver.wait(store.watch(wanted)).map(Source::AsyncWatcher),
            (Kind::Async(store), From::Token) => {
                let watcher = driver.wait(async { store.watch_from(wanted, store.token().await?).await });
                watcher.map(Source::AsyncWatcher)
            }
            (Kind::Async(store), _) => driver.wait(store.watch_from(wanted, after)).map(Source::AsyncWatcher),
        };
        self.add(Feed::new(source.map_err(failed("watch"))?, wanted, position));
        Ok(())
    }

    fn cursor(&mut self, name: &'static str, wanted: Wanted) -> Outcome {
        self.feeds.retain(|feed| feed.name != Some(name));
        let position = self.cursors.get(name).map_or(self.replay.log.len(), |(position, _)| *position);
        let driver = &self.face.driver;
        let source = match &self.face.kind {
            Kind::Blocking(store) => driver.now(|| store.cursor_on(name, wanted)).map(Source::Cursor),
            Kind::Async(store) => driver.wait(store.cursor_on(name, wanted)).map(Source::AsyncCursor),
        };
        let mut feed = Feed::new(source.map_err(failed("cursor_on"))?, wanted, position);
        feed.name = Some(name);
        if self.unaware.contains(name) {
            feed.receive_restored(driver)?;
        }
        self.cursors.insert(name, (position, wanted));
        self.add(feed);
        Ok(())
    }

    fn acknowledge(&mut self, index: u8, back: u8) -> Outcome {
        let (driver, log) = (&self.face.driver, &self.replay.log);
        let Some(feed) = self.feeds.get_mut(usize::from(index)) else { return Ok(()) };
        let Some(name) = feed.name else { return Ok(()) };
        feed.receive_all(driver, log)?;
        let Some(last) = feed.received.len().checked_sub(usize::from(back) + 1) else { return Ok(()) };
        let place = feed.received[last];
        feed.acknowledge(driver, &log[place]).map_err(failed("ack"))?;
        feed.received.drain(..=last);
        self.unaware.remove(name);
        self.cursors.insert(name, (feed.position_after(place, log), feed.wanted));
        Ok(())
    }

    fn add(&mut self, feed: Feed) {
        self.feeds.truncate(FEEDS_MAX - 1);
        self.feeds.insert(0, feed);
    }

    fn receive_all(&mut self) -> Outcome {
        let (driver, log) = (&self.face.driver, &self.replay.log);
        self.feeds.iter_mut().try_for_each(|feed| feed.receive_all(driver, log))?;
        self.listeners.iter().try_for_each(|listener| listener.compare(log))
    }

    /// Compares everything, and closes the store.
    pub fn end(&mut self) -> Outcome {
        self.receive_all()?;
        self.compare(Depth::Everything)?;
        let log = &self.replay.log;
        same("the whole log", &replay::since(&self.other, 0)?, log)?;
        let groups = if self.place.engine == Engine::Cluster { &GROUPS[..1] } else { &GROUPS[..] };
        for (group, key) in groups.iter().flat_map(|group| KEYS.map(|key| (*group, key))) {
            let history = call!(self.face, |store| store.history(group, key)).map_err(failed("history"))?;
            let wanted = Wanted::Key(group, key);
            let own = log.iter().filter(|event| wanted.matches(&event.group, event.key.as_deref()));
            same(
                &format!("the history of {group:?} {key:?}"),
                &history.iter().collect::<Vec<_>>(),
                &own.collect::<Vec<_>>(),
            )?;
        }
        let cursors = call!(self.face, |store| store.cursors()).map_err(failed("cursors"))?;
        let mut names: Vec<_> = self
            .cursors
            .iter()
            .map(|(name, (_, wanted))| ((*name).to_owned(), Pattern::from(*wanted)))
            .collect();
        names.sort_by(|one, other| one.0.cmp(&other.0));
        same(
            "the cursors",
            &cursors.into_iter().map(|one| (one.name, one.pattern)).collect::<Vec<_>>(),
            &names,
        )?;
        let mut found = call!(self.face, |store| store.check()).map_err(failed("check"))?;
        found.retain(|finding| finding.kind != FindingKind::UnsafeSqlite);
        same("check", &found, &Vec::new())?;
        self.feeds.clear();
        self.listeners.clear();
        self.held = None;
        call!(self.target, |store| store.close()).map_err(failed("closing the copy"))?;
        call!(self.face, |store| store.close()).map_err(failed("close"))
    }
}
