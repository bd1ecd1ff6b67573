//! An actor round a long-running task: a server that is supervised like every other actor.
//!
//! The task gets a token that is cancelled when the actor stops; if it ends by itself, or panics,
//! the actor fails and the supervisor starts it again.

use futures::future::BoxFuture;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::sync::Arc;
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};

/// Makes the task, given the token that stops it.
pub type MakeTask =
    Arc<dyn Fn(CancellationToken) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// To a service.
pub enum ServiceMessage {
    /// The task ended; services are not meant to.
    Ended(Result<(), String>),
}

impl ractor::Message for ServiceMessage {}

/// The actor.
pub struct Service;

/// Ends the task with the actor, however the actor ends: `post_stop` is not called when an actor is
/// killed.
pub struct Running {
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

            // Where the agent stops nothing has died: no error, and no restart.
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

/// What a service is started with, each time.
#[derive(Clone)]
pub struct ServiceArguments {
    /// Makes the task.
    pub make: MakeTask,
    /// Cancelled when the agent stops.
    pub stop: CancellationToken,
    /// The tasks of all services, so that the agent can wait until they have ended what was in
    /// progress.
    pub running: TaskTracker,
}
