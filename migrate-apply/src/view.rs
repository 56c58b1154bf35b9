//! The two faces of the session that works: what the ledger's statements run under, and what a script does.

use std::time::Duration;

use migrate_core::{
    connect::session::{Facts, SETTINGS},
    ledger::quote_literal,
};

/// Brings a session back to what the ledger's statements run under, whatever a script set.
pub(crate) fn ledger(facts: &Facts, application: &str) -> String {
    format!(
        "reset session authorization; reset role; reset all; {SETTINGS}; {}set application_name = {}",
        newer_settings(facts),
        quote_literal(application)
    )
}

/// What psql as this role would have, apart from time limits and the text's encoding.
pub(crate) fn script(facts: &Facts, application: &str, lock_timeout: Option<Duration>) -> String {
    let lock_timeout = lock_timeout.map_or(0, |it| it.as_millis());
    format!(
        "reset all; set lock_timeout = {lock_timeout}; set statement_timeout = 0; \
         set idle_in_transaction_session_timeout = 0; set client_encoding = 'UTF8'; \
         set standard_conforming_strings = on; {}set application_name = {}",
        newer_settings(facts),
        quote_literal(application)
    )
}

/// What only newer servers know: orphans end soon, and no limit of the role's ends us.
fn newer_settings(facts: &Facts) -> &'static str {
    match facts.server_version_num {
        170_000.. => {
            "set client_connection_check_interval = 1000; set idle_session_timeout = 0; \
             set transaction_timeout = 0; "
        }
        140_000.. => "set client_connection_check_interval = 1000; set idle_session_timeout = 0; ",
        _ => "",
    }
}
