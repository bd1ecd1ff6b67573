//! Hostile clients of open ports: noise, partial requests, endless requests.

use crate::models::noise;
use crate::wait::{claim, seconds, until};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream, UdpSocket},
    task::JoinSet,
    time::timeout,
};

/// A piece of a request that never ends, bytes.
const PIECE: usize = 16 << 10;

/// What a hostile client does with a connection.
#[derive(Debug, Clone)]
pub enum Client {
    /// Sends this and then nothing.
    Stops(Vec<u8>),
    /// Sends the first, and then the second over and over.
    Repeats(Vec<u8>, Vec<u8>),
}

/// Hostile clients of a port that speaks HTTP. `requests` are lines such as `POST /path`; `token`
/// goes with them.
pub fn at_http(requests: &[&str], token: Option<&str>) -> Vec<Client> {
    let end = token.map_or_else(String::new, |token| {
        format!("authorization: Bearer {token}\r\n")
    });
    let head = |request: &str, length: &str| {
        format!("{request} HTTP/1.1\r\nhost: localhost\r\n{end}{length}\r\n\r\n").into_bytes()
    };
    let chunk = [
        format!("{PIECE:x}\r\n").into_bytes(),
        vec![b' '; PIECE],
        b"\r\n".to_vec(),
    ]
    .concat();

    let mut clients = vec![
        Client::Stops(Vec::new()),
        Client::Stops(noise(1, 700)),
        Client::Stops(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec()),
        Client::Stops(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
        Client::Stops(b"GET / HTTP/9.9\r\n\r\n".to_vec()),
        Client::Stops(b"POST / HTTP/1.1\r\nho".to_vec()),
        Client::Repeats(noise(2, 700), noise(3, PIECE)),
        Client::Repeats(b"GET /".to_vec(), vec![b'a'; PIECE]),
        Client::Repeats(b"GET / HTTP/1.1\r\n".to_vec(), b"x: y\r\n".repeat(100)),
    ];

    for request in requests {
        let declared = head(request, &format!("content-length: {}", 1u64 << 40));
        clients.push(Client::Stops(declared.clone()));
        clients.push(Client::Repeats(declared, vec![b' '; PIECE]));
        clients.push(Client::Repeats(
            head(request, "transfer-encoding: chunked"),
            chunk.clone(),
        ));
    }

    clients
}

/// Hostile clients of a port that speaks DNS over TCP.
pub fn at_dns() -> Vec<Client> {
    vec![
        Client::Stops(Vec::new()),
        Client::Stops(b"\x00\x20half".to_vec()),
        Client::Stops(noise(4, 300)),
        Client::Repeats(b"\xff\xff".to_vec(), noise(5, PIECE)),
        Client::Repeats(Vec::new(), noise(6, PIECE)),
        // Each has 16 bytes, as its length declares, but is not a query.
        Client::Repeats(Vec::new(), [&b"\x00\x10"[..], &[0x80; 16]].concat()),
    ]
}

/// Lets all clients connect to `port` concurrently, `times` each. Each task ends when the server
/// has closed its connection.
pub fn besiege(port: SocketAddr, clients: &[Client], times: usize) -> JoinSet<()> {
    let mut siege = JoinSet::new();
    for _ in 0..times {
        for client in clients {
            siege.spawn(visit(port, client.clone()));
        }
    }

    siege
}

async fn visit(port: SocketAddr, client: Client) {
    // A refused or reset connection has ended.
    let visit = async {
        let mut stream = TcpStream::connect(port).await?;
        let (first, again) = match client {
            Client::Stops(first) => (first, None),
            Client::Repeats(first, again) => (first, Some(again)),
        };

        stream.write_all(&first).await?;
        let (mut answers, mut sending) = stream.split();
        let mut buffer = [0; 4_096];
        let read = async {
            while answers.read(&mut buffer).await? > 0 {}
            io::Result::Ok(())
        };
        let write = async {
            while let Some(again) = &again {
                sending.write_all(again).await?;
            }
            std::future::pending().await
        };

        tokio::select! {
            ended = read => ended,
            ended = write => ended,
        }
    };

    let _: io::Result<()> = visit.await;
}

/// A connection to `port` from one of the loopback addresses.
pub async fn connect_from(source: Ipv4Addr, port: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((source, 0).into())?;
    timeout(seconds(5), socket.connect(port)).await?
}

/// How long a silent client holds its connections before it renews them.
const RENEWED_AFTER: Duration = Duration::from_secs(1);

/// Clients that open connections, send the beginning of a request, and then nothing; renewed until
/// this is dropped.
pub struct Silence {
    clients: JoinSet<()>,
    opened: Arc<AtomicUsize>,
}

impl Silence {
    /// `clients` addresses with `each` connections. Returns once all were opened for the first
    /// time.
    pub async fn at(port: SocketAddr, clients: u8, each: usize, beginning: &'static [u8]) -> Self {
        let mut silence = Self {
            clients: JoinSet::new(),
            opened: Arc::default(),
        };

        for client in 0..clients {
            let opened = silence.opened.clone();
            silence.clients.spawn(async move {
                let source = Ipv4Addr::new(127, 200, client, 1);
                loop {
                    let mut held = Vec::new();
                    for _ in 0..each {
                        if let Ok(mut stream) = connect_from(source, port).await {
                            let _ = stream.write_all(beginning).await;
                            held.push(stream);
                        }
                        opened.fetch_add(1, Ordering::Relaxed);
                    }

                    tokio::time::sleep(RENEWED_AFTER).await;
                }
            });
        }

        let all = usize::from(clients) * each;
        until("the silent connections are open", seconds(60), async || {
            let opened = silence.opened.load(Ordering::Relaxed);
            claim(opened >= all, || format!("{opened} of {all}"))
        })
        .await;

        silence
    }
}

/// Packets of noise of all lengths, some of which begin as a QUIC Initial or a DNS query does.
/// After each few of them `pause` is waited for, so that the packets are read and not dropped by
/// the kernel.
pub async fn pelt(port: SocketAddr, packets: usize, mut pause: impl AsyncFnMut()) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    for number in 0..packets {
        let mut packet = noise(number as u64, number % 1_300);
        let beginning: &[u8] = match number % 4 {
            // RFC 9000 §17.2.2: a long header of version 1, and of one that does not exist.
            0 => b"\xc3\x00\x00\x00\x01\x08abcdefgh\x00\x00",
            1 => b"\xc3\x0a\x1a\x2a\x3a\x08abcdefgh\x00",
            // RFC 1035 §4.1.1: a query with one question, and one that claims 65,535.
            2 => b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00",
            _ => &[],
        };

        if packet.len() > beginning.len() {
            packet[..beginning.len()].copy_from_slice(beginning);
        }
        socket.send_to(&packet, port).await.expect("a packet sent");
        if number % 32 == 0 {
            pause().await;
        }
    }
}
