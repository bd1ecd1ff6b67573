//! TLS to a probed endpoint. Certificates are verified as by a user's client; a bad one is a
//! definite failure with a reason.

use super::Target;
use crate::config::HealthConfig;
use regionmesh_core::health::probe::ProbeResult;
use rustls::{
    CertificateError, ClientConfig, Error as TlsError, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use rustls_platform_verifier::Verifier;
use std::{io, path::Path, sync::Arc};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// The TLS configuration for probes, or why there is none.
pub(super) struct Tls {
    connector: Result<TlsConnector, String>,
    server_name: Option<String>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls")
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

impl Tls {
    pub(super) fn new(config: &HealthConfig) -> Self {
        let connector =
            client(config.ca_file.as_deref()).map(|config| TlsConnector::from(Arc::new(config)));
        Self {
            connector,
            server_name: config.server_name.clone(),
        }
    }

    /// Why endpoints can't be probed over TLS, if so.
    pub(super) fn fault(&self) -> Option<&str> {
        self.connector.as_ref().err().map(String::as_str)
    }

    /// Performs the handshake on `stream`. A fault of our own configuration says nothing about the
    /// endpoint: silence.
    pub(super) async fn connect(
        &self,
        target: &Target,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, ProbeResult> {
        let connector = self
            .connector
            .as_ref()
            .map_err(|why| ProbeResult::Silence(format!("can't ask over TLS: {why}")))?;
        let name = self
            .server_name
            .as_deref()
            .unwrap_or(&target.host)
            .to_owned();
        let server_name = ServerName::try_from(name.clone()).map_err(|_| {
            ProbeResult::Silence(format!(
                "{name:?} is not a name that a certificate can have"
            ))
        })?;

        connector
            .connect(server_name, stream)
            .await
            .map_err(|error| ProbeResult::DefiniteFailure(describe(&error, &name)))
    }
}

fn client(ca_file: Option<&Path>) -> Result<ClientConfig, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let Some(path) = ca_file else {
        let verifier = Verifier::new(provider)
            .map_err(|error| format!("the platform's authorities: {error}"))?;
        return Ok(builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth());
    };

    let bad = |why: String| format!("health.ca_file {}: {why}", path.display());
    let mut roots = RootCertStore::empty();
    for certificate in
        CertificateDer::pem_file_iter(path).map_err(|error| bad(error.to_string()))?
    {
        let certificate = certificate.map_err(|error| bad(error.to_string()))?;
        roots
            .add(certificate)
            .map_err(|error| bad(error.to_string()))?;
    }

    if roots.is_empty() {
        return Err(bad("it holds no certificate".into()));
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn describe(error: &io::Error, name: &str) -> String {
    let cause = error
        .get_ref()
        .and_then(|cause| cause.downcast_ref::<TlsError>());
    match cause {
        Some(TlsError::InvalidCertificate(why)) => match why {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate has expired".into()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "its certificate is not valid yet".into()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                format!("its certificate is not for {name}")
            }
            CertificateError::UnknownIssuer => {
                "its certificate is of an authority that is not trusted".into()
            }
            other => format!("its certificate is not valid: {other}"),
        },
        Some(other) => format!("TLS: {other}"),
        None => match error.kind() {
            io::ErrorKind::UnexpectedEof => "connection closed during the TLS handshake".into(),
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "connection reset".into(),
            _ => format!("TLS: {error}"),
        },
    }
}
