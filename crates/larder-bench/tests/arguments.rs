//! What the program says to arguments that it cannot take.
#![allow(clippy::unwrap_used)]

use std::process::Command;

#[test]
fn a_row_that_does_not_exist_is_refused_with_the_names_of_those_that_do() {
    let bench = Command::new(env!("CARGO_BIN_EXE_larder-bench")).args(["--only", "get-everything"]).output();
    let refused = bench.unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success());
    assert!(said.contains("there is no workload or row \"get-everything\""), "{said}");
    assert!(said.contains("get-hit") && said.contains("set-pipelined"), "{said}");
}
