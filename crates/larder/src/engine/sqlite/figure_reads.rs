//! Counts and lists that the cache may have.

use rusqlite::OptionalExtension;

use super::SqliteEngine;
use super::cache::{Counted, Figure, FigureLookup, GroupLookup, Question};
use super::group_reads::Then;
use super::queries::Queries;
use crate::data::{Result, Usage, clock};

impl SqliteEngine {
    /// What a group holds, if the cache has the group.
    pub(super) fn usage_of_kept(&self, group: &str) -> Option<Usage> {
        match self.cache.look_at_group(group, clock::now_ms(&*self.clock)) {
            GroupLookup::Hit(entries) => {
                let keys = entries.len() as u64;
                Some(Usage { keys, groups: keys.min(1), bytes: entries.bytes() as u64 })
            }
            GroupLookup::Miss(_) | GroupLookup::Unknown => None,
        }
    }

    /// The answer to a question, if the cache has it.
    #[cfg_attr(not(feature = "tokio"), allow(dead_code))]
    pub(super) fn counted_before<T: Figure>(&self, question: &Question<'_>) -> Option<T> {
        match self.cache.find_figures(question, clock::now_ms(&*self.clock)) {
            FigureLookup::Hit(figures) => T::of(&figures),
            FigureLookup::Unknown | FigureLookup::Miss(_) => None,
        }
    }

    /// Answers a question from the cache, or else from SQLite. In the latter case the cache may keep the answer.
    pub(super) fn counted<T: Figure>(
        &self,
        question: &Question<'_>,
        query: impl Fn(&Queries<'_>) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let now_ms = clock::now_ms(&*self.clock);
        let missed = match self.cache.find_figures(question, now_ms) {
            FigureLookup::Hit(figures) => match T::of(&figures) {
                Some(answer) => return Ok(answer),
                None => return self.ask(query),
            },
            FigureLookup::Unknown => return self.ask(query),
            FigureLookup::Miss(missed) => missed,
        };
        if !missed.is_second {
            let answer = self.ask(query)?;
            self.cache.note_question(&missed);
            return Ok(answer);
        }
        let then = Then::at_ms(now_ms);
        let (answer, until_ms) = self.ask(|reading| {
            let at_once = Queries { clock: &then, ..*reading };
            Ok((query(&at_once)?, at_once.right_until_ms()?))
        })?;
        if let Some(until_ms) = until_ms {
            let counted = Counted { figures: answer.to_figures(), from_ms: now_ms, until_ms };
            self.cache.keep_figures(&missed, question, counted);
        }
        Ok(answer)
    }
}

impl Queries<'_> {
    /// When the next entry expires of all that are live: until then no count changes unless somebody commits. `None` where
    /// it would take long to find out.
    fn right_until_ms(&self) -> rusqlite::Result<Option<i64>> {
        if !self.has_index {
            return Ok(None);
        }
        let mut statement = self.prepare(
            "SELECT expires_at FROM entries INDEXED BY entries_by_expiry
             WHERE expires_at > ?1 ORDER BY expires_at LIMIT 1",
        )?;
        let next = statement.query_row([self.now_ms()], |row| row.get(0)).optional()?;
        Ok(Some(next.unwrap_or(i64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::data::ManualClock;
    use crate::engine::sqlite::InOwnFile;
    use crate::engine::{Engine, Extent, Mutation, Read, Settings, Unheard};

    fn set(group: &str, key: &str, expires_at_ms: Option<i64>) -> Mutation {
        Mutation::Set { group: group.into(), key: key.into(), value: "value".into(), expires_at_ms }
    }

    fn is_kept(engine: &SqliteEngine, question: Question<'_>) -> bool {
        let now_ms = clock::now_ms(&*engine.clock);
        matches!(engine.cache.find_figures(&question, now_ms), FigureLookup::Hit(_))
    }

    #[test]
    fn a_count_is_kept_from_the_second_question_on_and_until_anybody_commits() {
        let clock = ManualClock::new();
        let settings = Settings { clock: Arc::new(clock.clone()), ..Settings::default() };
        let engine = InOwnFile::new(&settings, Arc::new(Unheard));
        let soon = clock::now_ms(&clock) + 1000;
        engine.commit(set("t:g", "a", Some(soon)).into()).wait().unwrap();
        engine.commit(set("t:g", "b", None).into()).wait().unwrap();
        let questions = [
            Question::UsageOfGroup("t:g"),
            Question::UsageOfPrefix("t:"),
            Question::Groups(""),
            Question::Namespaces(Some("t")),
        ];
        let ask = || {
            let group = engine.usage(Extent::Group("t:g")).wait().unwrap().keys;
            let prefix = engine.usage(Extent::Prefix("t:")).wait().unwrap().keys;
            let groups = engine.groups("").wait().unwrap()[0].keys;
            [group, prefix, groups, engine.namespaces(Some("t")).wait().unwrap()[0].usage.keys]
        };
        let are_kept = || questions.map(|question| is_kept(&engine, question));
        assert_eq!(ask(), [2; 4]);
        assert_eq!(are_kept(), [false, true, true, true], "all but the first question at this word");
        assert_eq!(ask(), [2; 4]);
        assert_eq!(are_kept(), [true; 4]);
        assert_eq!(ask(), [2; 4]);
        clock.advance(Duration::from_secs(1));
        assert_eq!(are_kept(), [false; 4], "an entry has expired");
        assert_eq!(ask(), [1; 4]);
        assert_eq!(are_kept(), [true; 4]);
        engine.commit(set("other", "c", None).into()).wait().unwrap();
        assert_eq!(are_kept(), [false; 4]);
        assert_eq!(ask(), [1; 4]);
        engine.close().unwrap();
        assert_eq!(are_kept(), [false; 4]);
    }
}
