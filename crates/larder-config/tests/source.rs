//! A group as a source of configuration: how its keys and values are read.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use config::{Config, ConfigError, Environment};
use larder::{Error, Store, View};
use larder_config::Group;
use serde::Deserialize;

fn store(entries: &[(&str, &str)]) -> Store {
    let store = Store::in_memory().unwrap();
    for (key, value) in entries {
        store.set("web", *key, *value).unwrap();
    }
    store
}

fn read(view: &View) -> Result<Config, ConfigError> {
    Config::builder().add_source(Group::new(view, "web")).build()
}

fn refusal(view: &View) -> String {
    read(view).unwrap_err().to_string()
}

#[derive(Debug, Deserialize, PartialEq)]
struct Server {
    port: u16,
    tls: bool,
    ratio: f64,
    name: String,
    level: Level,
    backup: Option<String>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Level {
    Quiet,
    Loud,
}

#[test]
fn text_is_parsed_into_the_requested_type() {
    let store = store(&[
        ("server.level", "loud"),
        ("server.name", "007"),
        ("server.port", "8080"),
        ("server.ratio", "0.5"),
        ("server.tls", "on"),
    ]);
    let server: Server = read(&store).unwrap().get("server").unwrap();
    let name = "007".to_owned();
    assert_eq!(server, Server { port: 8080, tls: true, ratio: 0.5, name, level: Level::Loud, backup: None });
}

#[test]
fn an_invalid_value_is_reported_with_its_key_and_group() {
    let store = store(&[("server.port", "eighty")]);
    let error = read(&store).unwrap().get::<u16>("server.port").unwrap_err().to_string();
    assert_eq!(
        error,
        "invalid type: string \"eighty\", expected an integer for key `server.port` in the group \"web\""
    );
}

#[test]
fn each_dot_in_a_key_opens_a_table() {
    let store = store(&[
        ("", "empty"),
        ("a.b.c", "deep"),
        ("a.b.d", "beside"),
        ("a-b", "sorted between the others"),
        ("größe.höhe", "not ASCII"),
        ("x..y", "an empty name"),
    ]);
    type Tree = BTreeMap<String, serde_json::Value>;
    let tree: Tree = read(&store).unwrap().try_deserialize().unwrap();
    let expected = serde_json::json!({
        "": "empty",
        "a": {"b": {"c": "deep", "d": "beside"}},
        "a-b": "sorted between the others",
        "größe": {"höhe": "not ASCII"},
        "x": {"": {"y": "an empty name"}},
    });
    assert_eq!(serde_json::to_value(tree).unwrap(), expected);
}

#[test]
fn json_arrays_and_objects_are_parsed_and_other_text_stays_text() {
    let store = store(&[
        ("hosts", r#"["a", "b"]"#),
        ("limits", " {\"cpu\": 2, \"memory\": {\"mb\": 512}}\n"),
        ("pattern", "[a-z]+"),
        ("quoted", "\"text\""),
        ("switch", "true"),
    ]);
    let config = read(&store).unwrap();
    assert_eq!(config.get::<Vec<String>>("hosts").unwrap(), ["a", "b"]);
    assert_eq!(config.get::<u32>("limits.memory.mb").unwrap(), 512);
    assert_eq!(config.get::<String>("pattern").unwrap(), "[a-z]+");
    assert_eq!(config.get::<String>("quoted").unwrap(), "\"text\"");
    assert_eq!(config.get::<String>("switch").unwrap(), "true");
    assert!(config.get::<String>("hosts").is_err());

    let text = Config::builder().add_source(Group::new(&store, "web").text_only()).build().unwrap();
    assert_eq!(text.get::<String>("hosts").unwrap(), r#"["a", "b"]"#);
}

#[test]
fn a_dotted_key_adds_to_a_json_object() {
    let store = store(&[("limits", r#"{"cpu": 2}"#), ("limits.memory", "512")]);
    let limits: BTreeMap<String, u32> = read(&store).unwrap().get("limits").unwrap();
    assert_eq!(limits, BTreeMap::from([("cpu".into(), 2), ("memory".into(), 512)]));
}

#[test]
fn contradictory_keys_are_refused_by_name() {
    let says = |key: &str, taken: &str| {
        format!(
            "the value of {key:?} in the group \"web\" contradicts the value of {taken:?}; delete one of the two"
        )
    };
    assert_eq!(refusal(&store(&[("a", "1"), ("a.b", "2")])), says("a.b", "a"));
    assert_eq!(refusal(&store(&[("a.b.c.d", "1"), ("a.b", "2"), ("a-", "3")])), says("a.b.c.d", "a.b"));
    assert_eq!(refusal(&store(&[("a", "[1]"), ("a.b", "2")])), says("a.b", "a"));
    assert_eq!(refusal(&store(&[("a", r#"{"b": 1}"#), ("a.b", "2")])), says("a.b", "a.b"));
}

#[test]
fn a_value_that_is_not_text_is_refused_by_name() {
    let store = store(&[("name", "x")]);
    store.set("web", "logo", vec![0xff, 0xd8]).unwrap();
    assert_eq!(refusal(&store), "the value of \"logo\" in the group \"web\" is not UTF-8; set it to text");
}

#[test]
fn an_unreadable_store_is_reported_as_the_cause() {
    let store = store(&[]);
    store.close().unwrap();
    let Err(ConfigError::Foreign(cause)) = read(&store) else { panic!("the closed store was read") };
    assert!(matches!(cause.downcast_ref(), Some(Error::Closed)));
}

#[test]
fn an_absent_group_is_an_empty_source() {
    let tree: BTreeMap<String, String> = read(&store(&[])).unwrap().try_deserialize().unwrap();
    assert_eq!(tree, BTreeMap::new());
}

#[test]
fn a_group_overrides_earlier_sources_and_is_overridden_by_later_ones() {
    let store = store(&[("server.port", "2"), ("server.name", "group"), ("list", "[1]")]);
    let above = BTreeMap::from([("SERVER.NAME".to_owned(), "above".to_owned())]);
    let config = Config::builder()
        .set_default("server.port", 1)
        .and_then(|builder| builder.set_default("server.tls", true))
        .and_then(|builder| builder.set_default("list", vec![7, 8, 9]))
        .unwrap()
        .add_source(Group::new(&store, "web"))
        .add_source(Environment::default().source(Some(above.into_iter().collect())))
        .build()
        .unwrap();
    assert!(config.get_bool("server.tls").unwrap());
    assert_eq!(config.get_int("server.port").unwrap(), 2);
    assert_eq!(config.get_string("server.name").unwrap(), "above");
    assert_eq!(config.get::<Vec<u8>>("list").unwrap(), [1]);
}

#[test]
fn a_tenant_reads_its_own_group_and_a_snapshot_its_own_state() {
    let store = store(&[("name", "of all")]);
    let tenant = store.scoped("tenant-42").unwrap();
    tenant.set("web", "name", "its own").unwrap();
    let snapshot = tenant.snapshot().unwrap();
    tenant.set("web", "name", "new").unwrap();
    let name = |view: &View| read(view).unwrap().get_string("name").unwrap();
    assert_eq!(name(&store), "of all");
    assert_eq!(name(&tenant), "new");
    assert_eq!(name(&snapshot), "its own");
}

#[test]
fn expired_entries_are_absent() {
    let clock = larder::ManualClock::new();
    let store = Store::options().clock(clock.clone()).expiry_timer(false).in_memory().unwrap();
    let ttl = std::time::Duration::from_secs(1);
    store.set_with_ttl("web", "banner", "sale", ttl).unwrap();
    assert_eq!(read(&store).unwrap().get_string("banner").unwrap(), "sale");
    clock.advance(ttl);
    assert!(matches!(read(&store).unwrap().get_string("banner"), Err(ConfigError::NotFound(_))));
}

#[test]
fn a_key_that_would_make_a_list_of_any_length_is_refused() {
    for key in ["a[1000000000]", "a[-1000000000]", "a[0][ 99999999 ]", "a[5].b", "a[99999999999999999999]"] {
        let store = store(&[(key, "x"), ("port", "80")]);
        let refused = refusal(&store);
        assert!(refused.contains(key) && refused.contains("JSON array"), "{refused}");
    }
    // Brackets that the config crate does not read as an index are text.
    let store = store(&[("pattern[a-z]", "x"), ("server.ports[7]", "80")]);
    let config = read(&store).unwrap().try_deserialize::<BTreeMap<String, config::Value>>().unwrap();
    assert_eq!(config.keys().collect::<Vec<_>>(), ["pattern[a-z]", "server"]);
    assert_eq!(config["server"].clone().into_table().unwrap()["ports[7]"].clone().into_uint().unwrap(), 80);
}

#[test]
fn a_key_with_more_dots_than_anybody_writes_is_refused_by_its_name() {
    let key = "a.".repeat(20_000);
    let store = store(&[(&key, "x")]);
    let refused = refusal(&store);
    assert!(refused.contains("opens more than 64 tables") && refused.len() < 400, "{refused}");
    let deep = format!("{}z", "b.".repeat(64));
    store.delete("web", &key).unwrap();
    store.set("web", &deep, "1").unwrap();
    assert_eq!(read(&store).unwrap().get::<u8>(&deep).unwrap(), 1);
}

#[test]
fn a_group_is_merged_into_the_sources_below_it_table_by_table() {
    let store = store(&[("server.port", "1"), ("list", "text")]);
    let config = Config::builder()
        .set_default("server.port", 2)
        .unwrap()
        .set_default("server.host", "h")
        .unwrap()
        .set_default("list", vec!["a"])
        .unwrap()
        .add_source(Group::new(&store, "web"))
        .build()
        .unwrap();
    assert_eq!(config.get::<u16>("server.port").unwrap(), 1);
    assert_eq!(config.get::<String>("server.host").unwrap(), "h");
    assert_eq!(config.get::<String>("list").unwrap(), "text");
}
