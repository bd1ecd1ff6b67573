//! Monitors an agent's stores: reports an unavailable store, and probes an idle one.

use crate::{
    OpenStore,
    conditional::{CheckError, check_conditional_writes},
    fault::Cause,
    health::StoreHealth,
};
use futures::{StreamExt, future::join_all};
use object_store::path::Path as ObjectPath;
use prometheus::{
    IntCounterVec, IntGaugeVec, register_int_counter_vec_with_registry,
    register_int_gauge_vec_with_registry,
};
use regionmesh_core::health::store::{Access, PROBE_AREA};
use regionmesh_protocol::status::problem::ProblemKind;
use regionmesh_runtime::{metrics::Registry, problems::Problems};
use std::{
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How often a store's state is evaluated.
const TICK: Duration = Duration::from_secs(1);
/// A store without a successful operation for this long is probed.
const IDLE_AFTER: Duration = Duration::from_secs(3);
/// A store without a write for this long gets a write probe: it may answer reads but refuse writes.
const WRITE_IDLE_AFTER: Duration = Duration::from_secs(10);
/// How long a probe may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
/// Pause between two write probes. A local store is always probed, a remote one while its writes
/// fail or none happen.
const WRITE_PROBE_EVERY: Duration = Duration::from_secs(3);
/// How long a conditional-write check may take.
pub const CHECK_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause between two checks of a store that could not be checked.
const CHECK_EVERY: Duration = Duration::from_secs(5);
/// Pause between two checks of an unfit store, which may have been repaired.
const CHECK_UNFIT_EVERY: Duration = Duration::from_secs(30);
/// The content of a write probe: a whole block, so that a full disk refuses it.
const PROBE_BYTES: usize = 4_096;

/// Metrics of an agent's stores.
#[derive(Clone)]
pub struct StoreMetrics {
    available: IntGaugeVec,
    failures: IntCounterVec,
}

impl StoreMetrics {
    /// Registers them.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            available: register_int_gauge_vec_with_registry!(
                "regionmesh_store_available",
                "1 while readable and writable; store: region, witness.",
                &["store"],
                registry
            )?,
            failures: register_int_counter_vec_with_registry!(
                "regionmesh_store_failures_total",
                "Failures after retries, by access: read, write.",
                &["store", "access"],
                registry
            )?,
        })
    }
}

/// One store to watch.
#[derive(Clone)]
pub struct MonitoredStore {
    /// `region` or `witness`: the label of its metrics.
    pub label: &'static str,
    /// Subject of its problem entry: the region's name, or `witness`.
    pub subject: String,
    /// Its name in errors.
    pub what: &'static str,
    pub store: OpenStore,
    /// What fails without it.
    pub consequence: &'static str,
}

#[derive(Clone)]
pub struct MonitorArguments {
    pub stores: Vec<MonitoredStore>,
    /// Makes the probe objects of a region's agents distinct.
    pub agent: String,
    /// Where an outage is reported.
    pub problems: Problems,
    pub metrics: StoreMetrics,
}

/// Watches all stores until `stop`.
pub async fn run_monitor(
    arguments: MonitorArguments,
    stop: CancellationToken,
) -> Result<(), String> {
    let watches = arguments
        .stores
        .iter()
        .map(|store| Watch::new(store.clone(), &arguments).run());
    let _ = stop.run_until_cancelled(join_all(watches)).await;

    Ok(())
}

struct Watch {
    monitored: MonitoredStore,
    agent: String,
    problems: Problems,
    metrics: StoreMetrics,
    checked_at: Option<Instant>,
    wrote_at: Option<Instant>,
    /// A write to a local store that timed out.
    hanging: Option<JoinHandle<io::Result<()>>>,
    counted: [u64; 2],
}

impl Watch {
    fn new(monitored: MonitoredStore, arguments: &MonitorArguments) -> Self {
        Self {
            monitored,
            agent: arguments.agent.clone(),
            problems: arguments.problems.clone(),
            metrics: arguments.metrics.clone(),
            checked_at: None,
            wrote_at: None,
            hanging: None,
            counted: [0; 2],
        }
    }

    async fn run(mut self) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.check().await;
            self.probe().await;
            self.report();
        }
    }

    /// Checks a store that was unreachable at the start or found unfit.
    async fn check(&mut self) {
        let health = &self.monitored.store.health;
        let pause = match health.obstacle().map(|fault| fault.cause) {
            None => return,
            Some(Cause::Unfit(_)) => CHECK_UNFIT_EVERY,
            Some(_) => CHECK_EVERY,
        };

        if self.checked_at.is_some_and(|at| at.elapsed() < pause) {
            return;
        }

        let outcome =
            check_conditional_writes(&self.monitored.store, self.monitored.what, CHECK_TIMEOUT)
                .await;
        self.checked_at = Some(Instant::now());
        match outcome {
            Ok(()) => {
                tracing::info!(
                    store = self.monitored.label,
                    place = health.place(),
                    "the store can be written to"
                )
            }
            Err(error @ CheckError::Unfit { .. }) => {
                tracing::error!(store = self.monitored.label, %error, "writes stay blocked")
            }
            Err(CheckError::Away(fault)) => {
                tracing::debug!(
                    store = self.monitored.label,
                    %fault,
                    "the check failed and is repeated"
                )
            }
        }
    }

    async fn probe(&mut self) {
        let store = self.monitored.store.clone();
        // While a write hangs, reads would hang too, and each would block a thread.
        if store.health.hanging_write().is_none() && store.health.idle_for() >= IDLE_AFTER {
            probe_read(&store).await;
        }

        let is_due = self
            .wrote_at
            .is_none_or(|at| at.elapsed() >= WRITE_PROBE_EVERY);
        let is_write_idle = store.health.write_idle_for() >= WRITE_IDLE_AFTER;
        let is_wanted = store.root.is_some() || store.health.are_writes_in_doubt() || is_write_idle;

        if is_due && is_wanted {
            self.wrote_at = Some(Instant::now());
            match &store.root {
                Some(root) => {
                    let path = root.join(format!(".probe-{}", self.agent));
                    self.probe_folder(&store.health, move || write_and_remove(&path))
                        .await;
                }
                None => probe_write(&store, &self.agent).await,
            }
        }
    }

    /// Writes to a local store. The file system has no timeouts: while a write hangs, no further
    /// one is started.
    async fn probe_folder(
        &mut self,
        health: &StoreHealth,
        write: impl FnOnce() -> io::Result<()> + Send + 'static,
    ) {
        let mut writing = match self.hanging.take() {
            Some(writing) => writing,
            None => tokio::task::spawn_blocking(write),
        };

        match tokio::time::timeout(PROBE_TIMEOUT, &mut writing).await {
            Ok(written) => {
                let written = written.unwrap_or_else(|error| Err(io::Error::other(error)));
                health.writes_end();
                health.observe_file(Access::Write, PROBE_AREA, &written);
            }
            Err(_) => {
                health.writes_hang(PROBE_AREA, PROBE_TIMEOUT);
                self.hanging = Some(writing);
            }
        }
    }

    fn report(&mut self) {
        let health = &self.monitored.store.health;
        let label = self.monitored.label;
        let subject = &self.monitored.subject;

        for (index, access) in [Access::Read, Access::Write].into_iter().enumerate() {
            let failures = health.failures(access);
            let counter = self
                .metrics
                .failures
                .with_label_values(&[label, access.as_str()]);

            counter.inc_by(failures.saturating_sub(self.counted[index]));
            self.counted[index] = failures;
        }

        let why = match (health.outage(), health.obstacle()) {
            (Some(outage), _) => Some(outage.why),
            (None, Some(fault)) => Some(fault.to_string()),
            (None, None) => None,
        };

        self.metrics
            .available
            .with_label_values(&[label])
            .set(i64::from(why.is_none()));

        match why {
            Some(why) => {
                let detail = format!("{why}; {}", self.monitored.consequence);
                self.problems
                    .set(ProblemKind::StoreUnavailable, subject, detail);
            }
            None => self.problems.clear(ProblemKind::StoreUnavailable, subject),
        }
    }
}

/// Reads an object that need not exist; the store's health records the outcome, including a
/// time-out.
async fn probe_read(store: &OpenStore) {
    let folder = ObjectPath::from(PROBE_AREA);
    let mut listing = store.prober.list(Some(&folder));
    let _ = tokio::time::timeout(PROBE_TIMEOUT, listing.next()).await;
}

async fn probe_write(store: &OpenStore, agent: &str) {
    let path = ObjectPath::from(format!("{PROBE_AREA}/write-{agent}"));
    let put = store
        .prober
        .put_opts(&path, vec![0u8; PROBE_BYTES].into(), Default::default());
    let _ = tokio::time::timeout(PROBE_TIMEOUT, put).await;
}

fn write_and_remove(path: &Path) -> io::Result<()> {
    let folder = path.parent().map(PathBuf::from).unwrap_or_default();
    if !folder.is_dir() {
        return Err(io::Error::new(
            io::ErrorKind::NotADirectory,
            "it is no longer a folder",
        ));
    }

    let written = std::fs::write(path, [0; PROBE_BYTES]);
    // Also removes a partly written block.
    let _ = std::fs::remove_file(path);

    written
}
