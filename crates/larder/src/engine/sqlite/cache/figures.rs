//! What the cache has counted: usages, and lists of groups and namespaces.
//!
//! Such an answer may change with any commit. So it holds at one word, and needs no list of what to drop: while the word is
//! the same, nobody has committed.

use std::sync::Arc;

use hashbrown::HashTable;

use crate::data::{GroupInfo, NamespaceInfo, Usage};
use crate::engine::Extent;

/// All of it together takes at most a sixteenth of the cache.
const SHARE: usize = 16;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Question<'a> {
    UsageOfGroup(&'a str),
    UsageOfPrefix(&'a str),
    Groups(&'a str),
    Namespaces(Option<&'a str>),
}

impl<'a> Question<'a> {
    pub fn of_usage(extent: Extent<'a>) -> Self {
        match extent {
            Extent::Group(group) => Self::UsageOfGroup(group),
            Extent::Prefix(prefix) => Self::UsageOfPrefix(prefix),
        }
    }

    fn name(&self) -> Option<&'a str> {
        match *self {
            Self::UsageOfGroup(name) | Self::UsageOfPrefix(name) | Self::Groups(name) => Some(name),
            Self::Namespaces(only) => only,
        }
    }

    /// The same question with a name that lasts.
    fn with<'b>(&self, name: Option<&'b str>) -> Question<'b> {
        let text = name.unwrap_or_default();
        match self {
            Self::UsageOfGroup(_) => Question::UsageOfGroup(text),
            Self::UsageOfPrefix(_) => Question::UsageOfPrefix(text),
            Self::Groups(_) => Question::Groups(text),
            Self::Namespaces(_) => Question::Namespaces(name),
        }
    }
}

/// What was counted.
#[derive(Clone, Debug)]
pub enum Figures {
    Usage(Usage),
    Groups(Arc<Vec<GroupInfo>>),
    Namespaces(Arc<Vec<NamespaceInfo>>),
}

impl Figures {
    fn bytes(&self) -> usize {
        match self {
            Self::Usage(_) => 0,
            Self::Groups(groups) => {
                let names = groups.iter().map(|group| group.name.capacity()).sum::<usize>();
                names + groups.capacity() * size_of::<GroupInfo>()
            }
            Self::Namespaces(namespaces) => {
                let names = namespaces.iter().map(|namespace| namespace.name.capacity()).sum::<usize>();
                names + namespaces.capacity() * size_of::<NamespaceInfo>()
            }
        }
    }
}

/// A type of answer.
pub trait Figure: Sized {
    fn to_figures(&self) -> Figures;

    /// `None` for the answer to another question.
    fn of(figures: &Figures) -> Option<Self>;
}

impl Figure for Usage {
    fn to_figures(&self) -> Figures {
        Figures::Usage(*self)
    }

    fn of(figures: &Figures) -> Option<Self> {
        if let Figures::Usage(usage) = figures { Some(*usage) } else { None }
    }
}

impl Figure for Vec<GroupInfo> {
    fn to_figures(&self) -> Figures {
        Figures::Groups(Arc::new(self.clone()))
    }

    fn of(figures: &Figures) -> Option<Self> {
        if let Figures::Groups(groups) = figures { Some(groups.to_vec()) } else { None }
    }
}

impl Figure for Vec<NamespaceInfo> {
    fn to_figures(&self) -> Figures {
        Figures::Namespaces(Arc::new(self.clone()))
    }

    fn of(figures: &Figures) -> Option<Self> {
        if let Figures::Namespaces(namespaces) = figures { Some(namespaces.to_vec()) } else { None }
    }
}

/// An answer, and the times, in Unix milliseconds, at which it is right.
#[derive(Clone, Debug)]
pub struct Counted {
    pub figures: Figures,
    pub from_ms: i64,
    pub until_ms: i64,
}

/// The answers that are right at one word.
pub struct FigureShelf {
    word: Option<u64>,
    table: HashTable<Slot>,
    bytes: usize,
    cache_bytes: usize,
}

struct Slot {
    hash: u64,
    question: Question<'static>,
    name: Option<Box<str>>,
    counted: Counted,
}

impl Slot {
    fn answers(&self, question: &Question<'_>) -> bool {
        self.question.with(self.name.as_deref()) == *question
    }

    fn bytes(&self) -> usize {
        let name = self.name.as_deref().map_or(0, str::len);
        2 * (size_of::<Self>() + 1) + name + self.counted.figures.bytes()
    }
}

impl FigureShelf {
    pub fn new(cache_bytes: usize) -> Self {
        Self { word: None, table: HashTable::new(), bytes: 0, cache_bytes }
    }

    /// Whether anything was asked at this word before.
    #[inline]
    pub fn is_at(&self, word: u64) -> bool {
        self.word == Some(word)
    }

    /// The answer to a question that was asked at the word of this shelf.
    #[inline]
    pub fn get(&self, hash: u64, question: &Question<'_>, now_ms: i64) -> Option<Figures> {
        let Counted { figures, from_ms, until_ms } =
            &self.table.find(hash, |slot| slot.answers(question))?.counted;
        (*from_ms <= now_ms && now_ms < *until_ms).then(|| figures.clone())
    }

    /// Goes on to another word, at which nothing is known.
    pub fn begin(&mut self, word: u64) {
        *self = Self::new(self.cache_bytes);
        self.word = Some(word);
    }

    /// Keeps an answer that is right at the word of this shelf.
    pub fn put(&mut self, hash: u64, question: &Question<'_>, counted: Counted) {
        if let Some(bucket) = self.table.find_bucket_index(hash, |slot| slot.answers(question))
            && let Ok(slot) = self.table.get_bucket_entry(bucket)
        {
            self.bytes -= slot.remove().0.bytes();
        }
        let slot =
            Slot { hash, question: question.with(None), name: question.name().map(Box::from), counted };
        let bytes_max = self.cache_bytes / SHARE;
        if slot.bytes() > bytes_max {
            return;
        }
        if self.bytes + slot.bytes() > bytes_max {
            self.table = HashTable::new();
            self.bytes = 0;
        }
        self.bytes += slot.bytes();
        self.table.insert_unique(hash, slot, |slot| slot.hash);
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(keys: u64) -> Counted {
        let figures = Figures::Usage(Usage { keys, ..Usage::default() });
        Counted { figures, from_ms: 10, until_ms: 20 }
    }

    fn keys(shelf: &FigureShelf, question: Question<'_>, now_ms: i64) -> Option<u64> {
        Some(Usage::of(&shelf.get(1, &question, now_ms)?)?.keys)
    }

    #[test]
    fn each_question_has_its_own_answer_at_its_time_until_the_word_moves() {
        let mut shelf = FigureShelf::new(1 << 20);
        shelf.begin(7);
        let questions = [
            Question::UsageOfGroup("a"),
            Question::UsageOfGroup("b"),
            Question::UsageOfPrefix("a"),
            Question::Groups("a"),
            Question::Namespaces(Some("a")),
            Question::Namespaces(Some("")),
            Question::Namespaces(None),
        ];
        for (question, number) in questions.into_iter().zip(0..) {
            shelf.put(1, &question, usage(99));
            shelf.put(1, &question, usage(number));
        }
        for (question, number) in questions.into_iter().zip(0..) {
            assert_eq!(keys(&shelf, question, 10), Some(number), "{question:?}");
            assert_eq!([9, 20].map(|now_ms| keys(&shelf, question, now_ms)), [None, None]);
        }
        assert!(shelf.is_at(7) && !shelf.is_at(8));
        shelf.begin(8);
        assert_eq!(keys(&shelf, questions[0], 10), None);
        assert_eq!(shelf.bytes(), 0);
    }

    #[test]
    fn answers_never_take_more_than_their_share_of_the_cache() {
        let mut shelf = FigureShelf::new(64 << 10);
        shelf.begin(1);
        let list = |bytes| {
            let groups = vec![GroupInfo { name: "g".repeat(bytes), keys: 1, bytes: 1 }];
            Counted { figures: groups.to_figures(), from_ms: 0, until_ms: 20 }
        };
        shelf.put(1, &Question::Groups("large"), list(5000));
        assert!(shelf.get(1, &Question::Groups("large"), 10).is_none());
        for number in 0..100 {
            let name = number.to_string();
            shelf.put(number, &Question::Groups(&name), list(500));
            assert!(shelf.get(number, &Question::Groups(&name), 10).is_some());
            assert_eq!(shelf.table.iter().map(Slot::bytes).sum::<usize>(), shelf.bytes);
            assert!(shelf.bytes <= 4 << 10);
        }
    }
}
