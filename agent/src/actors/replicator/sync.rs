//! Brings the region's store up to what the other regions hold.

use super::state::{RETRY, ReplicatorState};
use crate::actors::messages::ReplicatorMessage;
use ractor::ActorRef;
use regionmesh_core::replication::{SyncAction, plan_sync};
use regionmesh_protocol::{identity::AgentId, models::manifest::VersionSummary};
use regionmesh_runtime::models::ModelError;
use regionmesh_store::ModelStore;
use std::{collections::BTreeSet, time::Instant};

async fn apply(store: &ModelStore, action: &SyncAction) -> Result<(), ModelError> {
    match action {
        SyncAction::Delete(stone) => {
            tracing::info!(
                model = %stone.model,
                version = %stone.version,
                by = %stone.origin,
                "deleted"
            );
            store.record_deletion(stone).await
        }
        SyncAction::SetAlias(entry) => {
            tracing::info!(
                model = %entry.model,
                alias = %entry.alias,
                version = %entry.version,
                by = entry.by,
                "alias set"
            );
            store.set_alias(entry).await
        }
        SyncAction::Rename { from, to } => {
            tracing::error!(
                model = %from.model,
                version = %from.version,
                to = %to,
                "two regions published this version with different content; the later one is \
                    kept under another name"
            );
            store.rename(from, to).await
        }
        SyncAction::Fetch { .. } => Ok(()),
    }
}

impl ReplicatorState {
    /// Starts what is missing and not under way.
    pub(super) fn sync(&mut self, me: &ActorRef<ReplicatorMessage>) {
        let Some(own) = &self.own else { return };
        let peers: Vec<_> = self
            .peers
            .iter()
            .map(|(region, (_, catalogue))| (region.clone(), (**catalogue).clone()))
            .collect();
        let mut actions = Vec::new();
        let mut wanted = Vec::new();

        for action in plan_sync(own, &peers) {
            match action {
                SyncAction::Fetch { version, regions } => wanted.push((version, regions)),
                other => actions.push(other),
            }
        }

        let missing: BTreeSet<_> = wanted.iter().map(|(version, _)| version.clone()).collect();
        self.first_missing
            .retain(|version, _| missing.contains(version));
        self.reminder.retain(|version| missing.contains(version));
        self.awaited.retain(|version, _| missing.contains(version));
        for version in missing {
            self.first_missing
                .entry(version)
                .or_insert_with(Instant::now);
        }

        // Renames first: a conflicting version is moved before the winner is fetched.
        let must_wait = !actions.is_empty();
        actions.extend(self.unfinished.iter().cloned().map(SyncAction::Delete));
        self.converge(me, actions);
        if must_wait {
            return;
        }

        for (version, regions) in wanted {
            let is_paused = self
                .failed
                .get(&version)
                .is_some_and(|at| at.elapsed() < RETRY);
            let is_full =
                self.fetching.len() >= self.arguments.config.replication.parallel_versions;

            if is_full
                || is_paused
                || self.fetching.contains(&version)
                || !self.is_ours(&version.content.0)
            {
                continue;
            }

            let sources = self.sources(&regions);
            if !sources.is_empty() && !self.waits_for_relay(&version, &regions) {
                self.fetch(me, version, sources);
            }
        }
    }

    /// Applies tombstones, aliases and renames, unless another agent of the region does or it is
    /// under way.
    fn converge(&mut self, me: &ActorRef<ReplicatorMessage>, actions: Vec<SyncAction>) {
        let is_due = !self.is_converging && Instant::now() >= self.converge_after;
        if actions.is_empty() || !is_due || !self.is_ours(&[]) {
            return;
        }
        self.is_converging = true;

        let me = me.clone();
        let store = self.arguments.store.clone();
        let metrics = self.arguments.fetcher.metrics.clone();

        self.tasks.spawn(async move {
            let mut outcome = Ok(());
            for action in actions {
                if matches!(action, SyncAction::Rename { .. }) {
                    metrics.conflicts.inc();
                }
                outcome = apply(&store, &action)
                    .await
                    .map_err(|error| error.to_string());
                if outcome.is_err() {
                    break;
                }
            }

            let _ = me.cast(ReplicatorMessage::ConvergeEnded(outcome));
        });
    }

    pub(super) fn fetch(
        &mut self,
        me: &ActorRef<ReplicatorMessage>,
        version: VersionSummary,
        sources: Vec<Vec<AgentId>>,
    ) {
        self.fetching.insert(version.clone());
        let me = me.clone();
        let fetcher = self.arguments.fetcher.clone();
        let missing_since = self
            .first_missing
            .get(&version)
            .copied()
            .unwrap_or_else(Instant::now);

        self.tasks.spawn(async move {
            let start = Instant::now();
            let outcome = fetcher.fetch(&version, &sources).await;
            let label = if outcome.is_ok() { "fetched" } else { "failed" };

            fetcher.metrics.fetches.with_label_values(&[label]).inc();
            if outcome.is_ok() {
                fetcher
                    .metrics
                    .fetch_duration
                    .observe(start.elapsed().as_secs_f64());

                tracing::info!(
                    model = %version.model,
                    version = %version.version,
                    bytes = version.size,
                    fetch_ms = start.elapsed().as_millis() as u64,
                    lag_ms = missing_since.elapsed().as_millis() as u64,
                    "fetched and verified"
                );
            }

            let outcome = outcome.map(drop).map_err(|error| error.to_string());
            let _ = me.cast(ReplicatorMessage::FetchEnded(Box::new(version), outcome));
        });
    }

    pub(super) fn converge_ended(
        &mut self,
        me: &ActorRef<ReplicatorMessage>,
        outcome: Result<(), String>,
    ) {
        self.is_converging = false;
        if let Err(why) = outcome {
            tracing::error!(
                why,
                "a deletion, rename or alias could not be applied; retrying"
            );
            self.converge_after = Instant::now() + RETRY;
        }

        self.catch_up(me);
    }

    pub(super) fn fetch_ended(
        &mut self,
        me: &ActorRef<ReplicatorMessage>,
        version: VersionSummary,
        outcome: Result<(), String>,
    ) {
        self.fetching.remove(&version);
        match outcome {
            Ok(()) => {
                self.failed.remove(&version);
                self.announce_replaced(&version);
            }
            Err(why) => {
                if let Some(left_out) = self.reminder.admit(&version, Instant::now()) {
                    tracing::error!(
                        model = %version.model,
                        version = %version.version,
                        why,
                        left_out,
                        "a fetch failed; retrying"
                    );
                }

                self.failed.insert(version, Instant::now());
            }
        }

        self.catch_up(me);
    }
}
