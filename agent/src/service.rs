//! An actor for a long-running task, such as a server, so that it is supervised like any actor.
//!
//! The task gets a token that is cancelled when the agent stops; if it ends earlier, or panics, the
//! actor fails and the supervisor restarts it.

use futures::future::BoxFuture;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::sync::Arc;
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};

/// Starts the task, given the token that stops it.
pub(crate) type MakeTask =
    Arc<dyn Fn(CancellationToken) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// Messages of the actor.
pub(crate) enum ServiceMessage {
    /// The task ended, which is an error.
    Ended(Result<(), String>),
}

impl ractor::Message for ServiceMessage {}

/// Runs one task.
pub(crate) struct Service;

/// Aborts the task when dropped with the actor: `post_stop` is not called when an actor is killed.
pub(crate) struct Running {
    _task: AbortOnDropHandle<()>,
}

impl Actor for Service {
    type Msg = ServiceMessage;
    type State = Running;
    type Arguments = ServiceArguments;

    async fn pre_start(
        &self,
        me: ActorRef<ServiceMessage>,
        arguments: ServiceArguments,
    ) -> Result<Running, ActorProcessingErr> {
        let task = arguments
            .running
            .spawn((arguments.make)(arguments.stop.child_token()));
        let watcher = tokio::spawn(async move {
            let task = AbortOnDropHandle::new(task);
            let ended = task.await.unwrap_or_else(|error| Err(error.to_string()));

            // When the agent stops, the end of the task is no failure.
            if !arguments.stop.is_cancelled() {
                let _ = me.cast(ServiceMessage::Ended(ended));
            }
        });

        Ok(Running {
            _task: AbortOnDropHandle::new(watcher),
        })
    }

    async fn handle(
        &self,
        _me: ActorRef<ServiceMessage>,
        ServiceMessage::Ended(ended): ServiceMessage,
        _state: &mut Running,
    ) -> Result<(), ActorProcessingErr> {
        match ended {
            Ok(()) => Err("the service ended".into()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Arguments of every start of a service.
#[derive(Clone)]
pub(crate) struct ServiceArguments {
    /// Starts the task.
    pub make: MakeTask,
    /// Cancelled when the agent stops.
    pub stop: CancellationToken,
    /// The tasks of all services, so that the agent can wait until they have finished.
    pub running: TaskTracker,
}
