//! Getting cached entries while another process commits to the same file.

use std::cell::RefCell;

use super::loops::{getting, read_all};
use super::{KEYS, check};
use crate::Outcome;
use crate::measure::{Effort, in_turn};
use crate::peers::Larder;
use crate::row::{Row, Unit};
use crate::sample::Sample;
use crate::scratch;
use crate::second_process::Committer;

pub fn get_shared(effort: Effort) -> Outcome<Vec<Row>> {
    let sample = Sample::of(KEYS);
    let folder = scratch::folder()?;
    let path = folder.path().join("larder.db");
    let larder = Larder::filled(&path, &sample)?;
    let other = RefCell::new(Committer::start(&path, KEYS)?);
    read_all(&larder, &sample)?;
    let before = larder.store.revision()?;
    let contenders = vec![
        getting("larder", &larder, &sample).before(|| other.borrow_mut().commit(true)),
        getting("larder, the other process at rest", &larder, &sample)
            .before(|| other.borrow_mut().commit(false)),
    ];
    let row = Row::of("get-hit-shared", Unit::Nanoseconds, &in_turn(effort, contenders)?);
    check(larder.store.revision()? > before)?;
    let met = row.larder <= 1.5 * row.peer("larder, the other process at rest")?;
    Ok(vec![row.with_target("within 1.5 × of get-hit, at 100 commits a second from another process", met)])
}
