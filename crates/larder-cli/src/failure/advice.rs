//! What a person at a terminal can do about an error of the store.

use std::borrow::Cow;

use larder::Error;

/// The library's advice is for the author of a program. Where someone who gives commands has to do something else,
/// this says it.
pub fn on(error: &Error) -> Option<Cow<'_, str>> {
    Some(Cow::Borrowed(match error {
        Error::ReadOnly { .. } => "Change the permissions of its file to write to it.",
        Error::TooLarge { .. } => "Shorten it, or split it up.",
        Error::Busy { holder: Some(process), .. } => {
            return Some(format!("Try again, or end process {process}.").into());
        }
        Error::Busy { .. } => "Try again, or end the process that holds the lock.",
        Error::Compacted { oldest } => {
            return Some(format!("List what is there now, and watch with --since {oldest}.").into());
        }
        Error::NoCursor { .. } => "Start again with a new one.",
        Error::OtherStore { .. } => {
            "Check --store. If the store was restored or copied, list what is there now and watch from there \
             (`watch --snapshot`)."
        }
        Error::Uncopied { source, .. } => return on(source),
        Error::CopyTooOld { .. } => {
            "Give --exact, which deletes from the target whatever the source does not hold, or empty the target and \
             begin again."
        }
        Error::FollowsItself => "Name another target, or leave out --follow.",
        Error::WritesStopped { .. } => "Check the disk and try again.",
        Error::UnsafeFileSystem { .. } => {
            "Keep the store on a local disk, or use a cluster. If only one machine uses it, give \
             --allow-unsafe-file-system."
        }
        _ => return error.advice(),
    }))
}
