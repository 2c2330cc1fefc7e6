//! No error and no `Debug` output shows a value.
#![allow(clippy::unwrap_used)]

use larder::{Condition, Store, Value};

/// A value, of which nothing may show any part.
const SECRET: &str = "Zq7-4111-hush";

#[test]
fn no_error_and_no_debug_shows_a_value() {
    let store = Store::in_memory().unwrap();
    let mut shown = String::new();
    let watcher = store.watch(("g", "*")).unwrap();
    store.set("g", "k", SECRET).unwrap();
    store.set_json("g", "json", &[SECRET]).unwrap();
    store.set("g", "number", "4111411141114111").unwrap();
    let event = watcher.try_recv().unwrap();
    shown += &format!("{event:?} {:?} {:#?}", store.get("g", "k").unwrap(), store.get_all("g").unwrap());
    shown += &format!("{:?} {:?}", store.entry("g", "k").unwrap(), store.page("g", None, 9).unwrap());
    shown += &format!("{:?}", store.batch().set("g", "k", SECRET).require("g", "k", Condition::Present));
    shown += &format!("{:?}", store.history("g", "k").unwrap());
    let secret = Value::from(SECRET);
    for error in [
        secret.parse::<u16>().unwrap_err(),
        secret.parse::<bool>().unwrap_err(),
        secret.parse::<std::net::IpAddr>().unwrap_err(),
        secret.json::<u16>().unwrap_err(),
        store.get_json::<u16>("g", "json").unwrap_err(),
        store.get_json::<Vec<u16>>("g", "json").unwrap_err(),
        store.get_json::<u16>("g", "number").unwrap_err(),
        store.get_json::<bool>("g", "number").unwrap_err(),
        store.increment("g", "k", 1).unwrap_err(),
        store.set("g", "k", vec![b'x'; 100 << 20]).unwrap_err(),
    ] {
        shown += &format!("{error:?} {error} {:?}", error.advice());
    }
    for part in ["Zq7", "4111", "hush", "xxxx", "90, 113"] {
        assert!(!shown.contains(part), "{shown}");
    }
    // What is equal is seen to be equal.
    assert_eq!(format!("{:?}", Value::from("a")), format!("{:?}", Value::from(&b"a"[..])));
    assert_ne!(format!("{:?}", Value::from("a")), format!("{:?}", Value::from("b")));
    assert!(format!("{:?}", Value::from("abc")).starts_with("Value(3 bytes #"));
}
