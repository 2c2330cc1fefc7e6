//! What each engine promises where engines differ is what `docs/guarantees.md` says.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
mod common;

use std::path::Path;

use common::Promises;

#[test]
fn the_table_of_promises_in_guarantees_md_is_the_one_that_the_tests_check() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guarantees.md");
    let page = std::fs::read_to_string(page).unwrap();
    let table = Promises::table();
    assert!(page.contains(&table), "docs/guarantees.md should contain this table:\n\n{table}");
}
