//! The server: UDP and TCP on `listen.dns`, answering from the latest zone snapshot.
//!
//! One task follows the plans and swaps the snapshot, one keeps the cookies' secrets; threads of
//! their own read UDP ([`udp`]); each TCP connection has a task ([`tcp`]).

use super::{
    DnsArguments, DnsError, Guide,
    cookies::{Proof, Secrets},
    counters::Counters,
    distances::{Distances, POLL_INTERVAL},
    limits::{RateLimiter, Verdict},
    metrics::DnsMetrics,
    pulse::{self, Pulse},
    secrets, tcp,
    udp::{self, Workers},
    wire::{Asker, Transport, respond},
    zone::{Circumstances, Zone},
};
use crate::config::Config;
use arc_swap::{ArcSwap, ArcSwapOption};
use regionmesh_core::{
    gossip::BoardView,
    planning::{Strategy, freeze::Freeze},
};
use regionmesh_protocol::plan::CommittedPlan;
use regionmesh_runtime::time::unix_ms;
use std::{
    cmp::Ordering,
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::Arc,
    time::Instant,
};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// A bound, not yet answering DNS server.
#[derive(Debug)]
pub struct DnsServer {
    udp: Vec<UdpSocket>,
    tcp: TcpListener,
    address: SocketAddr,
    plan: watch::Receiver<Option<Arc<CommittedPlan>>>,
    board: watch::Receiver<Arc<BoardView>>,
    guide: Option<Guide>,
    shared: Arc<Shared>,
}

/// What the workers, the connections and the followers of plans have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: Arc<Config>,
    answers: ArcSwap<Answers>,
    pub(super) secrets: ArcSwapOption<Secrets>,
    limiter: Option<RateLimiter>,
    pub(super) metrics: DnsMetrics,
    pub(super) pulse: Pulse,
}

/// A zone and its counters.
#[derive(Debug)]
struct Answers {
    zone: Zone,
    counters: Counters,
}

/// What one or several packets are answered from.
pub(super) struct Snapshot<'a> {
    answers: arc_swap::Guard<Arc<Answers>>,
    secrets: arc_swap::Guard<Option<Arc<Secrets>>>,
    limiter: Option<&'a RateLimiter>,
    now_s: u32,
    /// Whether anything is answered: not from a plan as old as a stop of the process.
    is_steady: bool,
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
        metrics.plan_seq.set(plan_seq(&zone));

        let counters = Counters::new(&metrics, &zone);
        let shared = Arc::new(Shared {
            answers: ArcSwap::from_pointee(Answers { zone, counters }),
            secrets: ArcSwapOption::from_pointee(secrets),
            limiter: RateLimiter::new(&config.settings.rate_limit, rand::random()),
            config,
            metrics,
            pulse: Pulse::default(),
        });

        Ok(Self {
            udp,
            tcp,
            address,
            plan,
            board,
            guide: None,
            shared,
        })
    }

    /// The same server, which answers a frozen plan as the agent decides, and waits for a plan
    /// after the process stood still.
    pub(crate) fn guided_by(self, guide: Guide) -> Self {
        Self {
            guide: Some(guide),
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
            guide,
            shared,
        } = self;

        info!(%address, zone = %shared.config.settings.zone, workers = udp.len(), "DNS answers");
        let mut workers = Workers::start(udp, &shared)?;
        let mut tasks = JoinSet::new();

        tasks.spawn(tcp::serve(tcp, shared.clone()));
        if let Some(Guide {
            resumed,
            is_current,
            ..
        }) = guide.clone()
        {
            tasks.spawn(pulse::keep(shared.clone(), resumed, is_current));
        }

        tasks.spawn(follow(plan, board, guide, shared.clone()));
        tasks.spawn(secrets::keep(shared));

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

/// All on the same port, also where the port is left to the system.
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

/// Swaps the snapshot for each plan that is newer than the one answered from, and where the
/// regions' distances change, or what is answered from a frozen plan.
async fn follow(
    mut plans: watch::Receiver<Option<Arc<CommittedPlan>>>,
    board: watch::Receiver<Arc<BoardView>>,
    guide: Option<Guide>,
    shared: Arc<Shared>,
) {
    let traffic = &shared.config.traffic;
    let is_measured = traffic.strategy == Strategy::Latency && !traffic.networks.is_empty();
    let mut circumstances = Circumstances::default();
    let mut looks = tokio::time::interval(POLL_INTERVAL);
    let local =
        |freeze: &Option<Arc<Freeze>>| freeze.as_ref().and_then(|freeze| freeze.local.clone());
    let (mut freeze, mut is_current) = match &guide {
        Some(guide) => (guide.freeze.clone(), guide.is_current.subscribe()),
        None => (watch::channel(None).1, watch::channel(true).1),
    };

    // What is frozen already counts from the start.
    freeze.mark_changed();
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);

    // The one answered from; it was read when the server was bound.
    let mut current = plans.borrow().clone();

    // The dns-leader takes a plan back that it had from the disk and that the acceptors refute:
    // then an older one may follow.
    let mut is_withdrawn = false;
    loop {
        tokio::select! {
            changed = plans.changed() => match changed {
                Ok(()) => {
                    let offered = plans.borrow_and_update().clone();
                    is_withdrawn |= offered.is_none();
                    if let Some(taken) = shared.take_over(offered, &circumstances, is_withdrawn) {
                        (current, is_withdrawn) = (Some(taken), false);
                    }
                }
                // The writer is gone (the agent ends, or restarts its leader part): the last plan
                // goes on being answered.
                Err(_) => std::future::pending().await,
            },
            Ok(()) = is_current.changed() => {
                if *is_current.borrow_and_update() {
                    // What was heard counts before anything is answered again.
                    let offered = plans.borrow_and_update().clone();
                    current = shared.take_over(offered, &circumstances, is_withdrawn).or(current);
                    shared.pulse.resume();
                }
            }
            Ok(()) = freeze.changed() => {
                let answer = local(&freeze.borrow_and_update());
                if circumstances.local != answer {
                    circumstances.local = answer;
                    shared.answer_from(current.as_deref(), &circumstances);
                }
            }
            _ = looks.tick(), if is_measured => {
                let board = board.borrow().clone();
                if circumstances.distances.look(&board) {
                    let distances = &circumstances.distances;
                    shared.metrics.measured(distances);
                    shared.answer_from(current.as_deref(), &circumstances);
                    info!(distances = ?Shown(distances), "DNS answers by new distances between \
                        regions");
                }
            }
        }
    }
}

/// Distances for the log, milliseconds.
struct Shown<'a>(&'a Distances);

impl std::fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = self
            .0
            .all()
            .map(|(from, to, time)| format!("{from}>{to}={}", time.as_millis()));
        f.write_str(&shown.collect::<Vec<_>>().join(" "))
    }
}

fn plan_seq(zone: &Zone) -> i64 {
    zone.stamp
        .as_ref()
        .map_or(0, |stamp| i64::try_from(stamp.seq).unwrap_or(i64::MAX))
}

fn announce(zone: &Zone, plan: Option<&CommittedPlan>) {
    let weights: Vec<_> = zone
        .regions
        .iter()
        .map(|region| format!("{}={}", region.name, region.weight_bp))
        .collect();
    let weights = weights.join(" ");

    match plan {
        Some(CommittedPlan { stamp, plan }) => {
            info!(seq = stamp.seq, ballot = stamp.ballot.number, %weights, reason = %plan.reason, "DNS answers a new plan");
        }
        None => {
            warn!(%weights, "DNS answers all regions of the configuration: no plan is committed \
                yet")
        }
    }

    if zone.is_withdrawn {
        error!("every region failed: DNS answers no address, as traffic.when_all_down asks");
    } else if !zone.is_weighted() {
        error!(%weights, "no region has a share: DNS answers all of them");
    }
}

impl Shared {
    /// Whether a plan is newer than the one answered from; an older one is refused.
    fn accepts(&self, plan: &CommittedPlan) -> bool {
        let answers = self.answers.load();
        match answers
            .zone
            .stamp
            .as_ref()
            .map(|current| plan.stamp.cmp(current))
        {
            None | Some(Ordering::Greater) => true,
            Some(Ordering::Equal) => false,
            Some(Ordering::Less) => {
                warn!(
                    seq = plan.stamp.seq,
                    "DNS keeps its plan: the one offered is older"
                );

                self.metrics
                    .refused_plans
                    .with_label_values(&["older"])
                    .inc();

                false
            }
        }
    }

    /// Answers from a plan that is newer than the one answered from, or from any if that one was
    /// withdrawn; the plan, if it is answered from now.
    fn take_over(
        &self,
        offered: Option<Arc<CommittedPlan>>,
        circumstances: &Circumstances,
        is_withdrawn: bool,
    ) -> Option<Arc<CommittedPlan>> {
        let plan = offered.filter(|plan| is_withdrawn || self.accepts(plan))?;
        if !self.answer_from(Some(&plan), circumstances) {
            return None;
        }
        announce(&self.answers.load().zone, Some(&plan));
        Some(plan)
    }

    /// Swaps the snapshot; false: it can't be made, and the one before stays.
    fn answer_from(&self, plan: Option<&CommittedPlan>, circumstances: &Circumstances) -> bool {
        match Zone::compile_with(&self.config, plan, circumstances) {
            Ok(zone) => {
                self.metrics.plan_seq.set(plan_seq(&zone));
                let counters = Counters::new(&self.metrics, &zone);
                self.answers.store(Arc::new(Answers { zone, counters }));
                true
            }
            Err(error) => {
                let seq = plan.map_or(0, |plan| plan.stamp.seq);
                self.metrics
                    .refused_plans
                    .with_label_values(&["unanswerable"])
                    .inc();

                error!(seq, %error, "DNS keeps its plan: the new one can't be answered");
                false
            }
        }
    }

    /// What is to be answered from now.
    pub(super) fn snapshot(&self) -> Snapshot<'_> {
        // Cookies count seconds modulo 2^32.
        let now_s = ((unix_ms() / 1_000) & u64::from(u32::MAX)) as u32;
        let answers = self.answers.load();
        let secrets = self.secrets.load();

        Snapshot {
            answers,
            secrets,
            limiter: self.limiter.as_ref(),
            now_s,
            is_steady: self.pulse.is_steady(),
        }
    }

    pub(super) fn count_dropped(&self, transport: Transport, reason: &str) {
        self.metrics
            .dropped
            .with_label_values(&[transport.as_str(), reason])
            .inc();
    }
}

impl Snapshot<'_> {
    /// Puts the answer to a packet that came from `source` at `now` into `out`; false: nothing is
    /// to be sent.
    pub(super) fn respond(
        &self,
        packet: &[u8],
        source: IpAddr,
        transport: Transport,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> bool {
        if !self.is_steady {
            return false;
        }

        let Answers { zone, counters } = &**self.answers;
        let random = rand::random();
        let secrets = self.secrets.as_deref();
        let asker = Asker {
            source,
            transport,
            random,
            now_s: self.now_s,
            secrets,
        };

        let Some(mut reply) = respond(zone, packet, &asker, out) else {
            counters.count_not_a_query(transport);
            return false;
        };

        // Who comes over TCP or with a cookie of ours is no forged sender.
        let is_proven = transport == Transport::Tcp || reply.proof == Proof::Proven;
        let limiter = self.limiter.filter(|_| !is_proven);
        let verdict = limiter.map_or(Verdict::Send, |limiter| {
            limiter.judge(source, reply.kind, now)
        });

        if verdict == Verdict::Cut {
            reply.cut(out);
        }
        counters.count(zone, &reply, transport, verdict);
        verdict != Verdict::Drop
    }
}
