//! Tenants side by side in one store: each sees its own data only, and takes no more than its quota.

use larder::{Error, Quota, Store};

/// Shows it.
pub fn main() -> larder::Result<()> {
    let store = Store::in_memory()?;
    let small = store.scoped("small-shop")?;
    let large = store.scoped("large-shop")?;
    small.set_quota(Quota { max_keys: Some(2), ..Quota::default() })?;

    small.set("theme", "colour", "blue")?;
    large.set("theme", "colour", "red")?;
    println!("the small shop is {:?}", small.get("theme", "colour")?);

    small.set("theme", "font", "serif")?;
    match small.set("theme", "logo", "cat.png") {
        Err(Error::QuotaExceeded { resource, limit, .. }) => println!("no more than {limit} {resource}"),
        other => return other.map(drop),
    }

    for namespace in store.namespaces()? {
        println!("{}: {} keys, {} bytes", namespace.name, namespace.usage.keys, namespace.usage.bytes);
    }
    assert_eq!(large.delete_prefix("")?, 1, "a tenant can delete all that it has, and nothing else");
    assert_eq!(small.count("theme")?, 2);
    Ok(())
}
