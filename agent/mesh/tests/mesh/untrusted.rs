//! Clients and certificates that don't belong to agents of the mesh.

use quinn::Endpoint;
use regionmesh_mesh::crypto_provider;
use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

/// A client outside the mesh: presents the certificate in `dir/<stem>` and accepts any peer.
pub(crate) fn untrusted_client(dir: &Path, stem: &str, alpn: &[u8]) -> Endpoint {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

    let mut tls = rustls::ClientConfig::builder_with_provider(crypto_provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AcceptAny))
        .with_client_auth_cert(
            vec![CertificateDer::from_pem_file(dir.join(format!("{stem}.pem"))).unwrap()],
            PrivateKeyDer::from_pem_file(dir.join(format!("{stem}.key"))).unwrap(),
        )
        .unwrap();

    tls.alpn_protocols = vec![alpn.to_vec()];
    let tls = quinn::crypto::rustls::QuicClientConfig::try_from(tls).unwrap();
    let mut endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();

    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(tls)));
    endpoint
}

#[derive(Debug)]
struct AcceptAny;

impl rustls::client::danger::ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }
    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }
    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        crypto_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Whether the agent at `address` serves the client. A refused client finds out with its first
/// round trip.
pub(crate) async fn is_admitted(untrusted_client: &Endpoint, address: SocketAddr) -> bool {
    let Ok(connecting) = untrusted_client.connect(address, "b.region.regionmesh.invalid") else {
        return false;
    };
    let Ok(connection) = connecting.await else {
        return false;
    };
    let exchange = async {
        let (mut send, mut recv) = connection.open_bi().await.ok()?;
        send.write_all(&[2, b'x']).await.ok()?;
        send.finish().ok()?;
        recv.read_to_end(64).await.ok()
    };

    tokio::time::timeout(Duration::from_secs(5), exchange)
        .await
        .ok()
        .flatten()
        .is_some()
}

/// Signs a certificate with the URI name `uri`, valid from and to the given days from now, with the
/// bench's own authority.
pub(crate) fn certificate(dir: &Path, out: &Path, uri: &str, from_days: i64, to_days: i64) {
    let ca_dir = dir.join("ca");
    let key =
        rcgen::KeyPair::from_pem(&std::fs::read_to_string(ca_dir.join("ca.key")).unwrap()).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_pem(
        &std::fs::read_to_string(ca_dir.join("ca.pem")).unwrap(),
        key,
    )
    .unwrap();
    let mut params = rcgen::CertificateParams::default();

    params.subject_alt_names = vec![rcgen::SanType::URI(uri.try_into().unwrap())];
    params.extended_key_usages = vec![
        rcgen::ExtendedKeyUsagePurpose::ServerAuth,
        rcgen::ExtendedKeyUsagePurpose::ClientAuth,
    ];

    let now = time::OffsetDateTime::now_utc();
    params.not_before = now + time::Duration::days(from_days) - time::Duration::minutes(5);
    params.not_after = now + time::Duration::days(to_days);

    let pair = rcgen::KeyPair::generate().unwrap();
    std::fs::write(
        out.join("x.pem"),
        params.signed_by(&pair, &issuer).unwrap().pem(),
    )
    .unwrap();

    std::fs::write(out.join("x.key"), pair.serialize_pem()).unwrap();
}
