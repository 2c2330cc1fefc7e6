//! Puts a backup in the place of the store, and goes on from there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use larder::{AsyncStore, Error, Pattern, ResumeToken, Store};

use super::Outcome;
use super::face::{Kind, call};
use super::looks::failed;
use super::looks::same;
use super::place::Engine;
use super::plain::Plain;
use super::replay::Replay;
use super::run::Run;
use super::wanted::Wanted;

/// A backup, and the model of the store as it was then.
pub struct Saved {
    file: PathBuf,
    plain: Plain,
    replay: Replay,
    cursors: BTreeMap<&'static str, (usize, Wanted)>,
}

impl Run<'_> {
    /// Only a file can be replaced.
    pub fn restore_or_save(&mut self) -> Outcome {
        if self.place.engine != Engine::File {
            return Ok(());
        }
        match self.saved.take() {
            None => self.save()?,
            Some(saved) => {
                self.restore(&saved)?;
                self.saved = Some(saved);
            }
        }
        Ok(())
    }

    fn save(&mut self) -> Outcome {
        let file = self.place.file("saved.db");
        call!(self.face, |store| store.backup_to(&file)).map_err(failed("backup_to"))?;
        let (plain, replay, cursors) = (self.plain.clone(), self.replay.clone(), self.cursors.clone());
        self.saved = Some(Saved { file, plain, replay, cursors });
        Ok(())
    }

    fn restore(&mut self, saved: &Saved) -> Outcome {
        let token = call!(self.face, |store| store.token()).map_err(failed("token"))?;
        self.let_go()?;
        call!(self.face, |store| store.close()).map_err(failed("close"))?;
        call!(self.other, |store| store.close()).map_err(failed("close"))?;
        let target = self.place.store_file();
        let restored = match &self.face.kind {
            Kind::Blocking(_) => self.face.driver.now(|| Store::restore(&saved.file, &target).run()),
            Kind::Async(_) => self.face.driver.wait(AsyncStore::restore(&saved.file, &target).run()),
        };
        let restored = restored.map_err(failed("restore"))?;
        same("the revision of the restored store", &restored.revision.0, &saved.plain.revision)?;
        self.open_both()?;
        let now = self.plain.now;
        (self.plain, self.replay, self.cursors) =
            (saved.plain.clone(), saved.replay.clone(), saved.cursors.clone());
        self.plain.advance(now - self.plain.now);
        self.unaware = self.cursors.keys().copied().collect::<BTreeSet<_>>();
        self.refuse(token)
    }

    /// What was handed out before is not understood.
    fn refuse(&self, token: ResumeToken) -> Outcome {
        match self.face.blocking().watch_from(Pattern::all(), token) {
            Err(Error::OtherStore { .. }) => Ok(()),
            other => Err(format!("a token from before the restore led to {:?}", other.map(drop))),
        }
    }
}
