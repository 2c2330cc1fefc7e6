//! What fuzzers have found interesting: `fuzz/corpus`. It runs here without a fuzzer, so that the targets stay right.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use larder_torture::fuzzing;

fn replay(target: &str, run: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut count = 0;
    for file in std::fs::read_dir(corpus).unwrap() {
        let path = file.unwrap().path();
        println!("{}", path.display());
        run(&std::fs::read(path).unwrap());
        count += 1;
    }
    assert!(count > 0);
}

#[test]
fn every_template_of_the_corpus_is_rendered_or_refused() {
    replay("template", fuzzing::render_template);
}

#[test]
fn every_token_of_the_corpus_is_written_as_it_is_read() {
    replay("token", fuzzing::parse_tokens);
}

#[test]
fn every_file_of_the_corpus_is_used_or_refused() {
    replay("file", fuzzing::open_file);
}

#[test]
fn every_sequence_of_the_fuzzers_corpus_answers_like_a_plain_map() {
    replay("sequence", fuzzing::run_sequence);
}
