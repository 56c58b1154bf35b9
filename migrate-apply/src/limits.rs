//! How long a run may wait, and how long others may wait for it: the flags of `up` and `down`.

use std::time::Duration;

use migrate_core::{cli, ctx::Ctx};

#[derive(clap::Args)]
pub(crate) struct Waits {
    /// How long to wait for the migration lock
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = cli::duration)]
    pub(crate) wait: Duration,

    /// How long a statement may wait for a table lock before it steps back and retries [default: 500ms]
    #[arg(long, value_name = "DURATION", value_parser = cli::lock_timeout)]
    lock_timeout: Option<Duration>,

    /// How long others may be blocked by a migration before it is cancelled and tried again [default: 2s]
    #[arg(long, value_name = "DURATION", value_parser = cli::block_limit)]
    block_limit: Option<Duration>,

    /// How long to retry in all [default: 10m]
    #[arg(long, value_name = "DURATION", value_parser = cli::duration)]
    retry_budget: Option<Duration>,
}

/// How long locks may be waited for, and how long others may wait for ours.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// For one statement; then the transaction is rolled back and tried again.
    pub(crate) lock_timeout: Duration,
    /// For others; then the statement is cancelled, and the transaction is tried again later.
    pub(crate) block_limit: Duration,
    /// For all tries together.
    pub(crate) retry_budget: Duration,
}

impl Waits {
    /// The flags beat the configuration.
    pub(crate) fn limits(&self, ctx: &Ctx) -> Limits {
        Limits {
            lock_timeout: self.lock_timeout.unwrap_or(ctx.config.lock_timeout),
            block_limit: self.block_limit.unwrap_or(ctx.config.block_limit),
            retry_budget: self.retry_budget.unwrap_or(ctx.config.retry_budget),
        }
    }
}

/// How long to look for the server after a connection was lost; tests of a debug build may set
/// it with `MIGRATE_RECONNECT`.
pub(crate) fn reconnect_time() -> Duration {
    match std::env::var("MIGRATE_RECONNECT") {
        Ok(time) if cfg!(debug_assertions) => {
            humantime::parse_duration(&time).expect("MIGRATE_RECONNECT is a duration")
        }
        _ => Duration::from_secs(30),
    }
}
