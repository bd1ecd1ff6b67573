//! The replicator: keeps the region's bucket equal to the mesh's catalogue.
//!
//! [`regionmesh_core::replication`] decides; the actor reads and changes the store, reads the
//! catalogues of peers, fetches versions, and serves its own catalogue to peers. All long work is
//! in tasks that report back.

mod arguments;
mod catalogue;
mod feeds;
mod notices;
mod perform;
mod routes;
mod state;
mod tasks;

use crate::actors::messages::ReplicatorMessage;
pub use arguments::ReplicatorArguments;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use regionmesh_core::{
    agent::intervals::{REPLICATION_BOARD_PAUSE, REPLICATION_TICK},
    replication::Input,
};
pub use state::ReplicatorState;
use tokio_util::task::AbortOnDropHandle;

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
                while board.changed().await.is_ok() && me.cast(ReplicatorMessage::Changed).is_ok() {
                    tokio::time::sleep(REPLICATION_BOARD_PAUSE).await;
                }
            })
        };

        let mut changes = arguments.store.changes();
        let store_watcher = {
            let me = me.clone();
            tokio::spawn(async move {
                while changes.changed().await.is_ok() && me.cast(ReplicatorMessage::Changed).is_ok()
                {
                }
            })
        };

        me.send_interval(REPLICATION_TICK, || ReplicatorMessage::Tick);
        let watchers = [board_watcher, store_watcher].map(AbortOnDropHandle::new);
        let mut state = ReplicatorState::new(arguments, watchers);

        state.decide(&me, Some(Input::StoreChanged));
        Ok(state)
    }

    async fn handle(
        &self,
        me: ActorRef<ReplicatorMessage>,
        message: ReplicatorMessage,
        state: &mut ReplicatorState,
    ) -> Result<(), ActorProcessingErr> {
        state.forget_ended_tasks();
        match message {
            ReplicatorMessage::CataloguePage(digest, offset, reply) => {
                drop(reply.send(state.page(digest, offset)));
            }
            ReplicatorMessage::Tick => {
                state.check_watchers()?;
                state.decide(&me, Some(Input::Tick));
            }
            ReplicatorMessage::Changed => state.decide(&me, None),
            ReplicatorMessage::Ended(input) => state.decide(&me, Some(*input)),
        }

        Ok(())
    }
}
