//! Work to be done for each change, even if the program is killed in between: a named cursor resumes after
//! the last acknowledged event.

use larder::{Event, Pattern, Store};

/// Runs the example.
pub fn main() -> larder::Result<()> {
    let store = Store::in_memory()?;
    let orders = Pattern::group("orders");

    // A new cursor begins now. From then on the store remembers its position.
    let cursor = store.cursor_on("mailer", &orders)?;
    store.set("orders", "1", "a book")?;
    store.set("orders", "2", "a pen")?;
    let order = cursor.recv()?;
    send_mail(&order);
    cursor.ack(&order)?;

    // The program ends here, before the second mail…
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
