//! What a commit appends to the log, held back until it is complete.
//!
//! SQLite writes each frame with two calls: a header of 24 bytes, and the page. Here they are put together, up to the frame
//! that ends the commit, and written with one call. Everything else that SQLite does to the log finds it as it expects:
//! what was held back is written first.

/// How long the header of a frame is, in bytes.
const HEADER_BYTES: usize = 24;

/// How much is held back at most. SQLite's VFS for Unix takes a multiple of 128 KiB for a full disk.
pub(super) const BYTES_MAX: usize = (128 << 10) - 1;

/// An error code of SQLite.
pub(super) type Code = std::ffi::c_int;

/// Writes bytes to the log, at an offset.
pub(super) trait Put: FnMut(&[u8], i64) -> Result<(), Code> {}

impl<F: FnMut(&[u8], i64) -> Result<(), Code>> Put for F {}

/// The frames of one commit that are not written yet.
#[derive(Debug, Default)]
pub(super) struct GatheredFrames {
    bytes: Vec<u8>,
    /// Where in the log they end.
    end: i64,
    /// Whether the last of them is a header, whose page comes next.
    awaits_page: bool,
    /// Whether that frame is the last of the commit.
    is_last: bool,
    /// Whether the commit's last frame was written, or may be. From then on nothing is held back: others see the commit soon.
    is_over: bool,
}

impl GatheredFrames {
    /// Begins with another commit. Nothing is left of the one before, whatever has become of it: its place in the log may
    /// be somebody else's by now.
    pub fn begin(&mut self) {
        self.drop_all();
        self.is_over = false;
    }

    /// Whether nothing is held back.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Takes what SQLite writes. The write that completes the commit fails if anything of it cannot be written.
    pub fn write(&mut self, data: &[u8], offset: i64, put: &mut impl Put) -> Result<(), Code> {
        if offset != self.end {
            // A header without its page: as below.
            self.is_over |= self.awaits_page;
            self.flush(put)?;
        }
        let is_page = self.awaits_page;
        let is_header = !is_page && !self.is_over && data.len() == HEADER_BYTES;
        if !is_page && !is_header {
            self.flush(put)?;
            return put(data, offset);
        }
        if self.bytes.len() + data.len() > BYTES_MAX {
            self.put_all(put)?;
        }
        if self.bytes.try_reserve(data.len()).is_err() {
            // The commit's last frame might pass unnoticed now, so nothing more is held back.
            self.is_over = true;
            self.flush(put)?;
            return put(data, offset);
        }
        self.bytes.extend_from_slice(data);
        self.end = offset.saturating_add_unsigned(data.len() as u64);
        self.awaits_page = is_header;
        if is_header {
            // The size of the database after the commit, which stands in its last frame alone.
            self.is_last = data[4..8] != [0; 4];
        } else if self.is_last {
            self.is_over = true;
            self.flush(put)?;
        }
        Ok(())
    }

    /// Writes what is held back of a part of the log, so that it can be read.
    pub fn before_read(&mut self, offset: i64, bytes: u32, put: &mut impl Put) -> Result<(), Code> {
        let overlaps = offset < self.end && offset.saturating_add_unsigned(bytes.into()) > self.start();
        if overlaps { self.flush(put) } else { Ok(()) }
    }

    /// Writes what is held back. If that fails it is dropped all the same: the commit has failed.
    pub fn flush(&mut self, put: &mut impl Put) -> Result<(), Code> {
        self.awaits_page = false;
        self.put_all(put)
    }

    /// Drops what is held back.
    pub fn drop_all(&mut self) {
        self.bytes.clear();
        self.awaits_page = false;
    }

    fn put_all(&mut self, put: &mut impl Put) -> Result<(), Code> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        let done = put(&self.bytes, self.start());
        self.bytes.clear();
        if done.is_err() {
            self.awaits_page = false;
        }
        done
    }

    fn start(&self) -> i64 {
        self.end.saturating_sub_unsigned(self.bytes.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file, and what was written to it by how many calls.
    #[derive(Default)]
    struct File {
        bytes: Vec<u8>,
        calls: u32,
        fails: Option<Code>,
    }

    impl File {
        fn put(&mut self, data: &[u8], offset: i64) -> Result<(), Code> {
            if let Some(code) = self.fails {
                return Err(code);
            }
            assert!(data.len() <= BYTES_MAX);
            self.calls += 1;
            let start = usize::try_from(offset).unwrap();
            self.bytes.resize(self.bytes.len().max(start + data.len()), 0);
            self.bytes[start..start + data.len()].copy_from_slice(data);
            Ok(())
        }
    }

    fn header(pages_after: u8) -> [u8; HEADER_BYTES] {
        let mut header = [7; HEADER_BYTES];
        header[4..8].copy_from_slice(&[0, 0, 0, pages_after]);
        header
    }

    #[test]
    fn the_frames_of_a_commit_are_written_with_one_call_once_the_last_is_complete() {
        let (mut frames, mut file) = (GatheredFrames::default(), File::default());
        let page = [1; 512];
        let mut offset = 32;
        for pages_after in [0, 0, 3] {
            for part in [&header(pages_after)[..], &page] {
                assert_eq!(file.calls, 0);
                frames.write(part, offset, &mut |data, at| file.put(data, at)).unwrap();
                offset += i64::try_from(part.len()).unwrap();
            }
        }
        assert_eq!((file.calls, frames.is_empty()), (1, true));
        assert_eq!(file.bytes.len() as i64, offset);
        // SQLite may write the headers once more before it shows the commit.
        frames.write(&header(0), 32, &mut |data, at| file.put(data, at)).unwrap();
        assert_eq!((file.calls, frames.is_empty()), (2, true));
    }

    #[test]
    fn what_could_not_be_written_is_never_written_later() {
        for parts in 1..=3 {
            let (mut frames, mut file) = (GatheredFrames::default(), File::default());
            let mut commit = vec![header(0).to_vec(), vec![1; 512], header(2).to_vec(), vec![2; 512]];
            let mut offset = 32;
            let mut write = |frames: &mut GatheredFrames, part: &[u8], file: &mut File| {
                let done = frames.write(part, offset, &mut |data, at| file.put(data, at));
                offset += part.len() as i64;
                done
            };
            for part in commit.drain(..parts) {
                write(&mut frames, &part, &mut file).unwrap();
            }
            file.fails = Some(13);
            let failed = match parts {
                3 => write(&mut frames, &commit[0], &mut file),
                _ => frames.flush(&mut |data, at| file.put(data, at)),
            };
            assert_eq!(failed, Err(13));
            file.fails = None;
            frames.begin();
            frames.flush(&mut |data, at| file.put(data, at)).unwrap();
            frames.write(&[9; 32], 0, &mut |data, at| file.put(data, at)).unwrap();
            assert_eq!(file.bytes, [9; 32]);
        }
    }

    /// Reads, sizes and whatever else looks at the log see it as if each write had been made at once.
    #[test]
    fn a_log_is_never_seen_without_what_was_written_to_it() {
        let mut random = 1_u64;
        let mut below = |bound: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % bound
        };
        for _ in 0..300 {
            let (mut frames, mut file, mut plain) =
                (GatheredFrames::default(), File::default(), File::default());
            let page = 512 << below(8);
            let mut end = 0_i64;
            for step in 0..60 {
                let mut put = |data: &[u8], at: i64| file.put(data, at);
                let mut write = |frames: &mut GatheredFrames, data: &[u8], offset: i64| {
                    frames.write(data, offset, &mut put).unwrap();
                    plain.put(data, offset).unwrap();
                };
                let back = i64::try_from(below(4 * page)).unwrap().min(end);
                match below(20) {
                    0 => {
                        frames.begin();
                        assert!(frames.is_empty());
                        break;
                    }
                    1 => frames.flush(&mut put).unwrap(),
                    2 => write(&mut frames, &vec![step; below(page) as usize + 1], end - back),
                    3 => write(&mut frames, &header(0), end - back),
                    4 => end -= back,
                    5 => {
                        frames.before_read(end - back, 24 + page as u32, &mut put).unwrap();
                        let start = usize::try_from(end - back).unwrap();
                        let part = start..plain.bytes.len().min(start + 24 + page as usize);
                        assert!(file.bytes.get(part.clone()) == plain.bytes.get(part));
                    }
                    last => {
                        let is_last = last == 6;
                        write(&mut frames, &header(is_last.into()), end);
                        write(&mut frames, &vec![step; page as usize], end + 24);
                        end += 24 + page as i64;
                        if is_last {
                            assert!(frames.is_empty());
                            assert!(file.bytes == plain.bytes);
                        }
                    }
                }
                if frames.is_empty() {
                    assert!(file.bytes == plain.bytes);
                }
            }
        }
    }
}
