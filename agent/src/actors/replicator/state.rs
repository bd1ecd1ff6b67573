//! The state of the replicator, and how it reads its region's store.

use super::{arguments::ReplicatorArguments, catalogue, unknown, upkeep};
use crate::actors::messages::ReplicatorMessage;
use ractor::ActorRef;
use regionmesh_protocol::{
    identity::{AgentId, RegionName},
    models::{
        catalogue::{Catalogue, Tombstone},
        digest::Digest,
        manifest::VersionSummary,
    },
};
use regionmesh_runtime::logging::KeyedThrottle;
use regionmesh_store::Scan;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// State of the actor.
pub struct ReplicatorState {
    pub(super) arguments: ReplicatorArguments,
    pub(super) own: Option<Catalogue>,
    /// Digest of `own`; none where it is too large to be published.
    pub(super) own_digest: Option<Digest>,
    /// Deletions that were recorded and not carried out to the end.
    pub(super) unfinished: Vec<Tombstone>,
    pub(super) documents: catalogue::Documents,
    pub(super) peers: BTreeMap<RegionName, (Digest, Arc<Catalogue>)>,
    pub(super) unknown: unknown::UnknownCatalogues,
    pub(super) upkeep: upkeep::Upkeep,
    /// When reading a region's catalogue last failed.
    pub(super) asked: BTreeMap<RegionName, Instant>,
    /// Regions whose catalogue is being read.
    pub(super) learning: BTreeSet<RegionName>,
    pub(super) fetching: BTreeSet<VersionSummary>,
    pub(super) failed: BTreeMap<VersionSummary, Instant>,
    pub(super) first_missing: BTreeMap<VersionSummary, Instant>,
    /// Versions that wait for a relay, and which region that is.
    pub(super) awaited: BTreeMap<VersionSummary, RegionName>,
    /// Limits the log of a version that can't be fetched.
    pub(super) reminder: KeyedThrottle<VersionSummary>,
    pub(super) is_converging: bool,
    pub(super) converge_after: Instant,
    pub(super) is_scanning: bool,
    pub(super) is_stale: bool,
    pub(super) scanned_at: Instant,
    /// Writes to the store since it was last read.
    pub(super) changes: watch::Receiver<u64>,
    /// The watchers of board and store; they end with the actor.
    pub(super) watchers: [AbortOnDropHandle<()>; 2],
    pub(super) tasks: tokio::task::JoinSet<()>,
}

/// Pause before a failed fetch or call is tried again.
pub(super) const RETRY: Duration = Duration::from_secs(2);

impl ReplicatorState {
    /// Reads the store if it was written to since the last scan began, else continues with what is
    /// missing.
    pub(super) fn catch_up(&mut self, me: &ActorRef<ReplicatorMessage>) {
        if self.changes.has_changed().unwrap_or(true) {
            self.scan(me);
        } else if !self.is_scanning {
            self.sync(me);
        }
    }

    pub(super) fn scan(&mut self, me: &ActorRef<ReplicatorMessage>) {
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

    pub(super) fn scanned(
        &mut self,
        me: &ActorRef<ReplicatorMessage>,
        scanned: Result<Scan, String>,
    ) {
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
                self.check_files(me);
                self.publish_holdings();
            }
            Err(why) => {
                self.arguments.fetcher.metrics.store_errors.inc();
                tracing::error!(
                    why,
                    "the region's store can't be read; the last known catalogue stays in use"
                );
            }
        }

        if self.is_stale {
            self.scan(me);
        }
    }

    /// Whether this agent, of the live ones of its region, is responsible for `key`.
    pub(super) fn is_ours(&self, key: &[u8]) -> bool {
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
}
