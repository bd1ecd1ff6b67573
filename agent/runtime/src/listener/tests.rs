//! The accept loop over real connections.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
};

const TIMEOUT: Duration = Duration::from_secs(20);

struct Fixture {
    address: SocketAddr,
    open: IntGauge,
    dropped: Arc<AtomicUsize>,
    stop: CancellationToken,
    ended: tokio::task::JoinHandle<()>,
}

/// Echoes each byte; only a connection that sent `!` is busy.
async fn echo(mut stream: TcpStream, seat: Arc<Seat>) {
    while let Ok(byte) = stream.read_u8().await {
        if byte == b'!' {
            seat.set_busy();
        }
        if stream.write_u8(byte).await.is_err() {
            return;
        }
    }
}

async fn fixture(places: PlaceLimits, reserve: Option<PlaceLimits>) -> Fixture {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let open = IntGauge::new("open", "open").unwrap();
    let dropped = Arc::new(AtomicUsize::new(0));
    let limits = DoorLimits {
        places,
        reserve,
        stop_timeout: Duration::from_millis(100),
    };
    let counted = dropped.clone();
    let door = Door::new("test", limits, open.clone(), move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
    });
    let ended = tokio::spawn(accept(listener, door, stop.clone(), echo));

    Fixture {
        address,
        open,
        dropped,
        stop,
        ended,
    }
}

impl Fixture {
    async fn connect(&self, last: u8) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket
            .bind(SocketAddr::from(([127, 0, 0, last], 0)))
            .unwrap();
        socket.connect(self.address).await.unwrap()
    }

    fn dropped(&self) -> usize {
        self.dropped.load(Ordering::SeqCst)
    }
}

/// Whether the byte is echoed.
async fn answers(stream: &mut TcpStream, byte: u8) -> bool {
    let echoed = async {
        stream.write_u8(byte).await.ok()?;
        stream.read_u8().await.ok()
    };

    tokio::time::timeout(TIMEOUT, echoed)
        .await
        .expect("neither answered nor closed")
        == Some(byte)
}

#[tokio::test]
async fn new_connections_displace_the_longest_idle_and_never_a_busy_one() {
    let fixture = fixture(
        PlaceLimits {
            total: 4,
            per_client: 2,
        },
        None,
    )
    .await;
    let mut busy = fixture.connect(1).await;

    assert!(answers(&mut busy, b'!').await);
    let mut silent = Vec::new();
    for last in 2..20 {
        for _ in 0..3 {
            silent.push(fixture.connect(last).await);
        }
        let mut honest = fixture.connect(100 + last).await;
        assert!(answers(&mut honest, b'a').await, "{last}");
    }

    assert!(answers(&mut busy, b'b').await);
    assert!(fixture.dropped() > 18, "{}", fixture.dropped());
    assert!(fixture.open.get() <= 5, "{}", fixture.open.get());
}

#[tokio::test]
async fn with_all_places_busy_new_connections_get_the_reserve_and_then_nothing() {
    let one = PlaceLimits {
        total: 1,
        per_client: 1,
    };
    let fixture = fixture(one, Some(one)).await;
    let mut first = fixture.connect(1).await;

    assert!(answers(&mut first, b'!').await);
    let mut second = fixture.connect(2).await;
    assert!(answers(&mut second, b'!').await);

    let mut third = fixture.connect(3).await;
    assert!(!answers(&mut third, b'a').await);
    assert!(answers(&mut first, b'a').await && answers(&mut second, b'a').await);
    assert_eq!(fixture.dropped(), 2);
}

#[tokio::test]
async fn connections_are_closed_within_the_timeout_after_the_stop() {
    let fixture = fixture(
        PlaceLimits {
            total: 2,
            per_client: 2,
        },
        None,
    )
    .await;
    let mut open = fixture.connect(1).await;

    assert!(answers(&mut open, b'!').await);
    fixture.stop.cancel();
    tokio::time::timeout(TIMEOUT, fixture.ended)
        .await
        .expect("ends")
        .unwrap();

    assert!(!answers(&mut open, b'a').await);
}

#[test]
fn a_client_is_an_ipv4_address_or_an_ipv6_network() {
    let of = |text: &str| client(text.parse().unwrap()).to_string();
    assert_eq!(of("192.0.2.1"), "192.0.2.1");
    assert_eq!(of("::ffff:192.0.2.1"), "192.0.2.1");
    assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
}
