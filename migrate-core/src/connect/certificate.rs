//! Whether to trust the server's certificate, and if not, why, in words.

use std::{fmt, sync::Arc};

use chrono::DateTime;
use rustls::{
    CertificateError, DigitallySignedStruct, Error as TlsError, OtherError, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::{
        WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
        verify_tls13_signature_with_raw_key,
    },
    pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime},
    server::ParsedCertificate,
};
use x509_cert::{
    Certificate,
    der::{Decode, Encode, oid::ObjectIdentifier},
};

const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");

/// The certificates that are trusted, and what must hold besides.
#[derive(Debug)]
pub(super) struct Trust {
    pub(super) chains: Arc<WebPkiServerVerifier>,
    /// Server certificates that are trusted as they are: people put a self-signed one in
    /// `root.crt`, and libpq takes it.
    pub(super) pinned: Vec<CertificateDer<'static>>,
    pub(super) check_name: bool,
    /// Where the trusted certificates came from, for messages.
    pub(super) source: String,
}

#[derive(Debug)]
pub(super) struct Verifier {
    /// None encrypts without asking with whom.
    pub(super) trust: Option<Trust>,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
}

/// What is wrong with a certificate.
#[derive(Debug, Clone)]
pub(super) struct Distrust {
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Distrust {}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let Some(trust) = &self.trust else { return Ok(ServerCertVerified::assertion()) };
        let verified = if trust.pinned.contains(certificate) {
            verify_pinned(certificate, server, now)
        } else {
            trust
                .chains
                .verify_server_cert(certificate, intermediates, server, ocsp_response, now)
                .map(|_| ())
        };
        match verified {
            Ok(()) => Ok(ServerCertVerified::assertion()),
            // The name is looked at last: all else held.
            Err(TlsError::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !trust.check_name => Ok(ServerCertVerified::assertion()),
            Err(TlsError::InvalidCertificate(problem)) => {
                let distrust = explain(&problem, certificate, server, &trust.source);
                Err(CertificateError::Other(OtherError(Arc::new(distrust))).into())
            }
            Err(err) => Err(err),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    // Checked even when nothing else is: channel binding relies on it.
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        match (ParsedCertificate::try_from(certificate), public_key(certificate)) {
            // A version 1 certificate, as `openssl x509 -req` used to make: the key is usable.
            (Err(_), Some(key)) => verify_tls13_signature_with_raw_key(
                message,
                &SubjectPublicKeyInfoDer::from(key),
                signature,
                &self.algorithms,
            ),
            _ => verify_tls13_signature(message, certificate, signature, &self.algorithms),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn public_key(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let certificate = Certificate::from_der(certificate).ok()?;
    certificate.tbs_certificate.subject_public_key_info.to_der().ok()
}

/// There is no chain to follow: only the dates and the name are left to check.
fn verify_pinned(
    certificate: &CertificateDer<'_>,
    server: &ServerName<'_>,
    now: UnixTime,
) -> Result<(), TlsError> {
    let validity = Certificate::from_der(certificate)
        .map_err(|_| CertificateError::BadEncoding)?
        .tbs_certificate
        .validity;
    let from = validity.not_before.to_unix_duration().as_secs();
    let until = validity.not_after.to_unix_duration().as_secs();
    if now.as_secs() < from {
        return Err(CertificateError::NotValidYet.into());
    }
    if now.as_secs() > until {
        return Err(CertificateError::Expired.into());
    }
    verify_server_name(&ParsedCertificate::try_from(certificate)?, server)
}

fn explain(
    problem: &CertificateError,
    der: &CertificateDer<'_>,
    server: &ServerName<'_>,
    source: &str,
) -> Distrust {
    use CertificateError as E;
    let certificate = Certificate::from_der(der).ok();
    let certificate = certificate.as_ref();
    let because = |message: String, hint: &str| Distrust { message, hint: Some(hint.to_owned()) };
    match problem {
        E::UnknownIssuer | E::BadSignature => because(
            format!(
                "the server's certificate{} is not from an authority in {source}",
                certificate
                    .map(|it| format!(", issued by `{}`,", it.tbs_certificate.issuer))
                    .unwrap_or_default()
            ),
            "either sslrootcert is not the file for this server, or something else answers in its \
             place; ask who runs the server for its authority's certificate",
        ),
        E::Expired | E::ExpiredContext { .. } => because(
            format!(
                "the server's certificate has expired{}",
                date(certificate, "on ", |it| it.not_after)
            ),
            "renew the certificate on the server, or look at this machine's clock",
        ),
        E::NotValidYet | E::NotValidYetContext { .. } => because(
            format!(
                "the server's certificate is not valid{}",
                date(certificate, "before ", |it| it.not_before)
            ),
            "look at this machine's clock",
        ),
        E::Revoked => because(
            "the server's certificate was revoked".to_owned(),
            "do not trust this server before its certificate was replaced",
        ),
        E::UnknownRevocationStatus => because(
            "the revocation list says nothing about the authority of the server's certificate"
                .to_owned(),
            "sslcrl must hold a list from each authority in the chain",
        ),
        E::NotValidForName | E::NotValidForNameContext { .. } => {
            wrong_name(problem, certificate, &server.to_str())
        }
        _ if certificate.is_some_and(|it| it.tbs_certificate.version == x509_cert::Version::V1) => {
            because(
                "the server's certificate is of version 1, which cannot be verified".to_owned(),
                "issue it again as version 3, with a subject alternative name",
            )
        }
        other => Distrust {
            message: format!("the server's certificate cannot be verified: {}", words(other)),
            hint: certificate
                .filter(|it| it.tbs_certificate.issuer == it.tbs_certificate.subject)
                .map(|_| format!("it is self-signed: to trust it, put it in {source}")),
        },
    }
}

/// rustls shows what webpki found only in its debug form.
fn words(problem: &CertificateError) -> String {
    match problem {
        CertificateError::Other(OtherError(cause)) => cause.to_string(),
        other => other.to_string(),
    }
}

fn wrong_name(
    problem: &CertificateError,
    certificate: Option<&Certificate>,
    server: &str,
) -> Distrust {
    let has_names = certificate
        .and_then(|it| it.tbs_certificate.extensions.as_ref())
        .is_some_and(|all| all.iter().any(|extension| extension.extn_id == SUBJECT_ALT_NAME));
    if let (false, Some(certificate)) = (has_names, certificate) {
        return Distrust {
            message: format!(
                "the server's certificate names no host: it has only the subject `{}`",
                certificate.tbs_certificate.subject
            ),
            hint: Some(format!(
                "issue it again with the subject alternative name `{server}`; a common name is \
                 not looked at; until then sslmode=verify-ca checks all but the name"
            )),
        };
    }
    let names = match problem {
        CertificateError::NotValidForNameContext { presented, .. } => presented.join(", "),
        _ => "other names".to_owned(),
    };
    Distrust {
        message: format!("the server's certificate is for {names}, not for `{server}`"),
        hint: Some(
            "connect by a name that the certificate has (hostaddr= can give the address), or \
             issue it again with this one"
                .to_owned(),
        ),
    }
}

fn date(
    certificate: Option<&Certificate>,
    before: &str,
    pick: fn(&x509_cert::time::Validity) -> x509_cert::time::Time,
) -> String {
    certificate
        .map(|it| pick(&it.tbs_certificate.validity).to_unix_duration().as_secs())
        .and_then(|seconds| i64::try_from(seconds).ok())
        .and_then(|seconds| DateTime::from_timestamp(seconds, 0))
        .map(|time| format!(" {before}{}", time.format("%Y-%m-%d %H:%M:%SZ")))
        .unwrap_or_default()
}
