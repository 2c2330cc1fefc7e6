//! A whole store, driven by bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| larder_torture::fuzzing::run_sequence(bytes));
