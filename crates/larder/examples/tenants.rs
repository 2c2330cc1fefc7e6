//! Tenants side by side in one store: each sees only its own data and cannot exceed its quota.

use larder::{Error, Quota, Store};

/// Runs the example.
pub fn main() -> larder::Result<()> {
    let store = Store::in_memory()?;
    let small = store.scoped("small-shop")?;
    let large = store.scoped("large-shop")?;
    store.set_quota("small-shop", Quota { max_keys: Some(2), ..Quota::default() })?;

    small.set("theme", "colour", "blue")?;
    large.set("theme", "colour", "red")?;
    println!("the small shop is {:?}", small.get("theme", "colour")?);

    small.set("theme", "font", "serif")?;
    match small.set("theme", "logo", "cat.png") {
        Err(Error::QuotaExceeded { resource, limit, .. }) => println!("the quota allows {limit} {resource}"),
        other => return other.map(drop),
    }

    for namespace in store.namespaces()? {
        println!("{}: {} keys, {} bytes", namespace.name, namespace.usage.keys, namespace.usage.bytes);
    }
    assert_eq!(large.delete_prefix("")?, 1, "it deletes its own entries only");
    assert_eq!(small.count("theme")?, 2);
    Ok(())
}
