//! Where to connect, as whom and how: the parameters of one connection, resolved as libpq does.

use std::{
    fmt,
    net::IpAddr,
    path::{Path, PathBuf},
};

use crate::{
    connect::{
        choice::{Choices, choose},
        dsn,
        parameter::{self, Values},
        passfile, refuse, service,
    },
    error::Result,
};

/// How an environment variable is looked up: tests bring their own environment.
pub(super) type Env<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Neither `Debug` nor any message shows a password.
#[derive(Clone)]
pub struct Settings {
    /// Everything but the password, which the servers have.
    pub(super) values: Values,
    pub(super) choices: Choices,
    pub(super) servers: Vec<Server>,
    pub(super) home: Option<PathBuf>,
}

/// One of the hosts to try.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) host: Host,
    pub(super) port: u16,
    pub(super) password: Option<String>,
}

#[derive(Clone, PartialEq)]
pub(super) enum Host {
    /// The directory of a Unix socket; an abstract one starts with `@`.
    Socket(String),
    /// A name, and the address to use for it if `hostaddr` gave one; either may be missing.
    Tcp { name: Option<String>, address: Option<IpAddr> },
}

impl Settings {
    /// `dsn` is a URL or a keyword string; what it leaves open comes from the service file, then
    /// from the environment, then from libpq's defaults.
    pub fn resolve(dsn: Option<&str>, env: &Env) -> Result<Settings> {
        let mut values = dsn.map(dsn::parse).transpose()?.unwrap_or_default();
        let service = values.get("service").cloned().or_else(|| env("PGSERVICE"));
        if let Some(name) = service.filter(|name| !name.is_empty()) {
            for (name, value) in service::load(&name, env)? {
                values.entry(name).or_insert(value);
            }
        }
        fill_from_environment(&mut values, env);
        let choices = choose(&values)?;
        if get(&values, "sslrootcert") == Some("system") {
            // A default that child programs of an older version do not know.
            values.insert("sslmode", "verify-full".to_owned());
        }
        fill_user_and_database(&mut values)?;
        let home = home(env);
        let mut servers = servers(&values)?;
        add_passwords(&mut servers, &mut values, home.as_deref());
        Ok(Settings { values, choices, servers, home })
    }

    /// `host:port/database as user`, for messages.
    pub fn describe(&self) -> String {
        let servers: Vec<_> = self.servers.iter().map(Server::to_string).collect();
        format!("{}/{} as {}", servers.join(","), self.dbname(), self.user())
    }

    /// Names, addresses or socket directories, in the order they are tried.
    pub fn hosts(&self) -> Vec<String> {
        self.servers.iter().map(|server| server.host.to_string()).collect()
    }

    /// One for each host.
    pub fn ports(&self) -> Vec<u16> {
        self.servers.iter().map(|server| server.port).collect()
    }

    pub fn dbname(&self) -> &str {
        self.get("dbname").unwrap_or_default()
    }

    pub fn user(&self) -> &str {
        self.get("user").unwrap_or_default()
    }

    /// Whether both lead to the same hosts, ports and database, as far as can be told without
    /// asking them; who connects, and how, may differ.
    pub fn same_place(&self, other: &Settings) -> bool {
        let places = |settings: &Settings| -> Vec<(Host, u16)> {
            settings.servers.iter().map(|server| (server.host.clone(), server.port)).collect()
        };
        places(self) == places(other) && self.dbname() == other.dbname()
    }

    /// For the first host; a password file may have others for the others.
    pub fn password(&self) -> Option<&str> {
        self.servers.first().and_then(|server| server.password.as_deref())
    }

    pub fn application_name(&self) -> Option<&str> {
        self.get("application_name").or_else(|| self.get("fallback_application_name"))
    }

    pub fn set_application_name(&mut self, name: String) {
        self.values.insert("application_name", name);
    }

    /// Adds to what `options` says; the server reads it at the start of the session.
    pub fn add_option(&mut self, option: &str) {
        let options = match self.get("options") {
            Some(options) => format!("{options} {option}"),
            None => option.to_owned(),
        };
        self.values.insert("options", options);
    }

    pub fn set_user(&mut self, name: String) {
        self.values.insert("user", name);
    }

    pub fn set_dbname(&mut self, name: String) {
        self.values.insert("dbname", name);
    }

    /// What a password file for a child program must say, or None if no host has a password.
    pub fn passfile_text(&self) -> Option<String> {
        let text: String = self
            .servers
            .iter()
            .filter_map(|server| {
                let password = server.password.as_deref()?;
                Some(passfile::line(
                    &server.host.for_passfile(),
                    server.port,
                    self.user(),
                    password,
                ))
            })
            .collect();
        (!text.is_empty()).then_some(text)
    }

    /// For a child program such as pg_dump: every `PG*` variable of libpq, with None for those
    /// that it must not inherit. Passwords are left out: they go through a password file.
    pub fn environment(&self) -> Vec<(&'static str, Option<String>)> {
        let host = self.hosts().join(",");
        let port = self.ports().iter().map(u16::to_string).collect::<Vec<_>>().join(",");
        let mut pairs: Vec<_> = parameter::ALL
            .iter()
            .filter_map(|parameter| {
                let value = match parameter.name {
                    "host" => Some(host.clone()),
                    "port" => Some(port.clone()),
                    // The service is resolved, our encoding is UTF8, the password goes elsewhere.
                    "service" | "client_encoding" | "password" | "passfile" => None,
                    "application_name" => self.application_name().map(str::to_owned),
                    name => self.get(name).map(str::to_owned),
                };
                Some((parameter.variable?, value))
            })
            .collect();
        pairs.extend([("PGSERVICEFILE", None), ("PGREQUIRESSL", None)]);
        pairs
    }

    /// What a child program finds in a service file, as libpq has no variables for it: how soon a
    /// dead network is noticed, with defaults like ours. A cut connection would hang for hours.
    pub fn service_text(&self) -> Option<String> {
        const LIVELINESS: [(&str, &str); 5] = [
            ("keepalives", "1"),
            ("keepalives_idle", "5"),
            ("keepalives_interval", "2"),
            ("keepalives_count", "3"),
            ("tcp_user_timeout", "8000"),
        ];
        let over_network = self.servers.iter().any(|it| !matches!(it.host, Host::Socket(_)));
        let line = |(name, default): (&str, &str)| {
            format!("{name}={}\n", self.get(name).unwrap_or(default))
        };
        over_network.then(|| LIVELINESS.map(line).concat())
    }

    /// The value of a parameter that is set to something.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        get(&self.values, name)
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Settings({})", self.describe())
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.host.to_string();
        let ip_v6 = !matches!(self.host, Host::Socket(_)) && host.contains(':');
        if ip_v6 { write!(f, "[{host}]:{}", self.port) } else { write!(f, "{host}:{}", self.port) }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Socket(dir) => f.write_str(dir),
            Host::Tcp { name: Some(name), .. } => f.write_str(name),
            Host::Tcp { address: Some(address), .. } => address.fmt(f),
            Host::Tcp { name: None, address: None } => f.write_str("localhost"),
        }
    }
}

impl Host {
    /// Password files call the default socket `localhost`.
    fn for_passfile(&self) -> String {
        match self {
            Host::Socket(dir) if dir == default_socket_dir() => "localhost".to_owned(),
            host => host.to_string(),
        }
    }
}

/// As libpq finds it: HOME, else what the user database says.
pub(super) fn home(env: &Env) -> Option<PathBuf> {
    env("HOME")
        .filter(|home| !home.is_empty())
        .map(PathBuf::from)
        .or_else(|| operating_system_user().map(|user| user.dir))
}

pub(super) fn operating_system_user() -> Option<nix::unistd::User> {
    nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten()
}

fn get<'a>(values: &'a Values, name: &str) -> Option<&'a str> {
    values.get(name).map(String::as_str).filter(|value| !value.is_empty())
}

fn fill_from_environment(values: &mut Values, env: &Env) {
    for parameter in parameter::ALL {
        if values.contains_key(parameter.name) {
            continue;
        }
        if let Some(value) = parameter.variable.and_then(env) {
            values.insert(parameter.name, value);
        }
    }
    let requires_ssl = || env("PGREQUIRESSL").is_some_and(|value| value.starts_with('1'));
    if !values.contains_key("sslmode") && requires_ssl() {
        values.insert("sslmode", "require".to_owned());
    }
}

fn fill_user_and_database(values: &mut Values) -> Result<()> {
    if get(values, "user").is_none() {
        let user = operating_system_user()
            .ok_or_else(|| refuse("no database user is set", "set user= or PGUSER"))?;
        values.insert("user", user.name);
    }
    if get(values, "dbname").is_none() {
        let user = get(values, "user").unwrap_or_default().to_owned();
        values.insert("dbname", user);
    }
    Ok(())
}

fn servers(values: &Values) -> Result<Vec<Server>> {
    let list = |name| -> Vec<&str> {
        get(values, name).map(|list| list.split(',').map(str::trim).collect()).unwrap_or_default()
    };
    let (hosts, addresses, ports) = (list("host"), list("hostaddr"), list("port"));
    if !hosts.is_empty() && !addresses.is_empty() && hosts.len() != addresses.len() {
        return Err(refuse("`host` and `hostaddr` name a different number of servers", None));
    }
    let count = hosts.len().max(addresses.len()).max(1);
    if ports.len() > 1 && ports.len() != count {
        return Err(refuse("`port` must name one port, or one for each host", None));
    }
    (0..count)
        .map(|index| {
            let port = ports.get(index).or(ports.first()).copied().unwrap_or_default();
            let host = hosts.get(index).copied().unwrap_or_default();
            let address = addresses.get(index).copied().unwrap_or_default();
            Ok(Server { host: parse_host(host, address)?, port: parse_port(port)?, password: None })
        })
        .collect()
}

fn parse_host(host: &str, address: &str) -> Result<Host> {
    if !address.is_empty() {
        let address =
            address.parse().map_err(|_| refuse("`hostaddr` is not an IP address", None))?;
        let name = (!host.is_empty()).then(|| host.to_owned());
        return Ok(Host::Tcp { name, address: Some(address) });
    }
    Ok(match host {
        "" => Host::Socket(default_socket_dir().to_owned()),
        dir if dir.starts_with(['/', '@']) => Host::Socket(dir.to_owned()),
        name => Host::Tcp { name: Some(name.to_owned()), address: None },
    })
}

fn parse_port(port: &str) -> Result<u16> {
    match port {
        "" => Ok(5432),
        port => port.parse().ok().filter(|port| *port > 0).ok_or_else(|| {
            refuse(
                "a port of the connection is not a number from 1 to 65535",
                "if it is part of a password: in a URL, write `@` as %40, `/` as %2F, `:` as %3A",
            )
        }),
    }
}

/// Where packages put it: Debian and others in /var/run, PostgreSQL's own default is /tmp.
fn default_socket_dir() -> &'static str {
    let packaged = "/var/run/postgresql";
    if Path::new(packaged).is_dir() { packaged } else { "/tmp" }
}

/// One password for all, or from the password file for each host.
fn add_passwords(servers: &mut [Server], values: &mut Values, home: Option<&Path>) {
    if let Some(password) = values.remove("password").filter(|password| !password.is_empty()) {
        for server in servers {
            server.password = Some(password.clone());
        }
        return;
    }
    let path = match get(values, "passfile") {
        Some(path) => PathBuf::from(path),
        None => match home {
            Some(home) => home.join(".pgpass"),
            None => return,
        },
    };
    let Some(text) = passfile::read(&path) else { return };
    let database = get(values, "dbname").unwrap_or_default();
    let user = get(values, "user").unwrap_or_default();
    for server in servers {
        let host = server.host.for_passfile();
        let wanted = passfile::Wanted { host: &host, port: server.port, database, user };
        server.password = passfile::find(&text, &wanted);
    }
}
