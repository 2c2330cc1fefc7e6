//! Makes copies and backups in a sequence, and compares them with the model.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use larder::{Copied, Error};

use super::Outcome;
use super::call::Way;
use super::face::{AnyView, Kind, Looker, call};
use super::looks::{self, Depth, failed, same};
use super::run::Run;

/// Makes the same exact copy on whichever face it is.
macro_rules! copy {
    ($run:expr, |$copy:ident| $how:expr) => {
        match (&$run.face.kind, &$run.target.kind) {
            (Kind::Blocking(store), Kind::Blocking(target)) => {
                let $copy = store.copy_to(target).exactly();
                $run.face.driver.now(|| $how.run())
            }
            (Kind::Async(store), Kind::Async(target)) => {
                let $copy = store.copy_to(target).exactly();
                $run.face.driver.wait($how.run())
            }
            _ => return Ok(()),
        }
    };
}

impl Run<'_> {
    pub fn copy(&self) -> Outcome {
        self.compare_copy(copy!(self, |copy| copy))
    }

    pub fn copy_otherwise(&self, way: Way) -> Outcome {
        match way {
            Way::InOneTransaction => self.copy_in_one_transaction(),
            Way::Following(looks) => {
                let mut left = looks;
                let is_over = move || {
                    left = left.saturating_sub(1);
                    left == 0
                };
                self.compare_copy(copy!(self, |copy| copy.follow_until(is_over)))
            }
            Way::Interrupted(after) => {
                let mut left = after;
                let (store, target) = (self.face.blocking(), self.target.blocking());
                let copy = store.copy_to(target).exactly().on_progress(|_| {
                    left = left.saturating_sub(1);
                    if left == 0 {
                        resume_unwind(Box::new(()));
                    }
                });
                match catch_unwind(AssertUnwindSafe(|| self.face.driver.now(|| copy.run()))) {
                    Ok(copied) => self.compare_copy(copied),
                    Err(_) => self.copy(),
                }
            }
        }
    }

    /// The quotas that the target has from an earlier copy hold during this one. If they refuse it, nothing is written.
    fn copy_in_one_transaction(&self) -> Outcome {
        let revision = || self.target.blocking().revision().map_err(failed("revision"));
        let before = revision()?;
        match copy!(self, |copy| copy.in_one_transaction()) {
            Err(Error::QuotaExceeded { .. }) => {
                same("the revision of the target of a refused copy", &revision()?, &before)?;
                self.copy()
            }
            copied => self.compare_copy(copied),
        }
    }

    fn compare_copy(&self, copied: larder::Result<Copied>) -> Outcome {
        let copied = copied.map_err(failed("copy_to"))?;
        same("the differences of a copy", &copied.differences, &Vec::new())?;
        let compared = || {
            looks::view(self.target.looker(), "", &self.plain, self.began, Depth::Everything, false)?;
            let unfinished =
                self.target.blocking().unfinished_copies().map_err(failed("unfinished_copies"))?;
            same("the copies that are not complete", &unfinished, &Vec::new())
        };
        compared().map_err(|complaint| format!("in the copy, {complaint}"))
    }

    pub fn back_up(&self) -> Outcome {
        let file = self.place.file(&format!("backup-{}.db", self.turn));
        call!(self.face, |store| store.backup_to(&file)).map_err(failed("backup_to"))?;
        let backup = self.place.options().open(&file).map_err(failed("opening the backup"))?;
        let looker = Looker { view: AnyView::Blocking(&backup), driver: &self.face.driver };
        let own = self.place.has_own_revisions();
        let looked = looks::view(looker, "", &self.plain, self.began, Depth::Everything, own);
        looked.map_err(|complaint| format!("in the backup, {complaint}"))?;
        backup.close().map_err(failed("closing the backup"))?;
        std::fs::remove_file(&file).map_err(|error| format!("removing the backup: {error}"))
    }
}
