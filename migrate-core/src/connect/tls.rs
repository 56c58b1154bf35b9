//! TLS as the settings ask for it: trusted authorities, client certificate, versions.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    client::WebPkiServerVerifier,
    crypto::{CryptoProvider, ring},
    pki_types::{
        CertificateDer, CertificateRevocationListDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    version::{TLS12, TLS13},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{
    connect::{
        certificate::{Trust, Verifier},
        choice::{SslMode, TlsVersion},
        refuse,
        settings::Settings,
    },
    error::{Error, Result},
};

/// How much TLS proves about the server, once a connection uses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    Nothing,
    Authority,
    Name,
}

#[derive(Clone)]
pub(super) struct Tls {
    pub(super) connector: MakeRustlsConnect,
    pub(super) proof: Proof,
}

/// Reads the certificate files: only when a connection is about to use TLS.
pub(super) fn load(settings: &Settings) -> Result<Tls> {
    let provider = Arc::new(ring::default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let trust = trust(settings, &provider)?;
    let proof = match &trust {
        None => Proof::Nothing,
        Some(Trust { check_name: false, .. }) => Proof::Authority,
        Some(_) => Proof::Name,
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions(settings))
        .map_err(|err| refuse(format!("cannot set up TLS: {err}"), None))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier { trust, algorithms }));
    let mut config = match client_certificate(settings)? {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => builder
            .with_client_auth_cert(chain, key)
            .map_err(|err| refuse(format!("the client certificate cannot be used: {err}"), None))?,
    };
    config.enable_sni = settings.choices.sni;
    if settings.choices.direct_tls {
        config.alpn_protocols = vec![b"postgresql".to_vec()];
    }
    Ok(Tls { connector: MakeRustlsConnect::new(config), proof })
}

fn versions(settings: &Settings) -> Vec<&'static SupportedProtocolVersion> {
    match settings.choices.tls_versions {
        (TlsVersion::V1_2, TlsVersion::V1_2) => vec![&TLS12],
        (TlsVersion::V1_3, _) => vec![&TLS13],
        _ => vec![&TLS13, &TLS12],
    }
}

/// As in libpq, `require` verifies if there is a root file. Weaker modes do not: libpq does, but
/// then goes on unencrypted where a verification fails, and unverified TLS is more than that.
fn trust(settings: &Settings, provider: &Arc<CryptoProvider>) -> Result<Option<Trust>> {
    let mode = settings.choices.ssl_mode;
    if mode < SslMode::Require {
        return Ok(None);
    }
    let (certificates, source) = match settings.get("sslrootcert") {
        Some("system") => (system_roots()?, "the system's store".to_owned()),
        given => {
            let path = given.map(PathBuf::from).or_else(|| in_home(settings, "root.crt"));
            match path.filter(|path| path.exists()) {
                Some(path) => (read_certificates(&path)?, format!("`{}`", path.display())),
                None if mode >= SslMode::VerifyCa => return Err(no_root_file(settings)),
                None => return Ok(None),
            }
        }
    };
    let mut roots = RootCertStore::empty();
    let (usable, _) = roots.add_parsable_certificates(certificates.iter().cloned());
    if usable == 0 {
        return Err(refuse(format!("there is no usable certificate in {source}"), None));
    }
    let lists = revocation_lists(settings)?;
    let pinned = if lists.is_empty() { certificates } else { Vec::new() };
    let mut chains =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    if !lists.is_empty() {
        chains = chains.with_crls(lists).enforce_revocation_expiration();
    }
    let chains = chains
        .build()
        .map_err(|err| refuse(format!("cannot use the certificates in {source}: {err}"), None))?;
    Ok(Some(Trust { chains, pinned, check_name: mode == SslMode::VerifyFull, source }))
}

fn system_roots() -> Result<Vec<CertificateDer<'static>>> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        return Err(refuse(
            "`sslrootcert=system`: this machine has no certificates of public authorities",
            "install the package ca-certificates, or name a file",
        ));
    }
    Ok(found.certs)
}

fn no_root_file(settings: &Settings) -> Error {
    let file = match settings.get("sslrootcert") {
        Some(path) => format!("root certificate file `{path}` does not exist"),
        None => "there is no root certificate file `~/.postgresql/root.crt`".to_owned(),
    };
    refuse(
        format!("{file}, and this `sslmode` verifies the server's certificate"),
        "provide the file (sslrootcert=), or use the system's trusted authorities with \
         sslrootcert=system; a weaker sslmode would not notice a false server",
    )
}

fn revocation_lists(settings: &Settings) -> Result<Vec<CertificateRevocationListDer<'static>>> {
    let given = settings.get("sslcrl").map(PathBuf::from);
    let default = || in_home(settings, "root.crl").filter(|path| path.exists());
    let Some(path) = given.or_else(default) else { return Ok(Vec::new()) };
    let bytes = read(&path)?;
    let lists: Vec<_> = CertificateRevocationListDer::pem_slice_iter(&bytes)
        .collect::<Result<_, _>>()
        .map_err(|err| bad_pem(&path, &err))?;
    if lists.is_empty() {
        let message = format!("there is no certificate revocation list in `{}`", path.display());
        return Err(refuse(message, None));
    }
    Ok(lists)
}

type ClientCertificate = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn client_certificate(settings: &Settings) -> Result<Option<ClientCertificate>> {
    if !settings.choices.client_certificate {
        return Ok(None);
    }
    let given = settings.get("sslcert").map(PathBuf::from);
    let default = || in_home(settings, "postgresql.crt").filter(|path| path.exists());
    let Some(path) = given.or_else(default) else { return Ok(None) };
    let chain = read_certificates(&path)?;
    let Some(key) =
        settings.get("sslkey").map(PathBuf::from).or_else(|| in_home(settings, "postgresql.key"))
    else {
        return Err(refuse("`sslcert` is set, but no `sslkey`", None));
    };
    Ok(Some((chain, read_key(&key)?)))
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    let named = |problem: &str| format!("private key file `{}` {problem}", path.display());
    let metadata =
        fs::metadata(path).map_err(|source| Error::ReadFile { path: path.to_owned(), source })?;
    if !metadata.is_file() {
        return Err(refuse(named("is not a regular file"), None));
    }
    // libpq's rule: a key that root owns may be shared with a group.
    let forbidden = if metadata.uid() == 0 { 0o037 } else { 0o077 };
    if metadata.mode() & forbidden != 0 {
        return Err(refuse(
            named("can be used by others"),
            "run `chmod 0600` on it; 0640 will do if root owns it",
        ));
    }
    let bytes = read(path)?;
    let text = String::from_utf8_lossy(&bytes);
    if text.contains("ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(refuse(
            named("is encrypted, which cannot be honoured (nor can `sslpassword`)"),
            "keep it decrypted, readable by its user only: `openssl pkey -in KEY -out PLAIN`",
        ));
    }
    PrivateKeyDer::from_pem_slice(&bytes)
        .or_else(|err| PrivateKeyDer::try_from(bytes.clone()).map_err(|_| err))
        .map_err(|_| refuse(named("holds no private key in PEM or DER form"), None))
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let bytes = read(path)?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<_, _>>()
        .map_err(|err| bad_pem(path, &err))?;
    if certificates.is_empty() {
        return Err(refuse(format!("there is no certificate in `{}`", path.display()), None));
    }
    Ok(certificates)
}

fn bad_pem(path: &Path, err: &pem::Error) -> Error {
    refuse(format!("`{}` is not a PEM file: {err}", path.display()), None)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|source| Error::ReadFile { path: path.to_owned(), source })
}

fn in_home(settings: &Settings, name: &str) -> Option<PathBuf> {
    settings.home.as_ref().map(|home| home.join(".postgresql").join(name))
}
