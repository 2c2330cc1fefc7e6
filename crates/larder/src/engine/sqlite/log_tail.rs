//! Whether the log holds a commit that its index does not know of.
//!
//! SQLite writes a commit's frames, syncs them, and then enters them in the index. If it fails in between, it rolls the
//! commit back and says that it has failed. But the frames lie in the log, and if the system crashes before another
//! commit has replaced them, recovery finds a whole commit there. This looks for one as recovery does: section 4 of
//! "WAL-mode File Format" in SQLite's documentation has the format.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

const LOG_HEADER_BYTES: u64 = 32;
const FRAME_HEADER_BYTES: usize = 24;

/// The magic number of a log whose checksums are those of little-endian words; with the last bit set, of big-endian
/// words.
const MAGIC: u32 = 0x377f_0682;

/// Where the log ends by its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LogEnd {
    pub frames: u32,
    pub page_bytes: u32,
    pub salts: [u8; 8],
    /// The checksum of the last frame, which those that follow continue.
    pub checksum: [u32; 2],
    pub big_endian: bool,
}

/// Where the page of a frame begins in the log. Frames are counted from one.
pub(super) fn offset_of_page(frame: u32, page_bytes: u32) -> u64 {
    let frame_bytes = FRAME_HEADER_BYTES as u64 + u64::from(page_bytes);
    LOG_HEADER_BYTES + u64::from(frame.saturating_sub(1)) * frame_bytes + FRAME_HEADER_BYTES as u64
}

/// Whether a whole commit follows the end.
pub(super) fn has_more(log: &Path, end: LogEnd) -> io::Result<bool> {
    let mut log = BufReader::new(File::open(log)?);
    match more(&mut log, end) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        found => found,
    }
}

fn more(log: &mut (impl Read + Seek), mut end: LogEnd) -> io::Result<bool> {
    if end.frames == 0 {
        // A log that starts over gets its header with its first frames.
        let mut header = [0; LOG_HEADER_BYTES as usize];
        log.read_exact(&mut header)?;
        end.big_endian = word(&header, 0) == MAGIC | 1;
        end.page_bytes = word(&header, 8);
        end.salts.copy_from_slice(&header[16..24]);
        end.checksum = checksum([0, 0], &header[..24], end.big_endian);
        let is_sound =
            word(&header, 0) & !1 == MAGIC && end.checksum == [word(&header, 24), word(&header, 28)];
        if !is_sound || !end.page_bytes.is_power_of_two() || !(512..=65536).contains(&end.page_bytes) {
            return Ok(false);
        }
    }
    let page_bytes = end.page_bytes as usize;
    let mut frame = vec![0; FRAME_HEADER_BYTES + page_bytes];
    log.seek(SeekFrom::Start(LOG_HEADER_BYTES + u64::from(end.frames) * frame.len() as u64))?;
    loop {
        log.read_exact(&mut frame)?;
        let so_far = checksum(end.checksum, &frame[..8], end.big_endian);
        end.checksum = checksum(so_far, &frame[FRAME_HEADER_BYTES..], end.big_endian);
        if frame[8..16] != end.salts || end.checksum != [word(&frame, 16), word(&frame, 20)] {
            return Ok(false);
        }
        // The size of the file after the commit: the last frame of a commit has it.
        if word(&frame, 4) != 0 {
            return Ok(true);
        }
    }
}

/// The big-endian number at a place.
fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn checksum([mut first, mut second]: [u32; 2], bytes: &[u8], big_endian: bool) -> [u32; 2] {
    let number = |four: &[u8]| {
        let four = [four[0], four[1], four[2], four[3]];
        if big_endian { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) }
    };
    for eight in bytes.chunks_exact(8) {
        first = first.wrapping_add(number(&eight[..4])).wrapping_add(second);
        second = second.wrapping_add(number(&eight[4..])).wrapping_add(first);
    }
    [first, second]
}
