//! Where the clients find the store, and with what they are let in.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use larder_cluster::{Cluster, Settings, Tls};
use tempfile::TempDir;

/// The name of the store.
const STORE: &str = "robust";

/// The user of the clients, and the passwords of both users.
pub const USER: &str = "app";
pub const PASSWORD: &str = "right";
const ROOT_PASSWORD: &str = "top";

/// The cluster of a trial.
pub struct Place {
    pub cluster: Cluster,
    pub has_users: bool,
    /// The certificates, if connections are encrypted.
    pub certificates: Option<Certificates>,
}

/// The files that the clients read, which are replaced while they run.
pub struct Certificates {
    folder: TempDir,
    /// Who signs certificates at present.
    tls: Mutex<Tls>,
}

impl Place {
    /// Starts a cluster: with users and encryption, or with neither.
    pub fn start(own_networks: bool, is_guarded: bool) -> Self {
        let tls = (is_guarded && Tls::can_be_made()).then(|| {
            let mut tls = Tls::new().unwrap();
            tls.client_cert_auth = true;
            tls
        });
        let users =
            [("root", ROOT_PASSWORD), (USER, PASSWORD)].map(|(name, word)| (name.into(), word.into()));
        let users: Vec<(String, String)> = if is_guarded { users.into() } else { Vec::new() };
        // Several Raft snapshots a minute, so that a member that was away receives one.
        let snapshot_count = Some(5_000);
        // Logging in as slowly as etcd's default would keep the machine busy.
        let extra_args = if is_guarded { vec!["--bcrypt-cost=4".to_owned()] } else { Vec::new() };
        let settings = Settings {
            own_networks,
            snapshot_count,
            users,
            extra_args,
            tls: tls.clone(),
            ..Settings::default()
        };
        let cluster = Cluster::start_with(&settings).unwrap();
        let certificates = tls.map(|tls| {
            let folder = tempfile::tempdir_in(cluster.folder()).unwrap();
            let certificates = Certificates { folder, tls: Mutex::new(tls) };
            certificates.trust(&[&certificates.tls()]);
            certificates.give();
            certificates
        });
        let place = Self { cluster, has_users: is_guarded, certificates };
        if is_guarded {
            place.grant();
        }
        place
    }

    /// Lets the clients use the store.
    pub fn grant(&self) {
        self.cluster.grant(USER, format!("{STORE}/").as_bytes()).unwrap();
    }

    /// The location for root, whom nobody refuses.
    pub fn for_root(&self) -> String {
        self.location(&format!("root:{ROOT_PASSWORD}@"), 0)
    }

    /// The location for a client. A client asks the first member while that answers, so the clients begin with
    /// different ones.
    pub fn for_client(&self, client: u64) -> String {
        self.location(&format!("{USER}:{PASSWORD}@"), client)
    }

    fn location(&self, login: &str, first: u64) -> String {
        let mut endpoints = self.cluster.endpoints();
        let count = endpoints.len();
        endpoints.rotate_left(first as usize % count);
        let login = if self.has_users { login } else { "" };
        let files = self.certificates.as_ref().map(Certificates::setting).unwrap_or_default();
        format!("etcd://{login}{}/{STORE}{files}", endpoints.join(","))
    }
}

impl Certificates {
    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn setting(&self) -> String {
        let file = |name| self.file(name).display().to_string();
        format!("?ca={}&cert={}&key={}", file("ca.pem"), file("client.pem"), file("client.key"))
    }

    pub fn tls(&self) -> Tls {
        self.tls.lock().unwrap().clone()
    }

    /// From now on another authority signs.
    pub fn exchange(&self, tls: &Tls) {
        *self.tls.lock().unwrap() = tls.clone();
    }

    /// Sets which authorities the clients trust.
    pub fn trust(&self, authorities: &[&Tls]) {
        let all: Vec<u8> = authorities.iter().flat_map(|tls| fs::read(&tls.ca).unwrap()).collect();
        self.replace("ca.pem", &all);
    }

    /// Gives the clients a new certificate with a new key.
    pub fn give(&self) {
        let next = self.tls().client(USER).unwrap();
        let read = |path: &Path| fs::read(path).unwrap();
        self.replace("client.key", &read(&next.key));
        self.replace("client.pem", &read(&next.cert));
    }

    /// Replaces a file: whoever reads it meanwhile reads the former one.
    fn replace(&self, name: &str, content: &[u8]) {
        let next = self.file("next");
        fs::write(&next, content).unwrap();
        fs::rename(next, self.file(name)).unwrap();
    }
}
