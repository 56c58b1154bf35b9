//! Five throwaway servers that differ in their certificate, with the files that clients need.
#![allow(
    clippy::disallowed_methods,
    reason = "the servers under test are not started by the code under test"
)]

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::LazyLock,
    thread,
    time::{Duration, Instant},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    IsCa, KeyIdMethod, KeyPair, RevokedCertParams, SanType, date_time_ymd,
};

/// Its stdin closes when this test process ends, however that happens; then nothing is left.
const KEEPER: &str = r#"
    dir=$1; user=$2; shift 2
    as() { if [ "$user" ]; then setpriv --reuid="$user" --regid="$user" --clear-groups "$@"; else "$@"; fi; }
    cd "$dir"
    as initdb --pgdata="$dir/template" --auth=trust --username=postgres --no-sync --wal-segsize=1 >log 2>&1 || exit 1
    as cp pg_hba.conf template/
    as postgres --single -D "$dir/template" postgres <roles.sql >>log 2>&1 || exit 1
    for server in "$@"; do
        name=${server%:*}
        as cp -r template "$name"
        ssl=off
        if [ -e "$name.crt" ]; then ssl=on; as cp "$name.crt" "$name.key" ca.crt "$name"; fi
        as pg_ctl start -W -D "$dir/$name" -l "$dir/$name.log" -o "-k $dir -h 127.0.0.1 -p ${server#*:} -F \
            -c ssl=$ssl -c ssl_cert_file=$name.crt -c ssl_key_file=$name.key -c ssl_ca_file=ca.crt" >>log 2>&1
    done
    cat >/dev/null
    for server in "$@"; do as pg_ctl stop -D "$dir/${server%:*}" -m immediate >/dev/null 2>&1; done
    cd /; rm -rf "$dir"
"#;

const ACCESS: &str = "\
local     all all                     trust
hostssl   all certificate 127.0.0.1/32 cert
hostssl   all scram       127.0.0.1/32 scram-sha-256
hostssl   all tls_only    127.0.0.1/32 trust
hostnossl all plain_only  127.0.0.1/32 trust
host      all anyone      127.0.0.1/32 trust
";

const ROLES: &str = "\
create role certificate login;
create role scram login password 'hunter2';
create role tls_only login;
create role plain_only login;
create role anyone login;
create role shut_out login;
create role crowded login connection limit 0;
";

/// The name in the good certificate; tests reach it with `hostaddr`.
pub(crate) const NAME: &str = "db.example";

pub(crate) struct Servers {
    pub(crate) dir: PathBuf,
    ports: Vec<(&'static str, u16)>,
}

pub(crate) static SERVERS: LazyLock<Servers> = LazyLock::new(start);

impl Servers {
    /// `good`, `expired`, `self-signed`, `nameless` or `plain`.
    pub(crate) fn port(&self, name: &str) -> u16 {
        self.ports.iter().find(|(known, _)| *known == name).unwrap().1
    }

    pub(crate) fn file(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }
}

/// `sslmode` is left open.
pub(crate) fn dsn(server: &str, user: &str, more: &str) -> String {
    let port = SERVERS.port(server);
    format!("host={NAME} hostaddr=127.0.0.1 port={port} dbname=postgres user={user} {more}")
}

fn start() -> Servers {
    let dir = tempfile::Builder::new().prefix("migrate-tests-").tempdir().unwrap().keep();
    write_certificates(&dir);
    fs::write(dir.join("pg_hba.conf"), ACCESS).unwrap();
    fs::write(dir.join("roles.sql"), ROLES).unwrap();
    let names = ["good", "expired", "self-signed", "nameless", "plain"];
    // All held at once, so that they differ.
    let held: Vec<_> = names.map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).into();
    let ports = held.iter().map(|listener| listener.local_addr().unwrap().port());
    let ports: Vec<_> = names.into_iter().zip(ports).collect();
    drop(held);
    // PostgreSQL refuses to run as root, which is who tests are in many containers.
    let root = nix::unistd::geteuid().is_root();
    if root {
        let status = Command::new("chown").args(["-R", "postgres"]).arg(&dir).status().unwrap();
        assert!(status.success());
    }
    let mut keeper = Command::new("sh");
    keeper.args(["-c", KEEPER, "keeper"]).arg(&dir).arg(if root { "postgres" } else { "" });
    keeper.args(ports.iter().map(|(name, port)| format!("{name}:{port}")));
    keeper.env("PATH", path_with_server_programs()).stdin(Stdio::piped());
    // Its own process group, so that Ctrl-C ends the tests but not the one who cleans up.
    keeper.process_group(0);
    // The pipe must stay open as long as the process lives: forget the child.
    std::mem::forget(keeper.spawn().unwrap());
    wait_for(&dir, &ports);
    Servers { dir, ports }
}

fn wait_for(dir: &Path, ports: &[(&str, u16)]) {
    let deadline = Instant::now() + Duration::from_secs(60);
    for (name, port) in ports {
        let address = SocketAddr::from(([127, 0, 0, 1], *port));
        while TcpStream::connect(address).is_err()
            || crate::connect(&crate::open::local(dir, *port)).is_err()
        {
            assert!(
                Instant::now() < deadline,
                "no server {name}, see the logs in {}",
                dir.display()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The newest version that is installed, unless PATH has one already.
fn path_with_server_programs() -> String {
    let path = std::env::var("PATH").unwrap();
    if path.split(':').any(|dir| Path::new(dir).join("initdb").exists()) {
        return path;
    }
    let version = |dir: &PathBuf| -> Option<u32> { dir.file_name()?.to_str()?.parse().ok() };
    let installed = fs::read_dir("/usr/lib/postgresql").unwrap().map(|entry| entry.unwrap().path());
    let newest = installed.filter(|dir| dir.join("bin/initdb").exists()).max_by_key(version);
    format!("{}/bin:{path}", newest.unwrap().display())
}

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn write_certificates(dir: &Path) {
    let (ours, other) = (authority("our authority"), authority("another authority"));
    fs::write(dir.join("ca.crt"), ours.pem()).unwrap();
    fs::write(dir.join("other-ca.crt"), other.pem()).unwrap();

    issue(dir, "good", &named("server", true), &ours);
    fs::write(dir.join("nothing.crl"), revoked(&ours, Vec::new())).unwrap();
    fs::write(dir.join("good.crl"), revoked(&ours, vec![SERIAL])).unwrap();
    let mut expired = named("server", true);
    expired.not_before = date_time_ymd(2019, 1, 1);
    expired.not_after = date_time_ymd(2020, 2, 3);
    issue(dir, "expired", &expired, &ours);
    issue(dir, "nameless", &named(NAME, false), &ours);
    issue(dir, "client", &named("certificate", false), &ours);
    issue(dir, "foreign-client", &named("certificate", false), &other);

    // As `openssl req -x509` makes it: its own authority.
    let mut alone = named("server", true);
    alone.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    write_pair(dir, "self-signed", &alone.self_signed(&key).unwrap().pem(), &key);
}

/// Of every certificate: only revocation looks at it.
const SERIAL: u64 = 7;

fn revoked(by: &Issuer, serials: Vec<u64>) -> String {
    let revoked = serials.into_iter().map(|serial| RevokedCertParams {
        serial_number: serial.into(),
        revocation_time: date_time_ymd(2024, 1, 1),
        reason_code: None,
        invalidity_date: None,
    });
    let list = CertificateRevocationListParams {
        this_update: date_time_ymd(2024, 1, 1),
        next_update: date_time_ymd(4000, 1, 1),
        crl_number: 1.into(),
        issuing_distribution_point: None,
        revoked_certs: revoked.collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    list.signed_by(by).unwrap().pem().unwrap()
}

fn authority(name: &str) -> Issuer {
    let mut params = named(name, false);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn named(common_name: &str, with_names: bool) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.serial_number = Some(SERIAL.into());
    params.distinguished_name.push(DnType::CommonName, common_name);
    if with_names {
        params.subject_alt_names = vec![
            SanType::DnsName(NAME.try_into().unwrap()),
            SanType::IpAddress([127, 0, 0, 1].into()),
        ];
    }
    params
}

fn issue(dir: &Path, name: &str, params: &CertificateParams, by: &Issuer) {
    let key = KeyPair::generate().unwrap();
    write_pair(dir, name, &params.signed_by(&key, by).unwrap().pem(), &key);
}

fn write_pair(dir: &Path, name: &str, certificate: &str, key: &KeyPair) {
    fs::write(dir.join(format!("{name}.crt")), certificate).unwrap();
    let path = dir.join(format!("{name}.key"));
    fs::write(&path, key.serialize_pem()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
}
