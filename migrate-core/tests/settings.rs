//! Connection settings: what comes from where, what is refused, and that nothing tells a secret.

use std::{fs, os::unix::fs::PermissionsExt};

use migrate_core::{connect::settings::Settings, error::Result, exit::Exit};

/// Resolves in an environment of its own: only these variables, and no home with files in it.
fn resolve(dsn: impl Into<Option<&'static str>>, env: &[(&str, &str)]) -> Result<Settings> {
    Settings::resolve(dsn.into(), &|name| {
        let given = env.iter().find(|(variable, _)| *variable == name);
        given.map(|(_, value)| (*value).to_owned()).or((name == "HOME").then(|| "/none".to_owned()))
    })
}

#[test]
fn urls_and_keyword_strings_mean_what_they_mean_to_libpq() {
    for (dsn, expected) in [
        ("postgresql://db", "db:5432/u as u"),
        ("postgres://joe:s3cret@db:5433/shop", "db:5433/shop as joe"),
        ("postgres://joe@db/shop?port=7", "db:7/shop as joe"),
        ("postgres://%2Ftmp/shop", "/tmp:5432/shop as u"),
        ("postgres:///shop?host=/tmp&port=6000", "/tmp:6000/shop as u"),
        ("postgres://[::1]:5433/shop", "[::1]:5433/shop as u"),
        ("postgres://a:1,b:2,c/shop", "a:1,b:2,c:5432/shop as u"),
        ("postgres://db/sh%20op%40x", "db:5432/sh op@x as u"),
        ("postgres://db?user=a%26b", "db:5432/a&b as a&b"),
        ("postgres://us%3Aer:pw@db/", "db:5432/us:er as us:er"),
        ("host=db", "db:5432/u as u"),
        ("  host = db  port=5433 dbname = 'my shop' user='it\\'s' ", "db:5433/my shop as it's"),
        ("host=db dbname=a\\ b", "db:5432/a b as u"),
        ("host=a,b port=1,2", "a:1,b:2/u as u"),
        ("host=a,b port=7", "a:7,b:7/u as u"),
        ("host=@abstract", "@abstract:5432/u as u"),
        ("hostaddr=10.0.0.1", "10.0.0.1:5432/u as u"),
        ("host=db hostaddr=10.0.0.1 dbname=x", "db:5432/x as u"),
    ] {
        assert_eq!(resolve(dsn, &[("PGUSER", "u")]).unwrap().describe(), expected, "{dsn}");
    }
}

#[test]
fn passwords_survive_every_special_character() {
    for (dsn, expected) in [
        ("postgres://u:p%40s%2Fs%3Aw%25d@db", "p@s/s:w%d"),
        ("postgres://u:p#a^b&c=d:e@db", "p#a^b&c=d:e"),
        ("postgres://u:wh?t@db", "wh?t"),
        ("postgres://db?password=p%26q", "p&q"),
        ("host=db password='it\\'s \\\\ @/?'", "it's \\ @/?"),
        ("host=db password=a@/b", "a@/b"),
    ] {
        assert_eq!(resolve(dsn, &[]).unwrap().password(), Some(expected), "{dsn}");
    }
}

#[test]
fn the_string_beats_the_service_which_beats_the_environment() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pg_service.conf");
    fs::write(&file, "[prod]\nhost=service\nport=2\nuser=service\nsslmode=require\n").unwrap();
    let env = [
        ("PGSERVICEFILE", file.to_str().unwrap()),
        ("PGHOST", "environment"),
        ("PGDATABASE", "environment"),
        ("PGUSER", "environment"),
    ];
    let got = resolve("service=prod host=string", &env).unwrap();
    assert_eq!(got.describe(), "string:2/environment as service");
    let with_variable: Vec<_> = env.into_iter().chain([("PGSERVICE", "prod")]).collect();
    let got = resolve(None, &with_variable).unwrap();
    assert_eq!(got.describe(), "service:2/environment as service");
    assert!(got.environment().contains(&("PGSSLMODE", Some("require".to_owned()))));
    let err = resolve("service=test", &env).unwrap_err();
    assert_eq!(err.to_string(), "there is no service `test` in the service files");
}

#[test]
fn the_service_file_is_looked_for_at_home_and_then_in_the_system() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(".pg_service.conf"), "[mine]\nhost=home\n").unwrap();
    fs::write(dir.path().join("pg_service.conf"), "[mine]\nhost=no\n[all]\nhost=system\n").unwrap();
    let path = dir.path().to_str().unwrap();
    let env = [("HOME", path), ("PGSYSCONFDIR", path)];
    assert_eq!(resolve("service=mine", &env).unwrap().hosts(), ["home"]);
    assert_eq!(resolve("service=all", &env).unwrap().hosts(), ["system"]);
}

#[test]
fn without_anything_it_is_the_local_server_as_the_operating_system_user() {
    let got = resolve(None, &[]).unwrap();
    assert!(got.hosts()[0].starts_with('/'));
    assert_eq!(got.ports(), [5432]);
    assert_eq!(got.dbname(), got.user());
    assert!(!got.user().is_empty());
}

#[test]
fn the_password_file_is_asked_for_each_host() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(".pgpass");
    fs::write(&file, "a:5432:*:u:for\\:a\nb:*:shop:u:for-b\nlocalhost:*:*:*:socket\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let env = [("HOME", dir.path().to_str().unwrap()), ("PGUSER", "u"), ("PGDATABASE", "shop")];
    let got = resolve("host=a,b,c", &env).unwrap();
    assert_eq!(got.password(), Some("for:a"));
    assert_eq!(got.passfile_text().unwrap(), "a:5432:*:u:for\\:a\nb:5432:*:u:for-b\n");
    assert_eq!(resolve(None, &env).unwrap().password(), Some("socket"));
    assert_eq!(resolve("host=c", &env).unwrap().password(), None);
    assert_eq!(resolve("host=a password=mine", &env).unwrap().password(), Some("mine"));
    let elsewhere: Vec<_> = env.into_iter().chain([("PGPASSFILE", "/none/pgpass")]).collect();
    assert_eq!(resolve("host=a", &elsewhere).unwrap().password(), None);
}

#[test]
fn a_password_file_that_others_can_read_is_ignored() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pass");
    fs::write(&file, "*:*:*:*:secret\n").unwrap();
    let password = |mode| {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let env = [("PGPASSFILE", file.to_str().unwrap())];
        resolve(None, &env).unwrap().password().map(str::to_owned)
    };
    assert_eq!(password(0o600).as_deref(), Some("secret"));
    assert_eq!(password(0o640), None);
    assert_eq!(password(0o604), None);
}

#[test]
fn what_cannot_be_honoured_is_refused() {
    for (dsn, expected) in [
        ("gssencmode=require", "`gssencmode=require` cannot be honoured"),
        ("sslcompression=1", "`sslcompression` cannot be honoured"),
        ("sslcertmode=require", "`sslcertmode=require` cannot be honoured"),
        ("sslcrldir=/x", "`sslcrldir` cannot be honoured"),
        ("require_auth=scram-sha-256", "this `require_auth` cannot be honoured"),
        ("require_auth=none channel_binding=require", "this `require_auth` cannot be honoured"),
        ("replication=database", "`replication` cannot be honoured"),
        ("sslmode=verify_full", "the connection parameter `sslmode` has a value that is not known"),
        ("sslmode=''", "the connection parameter `sslmode` has a value that is not known"),
        (
            "sslmode=require sslrootcert=system",
            "a weak `sslmode` cannot be used with `sslrootcert=system`",
        ),
        ("sslnegotiation=direct", "`sslnegotiation=direct` needs `sslmode=require` or stronger"),
        (
            "ssl_min_protocol_version=TLSv1.3 ssl_max_protocol_version=TLSv1.2",
            "`ssl_min_protocol_version` is above `ssl_max_protocol_version`",
        ),
        (
            "ssl_max_protocol_version=TLSv1.1",
            "the connection parameter `ssl_max_protocol_version` has a value that is not known",
        ),
        (
            "connect_timeout=soon",
            "the connection parameter `connect_timeout` is not a whole number",
        ),
        ("hots=db", "unknown connection parameter `hots`"),
        ("postgres://db?hots=db", "unknown connection parameter `hots`"),
        ("host=a,b hostaddr=10.0.0.1", "`host` and `hostaddr` name a different number of servers"),
        ("host=a,b port=1,2,3", "`port` must name one port, or one for each host"),
        ("hostaddr=db", "`hostaddr` is not an IP address"),
        ("port=0", "a port of the connection is not a number from 1 to 65535"),
        ("mysql://db", "the connection URL does not begin with `postgresql://` or `postgres://`"),
    ] {
        let err = resolve(dsn, &[]).unwrap_err();
        assert_eq!((err.to_string().as_str(), err.exit()), (expected, Exit::Usage), "{dsn}");
    }
}

#[test]
fn what_changes_nothing_is_accepted() {
    for dsn in [
        "gssencmode=prefer krbsrvname=x gsslib=gssapi gssdelegation=0 sslcompression=0",
        "client_encoding=auto replication=false sslcertmode=allow sslsni=0 keepalives=0",
        "channel_binding=require require_auth=scram-sha-256 fallback_application_name=x",
        "ssl_min_protocol_version=TLSv1 sslnegotiation=postgres load_balance_hosts=random",
        "requiressl=1 connect_timeout=0 tcp_user_timeout=",
        "",
    ] {
        if let Err(err) = resolve(dsn, &[]) {
            panic!("{dsn}: {err}");
        }
    }
}

#[test]
fn older_spellings_of_the_ssl_mode_are_understood() {
    for (dsn, mode) in [
        ("requiressl=1", "require"),
        ("requiressl=0", "prefer"),
        ("postgres://h?ssl=true", "require"),
        ("sslrootcert=system", "verify-full"),
    ] {
        let pairs = resolve(dsn, &[]).unwrap().environment();
        assert!(pairs.contains(&("PGSSLMODE", Some(mode.to_owned()))), "{dsn}");
    }
    let pairs = resolve(None, &[("PGREQUIRESSL", "1")]).unwrap().environment();
    assert!(pairs.contains(&("PGSSLMODE", Some("require".to_owned()))));
}

/// `hunter` and `two` are the pieces of the password; libpq shows one of them in most of these.
#[test]
fn no_error_shows_a_piece_of_a_password() {
    for dsn in [
        "postgres://u:hunter@two@db/x",
        "postgres://u:hunter/two@db/x",
        "postgres://u:1/two@db/x",
        "postgres://u:1/two?hunter=1@db",
        "postgres://u:hunter%ZZtwo@db/x",
        "postgres://u:hunter%@db/x",
        "postgres://u:hunter?two=x@db/x",
        "postgres://db?password=hunter&two=1",
        "postgres://db?password=hunter=two",
        "postgres://db?password=hunter&two",
        "postgres://u:hunter:two",
        "postgres://[u:hunter",
        "host=db password=hunter two",
        "host=db password=hunter two=1",
        "host=db password='hunter two",
        "host=db password=hunter'two user",
        "hunter two",
        "port=hunter",
        "host=db sslmode=hunter",
        "hostaddr=hunter",
        "connect_timeout=hunter",
    ] {
        let Err(err) = resolve(dsn, &[]) else { panic!("{dsn} was accepted") };
        let text = format!("{err} {err:?}").replace("TLSv1.2", "");
        assert!(!text.contains("hunter") && !text.contains("two"), "{dsn}: {text}");
    }
}

#[test]
fn two_settings_lead_to_the_same_place_whoever_connects() {
    let ours = resolve("postgres://joe:pw@db:5432/shop", &[]).unwrap();
    for (dsn, same) in [
        ("host=db dbname=shop user=ann sslmode=require", true),
        ("host=db port=5433 dbname=shop", false),
        ("host=db dbname=other", false),
        ("host=other dbname=shop", false),
        ("host=db hostaddr=10.0.0.1 dbname=shop", false),
        ("host=db,db dbname=shop", false),
    ] {
        assert_eq!(resolve(dsn, &[]).unwrap().same_place(&ours), same, "{dsn}");
    }
}

#[test]
fn neither_debug_nor_the_description_nor_the_environment_shows_the_password() {
    let got = resolve("postgres://u:hunter2@db/x?passfile=/p", &[]).unwrap();
    let text = format!("{got:?} {} {:?}", got.describe(), got.environment());
    assert!(!text.contains("hunter2"), "{text}");
    assert!(got.environment().contains(&("PGPASSWORD", None)));
    assert!(got.environment().contains(&("PGSERVICE", None)));
    assert!(got.environment().contains(&("PGHOST", Some("db".to_owned()))));
}
