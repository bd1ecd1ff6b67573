//! Endpoints over TLS: a good certificate, and what is said of each bad one.

use super::*;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ServerConfig, crypto::aws_lc_rs, pki_types::PrivateKeyDer};
use std::sync::Arc;
use time::{Duration as Days, OffsetDateTime};
use tokio_rustls::TlsAcceptor;

/// Probes a server whose certificate is for `name` and valid for `days` from yesterday, against its
/// own authority or another one.
async fn probe_certificate(name: &str, days: i64, is_trusted: bool) -> ProbeResult {
    let authority = || {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    };
    let ours = authority();
    let other = authority();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let yesterday = OffsetDateTime::now_utc() - Days::days(1);

    (params.not_before, params.not_after) =
        (yesterday - Days::days(9), yesterday + Days::days(days));

    let certificate = params.signed_by(&key, &ours).unwrap();
    let tls = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();

    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut request = [0; 1024];
            let length = stream.read(&mut request).await.unwrap();

            assert!(
                String::from_utf8_lossy(&request[..length]).contains("host: models.example.org:")
            );

            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                .await;
        }
    });

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(
        file.path(),
        if is_trusted { ours.pem() } else { other.pem() },
    )
    .unwrap();

    let config = HealthConfig {
        ca_file: Some(file.path().into()),
        timeout_ms: 5_000,
        ..config()
    };
    let url = format!("https://models.example.org:{}", address.port());
    let target = Target::new(&url, &config).unwrap().at(Some(address.ip()));
    let result = NetworkProber::new(&config).probe(&target).await;

    server.abort();
    result
}

#[tokio::test]
async fn a_valid_certificate_is_a_success_and_an_invalid_one_a_definite_failure_with_reason() {
    let good = probe_certificate("models.example.org", 9, true).await;
    assert!(matches!(good, ProbeResult::Success { .. }), "{good:?}");
    for (name, days, is_trusted, why) in [
        ("models.example.org", 0, true, "its certificate has expired"),
        (
            "other.example.org",
            9,
            true,
            "its certificate is not for models.example.org",
        ),
        ("models.example.org", 9, false, "its certificate is "),
    ] {
        let result = probe_certificate(name, days, is_trusted).await;
        assert!(is_definite_failure(&result, why), "{why}: {result:?}");
    }
}

#[tokio::test]
async fn an_endpoint_without_tls_is_a_definite_failure_and_missing_authorities_are_not() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });

    let result = probe_url(&url, &config()).await;
    assert!(is_definite_failure(&result, "TLS"), "{result:?}");

    let config = HealthConfig {
        ca_file: Some("/nowhere/ca.pem".into()),
        ..config()
    };
    let result = probe_url(&url, &config).await;

    assert!(
        matches!(&result, ProbeResult::Silence(why) if why.contains("/nowhere/ca.pem")),
        "{result:?}"
    );
}
