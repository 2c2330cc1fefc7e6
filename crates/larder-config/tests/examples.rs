//! Every example runs to its end.

#[path = "../examples/live_settings.rs"]
mod live_settings;

#[test]
fn the_live_settings_example_runs() {
    live_settings::main().unwrap();
}
