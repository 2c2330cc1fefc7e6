//! Every example runs without an error.

#[path = "../examples/live_settings.rs"]
mod live_settings;

#[test]
fn the_live_settings_example_runs() {
    live_settings::main().unwrap();
}
