//! Says in one line when the tests on a cluster are left out, and how to run them.
//!
//! It has no harness, which would keep the line to itself. Asked for a list of its tests it has none, and
//! where somebody wants certain tests only it says nothing.

fn main() {
    if std::env::args().len() > 1 {
        return;
    }
    if let Some(reason) = left_out() {
        println!("the tests on an etcd cluster were left out: {reason}");
    }
}

#[cfg(feature = "etcd")]
fn left_out() -> Option<&'static str> {
    (!larder_cluster::etcd_is_installed()).then_some(
        "etcd is not on the PATH, nor in LARDER_ETCD; install it (Debian: apt-get install etcd-server) and run them with `cargo test --workspace --features etcd`",
    )
}

#[cfg(not(feature = "etcd"))]
fn left_out() -> Option<&'static str> {
    Some(
        "they want etcd and protoc (Debian: apt-get install etcd-server protobuf-compiler) and are run with `cargo test --workspace --features etcd`",
    )
}
