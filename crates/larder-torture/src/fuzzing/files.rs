//! Files that somebody hands in: each is opened and used, or refused.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use larder::{Pattern, Quota, Result, Store, View};

/// The bytes of a store's file, and of the log beside it.
struct Sample {
    file: Vec<u8>,
    log: Vec<u8>,
}

/// Opens a file and uses it. If the first byte is 0, the others are the file. If not, they are changes to a store's file
/// and its log.
pub fn open_file(bytes: &[u8]) {
    // Without a folder there is nothing to open.
    drop(try_open(bytes));
}

fn try_open(bytes: &[u8]) -> io::Result<()> {
    let folder = crate::scratch::folder()?;
    let path = folder.path().join("store.db");
    match bytes.split_first() {
        None | Some((0, _)) => fs::write(&path, bytes.get(1..).unwrap_or_default())?,
        Some((kind, changes)) => {
            let Some(Sample { file, log }) = sample() else { return Ok(()) };
            let (mut file, mut log) = (file.clone(), log.clone());
            changes.chunks(5).for_each(|change| apply(change, &mut file, &mut log));
            fs::write(&path, file)?;
            if kind % 2 == 0 {
                fs::write(folder.path().join("store.db-wal"), log)?;
            }
        }
    }
    let options = Store::options().timeout(Duration::from_millis(200)).expiry_timer(false);
    for read_only in [true, false] {
        if let Ok(store) = options.clone().create(false).read_only(read_only).open(&path) {
            drop(using(&store, read_only));
            drop(store.close());
        }
    }
    Ok(())
}

/// A change: which of both, a page and a place in it, or of a frame, and the byte that is put there; or where it ends.
fn apply(change: &[u8], file: &mut Vec<u8>, log: &mut Vec<u8>) {
    let [which, page, high, low, byte] = *change else { return };
    let place = usize::from(u16::from_be_bytes([high, low]));
    let bytes = if which & 1 == 0 { file } else { log };
    let at = usize::from(page) * 4096 + place % 4096;
    match which & 0b110 {
        0b110 if which & 0b1000 != 0 => bytes.truncate(at),
        _ => {
            if let Some(there) = bytes.get_mut(at) {
                *there = byte;
            }
        }
    }
}

fn using(store: &Store, read_only: bool) -> Result<()> {
    read(store)?;
    drop(store.check());
    drop(store.stats());
    drop(store.histories());
    drop(store.cursors());
    for namespace in store.namespaces().unwrap_or_default() {
        drop(store.scoped(&namespace.name).and_then(|tenant| tenant.usage()));
    }
    drop(store.snapshot().and_then(|snapshot| read(&snapshot)));
    let watcher = store.watch_from(Pattern::all(), 0)?;
    while watcher.try_recv()?.is_some() {}
    if !read_only {
        drop(store.set("config", "colour", "green"));
        drop(store.delete_group("bulk"));
        drop(store.purge_expired());
        drop(store.set_quota("tenant-42", Quota::default()));
        drop(store.compact());
    }
    Ok(())
}

fn read(view: &View) -> Result<()> {
    for group in view.groups("")? {
        view.entries(&group.name)?.try_for_each(|entry| entry.map(drop))?;
        view.page(&group.name, None, 3)?;
        for key in view.keys(&group.name)? {
            view.get(&group.name, key?)?;
        }
    }
    view.count_all("").map(drop)
}

/// A store that was closed, and the log that a process left which was killed later.
fn sample() -> Option<&'static Sample> {
    static SAMPLE: OnceLock<Option<Sample>> = OnceLock::new();
    let make = || {
        let folder = crate::scratch::folder().ok()?;
        make_sample(&folder.path().join("store.db")).ok()
    };
    SAMPLE.get_or_init(make).as_ref()
}

fn make_sample(path: &Path) -> Result<Sample> {
    let open = || Store::options().expiry_timer(false).open(path);
    let store = open()?;
    store.set("config", "colour", "blue")?;
    store.set_with_ttl("session", "token", "abc", Duration::from_secs(3600))?;
    store.set_until("session", "gone", "abc", Some(std::time::UNIX_EPOCH))?;
    store.set_quota("tenant-42", Quota { max_keys: Some(9), ..Quota::default() })?;
    store.scoped("tenant-42")?.set("preferences", "locale", "en-GB")?;
    for number in 0..120 {
        store.set("bulk", format!("key-{number}"), vec![b'x'; 60])?;
    }
    store.set("bulk", "large", vec![b'y'; 20_000])?;
    drop(store.cursor("mailer")?);
    store.set_history("tenant-42:", larder::History::NONE)?;
    store.close()?;
    let file = fs::read(path).unwrap_or_default();
    let store = open()?;
    for number in 0..20 {
        store.set("bulk", format!("key-{}", number * 3), vec![b'z'; 50])?;
    }
    store.delete("config", "colour")?;
    let log = fs::read(path.with_extension("db-wal")).unwrap_or_default();
    Ok(Sample { file, log })
}
