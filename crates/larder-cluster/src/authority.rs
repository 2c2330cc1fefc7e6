//! A certificate authority that uses the `openssl` program.

use std::ffi::OsStr;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::{fs, io};

use crate::installed::on_path;
use crate::scratch::Scratch;

/// The configuration of `openssl ca`, the only command of every version that can choose a certificate's
/// dates. It needs an index of its certificates. Paths are relative to the folder in which it runs.
const CONFIGURATION: &str = "\
[ca]
default_ca = authority
[authority]
database = index
new_certs_dir = .
certificate = ca.pem
private_key = ca.key
rand_serial = yes
unique_subject = no
default_md = sha256
policy = anything
[anything]
commonName = supplied
";

/// The kind of key that is fastest to generate.
const NEW_KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

/// A certificate authority and its folder.
#[derive(Debug)]
pub(crate) struct Authority {
    folder: Scratch,
    /// Only one signature at a time may change the index.
    index: Mutex<()>,
}

/// The use of a certificate.
pub(crate) enum Purpose<'a> {
    Client,
    Server(&'a [IpAddr]),
    /// As the extensions of an earlier certificate say.
    Same(&'a str),
}

/// Whether a certificate is currently valid.
#[derive(Clone, Copy)]
pub(crate) enum Validity {
    Good,
    Expired,
}

/// A key and a request for its certificate.
pub(crate) struct Request {
    pub key: PathBuf,
    request: PathBuf,
}

impl Authority {
    pub fn is_available() -> bool {
        on_path("openssl").is_some()
    }

    pub fn new() -> io::Result<Self> {
        let folder = Scratch::new(false)?;
        fs::write(folder.path().join("configuration"), CONFIGURATION)?;
        fs::write(folder.path().join("index"), "")?;
        let authority = Self { folder, index: Mutex::new(()) };
        let usage = "keyUsage=critical,keyCertSign,cRLSign";
        let wanted = ["-x509", "-days", "36500", "-subj", "/CN=larder-cluster authority", "-addext", usage];
        authority.openssl(
            ["req"].iter().chain(&NEW_KEY).chain(&wanted).chain(&["-keyout", "ca.key", "-out", "ca.pem"]),
        )?;
        Ok(authority)
    }

    /// The path of the authority's own certificate.
    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Makes a key and a request in the authority's folder.
    pub fn request(&self, file: &str, common_name: &str) -> io::Result<Request> {
        self.request_in(self.folder.path(), file, common_name)
    }

    /// Makes a key and a request in another folder.
    pub fn request_in(&self, folder: &Path, file: &str, common_name: &str) -> io::Result<Request> {
        let key = folder.join(format!("{file}.key"));
        let request = folder.join(format!("{file}.request"));
        let subject = format!("/CN={common_name}");
        let mut arguments: Vec<&OsStr> = vec!["req".as_ref(), "-new".as_ref()];
        arguments.extend(NEW_KEY.iter().map(OsStr::new));
        arguments.extend(["-subj".as_ref(), OsStr::new(&subject)]);
        arguments.extend(["-keyout".as_ref(), key.as_os_str(), "-out".as_ref(), request.as_os_str()]);
        self.openssl(arguments)?;
        Ok(Request { key, request })
    }

    /// Signs a request. The certificate goes to the authority's folder.
    pub fn sign(
        &self,
        request: &Request,
        file: &str,
        purpose: &Purpose<'_>,
        validity: Validity,
    ) -> io::Result<PathBuf> {
        self.sign_in(self.folder.path(), request, file, purpose, validity)
    }

    /// Signs a request. The certificate goes to another folder.
    pub fn sign_in(
        &self,
        folder: &Path,
        request: &Request,
        file: &str,
        purpose: &Purpose<'_>,
        validity: Validity,
    ) -> io::Result<PathBuf> {
        let certificate = folder.join(format!("{file}.pem"));
        let extensions = folder.join(format!("{file}.extensions"));
        fs::write(&extensions, purpose.extensions())?;
        let (from, to) = validity.dates();
        let mut arguments: Vec<&OsStr> =
            ["ca", "-batch", "-notext", "-config", "configuration"].iter().map(OsStr::new).collect();
        arguments.extend(["-startdate", from, "-enddate", to].into_iter().map(OsStr::new));
        arguments.extend(["-in".as_ref(), request.request.as_os_str()]);
        arguments.extend(["-extfile".as_ref(), extensions.as_os_str()]);
        arguments.extend(["-out".as_ref(), certificate.as_os_str()]);
        let _index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        self.openssl(arguments)?;
        Ok(certificate)
    }

    fn openssl<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> io::Result<()> {
        let done = Command::new("openssl")
            .args(arguments)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .output()?;
        if done.status.success() {
            return Ok(());
        }
        Err(io::Error::other(format!("openssl: {}", String::from_utf8_lossy(&done.stderr))))
    }
}

impl Request {
    /// A request that was made in a folder before.
    pub fn in_folder(folder: &Path, file: &str) -> Self {
        Self { key: folder.join(format!("{file}.key")), request: folder.join(format!("{file}.request")) }
    }
}

impl Purpose<'_> {
    fn extensions(&self) -> String {
        let rest = match self {
            Self::Same(extensions) => return (*extensions).to_owned(),
            Self::Client => "extendedKeyUsage=clientAuth".to_owned(),
            // A member's gateway is a client of that member, with the same certificate.
            Self::Server(addresses) => {
                let names: String = addresses.iter().map(|address| format!(",IP:{address}")).collect();
                format!("extendedKeyUsage=serverAuth,clientAuth\nsubjectAltName=DNS:localhost{names}")
            }
        };
        format!("basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n{rest}\n")
    }
}

impl Validity {
    fn dates(self) -> (&'static str, &'static str) {
        match self {
            Self::Good => ("20200101000000Z", "20491231235959Z"),
            Self::Expired => ("20200101000000Z", "20200131235959Z"),
        }
    }
}
