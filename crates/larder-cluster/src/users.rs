//! Users, and what they may do.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::cluster::Cluster;
use crate::gateway;
use crate::json::{bytes, field, text};
use crate::member::Member;

/// The user in whose name the harness acts once there are users.
pub(crate) struct Root {
    password: String,
    /// What stands for the password. Members forget it when they are restarted, and do after five minutes.
    token: Mutex<Option<String>>,
}

/// Checks that the first user is the one that etcd cannot do without.
pub(crate) fn check(users: &[(String, String)]) -> io::Result<()> {
    match users.first() {
        Some((first, _)) if first != "root" => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("the first user is \"{first}\"; etcd wants \"root\" to be there"),
        )),
        _ => Ok(()),
    }
}

/// Makes these users and asks for passwords from then on.
pub(crate) fn introduce(cluster: &mut Cluster, users: &[(String, String)]) -> io::Result<()> {
    let Some((_, password)) = users.first() else { return Ok(()) };
    for (name, password) in users {
        let body = format!("{{\"name\":{},\"password\":{}}}", text(name), text(password));
        cluster.call("/v3/auth/user/add", &body)?;
    }
    cluster.call("/v3/auth/role/add", r#"{"name":"root"}"#)?;
    cluster.call("/v3/auth/user/grant", r#"{"user":"root","role":"root"}"#)?;
    cluster.call("/v3/auth/enable", "{}")?;
    cluster.root = Some(Root { password: password.clone(), token: Mutex::new(None) });
    Ok(())
}

impl Cluster {
    /// Lets a user read and write all keys that begin so. All users but root may do nothing before.
    ///
    /// # Errors
    /// When there is no such user, or no quorum.
    pub fn grant(&self, user: &str, prefix: &[u8]) -> io::Result<()> {
        let role = text(user);
        match self.call("/v3/auth/role/add", &format!("{{\"name\":{role}}}")) {
            Err(error) if !error.to_string().contains("already exists") => return Err(error),
            _ => {}
        }
        let (key, end) = range(prefix);
        let (key, end) = (bytes(&key), bytes(&end));
        self.call(
            "/v3/auth/role/grant",
            &format!(
                "{{\"name\":{role},\"perm\":{{\"permType\":\"READWRITE\",\"key\":{key},\"range_end\":{end}}}}}"
            ),
        )?;
        self.call("/v3/auth/user/grant", &format!("{{\"user\":{role},\"role\":{role}}}")).map(drop)
    }
}

/// The first key that begins so, and the first after it that does not. Two zeros stand for all keys.
fn range(prefix: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let kept = prefix.iter().rposition(|byte| *byte < u8::MAX).map_or(0, |last| last + 1);
    let mut end = prefix[..kept].to_vec();
    match end.last_mut() {
        Some(last) => *last += 1,
        None => end.push(0),
    }
    (if prefix.is_empty() { vec![0] } else { prefix.to_vec() }, end)
}

impl Root {
    /// Calls a method as root, with a new token where the old one is no longer known.
    pub fn call(&self, member: &Member, path: &str, body: &str, patience: Duration) -> io::Result<String> {
        let known = self.token.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known {
            match gateway::call(member.admin, path, body, Some(&known), patience) {
                Err(error) if is_outdated(&error) => {}
                outcome => return outcome,
            }
        }
        let password = text(&self.password);
        let credentials = format!("{{\"name\":\"root\",\"password\":{password}}}");
        let answer = gateway::call(member.admin, "/v3/auth/authenticate", &credentials, None, patience)?;
        let token = field(&answer, "token").ok_or_else(|| io::Error::other("an answer without a token"))?;
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(token.to_owned());
        gateway::call(member.admin, path, body, Some(token), patience)
    }
}

/// Whether a token was refused because its member has forgotten it, or was not yet told of a change of
/// users.
fn is_outdated(refusal: &io::Error) -> bool {
    let refusal = refusal.to_string();
    refusal.contains("invalid auth token") || refusal.contains("revision in header is old")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_becomes_the_range_of_its_keys() {
        assert_eq!(range(b"app/"), (b"app/".to_vec(), b"app0".to_vec()));
        assert_eq!(range(b"a\xff"), (b"a\xff".to_vec(), b"b".to_vec()));
        assert_eq!(range(b"\xff"), (b"\xff".to_vec(), b"\0".to_vec()));
        assert_eq!(range(b""), (b"\0".to_vec(), b"\0".to_vec()));
    }
}
