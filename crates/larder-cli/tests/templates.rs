//! `larder render` without `--exec`: variables, strict mode, output files and `--watch`.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use common::Desk;
use serde_json::json;

fn desk() -> Desk {
    let desk = Desk::new();
    desk.ok(&["set", "web", "server.port", "8080"]);
    desk.ok(&["set", "web", "hosts", "a,b"]);
    desk.write(
        "t",
        "{% for host in hosts|split(',') %}{{ host }}:{{ server.port }}\n{% endfor %}{{ absent }}",
    );
    desk
}

#[test]
fn a_template_renders_the_keys_of_its_group() {
    let desk = desk();
    assert_eq!(desk.ok(&["render", "t", "web"]), "a:8080\nb:8080\n");
    assert_eq!(desk.run_with_input(&["render", "-", "web"], b"port {{ server.port }}").text(), "port 8080");
    assert_eq!(desk.json(&["render", "t", "web"]), [json!("a:8080\nb:8080\n")]);
    desk.ok(&["--namespace", "t", "set", "web", "hosts", "c"]);
    assert_eq!(desk.ok(&["--namespace", "t", "render", "t", "web"]), "c:\n");
}

#[test]
fn values_are_text_and_strict_mode_rejects_unconverted_use() {
    let desk = Desk::new();
    desk.write("settings.toml", "port = 80\ndebug = false\nhosts = [\"a\", \"b\"]\n");
    desk.ok(&["import", "settings.toml", "--group", "w"]);
    for (template, words) in [
        ("{% if port > 1024 %}high{% endif %}", "between text and a number"),
        ("{% if debug %}on{% endif %}", "|bool"),
        ("{% for host in hosts %}[{{ host }}]{% endfor %}", "|fromjson"),
    ] {
        desk.write("t", template);
        desk.fails(3, words, &["render", "t", "w", "--strict"]);
    }
    let template = "{% if port|int > 1024 %}high{% else %}low{% endif %} {% if debug|bool %}on{% else %}off{% endif %} {% for host in hosts|fromjson %}[{{ host }}]{% endfor %}";
    desk.write("t", template);
    assert_eq!(desk.ok(&["render", "t", "w", "--strict"]), "low off [a][b]");
    assert_eq!(desk.ok(&["render", "t", "w"]), "low off [a][b]");
}

#[test]
fn a_key_is_its_value_and_hides_no_function() {
    let desk = Desk::new();
    for (key, value) in [("tls", "on"), ("tls.cert", "/c"), ("get", "x")] {
        desk.ok(&["set", "w", key, value]);
    }
    desk.write("t", "{% if tls == \"on\" %}TLS{% endif %} {{ tls|length }} {{ tls is string }} {{ tls.cert }} {{ get(\"tls\") }} {{ get }}");
    assert_eq!(desk.ok(&["render", "t", "w"]), "TLS 2 True /c on x");
}

#[test]
fn an_invalid_template_is_refused() {
    let desk = desk();
    desk.fails(3, "the template fails", &["render", "t", "web", "--strict"]);
    desk.write("bad", "one\n{{ unclosed");
    desk.fails(3, "line 2", &["render", "bad", "web"]);
    desk.fails(3, "could not be read", &["render", "nowhere", "web"]);
    desk.write("bytes", b"\xff");
    desk.fails(3, "UTF-8", &["render", "bytes", "web"]);
}

#[test]
fn the_output_is_replaced_only_if_rendering_succeeds() {
    let desk = desk();
    desk.write("out", "old");
    assert_eq!(desk.ok(&["render", "t", "web", "--output", "out"]), "");
    assert_eq!(desk.read("out"), "a:8080\nb:8080\n");
    desk.write("out", "old");
    desk.fails(3, "template", &["render", "t", "web", "--strict", "--output", "out"]);
    assert_eq!(desk.read("out"), "old");
    let files = std::fs::read_dir(desk.folder.path()).unwrap();
    assert!(files.flatten().all(|file| !file.file_name().to_string_lossy().ends_with(".tmp")));
}

#[cfg(unix)]
#[test]
fn a_link_stays_a_link_and_its_target_is_replaced() {
    let desk = desk();
    desk.write("real", "old");
    std::os::unix::fs::symlink("real", desk.path("link")).unwrap();
    desk.ok(&["render", "t", "web", "--output", "link"]);
    assert!(std::fs::symlink_metadata(desk.path("link")).unwrap().is_symlink());
    assert_eq!(desk.read("real"), "a:8080\nb:8080\n");
}

/// No other process runs: the watching process itself expires the entry.
#[cfg(unix)]
#[test]
fn render_watch_renders_every_change_until_ctrl_c() {
    use std::time::{Duration, Instant};

    let desk = desk();
    desk.write("t", "{{ token }}.");
    desk.ok(&["set", "web", "token", "abc", "--ttl", "700ms"]);
    let child = desk.spawn(&["render", "t", "web", "--watch", "--output", "out"]);
    let wait_for = |text: &str| {
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::fs::read_to_string(desk.path("out")).unwrap_or_default() != text {
            assert!(Instant::now() < deadline, "never became {text:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    wait_for("abc.");
    wait_for(".");
    let id = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let answer = common::Answer::of(child);
    assert_eq!((answer.code, answer.error.as_str()), (0, ""));
}

#[cfg(unix)]
#[test]
fn a_template_that_never_ends_is_refused_without_being_read_to_its_end() {
    let desk = desk();
    desk.fails(3, "too long for a template", &["render", "/dev/zero", "web"]);
    desk.write("long", "x".repeat(300 << 10));
    desk.fails(3, "the template has 307200 bytes", &["render", "long", "web"]);
}
