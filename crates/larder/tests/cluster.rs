//! Prints a line when tests on a cluster are skipped, and how to run them.
//!
//! It has no harness, because that would capture the line. With arguments, such as a list request or a
//! filter, it prints nothing.

fn main() {
    if std::env::args().len() > 1 {
        return;
    }
    if let Some((tests, reason)) = skipped() {
        println!("skipped the tests {tests}: {reason}");
    }
}

/// Which tests are skipped, and why.
#[cfg(feature = "etcd")]
fn skipped() -> Option<(&'static str, &'static str)> {
    if !larder_cluster::etcd_is_installed() {
        return Some((
            "on an etcd cluster",
            "etcd is not on the PATH, nor in LARDER_ETCD; install it (Debian: apt-get install etcd-server) and run them with `cargo test --workspace --features etcd`",
        ));
    }
    (!larder_cluster::Tls::can_be_made()).then_some((
        "of TLS to an etcd cluster",
        "openssl, which makes certificates, is not on the PATH; install it (Debian: apt-get install openssl)",
    ))
}

#[cfg(not(feature = "etcd"))]
fn skipped() -> Option<(&'static str, &'static str)> {
    Some((
        "on an etcd cluster",
        "they need etcd and protoc (Debian: apt-get install etcd-server protobuf-compiler); run them with `cargo test --workspace --features etcd`",
    ))
}
