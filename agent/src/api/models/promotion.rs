//! Promoting a version: naming it by an alias.

use super::{
    super::{
        access::{By, Operator},
        reply::ApiError,
        request::{json, named, text},
        state::Api,
        status::models::version_states,
    },
    known, names,
};
use axum::{
    Extension, Json,
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
};
use regionmesh_client::{AliasStatus, PROMOTION_WAIT_MAX_MS, Promote, Promoted};
use regionmesh_core::planning::servability::{Promotable, RegionState, promotable};
use regionmesh_protocol::{
    identity::RegionName,
    models::{
        catalogue::AliasEntry,
        manifest::{ModelName, TEXT_MAX, VersionName},
    },
};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::{Instant, timeout_at};

/// How often the regions' states are read again while nothing on the board changes.
const PROMOTION_POLL_INTERVAL: Duration = Duration::from_millis(500);

/// `POST /v1/models/{model}/versions/{version}/promote`
pub(crate) async fn promote(
    State(api): State<Api>,
    Path(path): Path<(String, String)>,
    Extension(operator): Extension<Operator>,
    body: Bytes,
) -> Result<(Extension<By>, Json<Promoted>), ApiError> {
    let (model, version) = names(&path)?;
    let Promote {
        alias,
        by,
        force,
        wait_ms,
    } = json(&body)?;
    let by = operator.0.unwrap_or(by);
    let alias: VersionName = named("alias", &alias)?;

    if alias.as_str().contains('+') {
        return Err(ApiError::bad(
            "alias: names with '+conflict.' are given by conflict resolution alone",
        ));
    }

    text("by", &by, TEXT_MAX)?;
    if wait_ms > PROMOTION_WAIT_MAX_MS {
        return Err(ApiError::bad(format!(
            "wait_ms: {wait_ms}, the limit is {PROMOTION_WAIT_MAX_MS}"
        )));
    }

    known(&api, &model, &version).await?;
    refuse_version_name(&api, &model, &alias).await?;

    let states = if force {
        version_states(&api.config, &api.snapshots, &model, &version)
    } else {
        promotable_within(&api, &model, &version, Duration::from_millis(wait_ms)).await?
    };
    let warnings = states.iter().filter(|(_, state)| !state.is_good());
    let warnings: Vec<_> = warnings
        .map(|(region, state)| format!("{region}: {state}"))
        .collect();

    if !warnings.is_empty() {
        tracing::warn!(
            %model,
            %version,
            %alias,
            force,
            ?warnings,
            "promoting a version that not every region is known to serve"
        );
    }

    let entry = AliasEntry {
        set: api.clock.next(),
        origin: api.config.region.clone(),
        model,
        alias,
        version,
        by,
    };

    api.store.set_alias(&entry).await?;

    let by = Extension(By(entry.by.clone()));
    Ok((
        by,
        Json(Promoted {
            alias: AliasStatus::from(entry),
            warnings,
        }),
    ))
}

/// The state of every region once a majority can serve a version; waits for regions that are still
/// replicating or testing it.
async fn promotable_within(
    api: &Api,
    model: &ModelName,
    version: &VersionName,
    wait: Duration,
) -> Result<BTreeMap<RegionName, RegionState>, ApiError> {
    let deadline = Instant::now() + wait;
    let mut board = api.snapshots.board.subscribe();
    loop {
        board.mark_unchanged();
        let states = version_states(&api.config, &api.snapshots, model, version);
        let may_be = promotable(&states);

        if may_be == Promotable::Yes {
            return Ok(states);
        }

        let now = Instant::now();
        if may_be == Promotable::No || now >= deadline {
            return Err(not_promotable(model, version, &states));
        }

        // Changed or timed out: read the states again.
        let _ = timeout_at(deadline.min(now + PROMOTION_POLL_INTERVAL), board.changed()).await;
    }
}

fn not_promotable(
    model: &ModelName,
    version: &VersionName,
    states: &BTreeMap<RegionName, RegionState>,
) -> ApiError {
    let good = states.values().filter(|state| state.is_good()).count();
    let all = states.len();
    let needed = states.len() / 2 + 1;
    let reasons = states.iter().filter(|(_, state)| !state.is_good());
    let reasons: Vec<_> = reasons
        .map(|(region, state)| format!("{region}: {state}"))
        .collect();
    let (yet, hint) = match promotable(states) {
        Promotable::No => (
            "",
            "publish a version that can be served, or promote with force",
        ),
        _ => (
            " yet",
            "wait until the regions have tested it, or promote with force",
        ),
    };

    let error = format!(
        "{model}@{version} can't be promoted{yet}: {good} of {all} regions can serve it, {needed} \
            are needed ({})",
        reasons.join("; ")
    );

    ApiError::new(StatusCode::CONFLICT, error, hint)
}

/// An alias must not have the name of a version.
async fn refuse_version_name(
    api: &Api,
    model: &ModelName,
    alias: &VersionName,
) -> Result<(), ApiError> {
    api.store.check_available().await?;
    match known(api, model, alias).await {
        Ok(()) => {
            let error =
                format!("{model} has a version {alias}, so that no alias can be called that");
            Err(ApiError::new(
                StatusCode::CONFLICT,
                error,
                "choose another alias",
            ))
        }
        Err(error) if error.status() == StatusCode::NOT_FOUND => Ok(()),
        Err(error) => Err(error),
    }
}
