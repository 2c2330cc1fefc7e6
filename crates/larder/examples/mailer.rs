//! Work that is done once for each change, also where the program is ended in the middle of it: a named
//! cursor goes on after what was acknowledged.

use larder::{Event, Pattern, Store};

/// Shows it.
pub fn main() -> larder::Result<()> {
    let store = Store::in_memory()?;
    let orders = Pattern::group("orders");

    // The first time, the cursor begins now; from then on the store remembers it.
    let cursor = store.cursor_on("mailer", &orders)?;
    store.set("orders", "1", "a book")?;
    store.set("orders", "2", "a pen")?;
    let order = cursor.recv()?;
    send_mail(&order);
    cursor.ack(&order)?;

    // Here the program ends, as it may at any time, with the second mail unsent…
    drop(cursor);

    // …and starts again.
    let cursor = store.cursor_on("mailer", &orders)?;
    let order = cursor.recv()?;
    assert_eq!(order.key.as_deref(), Some("2"));
    send_mail(&order);
    cursor.ack(&order)?;

    for cursor in store.cursors()? {
        println!("{} is at revision {}, {} changes behind", cursor.name, cursor.revision, cursor.behind);
    }
    Ok(())
}

fn send_mail(order: &Event) {
    println!("order {:?}: {:?}", order.key, order.value);
}
