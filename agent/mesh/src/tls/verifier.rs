//! Verifies peers on both sides of a handshake.

use super::{identity::Identity, names::server_name};
use crate::metrics::MeshMetrics;
use regionmesh_protocol::identity::AgentId;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::WebPkiSupportedAlgorithms,
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use std::sync::Arc;
use webpki::KeyUsage;

#[derive(Debug)]
pub(crate) struct PeerVerifier {
    pub(crate) identity: Arc<Identity>,
    /// Where refusals are counted on the accepting side; a dialler counts its own.
    pub(crate) metrics: Option<MeshMetrics>,
}

impl PeerVerifier {
    fn algorithms(&self) -> &WebPkiSupportedAlgorithms {
        &self.identity.provider().signature_verification_algorithms
    }

    fn check(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        usage: KeyUsage,
    ) -> Result<AgentId, rustls::Error> {
        let chain: Vec<_> = std::iter::once(leaf)
            .chain(intermediates)
            .cloned()
            .collect();

        self.identity.check(&chain, now, usage).map_err(|why| {
            if let Some(metrics) = &self.metrics {
                metrics.refuse(
                    "certificate",
                    &format!("a peer's certificate is not accepted: {why}"),
                );
            }

            refusal(why)
        })
    }
}

fn refusal(why: String) -> rustls::Error {
    rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(Refusal(why)))))
}

/// Why a certificate is not accepted. rustls prints such an error in its debug form, which is plain
/// text for this reason.
#[derive(thiserror::Error)]
#[error("{0}")]
struct Refusal(String);

impl std::fmt::Debug for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// An error's text without the type names that rustls prints around a [`Refusal`].
pub(crate) fn readable(error: &str) -> String {
    const PREFIX: &str = "Other(OtherError(";
    match error.split_once(PREFIX) {
        Some((head, refusal)) => format!("{head}{}", refusal.strip_suffix("))").unwrap_or(refusal)),
        None => error.to_owned(),
    }
}

impl ServerCertVerifier for PeerVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        dialled: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let id = self.check(leaf, intermediates, now, KeyUsage::server_auth())?;
        if dialled.to_str() != server_name(&id.region) {
            let wanted = dialled.to_str();
            let wanted = wanted.split('.').next().unwrap_or_default();
            return Err(refusal(format!(
                "the agent there is {id}, expected one of region {wanted}"
            )));
        }

        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2 is not supported".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, leaf, signed, self.algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms().supported_schemes()
    }
}

impl ClientCertVerifier for PeerVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.check(leaf, intermediates, now, KeyUsage::client_auth())
            .map(|_| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        ServerCertVerifier::verify_tls12_signature(self, message, leaf, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        ServerCertVerifier::verify_tls13_signature(self, message, leaf, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms().supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_printed_as_plain_text() {
        let refused = refusal("it is of mesh b, this is a".into()).to_string();
        assert_eq!(
            readable(&refused),
            "invalid peer certificate: it is of mesh b, this is a"
        );

        // As quinn passes it on.
        let passed_on = format!("the cryptographic handshake failed: error 42: {refused}");
        assert!(
            readable(&passed_on)
                .ends_with("error 42: invalid peer certificate: it is of mesh b, this is a")
        );

        assert_eq!(readable("timed out"), "timed out");
    }
}
