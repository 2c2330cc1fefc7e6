//! Durable sets whose frames go to the log with one call for each commit, beside the same with two calls for each frame, as
//! SQLite writes by itself.

use tokio::runtime::Builder;

use super::KEYS;
use super::loops::{read_all, setting, setting_from};
use super::set_pipelined::pipelined;
use super::set_threads::THREADS;
use crate::Outcome;
use crate::measure::{Effort, in_turn};
use crate::peers::Larder;
use crate::row::{Row, Unit};
use crate::sample::Sample;
use crate::scratch;
use crate::second_process;

pub const ROWS: &[&str] = &["gathered-set-64", "gathered-set-pipelined"];

const GATHERED: &str = "larder";
const SINGLY: &str = "larder, each frame by itself";

pub fn gathered(effort: Effort) -> Outcome<Vec<Row>> {
    let sample = Sample::of(KEYS);
    let folder = scratch::folder()?;
    let open = |name: &str, gather| {
        let options = larder::Store::options().gather_log_writes(gather);
        Larder::filled_with(&folder.path().join(name), &sample, &options)
    };
    let (gathers, writes_singly) = (open("gathers.db", true)?, open("singly.db", false)?);
    second_process::sync_files(folder.path())?;
    let both = [(GATHERED, &gathers), (SINGLY, &writes_singly)];
    let one = both.map(|(name, store)| setting(name, store, &sample));
    let one = Row::of("gathered-set-1", Unit::Microseconds, &in_turn(effort, one.into())?);
    let many = both.map(|(name, store)| setting_from(THREADS, name, store, &sample));
    let many = Row::of(ROWS[0], Unit::PerSecond, &in_turn(effort, many.into())?);
    let runtime = Builder::new_current_thread().build()?;
    let in_flight = both.map(|(name, store)| pipelined(name, store, &runtime, &sample));
    let in_flight = Row::of(ROWS[1], Unit::PerSecond, &in_turn(effort, in_flight.into())?);
    both.iter().try_for_each(|(_, store)| read_all(*store, &sample))?;
    Ok(vec![one, many, in_flight])
}
