//! Around a store: reading its folder byte for byte, and starting other processes.

#![allow(dead_code)] // Each test binary uses a different part.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Every file in a folder, with its bytes.
pub fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap()))
        .collect()
}

/// The names of the files of a folder, sorted.
pub fn names(folder: &Path) -> Vec<String> {
    contents(folder).into_keys().collect()
}

/// Fails unless two folders have the same files. Does not print their contents.
pub fn assert_same_files(before: &BTreeMap<String, Vec<u8>>, after: &BTreeMap<String, Vec<u8>>, what: &str) {
    let (names_before, names_after): (Vec<_>, Vec<_>) = (before.keys().collect(), after.keys().collect());
    assert_eq!(names_before, names_after, "{what}: the folder's files");
    for (name, bytes) in before {
        assert!(*bytes == after[name], "{what}: {name} changed");
    }
}

/// A plain SQLite connection to a file, like that of another program.
pub fn sqlite(path: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(path).unwrap()
}

/// Copies one of go-store's files into a folder.
pub fn go_store(name: &str, folder: &Path) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, fs::read(Path::new("tests/fixtures/go-store").join(name)).unwrap()).unwrap();
    path
}

/// The path and words that [`Process::start`] passed, if this process runs a test as such a child.
pub fn child_task() -> Option<(PathBuf, Vec<String>)> {
    let path = std::env::var_os("LARDER_TEST_PATH")?;
    let words = std::env::var("LARDER_TEST_WORDS").unwrap_or_default();
    Some((path.into(), words.split_whitespace().map(str::to_owned).collect()))
}

/// A child process that runs one test of this binary as its task.
pub struct Process {
    pub child: Child,
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
}

impl Process {
    pub fn start(test: &str, path: &Path, words: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([test, "--exact", "--nocapture", "--test-threads=1"])
            .env("LARDER_TEST_PATH", path)
            .env("LARDER_TEST_WORDS", words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, input, output }
    }

    /// The next line that the child printed with [`print_line`]; `None` at the end.
    pub fn next_line(&mut self) -> Option<String> {
        self.output.by_ref().map_while(Result::ok).find_map(|line| {
            // The test runner may have printed `test name ... ` before it on the same line.
            line.find(MARK).map(|start| line[start + MARK.len()..].to_owned())
        })
    }

    /// All lines until the child ends.
    pub fn remaining_lines(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.next_line()).collect()
    }

    /// Writes a line to the child's standard input.
    pub fn send_line(&mut self, line: &str) {
        let input = self.input.as_mut().unwrap();
        writeln!(input, "{line}").and_then(|()| input.flush()).unwrap();
    }

    /// Waits until the child has ended; fails unless it succeeded.
    pub fn finish(mut self) {
        drop(self.input.take());
        let printed: Vec<_> = self.output.by_ref().map_while(Result::ok).collect();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "the child process failed: {status}; its last lines: {printed:#?}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const MARK: &str = "\u{1}line ";

/// Prints a line for the process that started this one.
pub fn print_line(line: impl std::fmt::Display) {
    let mut output = std::io::stdout().lock();
    // One write per line, so that a killed process prints only whole lines.
    output.write_all(format!("{MARK}{line}\n").as_bytes()).and_then(|()| output.flush()).unwrap();
}

/// Reads the next line from the process that started this one.
pub fn read_line() -> String {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    line.trim().to_owned()
}
