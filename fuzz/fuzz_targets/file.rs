//! Files that somebody hands in.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| larder_torture::fuzzing::open_file(bytes));
