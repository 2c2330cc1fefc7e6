//! Users: each can do what it was granted, and clients without a login can do nothing.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;

use common::{WAIT_MAX, skipped};
use larder_cluster::{Cluster, Settings};

/// The gateway's answer to a client with this token, or without one.
fn answer(cluster: &Cluster, path: &str, body: &str, token: &str) -> String {
    let mut stream = TcpStream::connect(&cluster.endpoints()[0]).unwrap();
    let length = body.len();
    let authorization = if token.is_empty() { String::new() } else { format!("Authorization: {token}\r\n") };
    let request = format!("POST {path} HTTP/1.0\r\n{authorization}Content-Length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// A user's login token.
fn token(cluster: &Cluster, user: &str, password: &str) -> Option<String> {
    let body = format!(r#"{{"name":"{user}","password":"{password}"}}"#);
    let answer = answer(cluster, "/v3/auth/authenticate", &body, "");
    Some(answer.split("\"token\":\"").nth(1)?.split('"').next().unwrap().to_owned())
}

#[test]
fn users_can_do_exactly_what_they_were_granted() {
    if skipped() {
        return;
    }
    let users = [("root", "secret \"1\""), ("service", "secret-2")];
    let users = users.map(|(name, password)| (name.to_owned(), password.to_owned())).to_vec();
    let cluster = Cluster::start_with(&Settings { users, ..Settings::default() }).unwrap();
    let write = |token: &str| answer(&cluster, "/v3/kv/put", r#"{"key":"YXBwL2E=","value":"YQ=="}"#, token);

    assert!(write("").contains("user name is empty"), "{}", write(""));
    assert_eq!(token(&cluster, "service", "guessed"), None);
    let service = token(&cluster, "service", "secret-2").unwrap();
    assert!(write(&service).contains("permission denied"), "{}", write(&service));

    cluster.grant("service", b"app/").unwrap();
    let service = token(&cluster, "service", "secret-2").unwrap();
    assert!(write(&service).contains("200 OK"), "{}", write(&service));

    cluster.revoke("service").unwrap();
    let service = token(&cluster, "service", "secret-2").unwrap();
    assert!(write(&service).contains("permission denied"), "{}", write(&service));
    cluster.change_password("service", "secret-3").unwrap();
    assert_eq!(token(&cluster, "service", "secret-2"), None);
    assert!(token(&cluster, "service", "secret-3").is_some());

    // This crate acts as root, and logs in again after a member lost all tokens.
    cluster.put(b"b", b"1").unwrap();
    cluster.kill(0);
    cluster.restart(0);
    cluster.wait_until_ready(WAIT_MAX).unwrap();
    cluster.compact();
    assert!(cluster.leader().is_some());
}

#[test]
fn the_first_user_has_to_be_root() {
    if skipped() {
        return;
    }
    let users = vec![("service".to_owned(), "secret".to_owned())];
    let error = Cluster::start_with(&Settings { users, ..Settings::default() }).err().unwrap();
    assert_eq!(error.to_string(), "the first user is \"service\"; etcd requires \"root\"");
}
