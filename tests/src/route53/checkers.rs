//! The health checkers.

use super::state::State;
use parking_lot::Mutex;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// The health checkers: probe every endpoint periodically.
pub(super) async fn check_health(state: Arc<Mutex<State>>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let polls = state.lock().polls();
        for (id, address, host, path) in polls {
            let is_good = match address {
                Some(address) => {
                    let asked =
                        tokio::time::timeout(Duration::from_secs(1), ask(address, &host, &path))
                            .await;
                    asked
                        .is_ok_and(|status| status.is_ok_and(|status| (200..400).contains(&status)))
                }
                None => false,
            };

            if let Some(check) = state.lock().checks.get_mut(&id) {
                check.record(is_good);
            }
        }
    }
}

async fn ask(address: SocketAddr, host: &str, path: &str) -> std::io::Result<u16> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;

    let mut head = [0; 12];
    stream.read_exact(&mut head).await?;
    Ok(String::from_utf8_lossy(&head[9..]).parse().unwrap_or(0))
}
