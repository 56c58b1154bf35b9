//! The two faces of the session that works: what the ledger's statements run under, and what a script does.

use std::time::Duration;

use migrate_core::{
    connect::session::{Facts, SETTINGS},
    ledger::quote_literal,
};

/// Whatever a script set goes: what is left are the session's own defaults.
const RESET: &str = "reset session authorization; reset role; reset all";

/// Brings a session back to what the ledger's statements run under, whatever a script set.
pub(crate) fn ledger(facts: &Facts, application: &str) -> String {
    format!("{RESET}; {SETTINGS}; {}", ours(facts, application))
}

/// The same, as far as it matters to those that record a transactional step: they name times with
/// their zone and texts with their quotes. Twice as fast, as each setting is a statement.
pub(crate) fn record(facts: &Facts, application: &str) -> String {
    format!(
        "{RESET}; set search_path = pg_catalog, pg_temp; set synchronous_commit = on; \
         set lock_timeout = '5s'; {}",
        ours(facts, application)
    )
}

/// What psql as this role would have, apart from time limits and the text's encoding.
pub(crate) fn script(facts: &Facts, application: &str, lock_timeout: Option<Duration>) -> String {
    let lock_timeout = lock_timeout.map_or(0, |it| it.as_millis());
    format!("reset all; set lock_timeout = {lock_timeout}; {}", ours(facts, application))
}

/// The session's name; and what only newer servers know: orphans end soon, and no limit of the
/// role's ends us.
fn ours(facts: &Facts, application: &str) -> String {
    let newer = match facts.server_version_num {
        170_000.. => {
            "set client_connection_check_interval = 1000; set idle_session_timeout = 0; \
             set transaction_timeout = 0; "
        }
        140_000.. => "set client_connection_check_interval = 1000; set idle_session_timeout = 0; ",
        _ => "",
    };
    format!("{newer}set application_name = {}", quote_literal(application))
}
