//! Logs and metrics of what happened.

use regionmesh_core::replication::{Cleaned, Notice};
use regionmesh_protocol::{identity::RegionName, models::manifest::VersionSummary};
use regionmesh_replication::ReplicationMetrics;

/// Logs and counts a notice.
pub(crate) fn record(notice: Notice, metrics: &ReplicationMetrics) {
    match notice {
        Notice::Lag {
            unknown,
            missing,
            lag_ms,
        } => {
            metrics.unknown.set(unknown as i64);
            metrics.missing.set(missing as i64);
            metrics.lag.set(lag_ms as f64 / 1e3);
        }
        Notice::StoreUnreadable(why) => {
            metrics.store_errors.inc();
            tracing::error!(
                why,
                "the region's store can't be read; the last known catalogue stays in use"
            );
        }
        Notice::CatalogueUnread { region, why } => {
            tracing::debug!(%region, why, "a region's catalogue could not be read; retrying");
        }
        Notice::CatalogueUnknown { region, why } => {
            tracing::error!(%region, why, "the catalogue of this region can't be read: its new \
                versions are not replicated");
        }
        Notice::ConvergeFailed(why) => tracing::error!(
            why,
            "a deletion, rename or alias could not be applied; retrying"
        ),
        Notice::FetchFailed {
            version,
            why,
            left_out,
        } => tracing::error!(
            model = %version.model,
            version = %version.version,
            why,
            left_out,
            "a fetch failed; retrying"
        ),
        Notice::WaitingForRelay { version, relay } => tracing::info!(
            model = %version.model,
            version = %version.version,
            %relay,
            "waiting for a relay, from which it is cheaper to fetch"
        ),
        Notice::WaitedForRelay {
            version,
            relay,
            is_relayed,
        } => waited_for_relay(&version, &relay, is_relayed, metrics),
        Notice::CleanedUp(cleaned) => cleaned_up(cleaned, metrics),
        Notice::CleanUpFailed(why) => {
            tracing::warn!(why, "cleaning up the store failed; retrying");
        }
        Notice::ListingFailed(why) => {
            tracing::warn!(why, "the files in the store could not be listed");
        }
        Notice::FilesLost {
            version,
            is_fetched,
        } => files_lost(&version, is_fetched, metrics),
    }
}

fn waited_for_relay(
    version: &VersionSummary,
    relay: &RegionName,
    is_relayed: bool,
    metrics: &ReplicationMetrics,
) {
    let outcome = if is_relayed { "relayed" } else { "direct" };
    tracing::info!(
        model = %version.model,
        version = %version.version,
        %relay,
        outcome,
        "no longer waiting for a relay"
    );
    metrics.relays.with_label_values(&[outcome]).inc();
}

fn cleaned_up(cleaned: Cleaned, metrics: &ReplicationMetrics) {
    let Cleaned {
        deletions,
        abandoned,
        uploads,
    } = cleaned;
    for (what, count) in [
        ("deletion", deletions),
        ("version", abandoned),
        ("upload", uploads),
    ] {
        let counter = metrics.cleaned.with_label_values(&[what]);
        counter.inc_by(count as u64);
    }

    if cleaned != Cleaned::default() {
        tracing::info!(
            deletions,
            abandoned,
            uploads,
            "cleaned up what crashed writers left in the store"
        );
    }
}

fn files_lost(version: &VersionSummary, is_fetched: bool, metrics: &ReplicationMetrics) {
    let VersionSummary {
        model,
        version: name,
        ..
    } = version;

    if is_fetched {
        tracing::error!(%model, version = %name, "files of this version are missing from the \
            store; fetching them again from another region");
        metrics.losses.inc();
    } else {
        tracing::error!(%model, version = %name, "files of this version are missing from the \
            store, and no reachable region holds it");
    }
}
