//! Publishes what the agent reports about itself.

use super::base::Base;
use crate::{actors::messages::CoreMessage, address::Address};
use regionmesh_protocol::status::{
    AgentInfo, ServingStatus, StatusEntry, servability::Servability,
};
use regionmesh_runtime::problems::Problems;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Interval at which an unchanged status is published again: the core actor may have restarted.
pub(super) const REPEAT_INTERVAL: Duration = Duration::from_secs(5);

/// What the agent reports about itself: its process, what it serves, and its problems.
#[derive(Clone)]
pub(super) struct OwnStatus {
    agent: AgentInfo,
    serving: watch::Receiver<ServingStatus>,
    /// None without the embedded server.
    servability: watch::Receiver<Option<Servability>>,
    problems: Problems,
}

impl OwnStatus {
    pub(super) fn new(
        base: &Base,
        serving: watch::Receiver<ServingStatus>,
        servability: watch::Receiver<Option<Servability>>,
    ) -> Self {
        let config = &base.config;
        let agent = AgentInfo {
            version: crate::VERSION.into(),
            started_ms: base.started_ms,
            boot: base.boot,
            api_url: format!("http://{}", config.listen.api),
            cloud: config
                .region(&config.region)
                .map(|region| region.cloud.clone())
                .unwrap_or_default(),
        };

        Self {
            agent,
            serving,
            servability,
            problems: base.snapshots.problems.clone(),
        }
    }

    /// Publishes the status at every change, until `stop`.
    pub(super) async fn publish(
        mut self,
        core: Address<CoreMessage>,
        stop: CancellationToken,
    ) -> Result<(), String> {
        let mut problem_changes = self.problems.subscribe();
        loop {
            problem_changes.mark_unchanged();
            for status_entry in self.entries() {
                // The core actor may be restarting: the entry is published again soon.
                let _ = core.cast(CoreMessage::publish(status_entry));
            }

            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                // Without an embedded server these never change.
                Ok(()) = self.serving.changed() => {}
                Ok(()) = self.servability.changed() => {}
                Ok(()) = problem_changes.changed() => {}
                () = tokio::time::sleep(REPEAT_INTERVAL) => {}
            }
        }
    }

    fn entries(&mut self) -> impl Iterator<Item = StatusEntry> + use<> {
        let servability = self
            .servability
            .borrow_and_update()
            .clone()
            .map(StatusEntry::Servability);
        let serving = self.serving.borrow_and_update().clone();

        [
            StatusEntry::Agent(self.agent.clone()),
            StatusEntry::Serving(serving),
            StatusEntry::Problems(self.problems.active()),
        ]
        .into_iter()
        .chain(servability)
    }
}
