//! Opening something that is not a store, not etcd, or not open to this client: each has its own error, and
//! nothing is written.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod clusters;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use larder::Error;
use larder_cluster::{Cluster, Settings, Tls};

use clusters::proxy::Proxy;
use clusters::{PASSWORD, PASSWORD_ENCODED, keys, options, refused, skipped, told};

/// A port with a server that calls `serve` for each connection.
fn port(serve: impl Fn(std::net::TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || listener.incoming().map_while(Result::ok).for_each(serve));
    address
}

/// Resets a connection by closing it with unread data.
fn reset(client: std::net::TcpStream) {
    let _ = client.peek(&mut [0]);
}

/// A port with a server that speaks HTTP/2, and answers every request with a page: for ever, or, as a proxy does while
/// its member starts, on the first connection only.
fn page(status: u16, member: Option<String>) -> String {
    let (send, receive) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            send.send(listener.local_addr().unwrap().to_string()).unwrap();
            let mut is_first = true;
            while let Ok((mut client, _)) = listener.accept().await {
                match &member {
                    Some(member) if !std::mem::take(&mut is_first) => {
                        let mut member = tokio::net::TcpStream::connect(member).await.unwrap();
                        tokio::spawn(
                            async move { tokio::io::copy_bidirectional(&mut client, &mut member).await },
                        );
                    }
                    _ => show_page(client, status, member.is_some()).await,
                }
            }
        });
    });
    receive.recv().unwrap()
}

async fn show_page(client: tokio::net::TcpStream, status: u16, once: bool) {
    let Ok(mut connection) = h2::server::handshake(client).await else { return };
    while let Some(Ok((_, mut respond))) = connection.accept().await {
        let mut answer = hyper::Response::new(());
        *answer.status_mut() = status.try_into().unwrap();
        answer.headers_mut().insert("content-type", "text/html".try_into().unwrap());
        let mut body = respond.send_response(answer, false).unwrap();
        let _ = body.send_data("<html>It works!</html>".into(), true);
        if once {
            connection.graceful_shutdown();
        }
    }
}

/// A port without a server.
fn closed_port() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

fn single(change: impl FnOnce(&mut Settings)) -> Cluster {
    let mut settings = Settings { members: 1, ..Settings::default() };
    change(&mut settings);
    Cluster::start_with(&settings).unwrap()
}

#[test]
fn a_malformed_location_is_refused_without_connecting() {
    for (location, words) in [
        ("etdc://u:Zq7-hush@host/app", "etcd://db1"),
        ("etcd:", "Write it as in etcd://"),
        ("etcd:///app", "names no endpoint"),
        ("etcd://host", "which store"),
        ("etcd://host:x/app", "host:port"),
        ("etcd://u:Zq7/hush@host/app", "Percent-encode"),
        ("etcd://u:Zq7?hush@host/app", "Percent-encode"),
        ("etcd://u@host/app", "needs a password"),
        ("etcd://u:Zq7-hush@host/app?ca=/no/such/file", "/no/such/file"),
        ("etcd://u:Zq7-hush@host/app?ca=/dev/null", "BEGIN CERTIFICATE"),
        ("etcd://host/app?colour=blue", "colour"),
    ] {
        let error = refused(location);
        assert!(matches!(error, Error::InvalidLocation { .. }), "{location}: {error:?}");
        assert!(told(&error).contains(words), "{location}: {error}");
    }
}

#[test]
fn when_no_endpoint_answers_the_error_says_what_happened_at_each() {
    let (closed, silent) = (closed_port(), port(std::mem::forget));
    let error = refused(&format!("etcd://u:{PASSWORD_ENCODED}@{closed},{silent}/app"));
    assert!(
        matches!(&error, Error::Unreachable { endpoints, .. }
        if endpoints.contains(&closed) && endpoints.contains(&silent)),
        "{error:?}"
    );
    let message = error.to_string();
    assert!(
        message.contains("Connection refused") && message.contains(&format!("{silent}: it ")),
        "{message}"
    );
}

#[test]
fn a_server_that_is_not_etcd_is_reported_as_such() {
    for (what, served) in [
        ("a web server", port(|mut client| drop(client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")))),
        ("a shell", port(|mut client| drop(client.write_all(b"SSH-2.0-OpenSSH_9.2\r\n")))),
        ("a web server that speaks HTTP/2", page(200, None)),
        ("a web server without such a page", page(404, None)),
        ("a web server that wants a password", page(401, None)),
        ("a web server that allows nothing", page(403, None)),
        ("a web server that fails", page(500, None)),
        ("a server that closes the connection", port(drop)),
        ("a server that resets the connection", port(reset)),
    ] {
        let error = refused(&format!("etcd://{served}/app"));
        assert!(
            matches!(&error, Error::NotEtcd { endpoint, .. } if endpoint.contains(&served)),
            "{what}: {error:?}"
        );
    }
}

#[test]
fn a_store_opens_once_a_proxy_has_ceased_to_answer_for_its_member_with_pages() {
    if skipped() {
        return;
    }
    let cluster = single(|_| {});
    let member = cluster.endpoints()[0].clone();
    for status in [200, 401, 502, 503] {
        let location = format!("etcd://{}/app", page(status, Some(member.clone())));
        let store = options().connect(&location).unwrap_or_else(|error| panic!("{status}: {error:?}"));
        store.set("g", "k", "v").unwrap();
    }
}

#[test]
fn a_mismatch_between_tls_and_plain_text_is_reported_as_not_etcd() {
    if skipped() || !Tls::can_be_made() {
        return;
    }
    let tls = Tls::new().unwrap();
    let (plain, secured) = (single(|_| {}), single(|settings| settings.tls = Some(tls.clone())));
    for location in [format!("{}?ca={}", plain.location("app"), tls.ca.display()), secured.location("app")] {
        let error = refused(&location);
        assert!(matches!(error, Error::NotEtcd { .. }), "{location}: {error:?}");
        assert!(told(&error).contains("TLS"), "{error}");
    }
    assert_eq!((keys(&plain), keys(&secured)), (0, 0));
}

#[test]
fn a_server_that_resets_the_connection_is_reported_as_not_etcd() {
    if skipped() || !Tls::can_be_made() {
        return;
    }
    let tls = Tls::new().unwrap();
    let location = |port: &str| format!("etcd://{port}/app?ca={}", tls.ca.display());
    // The connection is closed or reset, depending on whether data was unread.
    let first = std::sync::atomic::AtomicBool::new(true);
    let mixed = port(move |mut client| {
        if first.swap(false, std::sync::atomic::Ordering::Relaxed) {
            let _ = client.read(&mut [0; 4096]);
        } else {
            reset(client);
        }
    });
    let error = refused(&location(&mixed));
    assert!(matches!(error, Error::NotEtcd { .. }) && told(&error).contains("TLS"), "{error:?}");
    // It may require a client certificate as well.
    let error = refused(&location(&port(reset)));
    assert!(matches!(error, Error::Untrusted { .. }), "{error:?}");
    assert!(told(&error).contains("cert=FILE") && told(&error).contains("no TLS"), "{error}");
}

#[test]
fn certificates_are_checked_on_both_sides() {
    if skipped() || !Tls::can_be_made() {
        return;
    }
    let (mut tls, stranger) = (Tls::new().unwrap(), Tls::new().unwrap());
    tls.client_cert_auth = true;
    let cluster = single(|settings| settings.tls = Some(tls.clone()));
    let location = |ca: &Tls, identity: Option<(&std::path::Path, &std::path::Path)>| {
        let identity = identity.map(|(cert, key)| format!("&cert={}&key={}", cert.display(), key.display()));
        format!("{}?ca={}{}", cluster.location("app"), ca.ca.display(), identity.unwrap_or_default())
    };
    let own = (&*tls.client_cert, &*tls.client_key);
    // The members' certificates are for 127.0.0.1.
    let endpoint = cluster.endpoints()[0].clone();
    let elsewhere = Proxy::at("127.0.0.2", &endpoint).address.to_string();
    for (location, words) in [
        (location(&stranger, Some(own)), "ca="),
        (location(&tls, None), "add cert=FILE&key=FILE"),
        (location(&tls, Some((&stranger.client_cert, &stranger.client_key))), "its dates"),
        (location(&tls, Some((&tls.expired_client_cert, &tls.client_key))), "its dates"),
        (location(&tls, Some((&tls.client_cert, &stranger.client_key))), "key that belongs"),
        (location(&tls, Some(own)).replace(&endpoint, &elsewhere), "for the hosts that the location names"),
    ] {
        let error = refused(&location);
        assert!(matches!(error, Error::Untrusted { .. }), "{location}: {error:?}");
        assert!(told(&error).contains(words), "{location}: {error}");
    }
    assert_eq!(keys(&cluster), 0);
    let store = options().connect(location(&tls, Some(own))).unwrap();
    store.set("g", "k", "v").unwrap();
}

#[test]
fn a_cluster_with_an_expired_certificate_is_not_trusted() {
    if skipped() || !Tls::can_be_made() {
        return;
    }
    let mut tls = Tls::new().unwrap();
    tls.expired_server = true;
    let cluster = single(|settings| settings.tls = Some(tls.clone()));
    let error = refused(&format!("{}?ca={}", cluster.location("app"), tls.ca.display()));
    assert!(matches!(error, Error::Untrusted { .. }), "{error:?}");
    assert!(error.to_string().contains("expired"), "{error}");
    assert_eq!(keys(&cluster), 0);
}

#[test]
fn only_users_with_the_right_password_and_permission_can_open_a_store() {
    if skipped() {
        return;
    }
    let users = [("root", "other"), ("service", PASSWORD)];
    let users = users.map(|(name, password)| (name.to_owned(), password.to_owned())).to_vec();
    let cluster = single(|settings| settings.users = users);
    cluster.grant("service", b"app/").unwrap();
    cluster.grant("service", b"deep/er/").unwrap();
    let at = |user: &str, name: &str| cluster.location(name).replace("//", &format!("//{user}"));
    let service = format!("service:{PASSWORD_ENCODED}@");
    for (location, words) in [
        (at("", "app"), "Name a user"),
        (at("service:Zq7@", "app"), "Check user and password"),
        (at(&format!("stranger:{PASSWORD_ENCODED}@"), "app"), "Check user and password"),
        (at(&service, "other"), "Grant"),
    ] {
        let error = refused(&location);
        assert!(matches!(error, Error::Unauthorized { .. }), "{location}: {error:?}");
        assert!(told(&error).contains(words), "{location}: {error}");
    }
    assert_eq!(keys(&cluster), 0);
    for name in ["app", "deep/er"] {
        options().connect(at(&service, name)).unwrap().set("g", "k", "v").unwrap();
    }
}

#[test]
fn a_user_on_a_cluster_without_authentication_is_refused_with_advice() {
    if skipped() {
        return;
    }
    let cluster = single(|_| {});
    let location = cluster.location("app").replace("//", &format!("//root:{PASSWORD_ENCODED}@"));
    let error = refused(&location);
    assert!(matches!(error, Error::Unauthorized { .. }), "{error:?}");
    assert!(told(&error).contains("Leave user and password out"), "{error}");
    assert_eq!(keys(&cluster), 0);
}

#[test]
fn keys_that_are_not_larders_are_left_unchanged() {
    if skipped() {
        return;
    }
    let cluster = Cluster::shared();
    let location = |name: &str| cluster.location(name);
    options().connect(location("outer")).unwrap();
    options().connect(location("around/inner")).unwrap();
    cluster.put(b"foreign/settings/colour", b"blue").unwrap();
    cluster.put(b"looks/larder", b"not a store").unwrap();
    // An identity record with version 9.
    let later = [b"\x08\x09\x12\x20".as_slice(), [b'a'; 32].as_slice()].concat();
    cluster.put(b"later/larder", &later).unwrap();
    let before = keys(cluster);
    for name in ["foreign", "looks"] {
        let error = refused(&location(name));
        assert!(
            matches!(&error, Error::ForeignKeys { prefix, .. } if *prefix == format!("{name}/")),
            "{error:?}"
        );
    }
    let error = refused(&location("later"));
    assert!(matches!(error, Error::NewerVersion { version: 9, supported: 2, .. }), "{error:?}");
    for (name, other) in [("outer/inner", "outer"), ("around", "around/inner")] {
        let error = refused(&location(name));
        assert!(matches!(&error, Error::NestedStores { other: found, .. } if found == other), "{error:?}");
    }
    let error = options().create(false).connect(location("missing")).err();
    assert!(matches!(error, Some(Error::NoStore { .. })), "{error:?}");
    let error = options().read_only(true).connect(location("missing")).err();
    assert!(matches!(error, Some(Error::NoStore { .. })), "{error:?}");
    assert_eq!(keys(cluster), before);
}
