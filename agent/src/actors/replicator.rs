//! The replicator: keeps the region's bucket equal to the mesh's catalogue.
//!
//! It reads its own store, tells the mesh in brief what the region holds, asks regions whose brief
//! changed for all that they hold, and carries out what [`plan_sync`] says is lacking. With several
//! agents in a region each version is fetched by one of them (rendezvous hashing, Thaler and
//! Ravishankar 1998), so that a long-distance link carries a chunk once. All long work is in tasks
//! that report back.

mod catalogue;
mod sources;
mod unknown;
mod upkeep;

use crate::{
    actors::messages::{GossipMessage, ReplicatorMessage},
    address::Address,
    config::Config,
    cost::books::Books,
    snapshots::Snapshots,
};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use regionmesh_core::replication::{SyncAction, plan_sync};
use regionmesh_mesh::{Peer, PeerLink};
use regionmesh_protocol::{
    identity::{AgentId, RegionName},
    models::{
        catalogue::{Catalogue, Tombstone},
        digest::Digest,
        manifest::VersionSummary,
    },
    status::{Holdings, StatusEntry},
    wire::PeerReply,
};
use regionmesh_replication::{Fetcher, HybridClock};
use regionmesh_runtime::{logging::Reminder, models::ModelError};
use regionmesh_serving::Quarantine;
use regionmesh_store::{ModelStore, Scan};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// Versions and aliases told in the board entry.
const BRIEF_MAX: usize = 256;
/// How often due work is looked for when nothing changes.
const TICK: Duration = Duration::from_millis(500);
/// How often a fetch of one version that fails again and again is logged.
const LOG_EVERY: Duration = Duration::from_secs(60);
/// Pause before a failed fetch or question is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// What the actor is started with, each time.
#[derive(Clone)]
pub struct ReplicatorArguments {
    /// The agent's configuration.
    pub config: Arc<Config>,
    /// Who we are.
    pub id: AgentId,
    /// The region's models.
    pub store: Arc<ModelStore>,
    /// Where the catalogue is told.
    pub snapshots: Snapshots,
    /// Spreads what the region holds.
    pub gossip: Address<GossipMessage>,
    /// Asks peers for their catalogue.
    pub peers: Arc<dyn PeerLink>,
    /// Fetches versions.
    pub fetcher: Fetcher,
    /// The agent's clock.
    pub clock: HybridClock,
    /// What bytes cost between regions.
    pub books: watch::Receiver<Arc<Books>>,
    /// Tells the embedded model server of versions whose files were replaced, where there is one.
    pub quarantine: Option<Arc<Quarantine>>,
}

/// State of the actor.
pub struct ReplicatorState {
    arguments: ReplicatorArguments,
    own: Option<Catalogue>,
    /// Digest of `own`; none where it is too large to be told.
    own_digest: Option<Digest>,
    /// Deletions that were recorded and not carried out to the end.
    unfinished: Vec<Tombstone>,
    documents: catalogue::Documents,
    peers: BTreeMap<RegionName, (Digest, Arc<Catalogue>)>,
    unknown: unknown::UnknownCatalogues,
    upkeep: upkeep::Upkeep,
    /// When a region last did not tell.
    asked: BTreeMap<RegionName, Instant>,
    /// Regions that are being asked.
    learning: BTreeSet<RegionName>,
    fetching: BTreeSet<VersionSummary>,
    failed: BTreeMap<VersionSummary, Instant>,
    first_missing: BTreeMap<VersionSummary, Instant>,
    /// Versions that are waited for, and at which region.
    awaited: BTreeMap<VersionSummary, RegionName>,
    /// A version that can't be had is logged once in a while, not with each attempt.
    reminder: Reminder<VersionSummary>,
    is_settling: bool,
    settle_after: Instant,
    is_scanning: bool,
    is_stale: bool,
    scanned_at: Instant,
    /// Writes to the store since it was last read.
    changes: watch::Receiver<u64>,
    /// The watchers of board and store, and whatever is running; they end with the actor.
    watchers: [AbortOnDropHandle<()>; 2],
    tasks: tokio::task::JoinSet<()>,
}

/// The actor.
pub struct ReplicatorActor;

impl Actor for ReplicatorActor {
    type Msg = ReplicatorMessage;
    type State = ReplicatorState;
    type Arguments = ReplicatorArguments;

    async fn pre_start(
        &self,
        me: ActorRef<ReplicatorMessage>,
        arguments: ReplicatorArguments,
    ) -> Result<ReplicatorState, ActorProcessingErr> {
        let mut board = arguments.snapshots.board.subscribe();
        let board_watcher = {
            let me = me.clone();
            tokio::spawn(async move {
                while board.changed().await.is_ok()
                    && me.cast(ReplicatorMessage::BoardChanged).is_ok()
                {
                    // The board changes many times a second; what is held changes rarely.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            })
        };

        let changes = arguments.store.changes();
        let store_watcher = {
            let me = me.clone();
            let mut changes = changes.clone();
            tokio::spawn(async move {
                while changes.changed().await.is_ok()
                    && me.cast(ReplicatorMessage::StoreChanged).is_ok()
                {}
            })
        };

        me.send_interval(TICK, || ReplicatorMessage::Tick);
        let mut state = ReplicatorState {
            arguments,
            own: None,
            own_digest: None,
            unfinished: Vec::new(),
            documents: catalogue::Documents::default(),
            peers: BTreeMap::new(),
            unknown: unknown::UnknownCatalogues::default(),
            upkeep: upkeep::Upkeep::default(),
            asked: BTreeMap::new(),
            learning: BTreeSet::new(),
            fetching: BTreeSet::new(),
            failed: BTreeMap::new(),
            first_missing: BTreeMap::new(),
            awaited: BTreeMap::new(),
            reminder: Reminder::new(LOG_EVERY),
            is_settling: false,
            settle_after: Instant::now(),
            is_scanning: false,
            is_stale: false,
            scanned_at: Instant::now(),
            changes,
            watchers: [board_watcher, store_watcher].map(AbortOnDropHandle::new),
            tasks: tokio::task::JoinSet::new(),
        };

        state.scan(&me);
        Ok(state)
    }

    async fn handle(
        &self,
        me: ActorRef<ReplicatorMessage>,
        message: ReplicatorMessage,
        state: &mut ReplicatorState,
    ) -> Result<(), ActorProcessingErr> {
        while state.tasks.try_join_next().is_some() {}
        match message {
            ReplicatorMessage::StoreChanged => state.catch_up(&me),
            ReplicatorMessage::CataloguePage(digest, offset, reply) => {
                let page = match &state.own {
                    Some(own) => state.documents.page(own, state.own_digest, digest, offset),
                    None => PeerReply::Failed("this region's store has not been read yet".into()),
                };
                drop(reply.send(page));
            }
            ReplicatorMessage::Tick => {
                if state.watchers.iter().any(AbortOnDropHandle::is_finished) {
                    return Err("the watcher of the board or of the store ended".into());
                }

                if state.scanned_at.elapsed()
                    >= Duration::from_millis(state.arguments.config.replication.rescan_ms)
                {
                    state.scan(&me);
                }

                state.ask(&me);
                state.note_catalogues();
                state.sync(&me);
                state.maintain(&me);
                state.tell();
            }
            ReplicatorMessage::BoardChanged => state.ask(&me),
            ReplicatorMessage::Scanned(scanned) => state.scanned(&me, scanned),
            ReplicatorMessage::PeerCatalogue(region, learnt) => state.learnt(&me, region, learnt),
            ReplicatorMessage::Cleaned(outcome) => state.cleaned(&me, outcome),
            ReplicatorMessage::LossesFound(found) => state.losses_found(&me, found),
            ReplicatorMessage::SettlingEnded(outcome) => {
                state.is_settling = false;
                if let Err(why) = outcome {
                    tracing::error!(
                        why,
                        "a deletion, rename or alias could not be carried out; it is tried again"
                    );
                    state.settle_after = Instant::now() + RETRY;
                }

                state.catch_up(&me);
            }
            ReplicatorMessage::FetchEnded(version, outcome) => {
                state.fetching.remove(&version);
                match outcome {
                    Ok(()) => {
                        state.failed.remove(&version);
                        state.announce_replaced(&version);
                    }
                    Err(why) => {
                        if let Some(left_out) =
                            state.reminder.admit(&version, std::time::Instant::now())
                        {
                            tracing::error!(model = %version.model, version = %version.version, why, left_out, "a fetch failed; it is tried again");
                        }

                        state.failed.insert(*version, Instant::now());
                    }
                }

                state.catch_up(&me);
            }
        }

        Ok(())
    }
}

impl ReplicatorState {
    /// Reads the store if it was written to since that was last begun, and goes on with what is
    /// lacking once what is known of it is up to date.
    fn catch_up(&mut self, me: &ActorRef<ReplicatorMessage>) {
        if self.changes.has_changed().unwrap_or(true) {
            self.scan(me);
        } else if !self.is_scanning {
            self.sync(me);
        }
    }

    fn scan(&mut self, me: &ActorRef<ReplicatorMessage>) {
        if self.is_scanning {
            self.is_stale = true;
            return;
        }

        (self.is_scanning, self.is_stale, self.scanned_at) = (true, false, Instant::now());
        self.changes.mark_unchanged();
        let me = me.clone();
        let store = self.arguments.store.clone();

        self.tasks.spawn(async move {
            let scanned = store.scan().await.map_err(|error| error.to_string());
            let _ = me.cast(ReplicatorMessage::Scanned(scanned));
        });
    }

    fn scanned(&mut self, me: &ActorRef<ReplicatorMessage>, scanned: Result<Scan, String>) {
        self.is_scanning = false;
        match scanned {
            Ok(Scan {
                catalogue,
                unfinished,
            }) => {
                self.arguments.clock.observe(&catalogue);
                self.unfinished = unfinished;
                self.arguments
                    .fetcher
                    .metrics
                    .versions
                    .set(catalogue.versions.len() as i64);

                let shared = Arc::new(catalogue.clone());
                let is_first = self.own.is_none();
                self.arguments
                    .snapshots
                    .catalogue
                    .send_if_modified(|known| {
                        let is_new = is_first || **known != *shared;
                        *known = shared;
                        is_new
                    });

                self.own_digest = catalogue.digest().ok();
                self.own = Some(catalogue);
                self.sync(me);
                self.look_for_losses(me);
                self.tell();
            }
            Err(why) => {
                self.arguments.fetcher.metrics.store_errors.inc();
                tracing::error!(
                    why,
                    "the region's store can't be read; what was known of it stays in use"
                );
            }
        }

        if self.is_stale {
            self.scan(me);
        }
    }

    /// Asks each region whose brief is not that of the catalogue we have of it.
    fn ask(&mut self, me: &ActorRef<ReplicatorMessage>) {
        let board = self.arguments.snapshots.board.borrow().clone();
        let mut living = BTreeSet::new();
        for (agent, view) in &board.agents {
            let Some(holdings) = view.holdings() else {
                continue;
            };
            let region = &agent.region;

            if !view.is_alive || *region == self.arguments.id.region {
                continue;
            }
            living.insert(region.clone());

            let Some(digest) = holdings.catalogue else {
                self.unknown.announced(region, false);
                self.unknown.failed(
                    region,
                    "the region says that it holds more than can be told".into(),
                );

                continue;
            };

            if self
                .peers
                .get(region)
                .is_some_and(|(known, _)| *known == digest)
            {
                continue;
            }

            // What it holds is what we hold, or another region of which we know: also where it
            // can't be asked.
            if let Some(same) = self.catalogue_of(digest) {
                self.unknown.learnt(region);
                self.remember(region.clone(), digest, same);
                continue;
            }

            self.unknown
                .announced(region, self.peers.contains_key(region));

            let is_asked = self
                .asked
                .get(region)
                .is_some_and(|at| at.elapsed() < RETRY);

            if is_asked || !self.learning.insert(region.clone()) {
                continue;
            }

            let me = me.clone();
            let peers = self.arguments.peers.clone();
            let region = region.clone();
            let agent = agent.clone();

            self.tasks.spawn(async move {
                // The agent that said so if we reach it, else any of its region.
                let mut learnt = catalogue::learn(&*peers, &Peer::Agent(agent)).await;
                if learnt.is_err() {
                    learnt = catalogue::learn(&*peers, &Peer::Region(region.clone())).await;
                }

                let _ = me.cast(ReplicatorMessage::PeerCatalogue(region, learnt));
            });
        }

        self.unknown.keep(&living);
    }

    /// A catalogue that we know by its digest.
    fn catalogue_of(&self, digest: Digest) -> Option<Arc<Catalogue>> {
        let own = self
            .own
            .as_ref()
            .filter(|_| self.own_digest == Some(digest))
            .cloned()
            .map(Arc::new);

        own.or_else(|| {
            self.peers
                .values()
                .find(|(known, _)| *known == digest)
                .map(|(_, known)| known.clone())
        })
    }

    /// Takes over what a region holds.
    fn remember(&mut self, region: RegionName, digest: Digest, catalogue: Arc<Catalogue>) {
        self.arguments
            .snapshots
            .peer_catalogues
            .send_modify(|known| {
                Arc::make_mut(known).insert(region.clone(), catalogue.clone());
            });

        self.peers.insert(region, (digest, catalogue));
    }

    /// Called right after [`ReplicatorState::ask`]: then every living region that announced
    /// something is known, or unknown. Regions that we have no connection to can't be waited for,
    /// nor those whose catalogue can't be read, once this region holds as much as another.
    fn note_catalogues(&self) {
        let snapshots = &self.arguments.snapshots;
        let links = snapshots.links.borrow().clone();
        let is_connected = |region: &RegionName| links.keys().any(|agent| agent.region == *region);
        let unknown: Vec<_> = self
            .unknown
            .regions()
            .into_iter()
            .filter(is_connected)
            .collect();

        let is_known = unknown
            .iter()
            .all(|region| self.unknown.is_unreadable(region))
            && self.is_vouched_for(unknown);

        if self.own.is_some() && is_known && *snapshots.is_current.borrow() {
            snapshots
                .has_catalogues
                .send_if_modified(|known| !std::mem::replace(known, true));
        }
    }

    /// Whether regions whose catalogue was read vouch for the unknown ones, see
    /// [`Holdings::is_vouched_for`].
    fn is_vouched_for(&self, unknown: Vec<RegionName>) -> bool {
        let board = self.arguments.snapshots.board.borrow().clone();
        let read = board
            .agents
            .iter()
            .filter(|(agent, view)| view.is_alive && self.peers.contains_key(&agent.region));
        let holdings = read.filter_map(|(agent, view)| Some((&agent.region, view.holdings()?)));
        let held = Holdings {
            unknown,
            ..Holdings::default()
        };

        held.is_vouched_for(&self.arguments.id.region, &holdings.collect::<Vec<_>>())
    }

    fn learnt(
        &mut self,
        me: &ActorRef<ReplicatorMessage>,
        region: RegionName,
        learnt: Result<(Digest, Catalogue), String>,
    ) {
        self.learning.remove(&region);
        match learnt {
            Ok((digest, catalogue)) => {
                self.arguments.clock.observe(&catalogue);
                self.asked.remove(&region);
                self.unknown.learnt(&region);

                // What was told, not what was announced: a region changes while it is asked.
                self.remember(region, digest, Arc::new(catalogue));
                self.sync(me);
            }
            Err(why) => {
                tracing::debug!(%region, why, "a region did not tell what it holds; it is asked \
                    again");
                self.asked.insert(region.clone(), Instant::now());
                self.unknown.failed(&region, why);
            }
        }

        self.tell();
    }

    /// Begins whatever is lacking and not under way.
    fn sync(&mut self, me: &ActorRef<ReplicatorMessage>) {
        let Some(own) = &self.own else { return };
        let peers: Vec<_> = self
            .peers
            .iter()
            .map(|(region, (_, catalogue))| (region.clone(), (**catalogue).clone()))
            .collect();
        let mut settle = Vec::new();
        let mut wanted = Vec::new();

        for action in plan_sync(own, &peers) {
            match action {
                SyncAction::Fetch { version, regions } => wanted.push((version, regions)),
                other => settle.push(other),
            }
        }

        let missing: BTreeSet<_> = wanted.iter().map(|(version, _)| version.clone()).collect();
        self.first_missing
            .retain(|version, _| missing.contains(version));
        self.reminder.retain(|version| missing.contains(version));
        self.awaited.retain(|version, _| missing.contains(version));
        for version in missing {
            self.first_missing
                .entry(version)
                .or_insert_with(Instant::now);
        }

        // Names first: a version that must give way is moved before the winner comes.
        let must_wait = !settle.is_empty();
        settle.extend(self.unfinished.iter().cloned().map(SyncAction::Delete));
        self.settle(me, settle);
        if must_wait {
            return;
        }

        for (version, regions) in wanted {
            let is_paused = self
                .failed
                .get(&version)
                .is_some_and(|at| at.elapsed() < RETRY);
            let is_full =
                self.fetching.len() >= self.arguments.config.replication.parallel_versions;

            if is_full
                || is_paused
                || self.fetching.contains(&version)
                || !self.is_ours(&version.content.0)
            {
                continue;
            }

            let sources = self.sources(&regions);
            if !sources.is_empty() && !self.waits_for_relay(&version, &regions) {
                self.fetch(me, version, sources);
            }
        }
    }

    /// Records, renames and deletes, unless another agent of the region does, or we do already.
    fn settle(&mut self, me: &ActorRef<ReplicatorMessage>, actions: Vec<SyncAction>) {
        let is_due = !self.is_settling && Instant::now() >= self.settle_after;
        if actions.is_empty() || !is_due || !self.is_ours(&[]) {
            return;
        }
        self.is_settling = true;

        let me = me.clone();
        let store = self.arguments.store.clone();
        let metrics = self.arguments.fetcher.metrics.clone();

        self.tasks.spawn(async move {
            let mut outcome = Ok(());
            for action in actions {
                if matches!(action, SyncAction::Rename { .. }) {
                    metrics.conflicts.inc();
                }
                outcome = settle_one(&store, &action)
                    .await
                    .map_err(|error| error.to_string());
                if outcome.is_err() {
                    break;
                }
            }

            let _ = me.cast(ReplicatorMessage::SettlingEnded(outcome));
        });
    }

    fn fetch(
        &mut self,
        me: &ActorRef<ReplicatorMessage>,
        version: VersionSummary,
        sources: Vec<Vec<AgentId>>,
    ) {
        self.fetching.insert(version.clone());
        let me = me.clone();
        let fetcher = self.arguments.fetcher.clone();
        let missing_since = self
            .first_missing
            .get(&version)
            .copied()
            .unwrap_or_else(Instant::now);

        self.tasks.spawn(async move {
            let start = Instant::now();
            let outcome = fetcher.fetch(&version, &sources).await;
            let label = if outcome.is_ok() { "fetched" } else { "failed" };

            fetcher.metrics.fetches.with_label_values(&[label]).inc();
            if outcome.is_ok() {
                fetcher
                    .metrics
                    .fetch_duration
                    .observe(start.elapsed().as_secs_f64());

                tracing::info!(
                    model = %version.model,
                    version = %version.version,
                    bytes = version.size,
                    fetch_ms = start.elapsed().as_millis() as u64,
                    lag_ms = missing_since.elapsed().as_millis() as u64,
                    "fetched and verified"
                );
            }

            let outcome = outcome.map(drop).map_err(|error| error.to_string());
            let _ = me.cast(ReplicatorMessage::FetchEnded(Box::new(version), outcome));
        });
    }

    /// Whether this agent, of the living ones of its region, is the one to do what `key` stands
    /// for.
    fn is_ours(&self, key: &[u8]) -> bool {
        let me = &self.arguments.id;
        let board = self.arguments.snapshots.board.borrow();
        let score = |agent: &AgentId| {
            let mut hasher = blake3::Hasher::new();
            hasher
                .update(agent.agent.as_str().as_bytes())
                .update(&[0])
                .update(key);

            *hasher.finalize().as_bytes()
        };

        let ours = score(me);
        !board.agents.iter().any(|(agent, view)| {
            agent.region == me.region && agent != me && view.is_alive && score(agent) > ours
        })
    }

    /// Tells the mesh, and the metrics, what the region holds and lacks.
    fn tell(&mut self) {
        let Some(own) = &self.own else { return };
        self.unknown.report(&self.arguments.snapshots.problems);

        let unknown = self.unknown.regions();
        let lag = self
            .first_missing
            .values()
            .map(Instant::elapsed)
            .max()
            .unwrap_or_default()
            .max(self.unknown.longest());
        let lag_ms = lag.as_millis() as u64;
        let metrics = &self.arguments.fetcher.metrics;

        metrics.unknown.set(unknown.len() as i64);
        metrics.missing.set(self.first_missing.len() as i64);
        metrics.lag.set(lag_ms as f64 / 1e3);

        let mut newest: Vec<_> = own.published().collect();
        newest.sort_by_key(|version| std::cmp::Reverse(version.published));

        let version_count = newest.len() as u64;
        let holdings = Holdings {
            // None where it is too large to be told; the others then know that they don't know.
            catalogue: self.own_digest,
            versions: newest
                .into_iter()
                .take(BRIEF_MAX)
                .map(|version| {
                    (
                        version.model.clone(),
                        version.version.clone(),
                        version.content,
                    )
                })
                .collect(),
            version_count,
            aliases: own.aliases.iter().take(BRIEF_MAX).cloned().collect(),
            missing: self.first_missing.len() as u64,
            // In whole seconds: the entry changes while something is missing, not with every look
            // at it.
            lag_ms: lag_ms / 1000 * 1000,
            unknown,
        };

        let _ =
            self.arguments
                .gossip
                .cast(GossipMessage::Publish(Box::new(StatusEntry::Holdings(
                    holdings,
                ))));
    }
}

async fn settle_one(store: &ModelStore, action: &SyncAction) -> Result<(), ModelError> {
    match action {
        SyncAction::Delete(stone) => {
            tracing::info!(model = %stone.model, version = %stone.version, by = %stone.origin, "deleted");
            store.bury(stone).await
        }
        SyncAction::SetAlias(entry) => {
            tracing::info!(model = %entry.model, alias = %entry.alias, version = %entry.version, by = entry.by, "alias set");
            store.set_alias(entry).await
        }
        SyncAction::Rename { from, to } => {
            tracing::error!(model = %from.model, version = %from.version, to = %to, "two regions published this version with different content; the later one is kept under another name");
            store.rename(from, to).await
        }
        SyncAction::Fetch { .. } => Ok(()),
    }
}
