//! Committed plans in the data directory, and the history of them.

use super::{arguments::LeaderArguments, signing::Signing};
use regionmesh_protocol::{plan::CommittedPlan, register::ballot::Stamp};
use regionmesh_runtime::time::unix_ms;
use regionmesh_store::{
    History, PastPlan, SavedPlan, load_committed_plan, read_history, save_committed_plan,
};
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// How often it is checked whether this agent's X.509 certificate was replaced.
const SIGN_AGAIN: Duration = Duration::from_secs(60);
/// How often a failure is logged.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// The last committed plan, as of the last process.
pub(crate) fn load_plan(data_dir: &Path) -> Option<SavedPlan> {
    match load_committed_plan(data_dir) {
        Ok(saved) => saved,
        Err(error) => {
            tracing::warn!(
                %error,
                "the last committed plan can't be read from the data directory"
            );
            None
        }
    }
}

/// Writes each committed plan to the data directory, signed by this agent; when plans come faster
/// than the disk, only the latest.
pub(super) async fn save_plans(arguments: LeaderArguments) {
    let mut plans = arguments.snapshots.plan.subscribe();
    // Perhaps one was adopted while this actor was down.
    plans.mark_changed();
    let mut warned: Option<Instant> = None;
    let mut history: Option<History> = None;
    let mut remembered: Option<Stamp> = None;
    let mut signed_with = None;

    loop {
        let is_new = tokio::select! {
            changed = plans.changed() => match changed {
                Ok(()) => true,
                Err(_) => return,
            },
            () = tokio::time::sleep(SIGN_AGAIN) => false,
        };
        let chain = arguments.signing.keys.signer.chain();
        let Some(plan) = plans.borrow_and_update().clone() else {
            continue;
        };

        if !is_new && signed_with.as_ref() == Some(&chain) {
            continue;
        }
        signed_with = Some(chain);

        let data_dir = arguments.config.data_dir.clone();
        let signing = arguments.signing.clone();
        // A plan may come again, with more signatures.
        let is_known = remembered.as_ref() == Some(&plan.stamp);
        remembered = Some(plan.stamp.clone());

        let mut writer = history.take();
        let saved = tokio::task::spawn_blocking(move || {
            let saved = save(&data_dir, &signing, &plan);
            let is_remembered = if is_known {
                Ok(())
            } else {
                remember(&data_dir, &mut writer, &plan)
            };

            (writer, saved.and(is_remembered))
        });

        let Ok((writer, saved)) = saved.await else {
            continue;
        };
        history = writer;

        if let Err(error) = saved {
            arguments.metrics.committed.save_errors.inc();
            if warned.is_none_or(|at| at.elapsed() > WARN_EVERY) {
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

fn save(data_dir: &Path, signing: &Signing, plan: &CommittedPlan) -> Result<(), String> {
    let confirmation = signing.confirm(plan);
    let saved = SavedPlan {
        committed: plan.clone(),
        confirmation: confirmation.as_ref().ok().cloned(),
    };

    save_committed_plan(data_dir, &saved).map_err(|error| error.to_string())?;
    confirmation
        .map(drop)
        .map_err(|why| format!("it could not be signed: {why}"))
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
            // Signatures take several times the space of a plan, and prove nothing later.
            committed: CommittedPlan {
                stamp: plan.stamp.clone(),
                plan: plan.plan.clone(),
                certificate: Default::default(),
            },
        })
        .map_err(failed)
}
