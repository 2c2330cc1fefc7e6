//! etcd's gateway for JSON, over plain HTTP: enough to look after a cluster, without a client.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::json;

/// Calls one method of one member and returns the JSON that it answers. A refusal is an error that has
/// etcd's own words.
pub(crate) fn call(
    member: SocketAddr,
    path: &str,
    body: &str,
    token: Option<&str>,
    patience: Duration,
) -> io::Result<String> {
    let mut stream = ask(member, path, body, token, patience)?;
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

/// Calls a method that answers line by line and without end, until `enough` says so of a line.
pub(crate) fn follow(
    member: SocketAddr,
    path: &str,
    body: &str,
    patience: Duration,
    mut enough: impl FnMut(&str) -> io::Result<bool>,
) -> io::Result<()> {
    for line in BufReader::new(ask(member, path, body, None, patience)?).lines() {
        if enough(&line?)? {
            return Ok(());
        }
    }
    Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("{path}: the answer was cut short")))
}

/// Asks; the answer is to be read.
fn ask(
    member: SocketAddr,
    path: &str,
    body: &str,
    token: Option<&str>,
    patience: Duration,
) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&member, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    let authorization = token.map(|token| format!("Authorization: {token}\r\n")).unwrap_or_default();
    // In version 1.0 the answer ends where the connection does, and comes in one piece.
    let request = format!(
        "POST {path} HTTP/1.0\r\nHost: {member}\r\nContent-Type: application/json\r\n{authorization}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes())?;
    Ok(stream)
}
