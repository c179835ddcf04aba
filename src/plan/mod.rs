//! The pure core. Facts in, one [`Plan`] out: what is so, what to record, what to do, when to look again.
//!
//! There is no client, clock, randomness, file or environment here: time is an argument, and the
//! same input gives the same bytes. Nothing above this module may be named in it.

pub mod content;
pub mod facts;
pub mod memory;

pub use facts::Facts;
pub use memory::Memory;
