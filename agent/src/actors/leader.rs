//! The dns-leader actor: its region's acceptor, the calls to acceptors and voters, and the last
//! plan on disk.

mod acceptor;
mod arguments;
mod calls;
mod judging;
mod metrics;
pub(super) mod notices;
mod plan_metrics;
mod saved_plan;
mod signing;

use crate::actors::messages::LeaderMessage;
use acceptor::{ACCEPTOR_REQUESTS, Acceptor};
pub use arguments::LeaderArguments;
pub(crate) use judging::CoreJudge;
pub use metrics::LeaderMetrics;
use ractor::{Actor, ActorProcessingErr, ActorRef};
pub(crate) use saved_plan::load_plan;
use saved_plan::save_plans;
pub use signing::Signing;
use std::sync::Arc;
use tokio::{sync::Semaphore, task::JoinSet};
use tokio_util::task::AbortOnDropHandle;

#[derive(Debug, Default)]
pub struct LeaderActor;

/// The state of the actor.
pub struct LeaderState {
    arguments: LeaderArguments,
    acceptor: Acceptor,
    /// They end with the actor.
    calls: JoinSet<()>,
    /// Writes plans to the disk.
    _saving: AbortOnDropHandle<()>,
}

impl Actor for LeaderActor {
    type Msg = LeaderMessage;
    type State = LeaderState;
    type Arguments = LeaderArguments;

    async fn pre_start(
        &self,
        _: ActorRef<LeaderMessage>,
        arguments: LeaderArguments,
    ) -> Result<LeaderState, ActorProcessingErr> {
        let acceptor = Acceptor {
            store: arguments.store.clone(),
            signing: arguments.signing.clone(),
            permits: Arc::new(Semaphore::new(ACCEPTOR_REQUESTS)),
            metrics: arguments.metrics.clone(),
            core: arguments.core.clone(),
        };
        let saving = tokio::spawn(save_plans(arguments.clone()));

        Ok(LeaderState {
            arguments,
            acceptor,
            calls: JoinSet::new(),
            _saving: AbortOnDropHandle::new(saving),
        })
    }

    async fn handle(
        &self,
        _: ActorRef<LeaderMessage>,
        message: LeaderMessage,
        state: &mut LeaderState,
    ) -> Result<(), ActorProcessingErr> {
        while state.calls.try_join_next().is_some() {}

        match message {
            LeaderMessage::Acceptor(request, reply) => state.acceptor.answer(request, reply),
            LeaderMessage::Call(call, report) => {
                let call = calls::make(call, state.arguments.clone());
                state.calls.spawn(report.run(call));
            }
        }

        Ok(())
    }
}
