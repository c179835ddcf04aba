//! Homeostat brings a workload back to a verified stable state, or holds and says why.
//!
//! One loop, always in the same order, whatever woke it: **observe** the facts and their age;
//! **plan** (pure: assess, verify, decide); **record** the intent; **act**, one guarded write at a time;
//! announce; sleep until the plan's own wake-up time.
//!
//! Dependencies point one way: `main → controller → {observe, act, leader, metrics} → plan → api`.

pub mod act;
pub mod admin;
pub mod api;
pub mod cli;
pub mod client;
pub mod clock;
pub mod controller;
pub mod leader;
pub mod metrics;
pub mod observe;
pub mod plan;
pub mod settings;
pub mod telemetry;
