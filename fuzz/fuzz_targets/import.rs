//! Files of every format that the command line imports.
#![no_main]
// The command line uses more of these modules.
#![allow(dead_code, unused_imports)]

#[path = "../../crates/larder-cli/src"]
mod cli {
    pub mod failure;
    pub mod formats;
    pub mod notice;
    pub mod output;
    pub mod records;
    pub mod source;
    pub mod text;
    pub mod times;
}
#[path = "../../crates/larder-cli/src/formats/fuzzed.rs"]
mod fuzzed;

use cli::{failure, formats, notice, output, records, source, text, times};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzed::import(bytes));
