//! The connection parameters that libpq 15 to 17 know, each with its environment variable.

use std::collections::BTreeMap;

/// Parameters by name; the names are those of `ALL`.
pub(super) type Values = BTreeMap<&'static str, String>;

pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) variable: Option<&'static str>,
}

/// From "Parameter Key Words" and "Environment Variables" in libpq's manual.
pub(super) const ALL: &[Parameter] = &[
    with("application_name", "PGAPPNAME"),
    with("channel_binding", "PGCHANNELBINDING"),
    with("client_encoding", "PGCLIENTENCODING"),
    with("connect_timeout", "PGCONNECT_TIMEOUT"),
    with("dbname", "PGDATABASE"),
    without("fallback_application_name"),
    with("gssdelegation", "PGGSSDELEGATION"),
    with("gssencmode", "PGGSSENCMODE"),
    with("gsslib", "PGGSSLIB"),
    with("host", "PGHOST"),
    with("hostaddr", "PGHOSTADDR"),
    without("keepalives"),
    without("keepalives_count"),
    without("keepalives_idle"),
    without("keepalives_interval"),
    with("krbsrvname", "PGKRBSRVNAME"),
    with("load_balance_hosts", "PGLOADBALANCEHOSTS"),
    with("options", "PGOPTIONS"),
    with("passfile", "PGPASSFILE"),
    with("password", "PGPASSWORD"),
    with("port", "PGPORT"),
    without("replication"),
    with("require_auth", "PGREQUIREAUTH"),
    with("requirepeer", "PGREQUIREPEER"),
    with("service", "PGSERVICE"),
    with("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION"),
    with("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION"),
    with("sslcert", "PGSSLCERT"),
    with("sslcertmode", "PGSSLCERTMODE"),
    with("sslcompression", "PGSSLCOMPRESSION"),
    with("sslcrl", "PGSSLCRL"),
    with("sslcrldir", "PGSSLCRLDIR"),
    with("sslkey", "PGSSLKEY"),
    with("sslmode", "PGSSLMODE"),
    with("sslnegotiation", "PGSSLNEGOTIATION"),
    without("sslpassword"),
    with("sslrootcert", "PGSSLROOTCERT"),
    with("sslsni", "PGSSLSNI"),
    with("target_session_attrs", "PGTARGETSESSIONATTRS"),
    without("tcp_user_timeout"),
    with("user", "PGUSER"),
];

/// The name as `ALL` spells it, or None for one that libpq does not know either.
pub(super) fn known(name: &str) -> Option<&'static str> {
    ALL.iter().map(|parameter| parameter.name).find(|known| *known == name)
}

const fn with(name: &'static str, variable: &'static str) -> Parameter {
    Parameter { name, variable: Some(variable) }
}

const fn without(name: &'static str) -> Parameter {
    Parameter { name, variable: None }
}
