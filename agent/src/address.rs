//! Addresses of actors that stay valid across restarts.
//!
//! ractor's own registry is not used: a remote actor's death would unregister the local actor of
//! the same name.

use arc_swap::ArcSwapOption;
use ractor::{ActorRef, Message, RpcReplyPort, rpc::CallResult};
use std::{sync::Arc, time::Duration};

/// Why a message or its answer was not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The actor is not running; its supervisor restarts it.
    #[error("the {0} actor is being restarted")]
    Down(&'static str),
    /// The actor received the message and did not answer in time, or died.
    #[error("the {0} actor did not answer in time")]
    NoAnswer(&'static str),
}

/// An actor's address. Cheap to clone; stays valid when the supervisor replaces the actor.
#[derive(Debug)]
pub struct Address<M> {
    name: &'static str,
    actor: Arc<ArcSwapOption<ActorRef<M>>>,
}

impl<M> Clone for Address<M> {
    fn clone(&self) -> Self {
        Self {
            name: self.name,
            actor: self.actor.clone(),
        }
    }
}

impl<M: Message> Address<M> {
    /// An address without an actor yet. `name` is for errors and logs.
    pub fn vacant(name: &'static str) -> Self {
        Self {
            name,
            actor: Arc::default(),
        }
    }

    /// For the supervisor: from now on `actor` has this address.
    pub fn occupy(&self, actor: ActorRef<M>) {
        self.actor.store(Some(Arc::new(actor)));
    }

    /// For the supervisor: there is no actor until the next [`Address::occupy`].
    pub fn vacate(&self) {
        self.actor.store(None);
    }

    /// The actor, if it runs. For supervision and tests; others send messages.
    pub fn actor(&self) -> Option<ActorRef<M>> {
        self.actor.load_full().map(|actor| (*actor).clone())
    }

    /// Sends a message; fails if the actor does not run.
    pub fn cast(&self, message: M) -> Result<(), AddressError> {
        match &*self.actor.load() {
            Some(actor) => actor
                .cast(message)
                .map_err(|_| AddressError::Down(self.name)),
            None => Err(AddressError::Down(self.name)),
        }
    }

    /// Sends a request and waits for the answer, at most `timeout`.
    pub async fn call<R: Send + 'static>(
        &self,
        message: impl FnOnce(RpcReplyPort<R>) -> M,
        timeout: Duration,
    ) -> Result<R, AddressError> {
        let actor = self
            .actor
            .load_full()
            .ok_or(AddressError::Down(self.name))?;

        match actor.call(message, Some(timeout)).await {
            Ok(CallResult::Success(reply)) => Ok(reply),
            Ok(CallResult::Timeout | CallResult::SenderError) => {
                Err(AddressError::NoAnswer(self.name))
            }
            Err(_) => Err(AddressError::Down(self.name)),
        }
    }
}
