//! Walks two stores side by side.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::vec;

use crate::data::{Entries, Entry, GroupInfo, Result};
use crate::engine::{Answer, Columns, Scan};
use crate::store::View;

/// How many entries are read at once.
const PAGE_ENTRIES: usize = 1000;

/// About how many bytes are read at once.
const PAGE_BYTES: usize = 1 << 20;

/// How many groups are read at the same time if they are small: on a cluster, each read is a round trip.
const GROUPS_AT_ONCE: usize = 32;

/// What is compared.
pub(super) struct Sides<'a> {
    pub source: &'a View,
    pub target: &'a View,
}

/// Called with a group, and the entries of source and target under one key of it.
pub(super) type Visit<'a> = dyn FnMut(&str, Option<Entry>, Option<Entry>) -> Result<()> + 'a;

/// A group of one side or both.
struct GroupPair {
    name: String,
    in_source: bool,
    in_target: bool,
    keys: u64,
    bytes: u64,
}

/// Visits every entry of either side, in order. Without `extras` it skips the groups that only the target has, and
/// returns how many keys they have.
///
/// A visit may write to the target, at or before the visited key.
pub(super) fn compare(sides: &Sides<'_>, extras: bool, visit: &mut Visit<'_>) -> Result<u64> {
    let mut skipped = 0;
    let mut pairs = pairs(sides)?;
    if !extras {
        pairs.retain(|pair| {
            skipped += if pair.in_source { 0 } else { pair.keys };
            pair.in_source
        });
    }
    while !pairs.is_empty() {
        let some = window(&mut pairs);
        for (pair, mut source, mut target) in first_pages(sides, some)? {
            merge(&pair.name, &mut source, &mut target, visit)?;
        }
    }
    Ok(skipped)
}

/// The groups of both sides, in order.
fn pairs(sides: &Sides<'_>) -> Result<VecDeque<GroupPair>> {
    let mut source = sides.source.groups("")?.into_iter().peekable();
    let mut target = sides.target.groups("")?.into_iter().peekable();
    let mut pairs = VecDeque::new();
    loop {
        let (from_source, from_target) = match (source.peek(), target.peek()) {
            (None, None) => return Ok(pairs),
            (Some(_), None) => (true, false),
            (None, Some(_)) => (false, true),
            (Some(a), Some(b)) => (a.name <= b.name, b.name <= a.name),
        };
        let a = source.next_if(|_| from_source);
        let b = target.next_if(|_| from_target);
        let size =
            |group: &Option<GroupInfo>| group.as_ref().map_or((0, 0), |group| (group.keys, group.bytes));
        let (keys, bytes) = size(&a).max(size(&b));
        let (in_source, in_target) = (a.is_some(), b.is_some());
        let Some(GroupInfo { name, .. }) = a.or(b) else { return Ok(pairs) };
        pairs.push_back(GroupPair { name, in_source, in_target, keys, bytes });
    }
}

/// Takes the next few groups, together about a page.
fn window(pairs: &mut VecDeque<GroupPair>) -> Vec<GroupPair> {
    let mut some = Vec::new();
    let (mut keys, mut bytes) = (0, 0);
    while let Some(pair) = pairs.pop_front() {
        keys += pair.keys;
        bytes += pair.bytes;
        some.push(pair);
        let is_full = keys >= PAGE_ENTRIES as u64 || bytes >= PAGE_BYTES as u64;
        if is_full || some.len() == GROUPS_AT_ONCE {
            break;
        }
    }
    some
}

/// Reads the first page of each group from both sides, all at the same time.
fn first_pages<'a>(
    sides: &Sides<'a>,
    some: Vec<GroupPair>,
) -> Result<Vec<(GroupPair, GroupReader<'a>, GroupReader<'a>)>> {
    let mut asked = Vec::with_capacity(2 * some.len());
    for pair in &some {
        for (view, is_there) in [(sides.source, pair.in_source), (sides.target, pair.in_target)] {
            asked.push(if is_there {
                scan(view, &pair.name, None)?
            } else {
                Answer::ready(Ok(Entries::default()))
            });
        }
    }
    let mut pages = wait_for_all(asked).into_iter();
    let mut next = |view: &'a View, pair: &GroupPair| -> Result<GroupReader<'a>> {
        let page = pages.next().unwrap_or_else(|| Ok(Entries::default()))?;
        Ok(GroupReader::new(view, pair.name.clone(), &page))
    };
    let mut readers = Vec::with_capacity(some.len());
    for pair in some {
        let source = next(sides.source, &pair)?;
        let target = next(sides.target, &pair)?;
        readers.push((pair, source, target));
    }
    Ok(readers)
}

fn merge(
    group: &str,
    source: &mut GroupReader<'_>,
    target: &mut GroupReader<'_>,
    visit: &mut Visit<'_>,
) -> Result<()> {
    let (mut a, mut b) = (source.next()?, target.next()?);
    loop {
        let (take_a, take_b) = match (&a, &b) {
            (None, None) => return Ok(()),
            (Some(_), None) => (true, false),
            (None, Some(_)) => (false, true),
            (Some(a), Some(b)) => (a.key <= b.key, b.key <= a.key),
        };
        visit(group, a.take_if(|_| take_a), b.take_if(|_| take_b))?;
        if take_a {
            a = source.next()?;
        }
        if take_b {
            b = target.next()?;
        }
    }
}

/// Reads the entries of one group, page by page.
struct GroupReader<'a> {
    view: &'a View,
    group: String,
    page: vec::IntoIter<Entry>,
    /// The key after which the next page begins, if there is one.
    after: Option<String>,
}

impl<'a> GroupReader<'a> {
    fn new(view: &'a View, group: String, page: &Entries) -> Self {
        let mut reader = Self { view, group, page: Vec::new().into_iter(), after: None };
        reader.take(page);
        reader
    }

    fn take(&mut self, page: &Entries) {
        let is_full = page.len() >= PAGE_ENTRIES || page.bytes() >= PAGE_BYTES;
        self.after = page.last_key().filter(|_| is_full).map(str::to_owned);
        self.page = (0..page.len()).map(|index| page.entry(index)).collect::<Vec<_>>().into_iter();
    }

    fn next(&mut self) -> Result<Option<Entry>> {
        loop {
            if let Some(entry) = self.page.next() {
                return Ok(Some(entry));
            }
            let Some(after) = self.after.take() else { return Ok(None) };
            let page = scan(self.view, &self.group, Some(&after))?.wait()?;
            self.take(&page);
        }
    }
}

fn scan(view: &View, group: &str, after: Option<&str>) -> Result<Answer<Entries>> {
    let group = view.scope().group(group);
    let (limit, bytes_max) = (PAGE_ENTRIES, PAGE_BYTES);
    let scan = Scan { after, limit, bytes_max, ..Scan::whole(&group, Columns::All) };
    Ok(view.reader()?.scan(&scan))
}

/// Blocks until all answers are there.
fn wait_for_all<T: Unpin>(mut answers: Vec<Answer<T>>) -> Vec<Result<T>> {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut results: Vec<Option<Result<T>>> = answers.iter().map(|_| None).collect();
    loop {
        let mut waits = false;
        for (answer, result) in answers.iter_mut().zip(&mut results) {
            if result.is_none() {
                match Pin::new(answer).poll(&mut context) {
                    Poll::Ready(done) => *result = Some(done),
                    Poll::Pending => waits = true,
                }
            }
        }
        if !waits {
            return results.into_iter().flatten().collect();
        }
        // Returns at once if an answer came since, and may return for no reason.
        thread::park();
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
