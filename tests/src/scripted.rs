//! A scripted serving endpoint: always ready, and inferences are answered as scripted.

use parking_lot::Mutex;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::task::AbortOnDropHandle;

/// What it does with an inference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Answers it.
    Answers,
    /// Answers so many with 503 and `Retry-After: 0`, then answers.
    Refuses(usize),
    /// Reads it and closes the connection.
    Breaks,
}

/// One region's endpoint; nothing listens there once it is dropped.
pub struct Scripted {
    behaviour: Arc<Mutex<Behaviour>>,
    inferences: Arc<AtomicUsize>,
    _accepting: AbortOnDropHandle<()>,
}

impl Scripted {
    /// Listens at `address`, where no agent may.
    pub async fn start(address: SocketAddr, region: &str, behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind(address)
            .await
            .unwrap_or_else(|error| panic!("{address}: {error}"));
        let behaviour = Arc::new(Mutex::new(behaviour));
        let inferences = Arc::<AtomicUsize>::default();
        let in_behaviour = behaviour.clone();
        let counted = inferences.clone();
        let region = region.to_owned();
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(
                    stream,
                    region.clone(),
                    in_behaviour.clone(),
                    counted.clone(),
                ));

                while connections.try_join_next().is_some() {}
            }
        });

        Self {
            behaviour,
            inferences,
            _accepting: AbortOnDropHandle::new(accepting),
        }
    }

    /// From now on.
    pub fn set(&self, behaviour: Behaviour) {
        *self.behaviour.lock() = behaviour;
    }

    /// Inferences that reached it.
    pub fn inferences(&self) -> usize {
        self.inferences.load(Ordering::SeqCst)
    }
}

/// One request, and the connection's end.
async fn serve(
    mut stream: TcpStream,
    region: String,
    behaviour: Arc<Mutex<Behaviour>>,
    inferences: Arc<AtomicUsize>,
) {
    let Some(head) = read_request(&mut stream).await else {
        return;
    };
    let (status, body) = if head.starts_with("POST") {
        inferences.fetch_add(1, Ordering::SeqCst);
        let mut behaviour = behaviour.lock();
        match *behaviour {
            Behaviour::Answers | Behaviour::Refuses(0) => {
                ("200 OK", format!("{{\"region\":\"{region}\"}}"))
            }
            Behaviour::Refuses(left) => {
                *behaviour = Behaviour::Refuses(left - 1);
                (
                    "503 Service Unavailable\r\nretry-after: 0",
                    "{\"error\":\"overloaded: as scripted\"}".into(),
                )
            }
            Behaviour::Breaks => return,
        }
    } else {
        ("200 OK", "{\"ready\":true}".to_owned())
    };

    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nx-regionmesh-region: {region}\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// Reads a request with its body; its head, if it came whole.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut text = Vec::new();
    loop {
        let mut piece = [0; 4_096];
        let length = stream
            .read(&mut piece)
            .await
            .ok()
            .filter(|length| *length > 0)?;

        text.extend_from_slice(&piece[..length]);
        let said = String::from_utf8_lossy(&text).to_lowercase();
        if let Some(end) = said.find("\r\n\r\n") {
            let declared = said[..end]
                .lines()
                .find_map(|line| line.strip_prefix("content-length:"));
            let wanted = declared
                .and_then(|value| value.trim().parse::<usize>().ok())
                .unwrap_or(0);

            if text.len() >= end + 4 + wanted {
                return Some(String::from_utf8_lossy(&text[..end]).into_owned());
            }
        }
    }
}
