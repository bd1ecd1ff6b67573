//! The server: UDP and TCP on `listen.dns`, answering from the latest zone snapshot.
//!
//! One task swaps the snapshot when the plan changes, one rotates the cookie secrets. UDP is read
//! by dedicated threads ([`udp`]); each TCP connection has a task ([`tcp`]).

use crate::{
    arguments::{DnsArguments, DnsChannels},
    distances::{Distances, POLL_INTERVAL},
    error::DnsError,
    secrets,
    shared::{Shared, announce},
    stalls, tcp,
    udp::{self, Workers},
    zone::{Adjustments, Zone},
};
use regionmesh_core::{
    gossip::BoardView,
    planning::{Strategy, freeze::Freeze},
};
use regionmesh_protocol::plan::CommittedPlan;
use std::{
    io,
    net::{SocketAddr, UdpSocket},
    sync::Arc,
};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::info;

/// A bound, not yet answering DNS server.
#[derive(Debug)]
pub struct DnsServer {
    udp: Vec<UdpSocket>,
    tcp: TcpListener,
    address: SocketAddr,
    plan: watch::Receiver<Option<Arc<CommittedPlan>>>,
    board: watch::Receiver<Arc<BoardView>>,
    channels: Option<DnsChannels>,
    shared: Arc<Shared>,
}

impl DnsServer {
    /// Compiles the zone and binds all sockets.
    pub async fn bind(arguments: DnsArguments) -> Result<Self, DnsError> {
        let DnsArguments {
            config,
            mut plan,
            board,
            metrics,
        } = arguments;
        let first = plan.borrow_and_update().clone();
        let zone = Zone::compile(&config, first.as_deref())?;
        let secrets = secrets::first(&config.settings.cookies)?;

        let workers = match config.settings.workers {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            workers => workers,
        };
        let (udp, tcp, address) = bind(config.listen, workers).await?;

        announce(&zone, first.as_deref());
        let shared = Arc::new(Shared::new(config, zone, secrets, metrics));

        Ok(Self {
            udp,
            tcp,
            address,
            plan,
            board,
            channels: None,
            shared,
        })
    }

    /// Lets the agent decide how a frozen plan is answered and when answers resume after a stall.
    pub(crate) fn with_channels(self, channels: DnsChannels) -> Self {
        Self {
            channels: Some(channels),
            ..self
        }
    }

    /// The address that it listens on, UDP and TCP.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop`.
    pub async fn serve(self, stop: CancellationToken) -> Result<(), DnsError> {
        let Self {
            udp,
            tcp,
            address,
            plan,
            board,
            channels,
            shared,
        } = self;

        info!(%address, zone = %shared.config.settings.zone, workers = udp.len(), "DNS answers");
        let mut workers = Workers::start(udp, &shared)?;
        let mut tasks = JoinSet::new();

        tasks.spawn(tcp::serve(tcp, shared.clone()));
        if let Some(DnsChannels {
            resumed,
            is_current,
            ..
        }) = channels.clone()
        {
            tasks.spawn(stalls::run(shared.clone(), resumed, is_current));
        }

        tasks.spawn(update_answers(plan, board, channels, shared.clone()));
        tasks.spawn(secrets::rotate(shared));

        let ended = tokio::select! {
            () = stop.cancelled() => Ok(()),
            error = workers.ended() => Err(error),
        };

        // Dropping the set aborts the tasks; connections live in a set of the TCP task's own.
        tasks.shutdown().await;

        // Joins threads that were just woken: off the runtime's own.
        let _ = tokio::task::spawn_blocking(move || drop(workers)).await;
        ended
    }
}

/// All on the same port, even if the system chooses it.
async fn bind(
    address: SocketAddr,
    workers: usize,
) -> Result<(Vec<UdpSocket>, TcpListener, SocketAddr), DnsError> {
    let failed = |transport| {
        move |source| DnsError::Bind {
            address,
            transport,
            source,
        }
    };
    let attempts = if address.port() == 0 { 16 } else { 1 };
    let mut attempt = 1;

    loop {
        let udp = udp::bind(address, workers).map_err(failed("udp"))?;
        let bound = udp
            .first()
            .map_or(Ok(address), UdpSocket::local_addr)
            .map_err(failed("udp"))?;

        match TcpListener::bind(bound).await {
            Ok(tcp) => return Ok((udp, tcp, bound)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && attempt < attempts => {
                attempt += 1
            }
            Err(error) => return Err(failed("tcp")(error)),
        }
    }
}

/// Swaps the snapshot for each newer plan, and when the regions' distances or the local answer to a
/// frozen plan change.
async fn update_answers(
    mut plans: watch::Receiver<Option<Arc<CommittedPlan>>>,
    board: watch::Receiver<Arc<BoardView>>,
    channels: Option<DnsChannels>,
    shared: Arc<Shared>,
) {
    let traffic = &shared.config.traffic;
    let is_measured = traffic.strategy == Strategy::Latency && !traffic.networks.is_empty();
    let mut adjustments = Adjustments::default();
    let mut ticks = tokio::time::interval(POLL_INTERVAL);
    let local =
        |freeze: &Option<Arc<Freeze>>| freeze.as_ref().and_then(|freeze| freeze.local.clone());
    let (mut freeze, mut is_current) = match &channels {
        Some(channels) => (channels.freeze.clone(), channels.is_current.subscribe()),
        None => (watch::channel(None).1, watch::channel(true).1),
    };

    // A freeze that is already active counts from the start.
    freeze.mark_changed();
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);

    // The current plan; it was read when the server was bound.
    let mut current = plans.borrow().clone();

    // The DNS leader withdraws a plan that it read from the disk if the acceptors disagree: then an
    // older one may follow.
    let mut is_withdrawn = false;
    loop {
        tokio::select! {
            changed = plans.changed() => match changed {
                Ok(()) => {
                    let offered = plans.borrow_and_update().clone();
                    is_withdrawn |= offered.is_none();
                    if let Some(taken) = shared.take_over(offered, &adjustments, is_withdrawn) {
                        (current, is_withdrawn) = (Some(taken), false);
                    }
                }
                // The sender is gone (the agent stops, or restarts its leader): continue with the
                // last plan.
                Err(_) => std::future::pending().await,
            },
            Ok(()) = is_current.changed() => {
                if *is_current.borrow_and_update() {
                    // Apply the latest plan before answering again.
                    let offered = plans.borrow_and_update().clone();
                    current = shared.take_over(offered, &adjustments, is_withdrawn).or(current);
                    shared.stall_detector.resume();
                }
            }
            Ok(()) = freeze.changed() => {
                let answer = local(&freeze.borrow_and_update());
                if adjustments.local != answer {
                    adjustments.local = answer;
                    shared.answer_from(current.as_deref(), &adjustments);
                }
            }
            _ = ticks.tick(), if is_measured => {
                let board = board.borrow().clone();
                if adjustments.distances.update(&board) {
                    let distances = &adjustments.distances;
                    shared.metrics.set_distances(distances);
                    shared.answer_from(current.as_deref(), &adjustments);
                    info!(distances = ?Rendered(distances), "DNS answers by new distances between \
                        regions");
                }
            }
        }
    }
}

/// Distances for the log, milliseconds.
struct Rendered<'a>(&'a Distances);

impl std::fmt::Debug for Rendered<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rendered = self
            .0
            .all()
            .map(|(from, to, time)| format!("{from}>{to}={}", time.as_millis()));
        f.write_str(&rendered.collect::<Vec<_>>().join(" "))
    }
}

/// Binds and serves until `stop`. `channels` carry what to answer while the plan is frozen, and
/// whether the plan is current after a stall. Fails only if a socket can't be bound or a worker
/// ends.
pub async fn run(
    arguments: DnsArguments,
    channels: DnsChannels,
    stop: CancellationToken,
) -> Result<(), DnsError> {
    DnsServer::bind(arguments)
        .await?
        .with_channels(channels)
        .serve(stop)
        .await
}
