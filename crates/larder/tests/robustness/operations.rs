//! What operators do to the cluster while the clients run.

use std::time::Instant;

use larder_cluster::{Saved, Tls};

use super::clock::SKEW_MAX_MS;
use super::crew::CLIENTS;
use super::eras::{Restore, Save};
use super::faults::{Faults, WAIT_MAX};
use super::place::{PASSWORD, USER};
use super::record::now_ns;
use super::signs::{self, Told};

/// A kind of operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// The data of all members is copied, for a later restore.
    Save,
    /// The cluster is restored: from the last copy, or from one made now.
    Restore,
    /// A member is removed, and a new one without data takes its place.
    ReplaceMember,
    /// The password of the clients is changed, and later changed back.
    ChangePassword,
    /// The clients lose their role, and later get it back.
    RevokeRole,
    /// The clients and the members get new certificates of the same authority.
    RenewCertificates,
    /// A new authority takes the place of the old one.
    ExchangeAuthority,
    /// The clocks of the clients are set.
    SetClocks,
}

use Operation::{ChangePassword, ExchangeAuthority, RenewCertificates, ReplaceMember, RevokeRole, SetClocks};

/// A copy of the cluster's data.
pub struct Kept {
    saved: Saved,
    save: Save,
}

impl Faults<'_> {
    /// The operations that this cluster can have.
    pub fn operations(&self) -> Vec<Operation> {
        // Restores are what undoes most, so they come most often.
        let mut all = vec![Operation::Restore, Operation::Save, ReplaceMember, Operation::Restore, SetClocks];
        if self.place.has_users {
            all.extend([ChangePassword, RevokeRole]);
        }
        if self.place.certificates.is_some() {
            all.extend([RenewCertificates, ExchangeAuthority]);
        }
        all
    }

    pub fn operate(&mut self, operation: Operation, end: Instant) {
        let cluster = &self.place.cluster;
        cluster.wait_until_ready(WAIT_MAX).unwrap();
        match operation {
            Operation::Save => self.save(),
            Operation::Restore => self.restore(end),
            ReplaceMember => {
                let one = self.random.below(cluster.members() as u64) as usize;
                cluster.remove_member(one).unwrap();
                self.rest(end, 300, 2000);
                cluster.add_member(one).unwrap();
            }
            ChangePassword => self.refuse(
                end,
                |faults| faults.place.cluster.change_password(USER, "wrong").unwrap(),
                |faults| faults.place.cluster.change_password(USER, PASSWORD).unwrap(),
            ),
            RevokeRole => self.refuse(
                end,
                |faults| faults.place.cluster.revoke(USER).unwrap(),
                |faults| faults.place.grant(),
            ),
            RenewCertificates => {
                let certificates = self.place.certificates.as_ref().unwrap();
                certificates.give();
                cluster.show_certificate_of(&certificates.tls()).unwrap();
                // So that connections are made anew.
                cluster.restart(self.random.below(cluster.members() as u64) as usize);
            }
            ExchangeAuthority => self.exchange_authority(),
            SetClocks => {
                let mut hands = self.crew.hold();
                for client in 1..=CLIENTS {
                    let ahead_ms = self.random.below(2 * SKEW_MAX_MS as u64 + 1) as i64 - SKEW_MAX_MS;
                    hands.set_clock(client, ahead_ms);
                }
            }
        }
    }

    /// Copies the data of all members, after a revision that the observer has received.
    fn save(&mut self) {
        let begin = self.received_by_observer();
        let saving_ns = now_ns();
        let saved = self.place.cluster.save().unwrap();
        let save = Save { era: self.eras.restores.len(), begin, at_ns: (saving_ns, now_ns()) };
        // What was saved must be in the feed.
        self.received_by_observer();
        self.kept = Some(Kept { saved, save });
    }

    /// Restores the cluster, and waits until every listener was told.
    fn restore(&mut self, end: Instant) {
        // A copy may be of an earlier era: a backup can be restored twice.
        if self.kept.is_none() || self.random.percent(60) {
            self.save();
            self.rest(end, 300, 3000);
        }
        let crew = self.crew;
        let mut hands = crew.hold();
        let Kept { saved, save } = self.kept.as_ref().unwrap();
        let restoring_ns = now_ns();
        self.place.cluster.restore(saved).unwrap();
        let at_ns = (restoring_ns, now_ns());
        self.eras.restores.push(Restore { save: *save, at_ns });
        let begin = save.begin;
        self.place.cluster.wait_until_ready(WAIT_MAX).unwrap();
        self.untold.extend(signs::wait(crew.folder(), &hands.lives(), Told::Restored, restoring_ns));
        crew.change_observer(&mut hands, self.eras.restores.len(), begin);
    }

    /// Lets the cluster refuse the clients for a while: sometimes until each listener was told.
    fn refuse(&mut self, end: Instant, refuse: impl Fn(&Self), grant: impl Fn(&Self)) {
        let crew = self.crew;
        // A client that begins only now cannot open the store.
        let hands = crew.hold();
        let refusing_ns = now_ns();
        refuse(self);
        if self.random.percent(60) {
            let lives: Vec<_> = hands.lives().into_iter().filter(|(client, _)| *client > 0).collect();
            self.untold.extend(signs::wait(crew.folder(), &lives, Told::Refused, refusing_ns));
        } else {
            self.rest(end, 300, 2500);
        }
        grant(self);
        self.eras.refusals.push((refusing_ns, now_ns()));
    }

    /// Exchanges the authority as an operator does who stops nobody: first everybody trusts both.
    fn exchange_authority(&mut self) {
        let (cluster, certificates) = (&self.place.cluster, self.place.certificates.as_ref().unwrap());
        let (old, new) = (certificates.tls(), Tls::new().unwrap());
        let restart_all = || {
            for member in 0..cluster.members() {
                cluster.restart(member);
                cluster.wait_until_ready(WAIT_MAX).unwrap();
            }
        };
        certificates.trust(&[&old, &new]);
        cluster.accept_certificates_of(&[&old, &new]).unwrap();
        restart_all();
        certificates.exchange(&new);
        certificates.give();
        cluster.show_certificate_of(&new).unwrap();
        certificates.trust(&[&new]);
        cluster.accept_certificates_of(&[&new]).unwrap();
        restart_all();
    }
}
