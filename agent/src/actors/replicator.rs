//! The replicator: keeps the region's bucket equal to the mesh's catalogue.
//!
//! It reads its own store, publishes a summary of what the region holds, reads the catalogues of
//! regions whose summary changed, and performs what [`regionmesh_core::replication::plan_sync`]
//! finds missing. With several agents in a region each version is fetched by one of them
//! (rendezvous hashing, Thaler and Ravishankar 1998), so that a long-distance link carries a chunk
//! once. All long work is in tasks that report back.

mod arguments;
mod catalogue;
mod holdings;
mod maintenance;
mod peers;
mod sources;
mod state;
mod sync;
mod unknown;
mod upkeep;

use crate::actors::messages::ReplicatorMessage;
pub use arguments::ReplicatorArguments;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use regionmesh_protocol::wire::PeerReply;
use regionmesh_runtime::logging::KeyedThrottle;
pub use state::ReplicatorState;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};
use tokio_util::task::AbortOnDropHandle;

/// How often due work is checked when nothing changes.
const TICK: Duration = Duration::from_millis(500);
/// How often a fetch of one version that fails repeatedly is logged.
const LOG_EVERY: Duration = Duration::from_secs(60);

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
            reminder: KeyedThrottle::new(LOG_EVERY),
            is_converging: false,
            converge_after: Instant::now(),
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
                state.update_has_catalogues();
                state.sync(&me);
                state.maintain(&me);
                state.publish_holdings();
            }
            ReplicatorMessage::BoardChanged => state.ask(&me),
            ReplicatorMessage::Scanned(scanned) => state.scanned(&me, scanned),
            ReplicatorMessage::PeerCatalogue(region, learnt) => state.learnt(&me, region, learnt),
            ReplicatorMessage::Cleaned(outcome) => state.cleaned(&me, outcome),
            ReplicatorMessage::LossesFound(found) => state.losses_found(&me, found),
            ReplicatorMessage::ConvergeEnded(outcome) => state.converge_ended(&me, outcome),
            ReplicatorMessage::FetchEnded(version, outcome) => {
                state.fetch_ended(&me, *version, outcome);
            }
        }

        Ok(())
    }
}

impl ReplicatorState {}
