//! A proxy between a client and a member that can lose answers and cut connections.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// Forwards everything to a member until a test says otherwise.
#[derive(Clone)]
pub struct Proxy {
    pub address: SocketAddr,
    state: Arc<State>,
}

struct State {
    /// Whether answers are read and dropped.
    swallowing: AtomicBool,
    /// How many more bytes, in either direction, may pass before all connections are cut.
    budget: AtomicI64,
    /// Whether new connections are closed at once.
    refusing: AtomicBool,
    connections: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    pub fn to(member: &str) -> Self {
        Self::at("127.0.0.1", member)
    }

    /// A proxy at this local address.
    pub fn at(host: &str, member: &str) -> Self {
        let member: SocketAddr = member.parse().unwrap();
        let listener = TcpListener::bind((host, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            swallowing: AtomicBool::new(false),
            budget: AtomicI64::new(i64::MAX),
            refusing: AtomicBool::new(false),
            connections: Mutex::default(),
        });
        let proxy = Self { address, state };
        let accepting = proxy.clone();
        // The thread ends with the process.
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if accepting.state.refusing.load(Ordering::SeqCst) {
                    continue;
                }
                let Ok(server) = TcpStream::connect(member) else { continue };
                accepting.join(&client, &server, false);
                accepting.join(&server, &client, true);
                accepting.state.connections.lock().unwrap().extend([client, server]);
            }
        });
        proxy
    }

    fn join(&self, from: &TcpStream, to: &TcpStream, is_answer: bool) {
        let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
        let proxy = self.clone();
        thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            while let Ok(count) = from.read(&mut buffer) {
                if count == 0 {
                    break;
                }
                if is_answer && proxy.state.swallowing.load(Ordering::SeqCst) {
                    continue;
                }
                let left = proxy.state.budget.fetch_sub(count as i64, Ordering::SeqCst);
                let passed = count.min(usize::try_from(left.max(0)).unwrap());
                let written = to.write_all(&buffer[..passed]);
                if passed < count {
                    proxy.cut();
                }
                if written.is_err() {
                    break;
                }
            }
            let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
        });
    }

    /// Drops all answers from now on. Requests still arrive.
    pub fn swallow_answers(&self) {
        self.state.swallowing.store(true, Ordering::SeqCst);
    }

    /// Closes new connections from now on. Existing ones stay.
    pub fn refuse_new_connections(&self) {
        self.state.refusing.store(true, Ordering::SeqCst);
    }

    /// Accepts new connections again.
    pub fn accept_new_connections(&self) {
        self.state.refusing.store(false, Ordering::SeqCst);
    }

    /// Whether it still waits for the bytes after which it cuts all connections.
    pub fn is_yet_to_cut(&self) -> bool {
        // What is cut may have been counted more than once.
        self.state.budget.load(Ordering::SeqCst) < i64::MAX / 2
    }

    /// Cuts all connections after this many more bytes.
    pub fn cut_after(&self, bytes: i64) {
        self.state.budget.store(bytes, Ordering::SeqCst);
    }

    /// Cuts all connections, and forwards new ones normally.
    pub fn cut(&self) {
        for connection in self.state.connections.lock().unwrap().drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
        self.state.swallowing.store(false, Ordering::SeqCst);
        self.state.budget.store(i64::MAX, Ordering::SeqCst);
    }
}
