//! Long work; each task ends with the input that reports it.

use super::{arguments::ReplicatorArguments, catalogue};
use futures::{FutureExt, future::BoxFuture};
use regionmesh_core::replication::{Effect, Input, SyncAction};
use regionmesh_mesh::{Peer, Peers};
use regionmesh_protocol::{
    identity::{AgentId, RegionName},
    models::{
        catalogue::{Catalogue, Tombstone},
        digest::Digest,
        manifest::VersionSummary,
    },
};
use regionmesh_replication::{Fetcher, HybridClock, ReplicationMetrics};
use regionmesh_runtime::models::ModelError;
use regionmesh_store::ModelStore;
use std::{sync::Arc, time::Instant};

/// The task that does this; none if it is no work.
pub(super) fn of(
    work: Effect,
    arguments: &ReplicatorArguments,
) -> Option<BoxFuture<'static, Input>> {
    let ReplicatorArguments {
        store,
        peers,
        fetcher,
        clock,
        ..
    } = arguments.clone();

    Some(match work {
        Effect::Scan => scan(store, clock).boxed(),
        Effect::ReadCatalogue {
            region,
            digest,
            through,
            from,
        } => {
            let learnt = read_catalogue(peers, region.clone(), digest, through, from);
            report_catalogue(clock, region, learnt).boxed()
        }
        Effect::Converge(actions) => converge(store, fetcher.metrics, actions).boxed(),
        Effect::Fetch {
            version,
            sources,
            missing_since,
        } => fetch(fetcher, version, sources, missing_since).boxed(),
        Effect::CleanUp(tombstones) => clean(store, tombstones).boxed(),
        Effect::FindLosses(versions) => find_losses(store, versions).boxed(),
        _ => return None,
    })
}

async fn scan(store: Arc<ModelStore>, clock: HybridClock) -> Input {
    let scanned = store.scan().await;
    if let Ok(scan) = &scanned {
        clock.observe(&scan.catalogue);
    }

    Input::Scanned(scanned.map_err(|error| error.to_string()))
}

async fn read_catalogue(
    peers: Arc<dyn Peers>,
    region: RegionName,
    digest: Digest,
    through: Vec<AgentId>,
    from: Option<AgentId>,
) -> Result<(Digest, Catalogue), String> {
    let mut learnt = Err("no agent could be asked".to_owned());
    for gateway in through {
        learnt = catalogue::learn(&*peers, &Peer::Agent(gateway), Some(digest)).await;
        if learnt.is_ok() {
            return learnt;
        }
    }

    // The agent that published it if it is connected, else any of its region.
    if let Some(from) = from {
        learnt = catalogue::learn(&*peers, &Peer::Agent(from), None).await;
        if learnt.is_err() {
            learnt = catalogue::learn(&*peers, &Peer::Region(region), None).await;
        }
    }
    learnt
}

async fn report_catalogue(
    clock: HybridClock,
    region: RegionName,
    learnt: impl Future<Output = Result<(Digest, Catalogue), String>>,
) -> Input {
    let learnt = learnt.await;
    if let Ok((_, catalogue)) = &learnt {
        clock.observe(catalogue);
    }

    let learnt = learnt.map(|(digest, catalogue)| (digest, Arc::new(catalogue)));
    Input::PeerCatalogue(region, learnt)
}

async fn converge(
    store: Arc<ModelStore>,
    metrics: ReplicationMetrics,
    actions: Vec<SyncAction>,
) -> Input {
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

    Input::ConvergeEnded(outcome)
}

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

async fn fetch(
    fetcher: Fetcher,
    version: VersionSummary,
    sources: Vec<Vec<AgentId>>,
    missing_since: Instant,
) -> Input {
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
    Input::FetchEnded(version, outcome)
}

async fn clean(store: Arc<ModelStore>, tombstones: Vec<Tombstone>) -> Input {
    let cleaned = store.clean(&tombstones).await;
    Input::Cleaned(cleaned.map_err(|error| error.to_string()))
}

async fn find_losses(store: Arc<ModelStore>, versions: Vec<VersionSummary>) -> Input {
    let incomplete = store.incomplete(&versions).await;
    Input::LossesFound(incomplete.map_err(|error| error.to_string()))
}
