//! Scenarios of the pure plan: long stories about one Deployment, told to [`plan::step`](homeostat::plan::step) in a
//! fake world with a stepped clock. What must hold always (an intent before its effect, no effect while blind, nothing
//! left behind, rest after every change) is checked by the world itself at every step.

mod autoscaling;
mod change;
mod checks;
mod closure;
mod cuts;
mod deletion;
mod dependencies;
mod fleet;
mod floors;
mod forgotten;
mod include;
mod independence;
mod isolation;
mod letting_go;
mod mode;
mod neighbours;
mod nodes;
mod outside;
mod owners;
mod parity;
mod peer_bugs;
mod pod_security;
mod pods;
mod pre_scale;
mod rehearsal;
mod relapse;
mod renewal;
mod restraint;
mod routes;
mod secrets;
mod sight;
mod simulation;
mod soak;
mod standby;
mod states;
mod triage;
mod world;
