//! A client of etcd's JSON gateway over plain HTTP, just large enough to manage a cluster.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::json;

/// Calls one method of one member and returns its JSON answer. A refusal is an error with etcd's message.
pub(crate) fn call(
    member: SocketAddr,
    path: &str,
    body: &str,
    token: Option<&str>,
    timeout: Duration,
) -> io::Result<String> {
    let mut stream = ask(member, path, body, token, timeout)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, answer) = answer
        .split_once("\r\n\r\n")
        .ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "the answer was cut short"))?;
    if head.split(' ').nth(1) == Some("200") {
        return Ok(answer.to_owned());
    }
    let reason = json::field(answer, "message").or_else(|| json::field(answer, "error")).unwrap_or(answer);
    Err(io::Error::other(format!("{path}: {reason}")))
}

/// Calls a method that answers with an endless stream of lines, and reads until `enough` returns true.
pub(crate) fn follow(
    member: SocketAddr,
    path: &str,
    body: &str,
    timeout: Duration,
    mut enough: impl FnMut(&str) -> io::Result<bool>,
) -> io::Result<()> {
    for line in BufReader::new(ask(member, path, body, None, timeout)?).lines() {
        if enough(&line?)? {
            return Ok(());
        }
    }
    Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("{path}: the answer was cut short")))
}

/// Sends a request. The answer can then be read from the stream.
fn ask(
    member: SocketAddr,
    path: &str,
    body: &str,
    token: Option<&str>,
    timeout: Duration,
) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&member, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    let authorization = token.map(|token| format!("Authorization: {token}\r\n")).unwrap_or_default();
    // In HTTP 1.0 the answer ends with the connection and is not chunked.
    let request = format!(
        "POST {path} HTTP/1.0\r\nHost: {member}\r\nContent-Type: application/json\r\n{authorization}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes())?;
    Ok(stream)
}
