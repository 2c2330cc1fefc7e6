//! A web service that counts each visitor's visits, in sessions that survive its restart: `cargo run -p
//! larder-sessions --example axum_sessions [STORE [ADDRESS]]`. The store is a file or, with `--features
//! etcd`, on a cluster: `etcd://db1:2379,db2:2379,db3:2379/sessions`.

use std::error::Error;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};
use larder::AsyncStore;
use larder_sessions::Sessions;
use tokio::net::TcpListener;
use tower_sessions::cookie::time::Duration;
use tower_sessions::{Expiry, Session, SessionManagerLayer};

/// Serves until Ctrl-C, or until its standard input ends.
#[tokio::main]
pub async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let location = arguments.next().unwrap_or_else(|| "sessions.db".into());
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:3000".into());
    serve(&location, &address).await
}

/// Serves on an address, with the sessions in a store.
pub async fn serve(location: &str, address: &str) -> Result<(), Box<dyn Error>> {
    let store = AsyncStore::connect(location).await?;
    let sessions = SessionManagerLayer::new(Sessions::new(store.clone()))
        // Allows cookies over plain HTTP, for a service on your own machine only.
        .with_secure(false)
        .with_expiry(Expiry::OnInactivity(Duration::hours(1)));
    let app = Router::new().route("/", get(count)).route("/leave", post(leave)).layer(sessions);

    let listener = TcpListener::bind(address).await?;
    println!("http://{}/ counts your visits; the sessions are in {location}", listener.local_addr()?);
    axum::serve(listener, app).with_graceful_shutdown(end()).await?;
    store.close().await?;
    println!("ended; the next start continues counting");
    Ok(())
}

async fn count(session: Session) -> Result<String, StatusCode> {
    let visits = session.get::<u64>("visits").await.map_err(failed)?.unwrap_or(0) + 1;
    session.insert("visits", visits).await.map_err(failed)?;
    Ok(format!("visit {visits}\n"))
}

async fn leave(session: Session) -> Result<&'static str, StatusCode> {
    session.flush().await.map_err(failed)?;
    Ok("goodbye\n")
}

fn failed(error: tower_sessions::session::Error) -> StatusCode {
    eprintln!("{error}");
    StatusCode::INTERNAL_SERVER_ERROR
}

/// Waits for Ctrl-C, or for the end of standard input, so that the service ends with its parent.
async fn end() {
    let (closed, input) = tokio::sync::oneshot::channel();
    // A detached thread, because a blocking task of Tokio's would delay the end of the program while it
    // reads.
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        closed.send(())
    });
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = input => {}
    }
}
