//! What the tests do around a store: look at its folder byte for byte, and start other processes.

#![allow(dead_code)] // Each test binary uses its own part of it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Every file of a folder, with its bytes.
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

/// File names that SQLite or a shell might take for something else, as far as the system allows them.
pub fn awkward_names() -> Vec<OsString> {
    let mut names: Vec<OsString> =
        ["a b'c.db", "100%.db", "file%3Ax.db", "#1.db", "schlüssel-鍵.db"].map(OsString::from).into();
    if cfg!(unix) {
        names.extend(["a'b\".db", "file:x?mode=ro", "file:x?mode=memory", "what?.db"].map(OsString::from));
    }
    // Apple's file systems take text alone.
    #[cfg(all(unix, not(target_vendor = "apple")))]
    names.push(std::os::unix::ffi::OsStringExt::from_vec(b"\xff\xfe.db".to_vec()));
    names
}

/// Fails, without printing megabytes, unless two folders have the same files.
pub fn assert_same_files(before: &BTreeMap<String, Vec<u8>>, after: &BTreeMap<String, Vec<u8>>, what: &str) {
    let (names_before, names_after): (Vec<_>, Vec<_>) = (before.keys().collect(), after.keys().collect());
    assert_eq!(names_before, names_after, "{what}: the files of the folder");
    for (name, bytes) in before {
        assert!(*bytes == after[name], "{what}: {name} has changed");
    }
}

/// A plain SQLite connection to a file, as some other program would open it.
pub fn sqlite(path: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(path).unwrap()
}

/// A copy of one of go-store's files in a folder.
pub fn go_store(name: &str, folder: &Path) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, fs::read(Path::new("tests/fixtures/go-store").join(name)).unwrap()).unwrap();
    path
}

/// The path that a test of this binary was given when another process runs it, and the words after it.
pub fn errand() -> Option<(PathBuf, Vec<String>)> {
    let path = std::env::var_os("LARDER_TEST_PATH")?;
    let words = std::env::var("LARDER_TEST_WORDS").unwrap_or_default();
    Some((path.into(), words.split_whitespace().map(str::to_owned).collect()))
}

/// Another process, which runs one test of this binary with an errand.
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

    /// The next line that the errand says; the test runner's own lines are left out. `None` at the end.
    pub fn hear(&mut self) -> Option<String> {
        self.output.by_ref().map_while(Result::ok).find_map(|line| {
            // The runner may have written `test name ... ` before it on the same line.
            line.find(SAYS).map(|start| line[start + SAYS.len()..].to_owned())
        })
    }

    /// All that the errand has still to say.
    pub fn hear_all(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.hear()).collect()
    }

    /// Gives the errand a line on its standard input.
    pub fn tell(&mut self, line: &str) {
        let input = self.input.as_mut().unwrap();
        writeln!(input, "{line}").and_then(|()| input.flush()).unwrap();
    }

    /// Waits until the process has ended well.
    pub fn finish(mut self) {
        drop(self.input.take());
        let said: Vec<_> = self.output.by_ref().map_while(Result::ok).collect();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "the other process failed: {status}, and said at last: {said:#?}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const SAYS: &str = "\u{1}says ";

/// Says a line to the process that started this one.
pub fn say(line: impl std::fmt::Display) {
    let mut output = std::io::stdout().lock();
    // One write a line, so that a process that is killed says whole lines only.
    output.write_all(format!("{SAYS}{line}\n").as_bytes()).and_then(|()| output.flush()).unwrap();
}

/// Waits for a line from the process that started this one.
pub fn listen() -> String {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    line.trim().to_owned()
}
