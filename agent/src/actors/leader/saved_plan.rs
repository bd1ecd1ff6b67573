//! Committed plans in the data directory, and the history of them.

use super::arguments::LeaderArguments;
use regionmesh_protocol::plan::CommittedPlan;
use regionmesh_runtime::time::unix_ms;
use regionmesh_store::{History, PastPlan, read_history, save_committed_plan};
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// Writes each committed plan to the data directory; when plans come faster than the disk, only the
/// latest.
pub(super) async fn save_plans(arguments: LeaderArguments) {
    let mut plans = arguments.snapshots.plan.subscribe();
    let mut warned: Option<Instant> = None;
    let mut history: Option<History> = None;

    while plans.changed().await.is_ok() {
        let Some(plan) = plans.borrow_and_update().clone() else {
            continue;
        };
        let data_dir = arguments.config.data_dir.clone();
        let mut writer = history.take();
        let saved = tokio::task::spawn_blocking(move || {
            let saved = save_committed_plan(&data_dir, &plan);
            let remembered = remember(&data_dir, &mut writer, &plan);
            (
                writer,
                saved.map_err(|error| error.to_string()).and(remembered),
            )
        });

        let Ok((writer, saved)) = saved.await else {
            continue;
        };
        history = writer;

        if let Err(error) = saved {
            arguments.metrics.committed.save_errors.inc();
            if warned.is_none_or(|at| at.elapsed() > Duration::from_secs(60)) {
                tracing::warn!(
                    %error,
                    "a committed plan could not be saved: after a restart without peers DNS \
                        would not have it, or the history lacks it"
                );
                warned = Some(Instant::now());
            }
        }
    }
}

/// Adds the plan to the history, unless it is the last one there: a restarted actor learns it
/// again.
fn remember(
    data_dir: &Path,
    writer: &mut Option<History>,
    plan: &CommittedPlan,
) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("the history of plans can't be written: {error}");
    let history = match writer {
        Some(history) => history,
        None => {
            let last = read_history(data_dir).map_err(failed)?.pop();
            if last.is_some_and(|last| last.committed.stamp == plan.stamp) {
                return Ok(());
            }
            writer.insert(History::open(data_dir).map_err(failed)?)
        }
    };

    history
        .add(&PastPlan {
            seen_ms: unix_ms(),
            committed: plan.clone(),
        })
        .map_err(failed)
}
