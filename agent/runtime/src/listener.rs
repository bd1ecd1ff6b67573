//! The accept loop of all TCP listeners: the API, the model server, the front door, DNS.
//!
//! [`Places`] limits the connections of each door and the share of one client (an IPv4 address or
//! an IPv6 /64); a new connection displaces the one that has been idle for longest. If none is
//! idle, a door may have a reserve: a few short-lived connections that only answer health routes,
//! so that a busy agent does not look dead to its health checks.

pub mod http;
mod write_timeout;

use crate::logging::Throttle;
use parking_lot::Mutex;
use prometheus::IntGauge;
use regionmesh_core::admission::places::{Admitted, Places};
pub use regionmesh_core::admission::places::{PlaceLimits, Refused};
use std::{
    collections::HashMap,
    future::Future,
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Pause after a failed accept, most likely for lack of file descriptors, which ending connections
/// free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// At most one log line of each kind in this time.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Raises the soft limit of open files to the hard limit, for this process and its children: the
/// usual 1,024 are fewer than the connections that listeners accept.
pub fn raise_file_limit() -> io::Result<()> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, most, most)?)
}

/// Why a connection was refused or dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropReason {
    /// The system could not accept it.
    NotAccepted,
    /// Its client is at the limit per client: the new connection, or the client's longest idle one,
    /// was closed.
    OneClient,
    /// The door is at its limit: the new connection, or the longest idle one of the client with the
    /// most, was closed.
    Full,
}

impl DropReason {
    /// For the label of a metric.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotAccepted => "accept",
            Self::OneClient => "one-client",
            Self::Full => "crowded",
        }
    }
}

impl From<Refused> for DropReason {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Client => Self::OneClient,
            Refused::Full => Self::Full,
        }
    }
}

/// The limits of a door.
#[derive(Debug, Clone, Copy)]
pub struct DoorLimits {
    /// Connections that are served.
    pub places: PlaceLimits,
    /// Further connections that only answer health routes; without them, further connections are
    /// closed.
    pub reserve: Option<PlaceLimits>,
    /// How long connections may take to end when the door closes, before they are aborted.
    pub stop_timeout: Duration,
}

/// A door: its places and counters. Several listeners may share one.
pub struct Door {
    /// For the log.
    name: &'static str,
    limits: DoorLimits,
    places: Arc<Room>,
    reserve: Option<Arc<Room>>,
    open: IntGauge,
    count: Box<dyn Fn(DropReason) + Send + Sync>,
    not_accepted: Throttle,
    crowded: Throttle,
}

impl Door {
    /// A door without connections. `count` is called for each refused or dropped connection.
    pub fn new(
        name: &'static str,
        limits: DoorLimits,
        open: IntGauge,
        count: impl Fn(DropReason) + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            name,
            limits,
            places: Room::new(limits.places),
            reserve: limits.reserve.map(Room::new),
            open,
            count: Box::new(count),
            not_accepted: Throttle::new(LOG_INTERVAL),
            crowded: Throttle::new(LOG_INTERVAL),
        })
    }

    /// Assigns a new connection a place, one of the reserve, or none.
    fn admit(&self, from: SocketAddr) -> Option<Seat> {
        let (seat, dropped) = match self.places.admit(from, false) {
            Ok((seat, evicted)) => (Some(seat), evicted),
            Err(refused) => {
                let seat = self
                    .reserve
                    .as_ref()
                    .and_then(|reserve| reserve.admit(from, true).ok());
                (seat.map(|(seat, _)| seat), Some(refused))
            }
        };

        if let Some(refused) = dropped {
            let dropped = DropReason::from(refused);
            (self.count)(dropped);
            if let Some(left_out) = self.crowded.admit(Instant::now()) {
                let PlaceLimits { total, per_client } = self.limits.places;
                let door = self.name;
                let reason = dropped.as_str();
                tracing::warn!(
                    door,
                    reason,
                    %from,
                    total,
                    per_client,
                    left_out,
                    "connections were displaced by newer ones"
                );
            }
        }

        seat
    }

    async fn accept_failed(&self, error: &io::Error) {
        (self.count)(DropReason::NotAccepted);
        if let Some(left_out) = self.not_accepted.admit(Instant::now()) {
            tracing::warn!(door = self.name, %error, left_out, "a connection could not be \
                accepted");
        }

        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

/// Accepts connections and lets `serve` handle each in its own task, until `stop`. Connections
/// in progress then have the door's `stop_timeout` to end. If this is dropped, they are aborted.
pub async fn accept<C>(
    listener: TcpListener,
    door: Arc<Door>,
    stop: CancellationToken,
    serve: impl Fn(TcpStream, Arc<Seat>) -> C,
) where
    C: Future<Output = ()> + Send + 'static,
{
    let connections = TaskTracker::new();
    let abort = CancellationToken::new();
    let _abort_on_drop = abort.clone().drop_guard();

    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                door.accept_failed(&error).await;
                continue;
            }
        };

        let Some(seat) = door.admit(from).map(Arc::new) else {
            continue;
        };
        let connection = serve(stream, seat.clone());
        let abort = abort.clone();
        let open = Open::new(&door.open);

        connections.spawn(async move {
            let _open = open;
            tokio::select! {
                biased;
                () = abort.cancelled() => {}
                () = seat.evicted.cancelled() => {}
                () = connection => {}
            }
        });
    }

    // Closed first, so that clients connect elsewhere while the last requests end.
    drop(listener);
    connections.close();
    if timeout(door.limits.stop_timeout, connections.wait())
        .await
        .is_err()
    {
        let open = connections.len();
        tracing::warn!(
            door = door.name,
            open,
            "closed connections that took too long to end"
        );
    }
}

/// Connections of one kind and their places.
#[derive(Debug)]
pub struct Room(Mutex<RoomState>);

#[derive(Debug)]
struct RoomState {
    places: Places<IpAddr>,
    /// Cancelled when the connection is displaced.
    evictions: HashMap<u64, CancellationToken>,
}

impl Room {
    /// Without connections.
    pub fn new(limits: PlaceLimits) -> Arc<Self> {
        Arc::new(Self(Mutex::new(RoomState {
            places: Places::new(limits),
            evictions: HashMap::new(),
        })))
    }

    /// A place for a connection that can't be displaced; the refusal names the limit.
    pub fn admit_busy(self: &Arc<Self>, from: SocketAddr) -> Result<Seat, Refused> {
        let (seat, _) = self.admit(from, false)?;
        seat.set_busy();
        Ok(seat)
    }

    /// A place, and the limit for which another connection was displaced, if any.
    fn admit(
        self: &Arc<Self>,
        from: SocketAddr,
        is_reserve: bool,
    ) -> Result<(Seat, Option<Refused>), Refused> {
        let mut state = self.0.lock();
        let Admitted { id, evicted } = state.places.admit(client(from.ip()))?;
        let eviction = evicted.and_then(|(evicted, _)| state.evictions.remove(&evicted));
        let own = CancellationToken::new();

        state.evictions.insert(id, own.clone());
        drop(state);
        if let Some(eviction) = eviction {
            eviction.cancel();
        }

        let seat = Seat {
            room: self.clone(),
            id,
            from,
            is_reserve,
            evicted: own,
        };

        Ok((seat, evicted.map(|(_, limit)| limit)))
    }
}

/// The client: an IPv4 address or an IPv6 /64, since a client with one address of such a network
/// has all of them.
fn client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

/// A connection's place, released when dropped.
#[derive(Debug)]
pub struct Seat {
    room: Arc<Room>,
    id: u64,
    from: SocketAddr,
    is_reserve: bool,
    evicted: CancellationToken,
}

impl Seat {
    /// The client's address.
    pub fn from(&self) -> SocketAddr {
        self.from
    }

    /// Whether only health routes are answered.
    pub fn is_reserve(&self) -> bool {
        self.is_reserve
    }

    /// Marks the connection as busy: it can't be displaced.
    pub fn set_busy(&self) {
        self.room.0.lock().places.set_busy(self.id);
    }

    /// Marks the connection as idle: a newer one may displace it, after those that have been idle
    /// for longer.
    pub fn set_idle(&self) {
        self.room.0.lock().places.set_idle(self.id);
    }

    /// Releases the place of a connection that continues and is counted elsewhere.
    pub fn leave(&self) {
        let mut state = self.room.0.lock();
        state.places.release(self.id);
        state.evictions.remove(&self.id);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Counts an open connection until dropped.
struct Open(IntGauge);

impl Open {
    fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests;
