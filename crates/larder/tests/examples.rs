//! Every example runs to its end.

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
fn the_settings_of_a_service() {
    settings::main().unwrap();
}

#[test]
fn the_sessions_of_a_web_service() {
    sessions::main().unwrap();
}

#[test]
fn mails_that_are_sent_once() {
    mailer::main().unwrap();
}

#[test]
fn a_store_that_is_awaited() {
    awaited::main().unwrap();
}

#[test]
fn tenants_side_by_side() {
    tenants::main().unwrap();
}

#[test]
fn hearing_of_changes() {
    watching::main().unwrap();
}
