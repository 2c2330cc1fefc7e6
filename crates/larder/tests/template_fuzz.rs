//! Generated templates, most of which are hostile: each ends, within its memory, and gives all of it back.
//!
//! `LARDER_FUZZ_SECONDS` runs it for longer than two seconds, and then from a seed that it prints.
//! `LARDER_FUZZ_SEED` repeats a run.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "template_fuzz/counting_allocator.rs"]
mod counting_allocator;
#[path = "template_fuzz/grammar.rs"]
mod grammar;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use grammar::Grammar;
use larder::{Error, Store};

/// Three times what a template may make, the template itself in tokens and statements, and some for the store.
const PEAK_BYTES_MAX: usize = (3 * 64 + 48) << 20;

/// What a rendering may leave behind: what the store has in its caches afterwards.
const LEFT_BYTES_MAX: usize = 1 << 20;

#[test]
fn whatever_a_template_says_it_ends_within_its_memory_and_gives_it_back() {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seconds = number("LARDER_FUZZ_SECONDS");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed =
        number("LARDER_FUZZ_SEED").unwrap_or(if seconds.is_some() { now.as_nanos() as u64 } else { 1 });
    println!("LARDER_FUZZ_SEED={seed}");
    let store = Store::in_memory().unwrap();
    for (key, value) in [
        ("host", "example.com"),
        ("server.port", "8080"),
        ("server", "nginx"),
        ("a.b", "1"),
        ("hosts", "a,b,c"),
        ("json", "[1, {\"a\": [2]}]"),
        ("range", "1-2"),
        ("loop", "a key"),
        ("caller", "a key"),
        ("long", &"lorem ipsum ".repeat(1000)),
    ] {
        store.set("web", key, value).unwrap();
    }
    store.set("web", "bytes", vec![0xff]).unwrap();
    let mut grammar = Grammar::new(seed);
    let (mut rendered, mut refused, mut most) = (0, 0, 0);
    let mut longest = Duration::ZERO;
    let end = Instant::now() + Duration::from_secs(seconds.unwrap_or(2));
    while Instant::now() < end {
        let template = grammar.template();
        for is_strict in [false, true] {
            let begun = Instant::now();
            let (result, memory) = counting_allocator::during(|| match is_strict {
                false => store.render(&template, "web").map(|text| text.len()),
                true => store.render_strict(&template, "web").map(|text| text.len()),
            });
            longest = longest.max(begun.elapsed());
            match result {
                Ok(_) => rendered += 1,
                Err(Error::Template { .. }) => refused += 1,
                Err(error) => panic!("{error:?}: {template}"),
            }
            most = most.max(memory.peak);
            assert!(memory.peak <= PEAK_BYTES_MAX, "{} bytes: {template}", memory.peak);
            assert!(memory.left <= LEFT_BYTES_MAX, "{} bytes are left: {template}", memory.left);
        }
    }
    println!("{rendered} rendered, {refused} refused, at most {} KiB and {longest:?}", most >> 10);
    assert!(rendered > 0 && refused > 0, "{rendered} rendered, {refused} refused");
}
