//! The core actor: gives the [`regionmesh_core::Core`] what happens and the time, publishes what it
//! decides, and passes IO on to the IO actors. It never waits.
//!
//! The core lives in the actor's arguments: after a crash the actor continues with the same board,
//! plan and verdicts. [`crate::actors::report`] says what becomes of work that is under way.
//!
//! - `feeds`: what is read from other parts of the agent before each input
//! - `perform`: effects of the core
//! - `replies`: callers that wait for the core
//! - `routes`: prices, for the choice of sources

mod arguments;
mod feeds;
mod perform;
mod replies;
mod routes;

use super::{messages::CoreMessage, report::Report};
use crate::clocks::now;
pub(crate) use arguments::{CoreArguments, CoreMetrics, IoActors, new_core};
use feeds::Feeds;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use rand::{SeedableRng, rngs::StdRng};
use regionmesh_core::{agent::Input, gossip, leader};
use replies::Replies;
use std::{collections::VecDeque, time::Instant};
use tokio::task::JoinHandle;
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::AbortOnDropHandle,
};

pub(crate) struct CoreActor;

/// State of the actor.
pub(crate) struct CoreState {
    arguments: CoreArguments,
    me: ActorRef<CoreMessage>,
    rng: StdRng,
    feeds: Feeds,
    replies: Replies,
    alarm: Option<Alarm>,
    /// Cancelled when this actor ends: the work that it asked for ends with it.
    ended: CancellationToken,
    _ends: DropGuard,
    _store_watcher: AbortOnDropHandle<()>,
}

/// A [`CoreMessage::Wake`] on its way.
type Alarm = AbortOnDropHandle<Result<(), ractor::MessagingErr<CoreMessage>>>;

impl Actor for CoreActor {
    type Msg = CoreMessage;
    type State = CoreState;
    type Arguments = CoreArguments;

    async fn pre_start(
        &self,
        me: ActorRef<CoreMessage>,
        arguments: CoreArguments,
    ) -> Result<CoreState, ActorProcessingErr> {
        let ended = CancellationToken::new();
        let mut state = CoreState {
            feeds: Feeds::new(&arguments),
            _store_watcher: AbortOnDropHandle::new(watch_store(&arguments, me.clone())),
            arguments,
            me,
            rng: StdRng::from_rng(&mut rand::rng()),
            replies: Replies::default(),
            alarm: None,
            _ends: ended.clone().drop_guard(),
            ended,
        };

        state.run([Input::Restarted]);
        state.feed(None);
        Ok(state)
    }

    async fn handle(
        &self,
        _: ActorRef<CoreMessage>,
        message: CoreMessage,
        state: &mut CoreState,
    ) -> Result<(), ActorProcessingErr> {
        let input = state.input_of(message);
        state.feed(input);
        Ok(())
    }

    async fn post_stop(
        &self,
        _: ActorRef<CoreMessage>,
        state: &mut CoreState,
    ) -> Result<(), ActorProcessingErr> {
        state.run([leader::Input::Stop.into()]);
        Ok(())
    }
}

impl CoreState {
    fn input_of(&mut self, message: CoreMessage) -> Option<Input> {
        Some(match message {
            CoreMessage::Input(input) => *input,
            CoreMessage::Datagram { from, payload } => {
                self.arguments.metrics.gossip.count_datagram("received");
                gossip::Input::Datagram { from, payload }.into()
            }
            CoreMessage::Exchange {
                from,
                request,
                reply,
            } => {
                let ticket = self.replies.wait_for_exchange(reply);
                gossip::Input::ExchangeAsked {
                    from,
                    request,
                    ticket,
                }
                .into()
            }
            CoreMessage::PreVote(request, reply) => {
                let ticket = self.replies.wait_for_vote(reply);
                leader::Input::VoteAsked(request, ticket).into()
            }
            CoreMessage::Judge(proposal, reply) => {
                let ticket = self.replies.wait_for_judgement(reply);
                leader::Input::Proposed(proposal, ticket).into()
            }
            CoreMessage::Order(order, reply) => {
                let ticket = self.replies.wait_for_order(reply);
                leader::Input::Order(order, ticket).into()
            }
            CoreMessage::Wake => {
                self.arguments.refusals.expire(Instant::now());
                Input::Wake
            }
            // The feeds have it.
            CoreMessage::StoreChanged => return None,
        })
    }

    /// Takes in `input`, after what changed elsewhere.
    fn feed(&mut self, input: Option<Input>) {
        let news = self.feeds.inputs();
        self.run(news.into_iter().chain(input));
    }

    fn run(&mut self, inputs: impl IntoIterator<Item = Input>) {
        let core = self.arguments.core.clone();
        let mut inputs: VecDeque<Input> = inputs.into_iter().collect();
        let mut effects = Vec::new();

        while let Some(input) = inputs.pop_front() {
            core.lock()
                .handle(input, now(), &mut self.rng, &mut effects);
            for effect in effects.drain(..) {
                inputs.extend(self.perform(effect));
            }
        }
    }

    /// For work of which `lost` says that it has no result.
    fn report(&self, lost: impl Into<Input>) -> Report {
        Report::new(self.me.clone(), self.ended.clone(), lost)
    }
}

/// Wakes the actor when this agent wrote to the region's store.
fn watch_store(arguments: &CoreArguments, core: ActorRef<CoreMessage>) -> JoinHandle<()> {
    let mut changes = arguments.store.changes();
    tokio::spawn(async move {
        while changes.changed().await.is_ok() && core.cast(CoreMessage::StoreChanged).is_ok() {}
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
