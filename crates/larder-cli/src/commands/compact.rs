//! `larder compact`: gives the space that the store does not need back to the system.

use serde_json::json;

use crate::arguments::Place;
use crate::failure::Failure;
use crate::output::Output;
use crate::progress;
use crate::text::size;

pub fn run(place: &Place, output: &mut Output) -> Result<(), Failure> {
    let store = place.whole("compact")?.changing()?.whole;
    let spinner = progress::spinner("writing the store anew without its free space");
    let freed = store.compact();
    spinner.finish_and_clear();
    let freed = freed?;
    let file_bytes = store.stats()?.file_bytes;
    let words = format!("the file is smaller by {}, and has {}", size(freed), size(file_bytes));
    output.answer(
        &json!({ "freed_bytes": freed, "file_bytes": file_bytes }),
        &words,
        Some(&freed.to_string()),
    )
}
