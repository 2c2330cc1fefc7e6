//! The settings of a service: typed values, a conditional change, and a configuration file rendered from
//! them.

use larder::{Condition, Error, Store};

/// Runs the example.
pub fn main() -> larder::Result<()> {
    let folder = tempfile::tempdir().map_err(Error::other)?;
    let store = Store::open(folder.path().join("settings.db"))?;

    // A batch sets all of its entries or none.
    store
        .batch()
        .set("web", "server.name", "example.com")
        .set("web", "server.port", "8080")
        .set("web", "backends", "10.0.0.1 10.0.0.2")
        .commit()?;

    let port: u16 =
        store.get("web", "server.port")?.ok_or_else(|| Error::other("no port is set"))?.parse()?;
    println!("the service listens on port {port}");

    // Changes a setting only if it has not changed since it was read.
    let read = store.entry("web", "server.port")?.ok_or_else(|| Error::other("no port is set"))?;
    store.set_if("web", "server.port", Condition::Revision(read.revision), "8443")?;
    match store.set_if("web", "server.port", Condition::Revision(read.revision), "9000") {
        Err(Error::Conflict { actual, .. }) => println!("another writer was faster, at revision {actual:?}"),
        other => return other.map(drop),
    }

    let template = "\
server {
    listen {{ server.port }};
    server_name {{ server.name }};
{%- for backend in backends|split %}
    proxy_pass http://{{ backend }};
{%- endfor %}
}
";
    print!("{}", store.render_strict(template, "web")?);
    Ok(())
}
