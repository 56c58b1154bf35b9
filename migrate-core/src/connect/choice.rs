//! Parameters that choose a behaviour, and those that are refused since they cannot be honoured.

use std::time::Duration;

use crate::{
    connect::{parameter::Values, refuse},
    error::{Error, Result},
};

/// In the order of strength, so that modes can be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SslMode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
    PreferStandby,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Binding {
    Disable,
    Prefer,
    Require,
}

/// TLS versions from `min` to `max`; older ones than 1.2 are never used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TlsVersion {
    V1_2,
    V1_3,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct KeepAlive {
    pub(super) idle: Option<Duration>,
    pub(super) interval: Option<Duration>,
    pub(super) count: Option<u32>,
}

#[derive(Debug, Clone)]
pub(super) struct Choices {
    pub(super) ssl_mode: SslMode,
    /// TLS from the first byte, for servers from 17 on.
    pub(super) direct_tls: bool,
    pub(super) tls_versions: (TlsVersion, TlsVersion),
    pub(super) sni: bool,
    /// Whether a client certificate may be sent.
    pub(super) client_certificate: bool,
    pub(super) binding: Binding,
    pub(super) role: Role,
    pub(super) shuffle: bool,
    pub(super) connect_timeout: Option<Duration>,
    pub(super) keep_alive: Option<KeepAlive>,
    pub(super) user_timeout: Option<Duration>,
}

/// libpq waits for ever unless told otherwise; an unattended tool should not.
const CONNECT_TIMEOUT_SECONDS: i64 = 15;

pub(super) fn choose(values: &Values) -> Result<Choices> {
    refuse_what_cannot_be_honoured(values)?;
    let choices = Choices {
        ssl_mode: ssl_mode(values)?,
        direct_tls: one_of(values, "sslnegotiation", &[("postgres", false), ("direct", true)])?,
        tls_versions: tls_versions(values)?,
        sni: one_of(values, "sslsni", &[("1", true), ("0", false)])?,
        client_certificate: one_of(values, "sslcertmode", &[("allow", true), ("disable", false)])?,
        binding: one_of(
            values,
            "channel_binding",
            &[
                ("prefer", Binding::Prefer),
                ("disable", Binding::Disable),
                ("require", Binding::Require),
            ],
        )?,
        role: one_of(
            values,
            "target_session_attrs",
            &[
                ("any", Role::Any),
                ("read-write", Role::ReadWrite),
                ("read-only", Role::ReadOnly),
                ("primary", Role::Primary),
                ("standby", Role::Standby),
                ("prefer-standby", Role::PreferStandby),
            ],
        )?,
        shuffle: one_of(values, "load_balance_hosts", &[("disable", false), ("random", true)])?,
        connect_timeout: positive(number(values, "connect_timeout", CONNECT_TIMEOUT_SECONDS)?)
            .map(Duration::from_secs),
        keep_alive: keep_alive(values)?,
        user_timeout: positive(number(values, "tcp_user_timeout", 8000)?)
            .map(Duration::from_millis),
    };
    if choices.direct_tls && choices.ssl_mode < SslMode::Require {
        return Err(refuse(
            "`sslnegotiation=direct` needs `sslmode=require` or stronger",
            "set sslmode, or leave sslnegotiation out",
        ));
    }
    Ok(choices)
}

fn ssl_mode(values: &Values) -> Result<SslMode> {
    let system_roots = values.get("sslrootcert").is_some_and(|file| file == "system");
    if system_roots && !values.contains_key("sslmode") {
        return Ok(SslMode::VerifyFull);
    }
    let mode = one_of(
        values,
        "sslmode",
        &[
            ("prefer", SslMode::Prefer),
            ("disable", SslMode::Disable),
            ("allow", SslMode::Allow),
            ("require", SslMode::Require),
            ("verify-ca", SslMode::VerifyCa),
            ("verify-full", SslMode::VerifyFull),
        ],
    )?;
    if system_roots && mode != SslMode::VerifyFull {
        return Err(refuse(
            "a weak `sslmode` cannot be used with `sslrootcert=system`",
            "anyone can have a certificate from a public authority: use sslmode=verify-full",
        ));
    }
    Ok(mode)
}

fn tls_versions(values: &Values) -> Result<(TlsVersion, TlsVersion)> {
    use TlsVersion::{V1_2, V1_3};
    // A lower minimum is honoured by being stricter; a lower maximum could not be.
    let lowest =
        [("TLSv1.2", V1_2), ("TLSv1", V1_2), ("TLSv1.1", V1_2), ("TLSv1.3", V1_3), ("", V1_2)];
    let highest = [("TLSv1.3", V1_3), ("TLSv1.2", V1_2), ("", V1_3)];
    let minimum = one_of(values, "ssl_min_protocol_version", &lowest)?;
    let maximum = one_of(values, "ssl_max_protocol_version", &highest)?;
    if minimum > maximum {
        return Err(refuse("`ssl_min_protocol_version` is above `ssl_max_protocol_version`", None));
    }
    Ok((minimum, maximum))
}

/// Found dead after 5 + 3 * 2 seconds, unless set otherwise; `keepalives=0` turns them off.
fn keep_alive(values: &Values) -> Result<Option<KeepAlive>> {
    let keep_alive = KeepAlive {
        idle: positive(number(values, "keepalives_idle", 5)?).map(Duration::from_secs),
        interval: positive(number(values, "keepalives_interval", 2)?).map(Duration::from_secs),
        count: positive(number(values, "keepalives_count", 3)?)
            .and_then(|count| u32::try_from(count).ok()),
    };
    Ok((number(values, "keepalives", 1)? != 0).then_some(keep_alive))
}

fn refuse_what_cannot_be_honoured(values: &Values) -> Result<()> {
    let given = |name: &str| values.get(name).map(String::as_str).filter(|value| !value.is_empty());
    let cannot = |what: &str, hint| Err(refuse(format!("{what} cannot be honoured"), hint));
    if given("gssencmode") == Some("require") {
        return cannot("`gssencmode=require`", "encrypt with TLS instead: sslmode=verify-full");
    }
    one_of(values, "gssencmode", &[("prefer", ()), ("disable", ())])?;
    if given("sslcompression").is_some_and(|value| value != "0") {
        return cannot("`sslcompression`", "compression inside TLS is unsafe: leave it out");
    }
    if given("sslcertmode") == Some("require") {
        return cannot("`sslcertmode=require`", "leave it out, and let the server ask with `cert`");
    }
    if given("sslcrldir").is_some() {
        return cannot("`sslcrldir`", "put the revocation lists into one file, and use sslcrl");
    }
    if given("require_auth").is_some()
        && !(given("require_auth") == Some("scram-sha-256")
            && given("channel_binding") == Some("require"))
    {
        return cannot(
            "this `require_auth`",
            "use `channel_binding=require`, alone or with `require_auth=scram-sha-256`: it \
             accepts nothing but SCRAM over TLS",
        );
    }
    if given("replication").is_some_and(|value| !matches!(value, "false" | "off" | "no" | "0")) {
        return cannot("`replication`", "a replication connection cannot run SQL: leave it out");
    }
    Ok(())
}

/// The choice for a value; the first is the default. An empty value is one of the choices or
/// wrong, never the default: that could be a weaker one than was meant.
fn one_of<T: Copy>(values: &Values, name: &str, choices: &[(&str, T)]) -> Result<T> {
    let Some(value) = values.get(name) else { return Ok(choices[0].1) };
    choices.iter().find(|(word, _)| word == value).map(|(_, choice)| *choice).ok_or_else(|| {
        let words: Vec<_> =
            choices.iter().map(|(word, _)| *word).filter(|word| !word.is_empty()).collect();
        Error::Settings {
            message: format!("the connection parameter `{name}` has a value that is not known"),
            hint: Some(format!("it can be {}", words.join(", "))),
        }
    })
}

fn number(values: &Values, name: &str, default: i64) -> Result<i64> {
    match values.get(name).map(|value| value.trim()).filter(|value| !value.is_empty()) {
        None => Ok(default),
        Some(value) => value.parse::<i32>().map(i64::from).map_err(|_| {
            refuse(format!("the connection parameter `{name}` is not a whole number"), None)
        }),
    }
}

fn positive(number: i64) -> Option<u64> {
    u64::try_from(number).ok().filter(|number| *number > 0)
}
