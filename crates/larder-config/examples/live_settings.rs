//! The settings of a service, from three sources: defaults in the program, then a store, then the
//! environment. They change while the service runs.

use std::sync::Arc;
use std::time::Duration;

use config::{Config, Environment};
use larder::Store;
use larder_config::Live;

#[derive(serde::Deserialize)]
struct Settings {
    server: Server,
    backends: Vec<String>,
    greeting: String,
}

#[derive(serde::Deserialize)]
struct Server {
    port: u16,
    workers: u32,
}

/// Runs the example.
pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("settings.db");
    let store = Store::open(&path)?;
    store.set("web", "server.port", "8080")?;
    store.set("web", "backends", r#"["10.0.0.1", "10.0.0.2"]"#)?;

    let live = Live::<Settings>::layered(&store, "web", |group| {
        Ok(Config::builder()
            .set_default("server.workers", 4)?
            .set_default("greeting", "hello")?
            .add_source(group)
            .add_source(Environment::with_prefix("LIVE_SETTINGS").separator("__")))
    })?;
    let settings = live.current();
    show("at the start", &settings);

    // An operator runs `larder set web server.port 8443` in another process. Here a second handle of the file
    // stands for that process.
    let operator = Store::open(&path)?;
    operator.batch().set("web", "server.port", "8443").set("web", "greeting", "good evening").commit()?;
    let settings = next(&live, &settings)?;
    show("after the operator's change", &settings);

    // An invalid change, because this is not a list, has no effect.
    operator.set("web", "backends", "10.0.0.3")?;
    let refusal = (0..100).find_map(|_| {
        live.wait_for_change(&settings, Duration::from_millis(50));
        live.last_error()
    });
    let error = refusal.ok_or("the invalid change was not refused")?;
    println!("refused: {error}");
    show("still", &live.current());

    operator.set("web", "backends", r#"["10.0.0.1", "10.0.0.2", "10.0.0.3"]"#)?;
    let settings = next(&live, &settings)?;
    show("after the correction", &settings);
    Ok(())
}

fn next(live: &Live<Settings>, known: &Arc<Settings>) -> Result<Arc<Settings>, &'static str> {
    live.wait_for_change(known, Duration::from_secs(10)).ok_or("no change within ten seconds")
}

fn show(when: &str, settings: &Settings) {
    let Settings { server, backends, greeting } = settings;
    println!(
        "{when}: port {}, {} workers, {} backends, {greeting:?}",
        server.port,
        server.workers,
        backends.len()
    );
}
