//! A power cut: what was not synced is there afterwards, or not, or in part.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;

use super::{Change, Disk, Mirror, Moment, write_into};
use crate::random::Random;

/// What the hardware writes whole or not at all.
const SECTOR: usize = 512;

impl Change {
    /// Whether it survives with everything that was done to names up to a moment: file systems log names and lengths
    /// together, in their order.
    fn survives_with(&self, names: Moment) -> bool {
        matches!(self, Self::Truncated(_, at) if *at < names)
    }

    /// Applies each sector, or not.
    fn apply_some(&self, data: &mut Vec<u8>, mut survives: impl FnMut() -> bool) {
        let Self::Written { offset, bytes } = self else {
            if survives() {
                self.apply(data);
            }
            return;
        };
        let (mut at, end) = (*offset, offset + bytes.len());
        while at < end {
            let next = ((at / SECTOR + 1) * SECTOR).min(end);
            if survives() {
                write_into(data, at, &bytes[at - offset..next - offset]);
            }
            at = next;
        }
    }
}

impl Disk {
    /// Cuts the power, and turns it on again. What was not synced is there, or not, or in part.
    pub fn cut_power(&mut self, random: &mut Random) {
        let former = self.reigning();
        // Names change in the order in which they were changed, up to some moment.
        let kept = random.place(self.pending_names.len() + 1);
        let mut names = self.durable_names.clone();
        let mut names_until = self.names_synced;
        for (at, naming) in &self.pending_names[..kept] {
            names_until = *at;
            naming.apply(&mut names);
        }
        // Each real file stays the same one, whatever name it comes to: larder knows a store by the birth of its file.
        for (name, id) in &self.names {
            self.put_aside(name, *id);
        }
        let (mode, share) = (random.below(4), 1 + random.below(7));
        let mut files = BTreeMap::new();
        // Not by their names: those of unfinished files depend on the number of this process.
        let mut in_order: Vec<_> = names.iter().collect();
        in_order.sort_by_key(|(_, id)| **id);
        for (name, id) in in_order {
            let Some(mut file) = self.files.remove(id) else { continue };
            let whole = random.place(file.pending.len() + 1);
            let mut is_over = false;
            for (place, change) in file.pending.drain(..).enumerate() {
                match mode {
                    _ if change.survives_with(names_until) => change.apply(&mut file.durable),
                    _ if is_over => {}
                    // Nothing more has reached the disk; or everything up to some moment, and a part of the next.
                    0 => is_over = true,
                    1 if place < whole => change.apply(&mut file.durable),
                    1 => {
                        change.apply_some(&mut file.durable, || random.one_in(2));
                        is_over = true;
                    }
                    // Each sector by itself.
                    _ => change.apply_some(&mut file.durable, || !random.one_in(share)),
                }
            }
            file.data.clone_from(&file.durable);
            file.syncs_folder = false;
            // An old log may have its name back, whose real file is gone.
            if fs::rename(self.aside(*id), self.folder.join(name)).is_err() {
                file.mirror = Mirror::open(&self.folder.join(name));
            }
            if let Some(mirror) = &file.mirror {
                let _ = mirror.file.set_len(file.data.len() as u64);
                let _ = mirror.file.write_all_at(&file.data, 0);
            }
            files.insert(*id, file);
        }
        for lost in self.files.keys() {
            let _ = fs::remove_file(self.aside(*lost));
        }
        self.files = files;
        self.names.clone_from(&names);
        self.durable_names = names;
        self.pending_names.clear();
        self.note_reign(former, None);
    }
}
