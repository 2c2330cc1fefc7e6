//! Templates: whatever one says, it is rendered or refused.

use std::sync::OnceLock;

use larder::{Error, Store};

/// Renders a template, both ways.
///
/// # Panics
/// If it is neither rendered nor refused as a template.
pub fn render_template(bytes: &[u8]) {
    let Ok(template) = std::str::from_utf8(bytes) else { return };
    let Some(store) = store() else { return };
    for result in [store.render(template, "web"), store.render_strict(template, "web")] {
        match result {
            Ok(_) | Err(Error::Template { .. }) => {}
            Err(error) => panic!("{error:?}: {template}"),
        }
    }
}

fn store() -> Option<&'static Store> {
    static STORE: OnceLock<Option<Store>> = OnceLock::new();
    let make = || {
        let store = Store::in_memory().ok()?;
        for (key, value) in [
            ("host", "example.com"),
            ("port", "8080"),
            ("server.port", "8080"),
            ("hosts", "a,b,c"),
            ("json", "[1, {\"a\": [2]}]"),
            ("range", "1-2"),
        ] {
            store.set("web", key, value).ok()?;
        }
        store.set("web", "bytes", vec![0xff]).ok()?;
        Some(store)
    };
    STORE.get_or_init(make).as_ref()
}
