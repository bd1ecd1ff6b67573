//! The state of the actor, and how it reaches decisions.

use super::{arguments::ReplicatorArguments, catalogue::Documents, feeds::Feeds};
use crate::clocks::now;
use regionmesh_core::replication::{Effect, Input, Replication};
use regionmesh_protocol::{
    models::{catalogue::Catalogue, digest::Digest},
    wire::PeerReply,
};
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

/// State of the actor.
pub struct ReplicatorState {
    pub(super) arguments: ReplicatorArguments,
    core: Replication,
    feeds: Feeds,
    /// The region's catalogue, and its digest unless it is too large to be published.
    pub(super) own: Option<(Arc<Catalogue>, Option<Digest>)>,
    documents: Documents,
    /// The watchers of board and store; they end with the actor.
    watchers: [AbortOnDropHandle<()>; 2],
    pub(super) tasks: JoinSet<()>,
}

impl ReplicatorState {
    pub(super) fn new(
        arguments: ReplicatorArguments,
        watchers: [AbortOnDropHandle<()>; 2],
    ) -> Self {
        let settings = (&arguments.config.replication).into();
        Self {
            core: Replication::new(arguments.id.clone(), settings, now()),
            feeds: Feeds::new(&arguments),
            arguments,
            own: None,
            documents: Documents::default(),
            watchers,
            tasks: JoinSet::new(),
        }
    }

    /// What follows from what changed outside, and then from `input`.
    pub(super) fn effects_of(&mut self, input: Option<Input>) -> Vec<Effect> {
        let now = now();
        let mut effects = Vec::new();
        for input in self.feeds.inputs().into_iter().chain(input) {
            self.core.handle(input, now, &mut effects);
        }

        effects
    }

    /// A page of the region's catalogue.
    pub(super) fn page(&mut self, digest: Option<Digest>, offset: u64) -> PeerReply {
        match &self.own {
            Some((own, own_digest)) => self.documents.page(own, *own_digest, digest, offset),
            None => PeerReply::Failed("this region's store has not been read yet".into()),
        }
    }

    pub(super) fn forget_ended_tasks(&mut self) {
        while self.tasks.try_join_next().is_some() {}
    }

    pub(super) fn check_watchers(&self) -> Result<(), String> {
        if self.watchers.iter().any(AbortOnDropHandle::is_finished) {
            return Err("the watcher of the board or of the store ended".into());
        }
        Ok(())
    }
}
