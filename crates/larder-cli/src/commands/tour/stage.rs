//! Runs and prints the tour: headings, commands, their output, and checks.

use std::collections::hash_map::RandomState;
use std::ffi::OsString;
use std::hash::{BuildHasher, Hasher};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;
use larder::Store;

use crate::arguments::{Access, Arguments, Place};
use crate::commands;
use crate::failure::Failure;
use crate::notice::Notice;
use crate::output::{Output, Tone};

/// The prefix of the location of a store in a cluster.
const CLUSTER: &str = "etcd://";

/// The indentation of a command's output.
const INDENT: &str = "    ";

/// The tour's store, its output, and counts of steps and checks.
pub struct Stage<'a, 'o> {
    folder: &'a Path,
    /// The location of the tour's store.
    location: String,
    access: Access,
    output: &'a mut Output<'o>,
    steps: usize,
    checks: usize,
}

impl<'a, 'o> Stage<'a, 'o> {
    /// Creates a stage with a new store: in the cluster that `--store` names, beside the store of that name;
    /// otherwise in `folder`.
    pub fn new(folder: &'a Path, place: &Place, output: &'a mut Output<'o>) -> Self {
        // The location of a cluster is text.
        let location = place.store.as_os_str().to_str().unwrap_or_default();
        let location = match location.split_once('?') {
            _ if !location.starts_with(CLUSTER) => folder.join("larder.db").display().to_string(),
            Some((location, settings)) => format!("{}?{settings}", temporary_location(location)),
            None => temporary_location(location),
        };
        Self { folder, location, access: place.access.clone(), output, steps: 0, checks: 0 }
    }

    /// Returns whether the tour's store is in a cluster.
    pub fn is_in_cluster(&self) -> bool {
        self.location.starts_with(CLUSTER)
    }

    /// Returns the path of a file in the tour's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Opens the tour's store, to show what a program does. Dropping it closes it.
    pub fn store(&self) -> Result<Store, Failure> {
        Ok(self.access.options().connect(&self.location)?)
    }

    /// Starts a step with a title and a line that says what it shows.
    pub fn step(&mut self, title: &str, showing: &str) -> Result<(), Failure> {
        self.steps += 1;
        let heading = self.output.tinted(Tone::Heading, &format!("{}. {title}", self.steps));
        self.output.line("")?;
        self.output.line(&heading)?;
        self.tell(showing)
    }

    /// Prints text, wrapped to the width of the terminal.
    pub fn tell(&mut self, words: &str) -> Result<(), Failure> {
        let lines = wrapped(words, self.output.width());
        self.say(&lines)
    }

    /// Prints a line.
    pub fn say(&mut self, line: &str) -> Result<(), Failure> {
        self.output.line(line)?;
        // Flush, because the next line may take a while.
        self.output.flush()
    }

    /// Runs a command line and prints it with its output. Fails if the command fails.
    pub fn run(&mut self, command: &[&str]) -> Result<(), Failure> {
        let (answer, done) = self.answer_of(command)?;
        self.show_answer(&answer)?;
        self.checks += 1;
        done
    }

    /// Runs a command line that must fail with this exit code.
    pub fn run_refused(&mut self, command: &[&str], exit_code: u8) -> Result<(), Failure> {
        let (answer, done) = self.answer_of(command)?;
        self.show_answer(&answer)?;
        let code = match &done {
            Ok(()) => 0,
            Err(failure) => {
                for (label, tone, words) in Notice::from(failure).lines() {
                    let line = format!("{label}: {words}");
                    let line = wrapped(&line, self.output.width().saturating_sub(INDENT.len()));
                    let (label, words) = line.split_at(label.len());
                    self.show(&format!("{}{words}", self.output.tinted(tone, label)))?;
                }
                failure.exit_code()
            }
        };
        self.check(&format!("`larder {}` exits with code {exit_code}", command.join(" ")), code == exit_code)
    }

    fn answer_of(&mut self, command: &[&str]) -> Result<(Vec<u8>, Result<(), Failure>), Failure> {
        let words: Vec<String> = command.iter().map(|word| shell_word(word)).collect();
        let typed = format!("larder {}", words.join(" "));
        let typed =
            format!("  {} {}", self.output.tinted(Tone::Faint, "$"), self.output.tinted(Tone::Name, &typed));
        self.say(&typed)?;

        // A file named ./like-this is in the tour's folder.
        let in_folder = |word: &&str| match word.strip_prefix("./") {
            Some(name) => self.path(name).into(),
            None => OsString::from(word),
        };
        let mut line = vec![OsString::from("larder")];
        if !command.contains(&"--store") {
            line.extend(["--store".into(), self.location.as_str().into()]);
        }
        line.extend(command.iter().map(in_folder));
        let mut arguments = Arguments::try_parse_from(line)
            .map_err(|error| Failure::Broken("the tour has an invalid command".into()).because(&error))?;
        arguments.place.access = self.access.clone();
        let mut answer = Vec::new();
        let mut output = self.output.like(&mut answer, INDENT.len() as u16);
        let done = commands::run(&arguments, &mut output).and_then(|()| output.flush());
        drop(output);
        Ok((answer, done))
    }

    /// Returns what `write` writes to an output of the tour's form.
    pub fn line_of(&self, write: impl FnOnce(&mut Output) -> Result<(), Failure>) -> Result<String, Failure> {
        let mut line = Vec::new();
        let mut output = self.output.like(&mut line, INDENT.len() as u16);
        write(&mut output)?;
        drop(output);
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    fn show_answer(&mut self, answer: &[u8]) -> Result<(), Failure> {
        // Hide the temporary folder, which the tour deletes at its end.
        let folder = format!("{}{}", self.folder.display(), std::path::MAIN_SEPARATOR);
        self.show(&String::from_utf8_lossy(answer).replace(&folder, "./"))
    }

    /// Prints the output of a command or a program.
    pub fn show(&mut self, text: &str) -> Result<(), Failure> {
        for line in text.lines() {
            self.output.line(&format!("{INDENT}{line}"))?;
        }
        self.output.flush()
    }

    /// Describes what a program does, where there is no command for it.
    pub fn program(&mut self, line: &str) -> Result<(), Failure> {
        let line = format!("  {} {line}", self.output.tinted(Tone::Faint, ">"));
        self.say(&line)
    }

    /// Fails the tour if `claim` does not hold.
    pub fn check(&mut self, claim: &str, holds: bool) -> Result<(), Failure> {
        self.checks += 1;
        if holds {
            return Ok(());
        }
        Err(Failure::Broken(format!("the tour found that this is not so: {claim}"))
            .advise("Report it, please: this is a fault in larder."))
    }

    /// Checks a claim and prints it.
    pub fn found(&mut self, claim: &str, holds: bool) -> Result<(), Failure> {
        self.check(claim, holds)?;
        let line = format!("  {} {claim}", self.output.tinted(Tone::Good, "✓"));
        self.say(&line)
    }

    /// Prints the last lines of the tour.
    pub fn finish(&mut self, took: Duration) -> Result<(), Failure> {
        self.output.line("")?;
        let line = format!(
            "The tour took {:.1} seconds: {} steps, and {} checks that all held.",
            took.as_secs_f64(),
            self.steps,
            self.checks
        );
        let line = self.output.tinted(Tone::Good, &line);
        self.output.line(&line)?;
        match self.location.strip_prefix(CLUSTER).and_then(|location| location.split_once('/')) {
            None => self.tell("The tour's files are deleted. Start with: larder set config colour blue"),
            Some((_, name)) => {
                let name = name.split_once('?').map_or(name, |(name, _)| name);
                self.tell(&format!(
                    "The tour's store is still in the cluster. Remove it with: etcdctl del --prefix {name}/"
                ))
            }
        }
    }
}

/// Returns the location of an unused store in the same cluster.
fn temporary_location(location: &str) -> String {
    // Each `RandomState` has random keys, so this number is random.
    let number = RandomState::new().build_hasher().finish() >> 32;
    format!("{location}-tour-{number:08x}")
}

/// Wraps a text to `width` characters, between words.
fn wrapped(text: &str, width: usize) -> String {
    let mut lines = String::new();
    let mut column = 0;
    for word in text.split(' ') {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > width {
            lines.push('\n');
            column = 0;
        } else if column > 0 {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(word);
        column += length;
    }
    lines
}

/// Quotes a word for a shell.
fn shell_word(word: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_.:/@%+=,".contains(character);
    if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { format!("'{word}'") }
}
