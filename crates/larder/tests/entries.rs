//! One entry: what is set is what is read, whatever it is, until it is deleted.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
mod common;

use common::Bench;

on_every_engine! {
    fn what_was_set_is_read_back(bench: &Bench) {
        let store = bench.store();
        store.set("config", "colour", "blue").unwrap();
        assert_eq!(store.get("config", "colour").unwrap().unwrap(), "blue");
    }
}
