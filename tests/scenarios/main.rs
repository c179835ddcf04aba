//! Scenarios of the pure plan: long stories about one Deployment, told to [`plan::step`](homeostat::plan::step) in a
//! fake world with a stepped clock. What must hold always (an intent before its effect, no effect while blind, nothing
//! left behind, rest after every change) is checked by the world itself at every step.

mod change;
mod closure;
mod fleet;
mod letting_go;
mod mode;
mod pods;
mod rehearsal;
mod relapse;
mod restraint;
mod secrets;
mod sight;
mod simulation;
mod soak;
mod standby;
mod states;
mod world;
