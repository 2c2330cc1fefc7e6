//! `larder copy`: copies one store into another and follows its changes until cut-over.

use std::io;
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use larder::{Copied, Copying, Difference, Location, Progress, Stage, Store};
use serde_json::{Value, json};

use super::abandon::abandon;
use super::confirm::confirm;
use super::interrupt::at_ctrl_c;
use super::watchdog::{Trouble, Watchdog, trouble_of};
use crate::arguments::{Copy, Place};
use crate::failure::Failure;
use crate::opening::{check_complete, incomplete, left_out, open_to_read, open_to_write};
use crate::output::{Form, Output, remark};
use crate::progress;
use crate::store_files::StoreFiles;
use crate::text::counted;

/// The shortest time between two progress lines of one stage.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// The exit code of a command that Ctrl-C ended, by the convention of shells.
const INTERRUPTED: i32 = 130;

/// The stage that a copy is in, and what is in its way.
type Doing = Arc<Mutex<Option<(Stage, Option<String>)>>>;

pub fn run(command: &Copy, place: &Place, output: &mut Output) -> Result<(), Failure> {
    if command.abandon {
        return abandon(command, place, output);
    }
    let from = open_to_read(&command.from, &place.access, false)?;
    if StoreFiles::of(&command.from).are_of(command.target()) {
        return Err(same_store());
    }
    let to = open_to_write(command.target(), &place.access, true)?;
    if !is_file(&command.from) && !is_file(command.target()) && is_same_store(&from, &to)? {
        return Err(same_store());
    }
    match &place.namespace {
        None => copy(&from, &to, &from, command, output),
        Some(namespace) => copy(&from.scoped(namespace)?, &to.scoped(namespace)?, &from, command, output),
    }?;
    check_complete(&from, &command.from)
}

fn is_file(location: &Location) -> bool {
    Store::file_of(location).is_ok_and(|file| file.is_some())
}

/// Returns whether two locations that are no files name the same store, such as by different members of a cluster.
///
/// The same identity is not enough: a cluster that was restored from a backup has that of the original. But one store
/// has, between two looks at its revision, a revision between the two.
fn is_same_store(from: &Store, to: &Store) -> Result<bool, Failure> {
    let (before, between, after) = (from.token()?, to.token()?, from.token()?);
    let revisions = before.revision()..=after.revision();
    Ok(before.store() == between.store() && revisions.contains(&between.revision()))
}

fn same_store() -> Failure {
    Failure::Usage("the source and the target of the copy are the same store".into())
        .advise("Name another target.")
}

fn copy<S>(
    from: &Store<S>,
    to: &Store<S>,
    whole: &Store,
    command: &Copy,
    output: &mut Output,
) -> Result<(), Failure> {
    let keys = to.count_all("")?;
    if command.exact && !command.yes && keys > 0 {
        let holds = counted(keys, "key");
        confirm(&format!(
            "Delete the entries of {} that {} does not have? It has {holds} now.",
            command.target(),
            command.from
        ))?;
    }
    let cut_over = Arc::new(AtomicBool::new(false));
    let mut copying: Copying<'_, S, S> = from.copy_to(to);
    if command.exact {
        copying = copying.exactly();
    }
    if command.follow {
        let cut_over = Arc::clone(&cut_over);
        copying = copying.follow_until(move || cut_over.load(Ordering::Relaxed));
    }
    let doing = Doing::default();
    let watchdog = watchdog(whole, command, Arc::clone(&doing))?;
    let mut display = ProgressDisplay {
        output,
        cut_over,
        doing,
        listens: false,
        bar: None,
        reported: None,
        failed: Ok(()),
    };
    // What the target had left out when the last verification began.
    let mut unread = None;
    let tell = |progress: &Progress| {
        if progress.stage == Stage::Verifying && progress.entries == 0 {
            unread = left_out(to).ok();
        }
        display.update(progress);
    };
    let copied = copying.on_progress(tell).run();
    display.clear();
    display.failed?;
    if copied.is_err() {
        watchdog.verdict()?;
    }
    answer(&copied?, command, output)?;
    // What lies beside the copy is of no concern, unless it is to be exact.
    if command.exact && unread.is_some_and(|before| left_out(to).is_ok_and(|left_out| left_out != before)) {
        return Err(incomplete(command.target()).advise(
            "Run `larder check --repair --delete-unreadable` on the target, which deletes what cannot be read, and the \
             same command again.",
        ));
    }
    Ok(())
}

/// Closes the source, and so ends the copy, once changes could not be followed for too long: they do not come, or cannot
/// be written to the target.
fn watchdog(from: &Store, command: &Copy, doing: Doing) -> Result<Watchdog, Failure> {
    let (source, closing) = (from.clone(), from.clone());
    let trouble = move || match &*doing.lock().unwrap_or_else(PoisonError::into_inner) {
        Some((Stage::Following, _)) => trouble_of(&source),
        Some((Stage::Waiting, trouble)) => {
            Some(Trouble { lasted: Duration::ZERO, reason: trouble.clone().unwrap_or_default() })
        }
        _ => None,
    };
    Watchdog::start(command.fail_after, trouble, move || drop(closing.close()))
}

/// Shows the progress of a copy: a bar on a terminal, and lines in plain and JSON output.
struct ProgressDisplay<'o, 'w> {
    output: &'o mut Output<'w>,
    cut_over: Arc<AtomicBool>,
    /// For the watchdog.
    doing: Doing,
    /// Whether the handlers for Enter and Ctrl-C are installed.
    listens: bool,
    bar: Option<(Stage, ProgressBar)>,
    /// The last line: when it was written, and for which progress.
    reported: Option<(Instant, Progress)>,
    /// The first error of the output. The copy continues after it.
    failed: Result<(), Failure>,
}

impl ProgressDisplay<'_, '_> {
    fn update(&mut self, progress: &Progress) {
        *self.doing.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((progress.stage, progress.trouble.clone()));
        let is_new = self.bar.as_ref().is_none_or(|(stage, _)| *stage != progress.stage);
        if is_new {
            self.begin(progress);
        }
        if let Some((stage, bar)) = &self.bar {
            match stage {
                Stage::Following => bar.set_message(following(progress)),
                Stage::Waiting => bar.set_message(waiting(progress)),
                _ => bar.set_position(progress.entries),
            }
        }
        if self.failed.is_ok() {
            self.failed = self.report(progress);
        }
    }

    fn begin(&mut self, progress: &Progress) {
        self.clear();
        let bar = match progress.stage {
            Stage::Copying => progress::bar("copying", progress.entries_total),
            Stage::Verifying => progress::bar("verifying", progress.entries_total),
            _ => progress::spinner("waiting"),
        };
        self.bar = Some((progress.stage, bar));
        if progress.stage == Stage::Following && !self.listens {
            self.listen();
        }
        if progress.stage == Stage::Verifying && self.listens {
            let revision = progress.revision;
            remark(&format!(
                "the target has revision {revision} of the source; writers may switch to it now"
            ));
        }
    }

    /// Cuts over on a line of input or on Ctrl-C.
    fn listen(&mut self) {
        let cut_over = Arc::clone(&self.cut_over);
        self.listens = true;
        // If the handler cannot be installed, Ctrl-C ends the command, and the next run resumes.
        let _ = at_ctrl_c(move || {
            if cut_over.swap(true, Ordering::Relaxed) {
                // The second Ctrl-C stops without cutting over. The next run resumes.
                process::exit(INTERRUPTED);
            }
        });
        let cut_over = Arc::clone(&self.cut_over);
        thread::spawn(move || {
            // An input that ends without a line, such as a service's, does not cut over.
            if io::stdin().read_line(&mut String::new()).is_ok_and(|length| length > 0) {
                cut_over.store(true, Ordering::Relaxed);
            }
        });
        remark("all entries are copied and changes are followed; press Enter, or Ctrl-C once, to cut over");
    }

    /// Writes a line for each new stage, and for new progress at most once per [`REPORT_EVERY`].
    fn report(&mut self, progress: &Progress) -> Result<(), Failure> {
        let is_due = match (&self.reported, progress.stage) {
            (_, Stage::Copying) => return Ok(()),
            (None, stage) => stage != Stage::Verifying,
            (Some((_, last)), stage) if last.stage != stage => true,
            (Some(_), Stage::Verifying) => false,
            (Some((at, last)), _) => {
                at.elapsed() >= REPORT_EVERY
                    && (last.revision, last.latest) != (progress.revision, progress.latest)
            }
        };
        if !is_due || self.output.form() == Form::Table {
            return Ok(());
        }
        let name = name_of(progress.stage);
        let Progress { revision, latest, applied, .. } = progress;
        match self.output.form() {
            Form::Json => {
                let mut line =
                    json!({ "stage": name, "revision": revision.0, "latest": latest.0, "applied": applied });
                if let Some(trouble) = &progress.trouble {
                    line["trouble"] = Value::from(trouble.as_str());
                }
                self.output.json(&line)?;
            }
            _ => self.output.fields(&[
                name.as_bytes(),
                revision.to_string().as_bytes(),
                latest.to_string().as_bytes(),
                applied.to_string().as_bytes(),
            ])?,
        }
        self.reported = Some((Instant::now(), progress.clone()));
        self.output.flush()
    }

    fn clear(&mut self) {
        if let Some((_, bar)) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn name_of(stage: Stage) -> &'static str {
    match stage {
        Stage::Copying => "copying",
        Stage::Following => "following",
        Stage::Verifying => "verifying",
        _ => "waiting",
    }
}

fn following(progress: &Progress) -> String {
    let applied = counted(progress.applied, "change");
    if progress.revision >= progress.latest {
        return format!("following: at revision {}, up to date, {applied} applied", progress.revision);
    }
    format!("following: at revision {} of {}, {applied} applied", progress.revision, progress.latest)
}

fn waiting(progress: &Progress) -> String {
    format!("waiting: {}", crate::text::one_line(progress.trouble.as_deref().unwrap_or_default()))
}

/// Prints the result and every difference.
fn answer(copied: &Copied, command: &Copy, output: &mut Output) -> Result<(), Failure> {
    for difference in &copied.differences {
        print_difference(difference, output)?;
    }
    let Copied { revision, entries, written, applied, beside, differing, .. } = copied;
    let answer = json!({
        "copied": entries, "revision": revision.0, "written": written, "applied": applied,
        "beside": beside, "differing": differing,
    });
    if !copied.is_exact() {
        if output.form() == Form::Json {
            output.json(&answer)?;
        }
        return Err(Failure::Broken(format!(
            "{} in {} from {} at its revision {revision}",
            if *differing == 1 { "1 entry differs".into() } else { format!("{differing} entries differ") },
            command.target(),
            command.from,
        ))
        .advise("See that nobody else writes there, and run the same command again."));
    }
    let done = if command.follow { "cut over: " } else { "" };
    let others = match beside {
        0 => "no other entries in the target".into(),
        others => format!("{} only in the target", counted(*others, "entry")),
    };
    let verified = counted(*entries, "entry");
    let words =
        format!("{done}the target has revision {revision} of the source: {verified} verified, {others}");
    let plain = if command.follow {
        format!("cut over\t{revision}\t{entries}\t{applied}")
    } else {
        entries.to_string()
    };
    output.answer(&answer, &words, Some(&plain))
}

/// Prints a difference on a line.
fn print_difference(difference: &Difference, output: &mut Output) -> Result<(), Failure> {
    let (what, group, key) = match difference {
        Difference::Missing { group, key } => ("missing", Some(group), Some(key)),
        Difference::Value { group, key } => ("value", Some(group), Some(key)),
        Difference::Expiry { group, key } => ("expiry", Some(group), Some(key)),
        Difference::Extra { group, key } => ("extra", Some(group), Some(key)),
        Difference::Quota { namespace } => ("quota", Some(namespace), None),
        _ => ("other", None, None),
    };
    match output.form() {
        Form::Json if key.is_none() => output.json(&json!({ "difference": what, "namespace": group })),
        Form::Json => output.json(&json!({ "difference": what, "group": group, "key": key })),
        Form::Plain => {
            let names = [group, key].map(|name| name.map_or("-", String::as_str).as_bytes());
            output.fields(&[what.as_bytes(), names[0], names[1]])
        }
        Form::Table => output.line(&crate::text::one_line(&difference.to_string())),
    }
}
