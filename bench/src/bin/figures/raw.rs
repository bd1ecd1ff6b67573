//! Throughput of one raw QUIC connection with the mesh's transport settings, which replication is
//! compared with.

use anyhow::Result;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use regionmesh_mesh::{crypto_provider, transport_config};
use rustls::pki_types::PrivateKeyDer;
use std::{sync::Arc, time::Instant};

/// Bytes per write.
const BLOCK: usize = 1 << 20;

/// Bytes per second of one stream of one connection that carries `bytes`.
pub(crate) async fn throughput(bytes: u64) -> Result<f64> {
    let certified = rcgen::generate_simple_self_signed(["raw".to_owned()])?;
    let certificate = certified.cert.der().clone();
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der())
        .map_err(anyhow::Error::msg)?;
    let versions = &[&rustls::version::TLS13];
    let server_tls = rustls::ServerConfig::builder_with_provider(crypto_provider())
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)?;
    let mut roots = rustls::RootCertStore::empty();

    roots.add(certificate)?;
    let client_tls = rustls::ClientConfig::builder_with_provider(crypto_provider())
        .with_protocol_versions(versions)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut settings =
        quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(server_tls)?));

    settings.transport_config(Arc::new(transport_config(true)));
    let server = quinn::Endpoint::server(settings, "127.0.0.1:0".parse()?)?;
    let client = quinn::Endpoint::client("127.0.0.1:0".parse()?)?;
    let mut settings = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(client_tls)?));

    settings.transport_config(Arc::new(transport_config(true)));

    let address = server.local_addr()?;
    let receiving = tokio::spawn(async move {
        let connection = server
            .accept()
            .await
            .ok_or_else(|| anyhow::anyhow!("the endpoint is closed"))?
            .await?;
        let (mut send, mut receive) = connection.accept_bi().await?;
        let mut buffer = vec![0; BLOCK];
        let mut received = 0u64;

        while let Some(length) = receive.read(&mut buffer).await? {
            received += length as u64;
        }
        send.write_all(&received.to_le_bytes()).await?;
        send.finish()?;
        connection.closed().await;
        anyhow::Ok(())
    });

    let connection = client.connect_with(settings, address, "raw")?.await?;
    let (mut send, mut receive) = connection.open_bi().await?;
    let block = vec![7; BLOCK];
    let begin = Instant::now();
    let mut left = bytes;

    while left > 0 {
        let length = left.min(BLOCK as u64);
        send.write_all(&block[..length as usize]).await?;
        left -= length;
    }

    send.finish()?;
    let answer = receive.read_to_end(8).await?;
    let taken = begin.elapsed();

    anyhow::ensure!(answer == bytes.to_le_bytes(), "not all bytes arrived");
    connection.close(0u32.into(), b"done");
    receiving.await??;
    Ok(bytes as f64 / taken.as_secs_f64())
}
