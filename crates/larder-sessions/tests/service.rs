//! The example as a process that serves HTTP, is killed and restarted.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../examples/axum_sessions.rs"]
#[allow(dead_code)]
mod axum_sessions;

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use larder::Store;

/// How long a test waits for something before it fails.
const WAIT_MAX: Duration = Duration::from_secs(10);

const LOCATION: &str = "LARDER_TEST_LOCATION";

/// Runs the service, in a process that has the location of the sessions; does nothing as a test.
#[test]
fn service_process() {
    if let Some(location) = std::env::var_os(LOCATION) {
        let location = location.into_string().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(axum_sessions::serve(&location, "127.0.0.1:0")).unwrap();
    }
}

/// The example in its own process, which ends with this one, because its standard input does.
struct Service {
    process: Child,
    output: Lines<BufReader<ChildStdout>>,
    address: String,
}

impl Service {
    fn start(location: impl AsRef<OsStr>) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["service_process", "--exact", "--nocapture"])
            .env(LOCATION, location)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap()).lines();
        // The test runner may have printed something before it on the same line.
        let address = output.by_ref().map_while(Result::ok).find_map(|line| {
            let (_, address) = line.split_once("http://")?;
            Some(address.split_once('/')?.0.to_owned())
        });
        Self { process, output, address: address.expect("the service's address") }
    }

    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Ends the service by closing its input.
    fn end(mut self) {
        drop(self.process.stdin.take());
        assert!(self.output.by_ref().map_while(Result::ok).any(|line| line.starts_with("ended")));
        assert!(self.output.by_ref().all(|line| line.is_ok()));
        assert!(self.process.wait().unwrap().success());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A browser that keeps one cookie.
#[derive(Default)]
struct Visitor {
    cookie: Option<String>,
}

impl Visitor {
    fn get(&mut self, service: &Service) -> String {
        self.request(service, "GET /")
    }

    /// Sends a request, keeps or deletes the cookie as the answer says, and returns the body.
    fn request(&mut self, service: &Service, what: &str) -> String {
        let mut stream = TcpStream::connect(&service.address).unwrap();
        stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
        let cookie = self.cookie.iter().map(|cookie| format!("Cookie: {cookie}\r\n")).collect::<String>();
        write!(stream, "{what} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{cookie}\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let set = head.lines().find_map(|line| line.strip_prefix("set-cookie: "));
        if let Some(set) = set {
            self.cookie =
                Some(set.split(';').next().unwrap().to_owned()).filter(|_| !set.contains("Max-Age=0"));
        }
        body.to_owned()
    }

    /// The id of the session, from the cookie.
    fn id(&self) -> &str {
        self.cookie.as_deref().unwrap().strip_prefix("id=").unwrap()
    }
}

fn new_path() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.db");
    (folder, path)
}

#[test]
fn every_visitor_has_a_session_that_survives_a_restart_of_the_service() {
    let (_folder, path) = new_path();
    let service = Service::start(&path);
    let (mut visitor, mut other) = (Visitor::default(), Visitor::default());
    assert_eq!(visitor.get(&service), "visit 1\n");
    assert_eq!(visitor.get(&service), "visit 2\n");
    assert_eq!(other.get(&service), "visit 1\n");
    service.kill();

    let service = Service::start(&path);
    assert_eq!(visitor.get(&service), "visit 3\n", "after the kill");
    service.end();

    let service = Service::start(&path);
    assert_eq!(visitor.get(&service), "visit 4\n", "after the restart");
    assert_eq!(other.get(&service), "visit 2\n");
}

#[test]
fn after_logout_the_old_cookie_is_worthless_and_a_new_session_begins() {
    let (_folder, path) = new_path();
    let service = Service::start(&path);
    let mut visitor = Visitor::default();
    visitor.get(&service);
    let cookie = visitor.cookie.clone();
    assert_eq!(visitor.request(&service, "POST /leave"), "goodbye\n");
    assert_eq!(visitor.cookie, None);
    let mut thief = Visitor { cookie };
    assert_eq!(thief.get(&service), "visit 1\n");
}

#[test]
fn a_session_is_stored_for_as_long_as_its_cookie_lasts() {
    let (_folder, path) = new_path();
    let service = Service::start(&path);
    let mut visitor = Visitor::default();
    let before = SystemTime::now();
    visitor.get(&service);
    let after = SystemTime::now();
    let store = Store::open(&path).unwrap();
    let entry = store.entry("session", visitor.id()).unwrap().unwrap();
    let stored: serde_json::Value = serde_json::from_slice(entry.value.as_ref()).unwrap();
    assert_eq!(stored["visits"], 1, "{stored}");
    let hour = Duration::from_secs(3600);
    // An entry's expiry has whole milliseconds.
    let expires_at = entry.expires_at.unwrap();
    assert!(expires_at + Duration::from_millis(1) > before + hour && expires_at <= after + hour);

    // The service reads the file, even after another process wrote to it.
    store.set_until("session", visitor.id(), r#"{"visits":41}"#, Some(expires_at)).unwrap();
    assert_eq!(visitor.get(&service), "visit 42\n");
    store.set_until("session", visitor.id(), r#"{"visits":41}"#, Some(UNIX_EPOCH)).unwrap();
    assert_eq!(visitor.get(&service), "visit 1\n", "the session did not expire");
}

#[cfg(feature = "etcd")]
#[test]
fn sessions_on_a_cluster_keep_working_while_one_member_after_another_dies() {
    if !larder_cluster::etcd_is_installed() {
        return;
    }
    let cluster = larder_cluster::Cluster::start().unwrap();
    let service = Service::start(cluster.location("sessions"));
    let (mut visitor, mut visits) = (Visitor::default(), 0);
    let mut visit = |times: u32, service: &Service| {
        for _ in 0..times {
            visits += 1;
            assert_eq!(visitor.get(service), format!("visit {visits}\n"));
        }
    };
    visit(10, &service);
    for member in 0..cluster.members() {
        cluster.kill(member);
        visit(10, &service);
        cluster.restart(member);
        visit(10, &service);
        cluster.wait_until_ready(WAIT_MAX).unwrap();
    }
    service.kill();
    visit(1, &Service::start(cluster.location("sessions")));
}
