//! Passwords of a cluster: where they may come from, that they may change, and that nothing shows them.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod clusters;

use std::fmt::Write;
use std::process::Command;
use std::sync::{Arc, Mutex};

use larder::{AsyncStore, Error, Location, Store};
use larder_cluster::{Cluster, Settings, Tls};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use clusters::{PASSWORD, PASSWORD_ENCODED, options, refused, skipped, told};

fn with_users(tls: Option<Tls>) -> Cluster {
    let users = [("root", "other"), ("service", PASSWORD)];
    let users = users.map(|(name, password)| (name.to_owned(), password.to_owned())).to_vec();
    let cluster = Cluster::start_with(&Settings { members: 1, users, tls, ..Settings::default() }).unwrap();
    cluster.grant("service", b"app/").unwrap();
    cluster
}

/// The location of the store `app`, for a user, with settings.
fn at(cluster: &Cluster, user: &str, settings: &str) -> String {
    let location = cluster.location("app");
    let location = location.split('?').next().unwrap().replace("//", &format!("//{user}@"));
    format!("{location}?{settings}")
}

#[test]
fn a_password_comes_from_a_file_and_may_change_while_the_store_is_open() {
    if skipped() {
        return;
    }
    let cluster = with_users(None);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    let location = at(&cluster, "service", &format!("password-file={}", file.display()));
    for (content, words) in [
        (None, "cannot be read"),
        (Some(&b""[..]), "empty"),
        (Some(b"\n"), "empty"),
        (Some(b"\xff\n"), "UTF-8"),
    ] {
        if let Some(content) = content {
            std::fs::write(&file, content).unwrap();
        }
        let error = refused(&location);
        assert!(matches!(error, Error::InvalidLocation { .. }) && told(&error).contains(words), "{error:?}");
    }
    std::fs::write(&file, "Zq7-wrong\n").unwrap();
    assert!(matches!(refused(&location), Error::Unauthorized { .. }));

    std::fs::write(&file, format!("{PASSWORD}\r\nwhat follows is ignored\n")).unwrap();
    let store = options().connect(&location).unwrap();
    store.set("g", "k", "1").unwrap();
    cluster.change_password("service", "Zq7-second").unwrap();
    // As a service that manages secrets does: shortly after.
    assert!(matches!(store.set("g", "k", "2"), Err(Error::Unauthorized { .. })));
    std::fs::write(&file, "Zq7-second").unwrap();
    store.set("g", "k", "3").unwrap();
    assert_eq!(store.get("g", "k").unwrap().unwrap(), "3");
    // The file is gone: the last password goes on.
    std::fs::remove_file(&file).unwrap();
    store.set("g", "k", "4").unwrap();
}

#[test]
fn calls_at_once_with_a_new_password_in_its_file_all_use_it() {
    if skipped() {
        return;
    }
    let cluster = with_users(None);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, PASSWORD).unwrap();
    let location = at(&cluster, "service", &format!("password-file={}", file.display()));
    let store = options().connect(&location).unwrap();
    for round in 0..5 {
        store.set("g", "k", "v").unwrap();
        let password = format!("Zq7-{round}");
        cluster.change_password("service", &password).unwrap();
        assert!(matches!(store.set("g", "k", "v"), Err(Error::Unauthorized { .. })));
        std::fs::write(&file, password).unwrap();
        // The first of them connects anew. The others have sent theirs on the old connection by then.
        std::thread::scope(|scope| {
            let call = |key: usize| store.get("g", key.to_string()).unwrap();
            let calls: Vec<_> = (0..16).map(|key| scope.spawn(move || call(key))).collect();
            for call in calls {
                assert!(call.join().unwrap().is_none());
            }
        });
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_password_comes_from_a_descriptor_and_a_file_without_end_is_refused() {
    if skipped() {
        return;
    }
    let cluster = with_users(None);
    let (reader, mut writer) = std::io::pipe().unwrap();
    std::io::Write::write_all(&mut writer, PASSWORD.as_bytes()).unwrap();
    drop(writer);
    let descriptor = std::os::fd::AsRawFd::as_raw_fd(&reader);
    let location = at(&cluster, "service", &format!("password-file=/dev/fd/{descriptor}"));
    let store = options().connect(location).unwrap();
    // It is empty by now. The password that it held goes on.
    store.set("g", "k", "1").unwrap();
    for settings in ["password-file=/dev/zero", "ca=/dev/zero"] {
        let user = if settings.starts_with("ca") { "service:Zq7" } else { "service" };
        let error = refused(&at(&cluster, user, settings));
        assert!(told(&error).contains("more than 1048576 bytes"), "{error:?}");
    }
}

#[test]
fn the_systems_authorities_are_trusted_where_the_location_says_so() {
    if skipped() || !Tls::can_be_made() {
        return;
    }
    if let Ok(location) = std::env::var("LARDER_TEST_LOCATION") {
        // In the process below.
        println!("{:?}", options().connect(location).map(|store| store.set("g", "k", "v").is_ok()));
        return;
    }
    let tls = Tls::new().unwrap();
    let cluster = with_users(Some(tls.clone()));
    let user = format!("service:{PASSWORD_ENCODED}");
    let run = |authorities: &std::path::Path| {
        let test = "the_systems_authorities_are_trusted_where_the_location_says_so";
        let mut program = Command::new(std::env::current_exe().unwrap());
        program
            .args([test, "--exact", "--nocapture"])
            .env("SSL_CERT_FILE", authorities)
            .env_remove("SSL_CERT_DIR");
        program.env("LARDER_TEST_LOCATION", at(&cluster, &user, "tls=system"));
        let output = program.output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    // Another authority, and the one that has signed.
    let other = Tls::new().unwrap();
    assert!(run(&other.ca).contains("Err(Untrusted"), "{}", run(&other.ca));
    assert!(run(&tls.ca).contains("Ok(true)"), "{}", run(&tls.ca));
}

/// Keeps everything that is logged, at every level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl Log {
    fn add(&self, values: impl FnOnce(&mut dyn Visit)) {
        struct Text<'a>(&'a mut String);
        impl Visit for Text<'_> {
            fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                let _ = writeln!(self.0, "{}={value:?}", field.name());
            }
        }
        values(&mut Text(&mut self.0.lock().unwrap()));
    }
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.add(|log| span.record(log));
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, values: &Record<'_>) {
        self.add(|log| values.record(log));
    }
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        self.add(|log| event.record(log));
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn no_error_no_debug_and_no_log_shows_user_or_password() {
    if skipped() {
        return;
    }
    let log = Log::default();
    tracing::subscriber::set_global_default(log.clone()).unwrap();
    let cluster = with_users(None);
    let mut shown = String::new();
    let mut show = |what: &dyn std::fmt::Debug| writeln!(shown, "{what:?} {what:#?}").unwrap();

    let location = at(&cluster, &format!("service:{PASSWORD_ENCODED}"), "");
    let options = options();
    let store = options.connect(&location).unwrap();
    store.set("g", "k", "v").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let awaited = runtime.block_on(AsyncStore::connect_with(options.clone(), &location)).unwrap();
    show(&(&Location::from(location.as_str()), &options, &store, &awaited, store.scoped("t").unwrap()));
    show(&(
        store.stats().unwrap(),
        store.health().unwrap(),
        store.token().unwrap(),
        store.snapshot().unwrap(),
    ));
    show(&(
        store.batch(),
        store.watch(("g", "k")).unwrap(),
        store.cursor("c").unwrap(),
        store.check().unwrap(),
    ));

    // What goes wrong at opening, and later.
    for wrong in [
        location.replace("/app", "/a name"),
        location.replace("/app", "/other"),
        location.replace("Zq7", "Zq7-other"),
        location.replace("//", ""),
        format!("{location}&colour=blue"),
        location.replace("127.0.0.1", "db.example"),
        location.replace("//service:", "//service:Zq7/"),
    ] {
        let Err(error) = options.connect(&wrong) else { panic!("{wrong} was opened") };
        show(&(&error, error.to_string(), error.advice()));
    }
    cluster.change_password("service", "Zq7-second").unwrap();
    for error in [store.set("g", "k", "2").unwrap_err(), store.get("g", "other").unwrap_err()] {
        writeln!(shown, "{error:?} {error} {:?}", error.advice()).unwrap();
    }
    cluster.kill(0);
    let error = store.set("g", "k", "2").unwrap_err();
    writeln!(shown, "{error:?} {error} {:?}", error.advice()).unwrap();
    assert!(matches!(Store::connect("service:Zq7-hush@host"), Err(Error::InvalidLocation { .. })));

    let logged = log.0.lock().unwrap().clone();
    assert!(logged.lines().count() > 10, "{logged}");
    for (what, text) in [("errors and Debug", &shown), ("the log", &logged)] {
        for part in ["Zq7", "hush", "service:"] {
            let line = text.lines().find(|line| line.contains(part));
            assert_eq!(line, None, "{what}");
        }
    }
}
