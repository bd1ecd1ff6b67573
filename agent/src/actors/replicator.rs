//! The replicator: reads and changes the region's store, reads the catalogues of peers, and fetches
//! versions. All of it takes long, and is done in tasks that report back.

mod arguments;
mod catalogue;
pub(super) mod notices;
mod tasks;

use crate::actors::messages::{CoreMessage, ReplicatorMessage};
pub use arguments::ReplicatorArguments;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use regionmesh_core::replication::Input;
use tokio::task::JoinSet;

pub struct ReplicatorActor;

/// State of the actor.
pub struct ReplicatorState {
    arguments: ReplicatorArguments,
    /// They end with the actor.
    tasks: JoinSet<()>,
}

impl Actor for ReplicatorActor {
    type Msg = ReplicatorMessage;
    type State = ReplicatorState;
    type Arguments = ReplicatorArguments;

    async fn pre_start(
        &self,
        _: ActorRef<ReplicatorMessage>,
        arguments: ReplicatorArguments,
    ) -> Result<ReplicatorState, ActorProcessingErr> {
        // A restart may have lost a scan, or work that had changed the store.
        let _ = arguments.core.cast(CoreMessage::input(Input::StoreChanged));

        Ok(ReplicatorState {
            arguments,
            tasks: JoinSet::new(),
        })
    }

    async fn handle(
        &self,
        _: ActorRef<ReplicatorMessage>,
        message: ReplicatorMessage,
        state: &mut ReplicatorState,
    ) -> Result<(), ActorProcessingErr> {
        while state.tasks.try_join_next().is_some() {}

        let ReplicatorMessage::Work(work, report) = message;
        if let Some(task) = tasks::of(*work, &state.arguments) {
            state.tasks.spawn(report.run(task));
        }

        Ok(())
    }
}
