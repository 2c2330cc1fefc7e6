//! No rendering leaves a thread behind. It is alone in its process, so that the threads can be counted.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use larder::{Error, Store};

/// How many threads of this process render.
fn rendering() -> usize {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let names = threads
        .map(|thread| std::fs::read_to_string(thread.unwrap().path().join("comm")).unwrap_or_default());
    names.filter(|name| name.trim() == "larder-render").count()
}

#[test]
fn no_thread_is_left_when_a_rendering_has_ended_or_failed() {
    let store = Store::in_memory().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                store.render("fine", "web").unwrap();
                for template in [
                    "{{ (['a'*1000000]*1000)|join }}",
                    "{% for a in range(100000) %}{% set x = range(100000)|sum %}{% endfor %}",
                    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
                    "{{ nonsense",
                ] {
                    assert!(matches!(store.render(template, "web"), Err(Error::Template { .. })));
                }
            });
        }
    });
    assert_eq!(rendering(), 0);
}
