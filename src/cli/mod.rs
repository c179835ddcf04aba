//! Subcommands for people and for the chart. They may read a cluster; they never write to it.

pub mod check;
pub mod crds;
mod eyes;
pub mod plan;
mod report;
pub mod states;

use std::io::{ErrorKind, Write};

use clap::ValueEnum;

/// Form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people, at most 80 columns where names allow it.
    Text,
    /// For programs.
    Json,
}

/// Prints a result. A reader who has seen enough (`| head`) is no error.
fn print(text: &str) -> anyhow::Result<()> {
    let mut output = std::io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
