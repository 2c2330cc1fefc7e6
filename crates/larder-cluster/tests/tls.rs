//! TLS: certificates are checked on both sides.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use common::{WAIT_MAX, skipped};
use larder_cluster::{Cluster, Settings, Tls};

fn cluster(tls: &Tls) -> Cluster {
    Cluster::start_with(&Settings { tls: Some(tls.clone()), ..Settings::default() }).unwrap()
}

/// Whether a member answers a client that trusts this authority and has this certificate.
fn answers(cluster: &Cluster, ca: &Path, client: Option<(&Path, &Path)>) -> bool {
    let mut openssl = Command::new("openssl");
    openssl.args(["s_client", "-quiet", "-verify_return_error", "-verify_ip", "127.0.0.1"]);
    openssl.args(["-connect", &cluster.endpoints()[0]]).arg("-CAfile").arg(ca);
    if let Some((cert, key)) = client {
        openssl.arg("-cert").arg(cert).arg("-key").arg(key);
    }
    let mut openssl =
        openssl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    // The member may have closed the connection already, and then there is no answer either.
    let _ = openssl.stdin.take().unwrap().write_all(b"GET /health HTTP/1.0\r\n\r\n");
    let output = openssl.wait_with_output().unwrap();
    String::from_utf8_lossy(&output.stdout).contains("\"health\":\"true\"")
}

#[test]
fn clients_that_trust_the_authority_are_served() {
    if skipped() || !Tls::can_be_made() {
        return;
    }
    let (tls, stranger) = (Tls::new().unwrap(), Tls::new().unwrap());
    let cluster = cluster(&tls);
    assert!(answers(&cluster, &tls.ca, None));
    assert!(!answers(&cluster, &stranger.ca, None));
    // This crate uses a port without TLS.
    cluster.put(b"a", b"1").unwrap();
    cluster.kill(0);
    cluster.restart(0);
    cluster.wait_until_ready(WAIT_MAX).unwrap();
    cluster.compact();
}

#[test]
fn a_cluster_that_requires_client_certificates_refuses_clients_without_a_valid_one() {
    if skipped() || !Tls::can_be_made() {
        return;
    }
    let mut tls = Tls::new().unwrap();
    tls.client_cert_auth = true;
    let stranger = Tls::new().unwrap();
    let service = tls.client("service").unwrap();
    let cluster = cluster(&tls);
    let answers = |cert, key| answers(&cluster, &tls.ca, Some((cert, key)));
    assert!(answers(&tls.client_cert, &tls.client_key));
    assert!(answers(&service.cert, &service.key));
    assert!(!answers(&tls.expired_client_cert, &tls.client_key));
    assert!(!answers(&stranger.client_cert, &stranger.client_key));
    assert!(!self::answers(&cluster, &tls.ca, None));
}

#[test]
fn an_expired_server_is_not_trusted() {
    if skipped() || !Tls::can_be_made() {
        return;
    }
    let mut tls = Tls::new().unwrap();
    tls.expired_server = true;
    let cluster = cluster(&tls);
    assert!(!answers(&cluster, &tls.ca, None));
    cluster.put(b"a", b"1").unwrap();
}

#[test]
fn dropping_the_last_user_of_certificates_deletes_them() {
    if !Tls::can_be_made() {
        return;
    }
    let tls = Tls::new().unwrap();
    let (clone, ca) = (tls.clone(), tls.ca.clone());
    drop(tls);
    assert!(ca.exists());
    drop(clone);
    assert!(!ca.exists());
}

#[test]
fn an_authority_can_be_exchanged_while_the_cluster_runs() {
    if skipped() || !Tls::can_be_made() {
        return;
    }
    let (mut old, new) = (Tls::new().unwrap(), Tls::new().unwrap());
    old.client_cert_auth = true;
    let cluster = cluster(&old);
    let is_served =
        |ca: &Tls, client: &Tls| answers(&cluster, &ca.ca, Some((&client.client_cert, &client.client_key)));
    let restart_all = || {
        for member in 0..cluster.members() {
            cluster.restart(member);
            cluster.wait_until_ready(WAIT_MAX).unwrap();
        }
    };
    assert!(is_served(&old, &old) && !is_served(&old, &new));
    cluster.accept_certificates_of(&[&old, &new]).unwrap();
    restart_all();
    assert!(is_served(&old, &old) && is_served(&old, &new));
    cluster.show_certificate_of(&new).unwrap();
    assert!(is_served(&new, &old) && !is_served(&old, &old));
    cluster.accept_certificates_of(&[&new]).unwrap();
    restart_all();
    assert!(is_served(&new, &new) && !is_served(&new, &old));
}
