//! Which versions of SQLite can damage a store that several connections use.
//!
//! Every SQLite with a write-ahead log before 3.51.3 can: if a checkpoint and a commit that starts the log over meet in
//! an unlucky moment, a later checkpoint skips pages ("the WAL-reset bug", <https://sqlite.org/wal.html>).

use crate::data::{Error, Result};

/// The first version that was released with the fault mended, as SQLite counts: 3.51.3.
const MENDED: u32 = 3_051_003;

/// Older lines into which SQLite's authors brought the correction: 3.44 from 3.44.6 on, and 3.50 from 3.50.7 on.
const MENDED_LINES: [u32; 2] = [3_044_006, 3_050_007];

/// Whether a version has the correction.
pub(super) fn is_safe(version: u32) -> bool {
    version >= MENDED || MENDED_LINES.iter().any(|first| version >= *first && version / 1000 == first / 1000)
}

/// A version as people write it, such as `3.51.3`.
pub(super) fn shown(version: u32) -> String {
    format!("{}.{}.{}", version / 1_000_000, version / 1000 % 1000, version % 1000)
}

/// Refuses to run on an SQLite that can damage the file.
pub(super) fn check() -> Result<()> {
    // It is never negative.
    let version = rusqlite::version_number().unsigned_abs();
    if is_safe(version) { Ok(()) } else { Err(Error::UnsafeSqlite { version: shown(version) }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_versions_without_the_fault_are_taken() {
        for version in [3_007_000, 3_034_001, 3_044_005, 3_045_000, 3_050_006, 3_051_000, 3_051_002] {
            assert!(!is_safe(version), "{version}");
        }
        for version in [3_044_006, 3_044_009, 3_050_007, 3_051_003, 3_052_000, 3_054_001, 4_000_000] {
            assert!(is_safe(version), "{version}");
        }
        assert!(check().is_ok());
        assert_eq!(shown(3_051_003), "3.51.3");
    }
}
