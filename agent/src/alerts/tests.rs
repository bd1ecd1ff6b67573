#![allow(clippy::unwrap_used)]

use super::*;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::Arc,
    thread::JoinHandle,
};

#[test]
fn failures_that_an_operator_can_fix_are_retried() {
    assert!([400, 405, 413, 422].into_iter().all(is_final));
    assert!(
        ![301, 401, 403, 404, 408, 425, 429, 500, 503]
            .into_iter()
            .any(is_final)
    );
}

/// A receiver with TLS that accepts one message: its port, its certificate, and the message.
fn secure_receiver() -> (u16, String, JoinHandle<String>) {
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(
        certified.signing_key.serialize_der(),
    ));
    let config = rustls::ServerConfig::builder_with_provider(regionmesh_mesh::crypto_provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = std::thread::spawn(move || {
        let (mut tcp, _) = listener.accept().unwrap();
        let mut tls = rustls::ServerConnection::new(Arc::new(config)).unwrap();
        let mut stream = rustls::Stream::new(&mut tls, &mut tcp);
        let mut heard = Vec::new();
        let mut piece = [0; 1_024];

        // A client that does not trust the certificate closes the connection.
        while !heard.ends_with(b"{}") {
            match stream.read(&mut piece) {
                Ok(count) if count > 0 => heard.extend_from_slice(&piece[..count]),
                _ => return String::new(),
            }
        }

        stream
            .write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
            .unwrap();
        String::from_utf8(heard).unwrap()
    });

    (port, certified.cert.pem(), heard)
}

async fn send(port: u16, ca: Option<&Path>, token: &Path) -> Result<(), SendError> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let text = format!("name = \"a\"\nkind = \"webhook\"\nurl = \"https://localhost:{port}/hush\"");
    let mut config: ReceiverConfig = toml::from_str(&text).unwrap();

    config.ca_file = ca.map(Path::to_owned);
    config.token_file = Some(token.to_owned());

    let url = config.url.clone();
    Sender::new(&config, url)
        .unwrap()
        .post(HeaderMap::new(), b"{}".to_vec())
        .await
}

#[tokio::test]
async fn a_receiver_gets_the_token_only_if_its_authority_is_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    let token = dir.path().join("token");

    std::fs::write(&token, "sesame\n").unwrap();

    let (port, certificate, heard) = secure_receiver();
    std::fs::write(&ca, certificate).unwrap();
    send(port, Some(&ca), &token).await.unwrap();

    let heard = heard.join().unwrap();
    assert!(
        heard.contains("authorization: Bearer sesame\r\n") && heard.starts_with("POST /hush "),
        "{heard}"
    );

    let (port, _, heard) = secure_receiver();
    let error = send(port, None, &token).await.unwrap_err();
    assert!(
        matches!(error, SendError::Unanswered(_)) && error.to_string().contains("certificate"),
        "{error}"
    );

    assert!(!error.to_string().contains("hush"), "{error}");
    assert_eq!(heard.join().unwrap(), "");

    std::fs::write(&token, " ").unwrap();
    let error = send(port, None, &token).await.unwrap_err();
    assert!(
        matches!(error, SendError::Unready(_)) && error.to_string().ends_with("token is empty"),
        "{error}"
    );
}
