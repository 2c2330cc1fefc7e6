//! The users of a cluster and their permissions.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::cluster::Cluster;
use crate::gateway;
use crate::json::{bytes, field, text};
use crate::member::Member;

/// The user as which this crate acts once there are users.
pub(crate) struct Root {
    password: String,
    /// The login token. Members lose it when they restart, and after five minutes.
    token: Mutex<Option<String>>,
}

/// Checks that the first user is `root`, which etcd requires.
pub(crate) fn check(users: &[(String, String)]) -> io::Result<()> {
    match users.first() {
        Some((first, _)) if first != "root" => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("the first user is \"{first}\"; etcd requires \"root\""),
        )),
        _ => Ok(()),
    }
}

/// Creates the users, and requires passwords from then on.
pub(crate) fn create_users(cluster: &mut Cluster, users: &[(String, String)]) -> io::Result<()> {
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
    /// Lets a user read and write all keys with a prefix. Until then, every user but root has no permissions.
    ///
    /// # Errors
    /// When the user does not exist, or there is no quorum.
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

impl Cluster {
    /// Changes a user's password. The tokens that the user has got for the old one end.
    ///
    /// # Errors
    /// When the user does not exist, or is `root`, as which this crate acts, or there is no quorum.
    pub fn change_password(&self, user: &str, password: &str) -> io::Result<()> {
        if user == "root" {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "this crate acts as root"));
        }
        let body = format!("{{\"name\":{},\"password\":{}}}", text(user), text(password));
        self.call("/v3/auth/user/changepw", &body).map(drop)
    }

    /// Takes away what a user was [granted](Self::grant).
    ///
    /// # Errors
    /// When the user was granted nothing, or there is no quorum.
    pub fn revoke(&self, user: &str) -> io::Result<()> {
        let user = text(user);
        self.call("/v3/auth/user/revoke", &format!("{{\"name\":{user},\"role\":{user}}}")).map(drop)
    }
}

/// The first key with a prefix, and the first key after all of them. Two zeros stand for all keys.
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
    /// Calls a method as root. Logs in again if the member no longer knows the token.
    pub fn call(&self, member: &Member, path: &str, body: &str, timeout: Duration) -> io::Result<String> {
        let known = self.token.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known {
            match gateway::call(member.admin, path, body, Some(&known), timeout) {
                Err(error) if is_outdated(&error) => {}
                outcome => return outcome,
            }
        }
        let password = text(&self.password);
        let credentials = format!("{{\"name\":\"root\",\"password\":{password}}}");
        let answer = gateway::call(member.admin, "/v3/auth/authenticate", &credentials, None, timeout)?;
        let token = field(&answer, "token").ok_or_else(|| io::Error::other("the answer has no token"))?;
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(token.to_owned());
        gateway::call(member.admin, path, body, Some(token), timeout)
    }
}

/// Whether a token was refused because the member lost it, or has not yet received a change of the users.
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
