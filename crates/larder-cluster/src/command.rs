//! The command line of a member.

use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::ports;
use crate::settings::Settings;
use crate::tls::Identity;

/// The addresses of one member.
pub(crate) struct Addresses {
    /// For its clients.
    pub client: SocketAddr,
    /// For the other members.
    pub peer: SocketAddr,
    /// For this crate, in plain HTTP, if its clients use TLS.
    pub admin: Option<SocketAddr>,
    /// The command that starts the member's program in its network; empty for none.
    pub launcher: Vec<OsString>,
}

/// Addresses for all members on the loopback interface.
pub(crate) fn on_loopback(settings: &Settings) -> io::Result<Vec<Addresses>> {
    let count = settings.members;
    let ports = ports::free(3 * count)?;
    let at = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    Ok((0..count)
        .map(|number| Addresses {
            client: at(ports[number]),
            peer: at(ports[count + number]),
            admin: settings.tls.as_ref().map(|_| at(ports[2 * count + number])),
            launcher: Vec::new(),
        })
        .collect())
}

/// What the command lines of all members of a cluster have in common.
pub(crate) struct Recipe<'a> {
    pub program: PathBuf,
    pub settings: &'a Settings,
    pub addresses: &'a [Addresses],
    /// The certificate that members show to clients.
    pub identity: Option<Identity>,
    /// The file with the authorities whose client certificates members accept.
    pub trusted: PathBuf,
}

impl Recipe<'_> {
    /// The command line of one member.
    pub fn command(&self, number: usize, data: &Path) -> Vec<OsString> {
        let Addresses { client, peer, admin, launcher } = &self.addresses[number];
        let mut command = launcher.clone();
        command.push(self.program.clone().into_os_string());
        command.extend(["--data-dir".into(), data.as_os_str().to_owned()]);
        command.extend(["--logger=zap".into(), "--log-level=error".into()]);
        let mut flag = |name: &str, value: String| command.extend([name.into(), value.into()]);

        let scheme = if self.identity.is_some() { "https" } else { "http" };
        let admin = admin.map(|admin| format!(",http://{admin}")).unwrap_or_default();
        flag("--listen-client-urls", format!("{scheme}://{client}{admin}"));
        flag("--advertise-client-urls", format!("{scheme}://{client}"));
        flag("--listen-peer-urls", format!("http://{peer}"));
        flag("--initial-advertise-peer-urls", format!("http://{peer}"));
        flag("--name", name(number));
        let all = self.addresses.iter().enumerate();
        let all: Vec<String> = all.map(|(n, member)| format!("{}=http://{}", name(n), member.peer)).collect();
        flag("--initial-cluster", all.join(","));

        let settings = self.settings;
        flag("--heartbeat-interval", settings.heartbeat_interval.as_millis().to_string());
        flag("--election-timeout", settings.election_timeout.as_millis().to_string());
        if let Some(bytes) = settings.quota_backend_bytes {
            flag("--quota-backend-bytes", bytes.to_string());
        }
        if let Some(count) = settings.snapshot_count {
            flag("--snapshot-count", count.to_string());
        }
        self.add_tls(&mut command);
        command.extend(settings.extra_args.iter().map(OsString::from));
        command
    }

    fn add_tls(&self, command: &mut Vec<OsString>) {
        let (Some(identity), Some(tls)) = (&self.identity, &self.settings.tls) else { return };
        command.extend(["--cert-file".into(), identity.cert.clone().into_os_string()]);
        command.extend(["--key-file".into(), identity.key.clone().into_os_string()]);
        if tls.client_cert_auth {
            command.push("--client-cert-auth".into());
            command.extend(["--trusted-ca-file".into(), self.trusted.clone().into_os_string()]);
        }
    }
}

fn name(number: usize) -> String {
    format!("member-{number}")
}
