//! Log lines. Set up once, by `main`.

use tracing_subscriber::EnvFilter;

use crate::settings::LogFormat;

/// Starts logging to standard error.
///
/// # Errors
/// If `level` is neither a level nor a list of directives, or logging was started before.
pub fn start(format: LogFormat, level: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(level)
        .map_err(|error| anyhow::anyhow!("failed to read --log-level {level:?}: {error}; write for example info"))?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    match format {
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
        LogFormat::Text => lines.with_ansi(false).try_init(),
    }
    .map_err(|error| anyhow::anyhow!("failed to start logging: {error}"))
}
