//! A proxy that understands HTTP/2, and can replace the answers of a member.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use hyper::{Request, Response};
use tokio::net::{TcpListener, TcpStream};

/// Forwards requests and answers until a test says otherwise.
#[derive(Clone)]
pub struct AnswerProxy {
    pub address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// How many bytes every answer claims to have; 0 while answers are forwarded.
    claimed: AtomicUsize,
    /// How many answers were replaced.
    replaced: AtomicUsize,
}

impl AnswerProxy {
    pub fn to(member: &str) -> Self {
        let (member, state) = (member.to_owned(), Arc::new(State::default()));
        let (send, receive) = std::sync::mpsc::channel();
        let serving = Arc::clone(&state);
        // The thread ends with the process.
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                send.send(listener.local_addr().unwrap()).unwrap();
                while let Ok((client, _)) = listener.accept().await {
                    tokio::spawn(serve(client, member.clone(), Arc::clone(&serving)));
                }
            });
        });
        Self { address: receive.recv().unwrap(), state }
    }

    /// Lets the member do what it is asked, and then replaces its answer by the beginning of one that says how many bytes
    /// it has. None of them comes.
    pub fn claim(&self, bytes: usize) {
        self.state.claimed.store(bytes, Ordering::SeqCst);
    }

    /// Forwards answers again.
    pub fn forward(&self) {
        self.state.claimed.store(0, Ordering::SeqCst);
    }

    pub fn replaced(&self) -> usize {
        self.state.replaced.load(Ordering::SeqCst)
    }
}

async fn serve(client: TcpStream, member: String, state: Arc<State>) -> Option<()> {
    let member = TcpStream::connect(member).await.ok()?;
    let (sender, connection) = h2::client::handshake(member).await.ok()?;
    tokio::spawn(connection);
    let mut connection = h2::server::handshake(client).await.ok()?;
    while let Some(Ok((request, respond))) = connection.accept().await {
        let (sender, state) = (sender.clone(), Arc::clone(&state));
        tokio::spawn(forward(request, respond, sender, state));
    }
    Some(())
}

async fn forward(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    sender: h2::client::SendRequest<Bytes>,
    state: Arc<State>,
) -> Option<()> {
    let (parts, body) = request.into_parts();
    let (answer, sending) =
        sender.ready().await.ok()?.send_request(Request::from_parts(parts, ()), false).ok()?;
    tokio::spawn(pass_on(body, sending));
    let (parts, body) = answer.await.ok()?.into_parts();
    let ends = body.is_end_stream();
    let mut receiving = respond.send_response(Response::from_parts(parts, ()), ends).ok()?;
    if ends {
        return Some(());
    }
    let claimed = state.claimed.load(Ordering::SeqCst);
    if claimed == 0 {
        return pass_on(body, receiving).await;
    }
    // The head of a gRPC message: not compressed, and its length.
    let mut head = vec![0];
    head.extend(u32::try_from(claimed).unwrap().to_be_bytes());
    state.replaced.fetch_add(1, Ordering::SeqCst);
    receiving.send_data(head.into(), false).ok()?;
    // The stream stays open, as if the rest were on its way, until the client gives it up.
    let _ = std::future::poll_fn(|context| receiving.poll_reset(context)).await;
    Some(())
}

/// Passes on what comes on one stream to another, whose other end is in no hurry.
async fn pass_on(mut from: RecvStream, mut to: SendStream<Bytes>) -> Option<()> {
    while let Some(data) = from.data().await {
        let data = data.ok()?;
        let _ = from.flow_control().release_capacity(data.len());
        // h2 keeps what the window has no room for.
        to.send_data(data, false).ok()?;
    }
    match from.trailers().await.ok()? {
        Some(trailers) => to.send_trailers(trailers).ok(),
        None => to.send_data(Bytes::new(), true).ok(),
    }
}
