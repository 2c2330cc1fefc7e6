//! Says in one line when tests on a cluster are left out, and how to run them.
//!
//! It has no harness, which would keep the line to itself. Asked for a list of its tests it has none, and
//! where somebody wants certain tests only it says nothing.

fn main() {
    if std::env::args().len() > 1 {
        return;
    }
    if let Some((tests, reason)) = left_out() {
        println!("the tests {tests} were left out: {reason}");
    }
}

/// Which tests, and why.
#[cfg(feature = "etcd")]
fn left_out() -> Option<(&'static str, &'static str)> {
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
fn left_out() -> Option<(&'static str, &'static str)> {
    Some((
        "on an etcd cluster",
        "they want etcd and protoc (Debian: apt-get install etcd-server protobuf-compiler) and are run with `cargo test --workspace --features etcd`",
    ))
}
