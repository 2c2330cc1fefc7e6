//! When a write counts as done.

/// When a write counts as done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Once it is on the disk: a power cut right after the call returns loses nothing.
    #[default]
    Full,
    /// Once the operating system has it: a crash of the program loses nothing; a power cut may
    /// lose the last moments, whole commits from the end, but damages nothing.
    Relaxed,
}
