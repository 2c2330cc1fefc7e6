//! Runs the command line in a temporary folder.
#![allow(dead_code, reason = "each test file uses only some of it")]

use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use larder::Store;
use serde_json::Value;
use tempfile::TempDir;

/// A temporary folder in which the commands of a test run.
pub struct Desk {
    pub folder: TempDir,
}

/// The result of a command.
pub struct Answer {
    pub code: i32,
    pub out: Vec<u8>,
    pub error: String,
}

impl Desk {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn store(&self) -> Store {
        Store::options().expiry_timer(false).open(self.path("larder.db")).unwrap()
    }

    pub fn has_store(&self) -> bool {
        self.path("larder.db").exists()
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_larder"));
        command.current_dir(self.folder.path()).args(arguments);
        command.env_remove("LARDER_STORE").env_remove("NO_COLOR");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn spawn(&self, arguments: &[&str]) -> Child {
        self.command(arguments).spawn().unwrap()
    }

    pub fn run(&self, arguments: &[&str]) -> Answer {
        Answer::of(self.spawn(arguments))
    }

    pub fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> Answer {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().unwrap();
        // The write fails if the command exits without reading, as on wrong usage.
        let _ = child.stdin.take().unwrap().write_all(input);
        Answer::of(child)
    }

    /// Runs a command that must succeed silently, and returns its output.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let answer = self.run(arguments);
        assert_eq!((answer.code, answer.error.as_str()), (0, ""), "{arguments:?}");
        answer.text()
    }

    /// Runs a command that must fail with this exit code and an error that contains `words`: see [`Answer::failed`].
    pub fn fails(&self, code: i32, words: &str, arguments: &[&str]) {
        let answer = self.run(arguments);
        answer.failed(code, words, &format!("{arguments:?}"));
        assert_eq!(answer.text(), "", "{arguments:?}");
    }

    /// Runs a command with `--json`, and returns its parsed lines.
    pub fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let mut all = vec!["--json"];
        all.extend(arguments);
        self.ok(&all).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }
}

impl Answer {
    pub fn of(child: Child) -> Self {
        let output = child.wait_with_output().unwrap();
        Self {
            code: output.status.code().unwrap_or(-1),
            out: output.stdout,
            error: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.out.clone()).unwrap()
    }

    /// Whether what was said of a failure is a line with the error, a line for each of its causes, and a line with
    /// advice in sentences, if there is any.
    fn is_well_formed(&self, what: &str) {
        let mut lines = self.error.lines();
        let error = lines.next().and_then(|line| line.strip_prefix("error: "));
        assert!(error.is_some_and(|error| !error.ends_with('.')), "{what}: {}", self.error);
        let mut rest = lines.skip_while(|line| line.starts_with("caused by: "));
        if let Some(line) = rest.next() {
            let advice = line.strip_prefix("advice: ");
            assert!(advice.is_some_and(|advice| advice.ends_with('.')), "{what}: {}", self.error);
        }
        assert_eq!(rest.next(), None, "{what}: {}", self.error);
    }

    /// Asserts this exit code and a well-formed error that contains `words`.
    pub fn failed(&self, code: i32, words: &str, what: &str) {
        assert_eq!(self.code, code, "{what}: {}", self.error);
        assert!(self.error.contains(words), "{what}: {}", self.error);
        self.is_well_formed(what);
        for rust in ["Error {", "Err(", "Some(", "panicked"] {
            assert!(!self.error.contains(rust), "{what}: {}", self.error);
        }
    }
}
