#![doc = include_str!("../README.md")]

mod follower;
mod group;
mod held;
mod live;

pub use group::Group;
pub use live::Live;
