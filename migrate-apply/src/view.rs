//! The two faces of the session that works: what the ledger's statements run under, and what a script does.

use std::time::Duration;

use migrate_core::{
    connect::session::{Facts, SETTINGS},
    ledger::quote_literal,
};

/// What comes before the settings of the ledger's view: whatever a script set goes.
pub(crate) const RESET: &str = "reset session authorization; reset role; reset all";

/// Brings a session back to what the ledger's statements run under, whatever a script set.
pub(crate) fn ledger(facts: &Facts, application: &str) -> String {
    format!("{RESET}; {}", ledger_settings(facts, application))
}

/// What psql as this role would have, apart from time limits and the text's encoding.
pub(crate) fn script(facts: &Facts, application: &str, lock_timeout: Option<Duration>) -> String {
    format!("reset all; {}", script_settings(facts, application, lock_timeout))
}

/// The settings of the ledger's view as one statement.
pub(crate) fn ledger_settings(facts: &Facts, application: &str) -> String {
    format!("{}, {}", SETTINGS.trim_end(), settings(&ours(facts, application)))
}

/// Those of a script's view.
pub(crate) fn script_settings(
    facts: &Facts,
    application: &str,
    lock_timeout: Option<Duration>,
) -> String {
    let lock_timeout = lock_timeout.map_or(0, |it| it.as_millis()).to_string();
    let mut wanted = vec![
        ("lock_timeout", &*lock_timeout),
        ("statement_timeout", "0"),
        ("idle_in_transaction_session_timeout", "0"),
        ("client_encoding", "UTF8"),
        ("standard_conforming_strings", "on"),
    ];
    wanted.extend(ours(facts, application));
    format!("select {}", settings(&wanted))
}

/// The session's name; and what only newer servers know: orphans end soon, and no limit of the
/// role's ends us.
fn ours<'a>(facts: &Facts, application: &'a str) -> Vec<(&'static str, &'a str)> {
    let mut wanted = vec![("application_name", application)];
    if facts.server_version_num >= 140_000 {
        wanted
            .extend([("client_connection_check_interval", "1000"), ("idle_session_timeout", "0")]);
    }
    if facts.server_version_num >= 170_000 {
        wanted.push(("transaction_timeout", "0"));
    }
    wanted
}

/// Named with its schema, since a script's search path may put another function in front.
fn settings(wanted: &[(&str, &str)]) -> String {
    let set = |(name, value): &(&str, &str)| {
        format!("pg_catalog.set_config('{name}', {}, false)", quote_literal(value))
    };
    wanted.iter().map(set).collect::<Vec<_>>().join(", ")
}
