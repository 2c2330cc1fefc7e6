//! Every example runs without an error.

#[path = "../examples/awaited.rs"]
mod awaited;
#[path = "../examples/mailer.rs"]
mod mailer;
#[path = "../examples/sessions.rs"]
mod sessions;
#[path = "../examples/settings.rs"]
mod settings;
#[path = "../examples/tenants.rs"]
mod tenants;
#[path = "../examples/watching.rs"]
mod watching;

#[test]
fn the_settings_example_runs() {
    settings::main().unwrap();
}

#[test]
fn the_sessions_example_runs() {
    sessions::main().unwrap();
}

#[test]
fn the_mailer_example_runs() {
    mailer::main().unwrap();
}

#[test]
fn the_awaited_example_runs() {
    awaited::main().unwrap();
}

#[test]
fn the_tenants_example_runs() {
    tenants::main().unwrap();
}

#[test]
fn the_watching_example_runs() {
    watching::main().unwrap();
}
