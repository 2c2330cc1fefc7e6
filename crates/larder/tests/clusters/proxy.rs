//! Something between a client and a member that loses what passes through it.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// Passes everything on to a member, until it is told to do otherwise.
#[derive(Clone)]
pub struct Proxy {
    pub address: SocketAddr,
    state: Arc<State>,
}

struct State {
    /// Answers are read and not passed on.
    swallowing: AtomicBool,
    /// After how many bytes, in either direction, all connections are cut.
    budget: AtomicI64,
    /// Who comes now is turned away.
    full: AtomicBool,
    connections: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    pub fn to(member: &str) -> Self {
        Self::at("127.0.0.1", member)
    }

    /// One that is found at an address of this machine.
    pub fn at(host: &str, member: &str) -> Self {
        let member: SocketAddr = member.parse().unwrap();
        let listener = TcpListener::bind((host, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            swallowing: AtomicBool::new(false),
            budget: AtomicI64::new(i64::MAX),
            full: AtomicBool::new(false),
            connections: Mutex::default(),
        });
        let proxy = Self { address, state };
        let accepting = proxy.clone();
        // It ends with the process.
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if accepting.state.full.load(Ordering::SeqCst) {
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

    /// Loses all answers from now on; requests arrive.
    pub fn swallow_answers(&self) {
        self.state.swallowing.store(true, Ordering::SeqCst);
    }

    /// From now on whoever comes is turned away; the connections that there are stay.
    pub fn let_nobody_in(&self) {
        self.state.full.store(true, Ordering::SeqCst);
    }

    /// Cuts all connections once so many bytes more have passed.
    pub fn cut_after(&self, bytes: i64) {
        self.state.budget.store(bytes, Ordering::SeqCst);
    }

    /// Cuts all connections, and lets new ones be as they should.
    pub fn cut(&self) {
        for connection in self.state.connections.lock().unwrap().drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
        self.state.swallowing.store(false, Ordering::SeqCst);
        self.state.budget.store(i64::MAX, Ordering::SeqCst);
    }
}
