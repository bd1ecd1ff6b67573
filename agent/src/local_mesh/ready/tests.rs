use super::*;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

async fn answering(response: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 1_024];
        let length = stream.read(&mut request).await.unwrap();
        assert!(request[..length].starts_with(b"GET /readyz HTTP/1.1\r\n"));
        stream.write_all(response.as_bytes()).await.unwrap();
    });

    address
}

#[tokio::test]
async fn only_200_is_ready_and_the_rest_is_quoted() {
    assert_eq!(
        ask(answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await).await,
        Ok(())
    );

    let refused =
        answering("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 7\r\n\r\nno plan").await;
    assert_eq!(ask(refused).await, Err("/readyz says 503: no plan".into()));
    assert!(ask(answering("garbage").await).await.is_err());
    assert!(ask("127.0.0.1:9".parse().unwrap()).await.is_err());
}
