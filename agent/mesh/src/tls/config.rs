//! TLS configurations of accepted and dialled connections.

use super::{identity::Identity, verifier::PeerVerifier};
use crate::metrics::MeshMetrics;
use regionmesh_protocol::wire::{ALPN_BULK, ALPN_CONTROL};
use rustls::{
    SignatureScheme,
    client::{ResolvesClientCert, Resumption},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use std::sync::Arc;

impl Identity {
    /// TLS for accepted connections, both control and bulk.
    pub(crate) fn server_config(
        self: &Arc<Self>,
        metrics: MeshMetrics,
    ) -> Result<rustls::ServerConfig, rustls::Error> {
        let mut config = rustls::ServerConfig::builder_with_provider(self.provider().clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(Arc::new(PeerVerifier {
                identity: self.clone(),
                metrics: Some(metrics),
            }))
            .with_cert_resolver(Arc::new(OurCertificate(self.clone())));

        config.alpn_protocols = vec![ALPN_CONTROL.to_vec(), ALPN_BULK.to_vec()];
        config.send_tls13_tickets = 0;
        Ok(config)
    }

    /// TLS for dialled connections with protocol `alpn`.
    pub(crate) fn client_config(
        self: &Arc<Self>,
        alpn: &[u8],
    ) -> Result<rustls::ClientConfig, rustls::Error> {
        let mut config = rustls::ClientConfig::builder_with_provider(self.provider().clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(PeerVerifier {
                identity: self.clone(),
                metrics: None,
            }))
            .with_client_cert_resolver(Arc::new(OurCertificate(self.clone())));

        config.alpn_protocols = vec![alpn.to_vec()];
        config.resumption = Resumption::disabled();
        Ok(config)
    }
}

#[derive(Debug)]
struct OurCertificate(Arc<Identity>);

impl ResolvesServerCert for OurCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.certified_key())
    }
}

impl ResolvesClientCert for OurCertificate {
    fn resolve(
        &self,
        _issuers: &[&[u8]],
        _schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        Some(self.0.certified_key())
    }

    fn has_certs(&self) -> bool {
        true
    }
}
