//! What is parsed from a short text.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| larder_torture::fuzzing::parse_tokens(bytes));
