//! Every `sslmode` against every certificate, client certificates, channel binding.

use std::{fs, os::unix::fs::PermissionsExt};

use migrate_core::{connect::open::Security, exit::Exit};

use crate::{
    assert_tells, connect, failure, security,
    server::{NAME, SERVERS, dsn},
    settings_with,
};

fn with_ca(server: &str, user: &str, more: &str) -> String {
    dsn(server, user, &format!("sslrootcert={} {more}", SERVERS.file("ca.crt")))
}

#[test]
fn a_good_server_is_reached_in_every_mode() {
    for (mode, plain_file, with_file) in [
        ("disable", Security::Plain, Security::Plain),
        ("allow", Security::Plain, Security::Plain),
        ("prefer", Security::Encrypted, Security::Encrypted),
        ("require", Security::Encrypted, Security::AuthorityVerified),
    ] {
        assert_eq!(security(&dsn("good", "anyone", &format!("sslmode={mode}"))), plain_file);
        assert_eq!(security(&with_ca("good", "anyone", &format!("sslmode={mode}"))), with_file);
    }
    let verified = |mode| security(&with_ca("good", "anyone", mode));
    assert_eq!(verified("sslmode=verify-ca"), Security::AuthorityVerified);
    assert_eq!(verified("sslmode=verify-full"), Security::HostVerified);
    let by_address = format!(
        "host=127.0.0.1 port={} user=anyone dbname=postgres sslmode=verify-full sslrootcert={}",
        SERVERS.port("good"),
        SERVERS.file("ca.crt")
    );
    assert_eq!(security(&by_address), Security::HostVerified);
}

#[test]
fn a_wrong_authority_is_refused_from_require_on_if_there_is_a_root_file() {
    for mode in ["require", "verify-ca", "verify-full"] {
        let more = format!("sslmode={mode} sslrootcert={}", SERVERS.file("other-ca.crt"));
        assert_tells(
            &failure(&dsn("good", "anyone", &more)),
            &["cannot connect to db.example:", "issued by `CN=our authority`", "other-ca.crt"],
        );
    }
}

#[test]
fn an_expired_certificate_is_refused_with_its_date() {
    for mode in ["require", "verify-ca", "verify-full"] {
        let text = failure(&with_ca("expired", "anyone", &format!("sslmode={mode}")));
        assert_tells(&text, &["the server's certificate has expired on 2020-02-03"]);
    }
    assert_eq!(security(&dsn("expired", "anyone", "sslmode=require")), Security::Encrypted);
}

#[test]
fn a_wrong_host_name_is_refused_by_verify_full_alone() {
    let port = SERVERS.port("good");
    let as_localhost = |mode| {
        format!(
            "host=localhost hostaddr=127.0.0.1 port={port} user=anyone dbname=postgres \
             sslmode={mode} sslrootcert={}",
            SERVERS.file("ca.crt")
        )
    };
    assert_tells(
        &failure(&as_localhost("verify-full")),
        &["the server's certificate is for", NAME, "not for `localhost`"],
    );
    assert_eq!(security(&as_localhost("verify-ca")), Security::AuthorityVerified);
}

#[test]
fn a_certificate_without_names_passes_verify_ca_and_verify_full_says_what_it_lacks() {
    let text = failure(&with_ca("nameless", "anyone", "sslmode=verify-full"));
    assert_tells(
        &text,
        &["names no host: it has only the subject `CN=db.example`", "sslmode=verify-ca"],
    );
    let weaker = with_ca("nameless", "anyone", "sslmode=verify-ca");
    assert_eq!(security(&weaker), Security::AuthorityVerified);
}

#[test]
fn a_self_signed_certificate_is_trusted_once_it_is_in_the_root_file() {
    let pinned = |more: &str| {
        dsn(
            "self-signed",
            "anyone",
            &format!("sslrootcert={} {more}", SERVERS.file("self-signed.crt")),
        )
    };
    assert_eq!(security(&pinned("sslmode=verify-full")), Security::HostVerified);
    assert_eq!(security(&pinned("sslmode=verify-ca")), Security::AuthorityVerified);
    let other_name = pinned("sslmode=verify-full").replace(NAME, "localhost");
    assert_tells(&failure(&other_name), &["not for `localhost`"]);
    let text = failure(&with_ca("self-signed", "anyone", "sslmode=verify-ca"));
    assert_tells(&text, &["the server's certificate"]);
}

#[test]
fn no_mode_from_require_on_speaks_with_a_server_without_tls() {
    for mode in ["require", "verify-ca", "verify-full"] {
        let text = failure(&with_ca("plain", "anyone", &format!("sslmode={mode}")));
        assert_tells(&text, &["the server does not offer TLS"]);
    }
    for mode in ["disable", "allow", "prefer"] {
        let weak = dsn("plain", "anyone", &format!("sslmode={mode}"));
        assert_eq!(security(&weak), Security::Plain);
    }
}

/// The server would let this role in without TLS only.
#[test]
fn a_failed_verification_never_falls_back_to_plain() {
    for mode in ["require", "verify-ca", "verify-full"] {
        for ca in ["ca.crt", "other-ca.crt"] {
            let more = format!("sslmode={mode} sslrootcert={}", SERVERS.file(ca));
            let _ = failure(&dsn("good", "plain_only", &more));
        }
    }
    assert_eq!(security(&dsn("good", "plain_only", "sslmode=prefer")), Security::Plain);
    assert_eq!(security(&dsn("good", "tls_only", "sslmode=allow")), Security::Encrypted);
    let _ = failure(&dsn("good", "tls_only", "sslmode=disable"));
}

#[test]
fn a_missing_root_file_is_an_error_before_anything_is_sent() {
    for (more, words) in [
        ("sslmode=verify-full", "`~/.postgresql/root.crt`"),
        ("sslmode=verify-ca sslrootcert=/none.crt", "`/none.crt` does not exist"),
    ] {
        let err = connect(&format!("host=127.0.0.1 port=1 {more}")).unwrap_err();
        assert_eq!(err.exit(), Exit::Usage);
        assert_tells(&crate::text(&err), &[words, "sslrootcert=system"]);
    }
}

#[test]
fn a_client_certificate_logs_in() {
    let (certificate, key) = (SERVERS.file("client.crt"), SERVERS.file("client.key"));
    let with = |more: &str| with_ca("good", "certificate", &format!("sslmode=verify-full {more}"));
    let pair = format!("sslcert={certificate} sslkey={key}");
    assert_eq!(connect(&with(&pair)).unwrap().user, "certificate");
    assert_tells(&failure(&with("")), &["valid client certificate", "[28000]", "pg_hba.conf"]);
    assert_tells(&failure(&with(&format!("{pair} sslcertmode=disable"))), &["[28000]"]);
    let foreign = (SERVERS.file("foreign-client.crt"), SERVERS.file("foreign-client.key"));
    let foreign = format!("sslcert={} sslkey={}", foreign.0, foreign.1);
    assert_tells(&failure(&with(&foreign)), &["alert UnknownCA", "sslcert"]);
}

#[test]
fn a_key_that_others_can_read_or_that_is_encrypted_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key");
    let text = fs::read_to_string(SERVERS.file("client.key")).unwrap();
    let attempt = |content: &str, mode| {
        fs::write(&key, content).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
        let pair = format!("sslcert={} sslkey={}", SERVERS.file("client.crt"), key.display());
        failure(&with_ca("good", "certificate", &format!("sslmode=verify-full {pair}")))
    };
    assert_tells(&attempt(&text, 0o644), &["can be used by others", "chmod 0600"]);
    let encrypted = text.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    assert_tells(&attempt(&encrypted, 0o600), &["is encrypted", "sslpassword"]);
    assert_tells(&attempt("nothing", 0o600), &["holds no private key"]);
}

#[test]
fn channel_binding_and_scram_work_with_a_password_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pass");
    fs::write(&file, format!("{NAME}:*:*:scram:hunter2\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let service = dir.path().join("service");
    let text =
        with_ca("good", "scram", "sslmode=verify-full channel_binding=require").replace(' ', "\n");
    fs::write(&service, format!("[prod]\n{text}\n")).unwrap();
    let env =
        [("PGSERVICEFILE", service.to_str().unwrap()), ("PGPASSFILE", file.to_str().unwrap())];
    let seen = crate::see(&settings_with("service=prod", &env).unwrap()).unwrap();
    assert_eq!((seen.user.as_str(), seen.security), ("scram", Security::HostVerified));
}

#[test]
fn channel_binding_that_is_required_is_not_done_without() {
    let more = "channel_binding=require password=hunter2";
    let trusted = dsn("good", "anyone", &format!("sslmode=require {more}"));
    assert_tells(&failure(&trusted), &["channel binding"]);
    let plain = dsn("plain", "anyone", &format!("sslmode=disable {more}"));
    assert_tells(&failure(&plain), &["channel binding"]);
}

#[test]
fn the_versions_of_tls_are_as_asked_for() {
    for (range, expected) in [
        ("ssl_max_protocol_version=TLSv1.2", "TLSv1.2"),
        ("ssl_min_protocol_version=TLSv1.3", "TLSv1.3"),
    ] {
        let settings =
            crate::settings(&with_ca("good", "anyone", &format!("sslmode=verify-full {range}")));
        let version: String = crate::run(async {
            let opened = crate::open(&settings.unwrap(), |_| {}).await.unwrap();
            tokio::spawn(opened.driver);
            let query = "select version from pg_stat_ssl where pid = pg_backend_pid()";
            opened.client.query_one(query, &[]).await.unwrap().get(0)
        });
        assert_eq!(version, expected);
    }
}

#[test]
fn a_revoked_certificate_is_refused() {
    let with_list = |name: &str| {
        with_ca("good", "anyone", &format!("sslmode=verify-full sslcrl={}", SERVERS.file(name)))
    };
    assert_eq!(security(&with_list("nothing.crl")), Security::HostVerified);
    assert_tells(&failure(&with_list("good.crl")), &["the server's certificate was revoked"]);
    assert_tells(&failure(&with_list("ca.crt")), &["no certificate revocation list in"]);
}
