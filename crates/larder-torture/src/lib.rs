//! What the trials share with tests and fuzzers: see `docs/torture.md`. The simulator, which takes the place of functions
//! of the C library, is in the program alone.

pub mod fuzzing;
pub mod model;
#[doc(hidden)]
pub mod random;
#[doc(hidden)]
pub mod scratch;
