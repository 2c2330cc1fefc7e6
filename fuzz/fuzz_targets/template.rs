//! Templates.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| larder_torture::fuzzing::render_template(bytes));
