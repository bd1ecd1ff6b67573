//! `/v1/models`: models and their versions.

pub(crate) mod promotion;
pub(crate) mod uploads;

use super::{reply::ApiError, request::name, state::Api, status};
use axum::{
    Json,
    extract::{Path, Query, State},
    http::StatusCode,
};
use regionmesh_client::{Done, ModelStatus, Models, VersionBrief, VersionDetail};
use regionmesh_protocol::models::{
    catalogue::{AliasEntry, Tombstone},
    digest::Digest,
    manifest::{ModelName, VersionName},
};
use regionmesh_runtime::models::ModelError;
use regionmesh_serving::PRODUCTION;
use serde::Deserialize;
use std::collections::BTreeMap;

fn names(path: &(String, String)) -> Result<(ModelName, VersionName), ApiError> {
    Ok((name(&path.0)?, name(&path.1)?))
}

/// `GET /v1/models`
pub(crate) async fn list(State(api): State<Api>) -> Json<Models> {
    Json(Models {
        models: status::models::models(&api.config, &api.snapshots),
    })
}

/// `GET /v1/models/{model}`
pub(crate) async fn model(
    State(api): State<Api>,
    Path(model): Path<String>,
) -> Result<Json<ModelStatus>, ApiError> {
    let model: ModelName = name(&model)?;
    status::models::models(&api.config, &api.snapshots)
        .into_iter()
        .find(|known| known.model == model.as_str())
        .map(Json)
        .ok_or_else(|| {
            ApiError::not_found(
                format!("no region is known to hold a model {model}"),
                "see `regionmesh models list`",
            )
        })
}

/// `GET /v1/models/{model}/versions/{version}`
pub(crate) async fn version(
    State(api): State<Api>,
    Path(path): Path<(String, String)>,
) -> Result<Json<VersionDetail>, ApiError> {
    let (model, version) = names(&path)?;
    Ok(Json((&api.store.manifest(&model, &version).await?).into()))
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct DeleteQuery {
    #[serde(default)]
    force: bool,
}

/// `POST /v1/models/{model}/versions/{version}/delete?force=...`
pub(crate) async fn delete(
    State(api): State<Api>,
    Path(path): Path<(String, String)>,
    Query(query): Query<DeleteQuery>,
) -> Result<Json<Done>, ApiError> {
    let (model, version) = names(&path)?;
    known(&api, &model, &version).await?;

    let aliases = aliases(&api, &model).await?;
    let naming: Vec<_> = aliases
        .iter()
        .filter(|(_, named)| **named == version)
        .map(|(alias, _)| alias.as_str())
        .collect();

    if !naming.is_empty() && !query.force {
        return Err(ApiError::new(
            StatusCode::CONFLICT,
            format!(
                "{model}@{version} is what {} names, and its users would get 404",
                naming.join(" and ")
            ),
            "promote another version first, or force the deletion (--force, ?force=true)",
        ));
    }

    let mut done =
        format!("deleted {model}@{version}; other regions delete it when they receive the change");
    if !naming.is_empty() {
        done += &format!("; {} no longer names a version", naming.join(" and "));
    }

    let content = content(&api, &model, &version).await?;
    let origin = api.config.region.clone();
    let tombstone = Tombstone {
        model,
        version,
        deleted: api.clock.next(),
        origin,
        content,
    };

    let store = api.store.clone();
    let deleted = tokio::spawn(async move { store.record_deletion(&tombstone).await });
    deleted.await.map_err(|error| {
        ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("the deletion failed: {error}"),
            "try again",
        )
    })??;

    Ok(Json(Done { done }))
}

/// `POST /v1/models/{model}/versions/{version}/retry`
pub(crate) async fn retry(
    State(api): State<Api>,
    Path(path): Path<(String, String)>,
) -> Result<Json<Done>, ApiError> {
    let (model, version) = names(&path)?;
    known(&api, &model, &version).await?;

    let Some(quarantine) = &api.quarantine else {
        let error = "this agent serves no models itself (serving.embedded is false)";
        return Err(ApiError::new(
            StatusCode::CONFLICT,
            error,
            "restart the region's model server instead",
        ));
    };
    let quarantine = quarantine.clone();
    let retried = model.clone();
    let name = version.clone();
    let was_held = tokio::task::spawn_blocking(move || quarantine.retry(&retried, &name)).await;

    let was_held = was_held.map_err(|error| {
        ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("the retry failed: {error}"),
            "try again",
        )
    })?;

    let what = if was_held {
        "is taken out of quarantine and loaded again"
    } else {
        "is loaded again"
    };

    Ok(Json(Done {
        done: format!("{model}@{version} {what} by {}", api.config.id()),
    }))
}

/// `POST /v1/models/{model}/versions/{version}/verify`
pub(crate) async fn verify(
    State(api): State<Api>,
    Path(path): Path<(String, String)>,
) -> Result<Json<VersionBrief>, ApiError> {
    let (model, version) = names(&path)?;
    Ok(Json((&api.store.verify(&model, &version).await?).into()))
}

/// A version may be deleted or promoted if any region is known to hold it. The region's own store
/// is asked as well: it may hold a version that was just published and that the replicator has not
/// read yet.
async fn known(api: &Api, model: &ModelName, version: &VersionName) -> Result<(), ApiError> {
    let models = status::models::models(&api.config, &api.snapshots);
    let is_known = models.iter().any(|known| {
        known.model == model.as_str()
            && known
                .versions
                .iter()
                .any(|held| held.version == version.as_str())
    });

    if is_known {
        return Ok(());
    }
    api.store.manifest_bytes(model, version).await?;
    Ok(())
}

/// The version that each alias of a model names, as far as this agent knows. The region's own store
/// is asked as well: it may hold a promotion that the replicator has not read yet.
async fn aliases(
    api: &Api,
    model: &ModelName,
) -> Result<BTreeMap<VersionName, VersionName>, ApiError> {
    // Before a publisher sends the bytes of a large model, not after.
    api.store.check_available().await?;
    let mut newest: BTreeMap<VersionName, AliasEntry> = BTreeMap::new();
    let entries = api.store.aliases_of(model).await?;

    for entry in
        entries
            .into_iter()
            .chain(status::models::aliases(&api.config, &api.snapshots, model))
    {
        let known = newest
            .entry(entry.alias.clone())
            .or_insert_with(|| entry.clone());
        if entry > *known {
            *known = entry;
        }
    }

    Ok(newest
        .into_iter()
        .map(|(alias, entry)| (alias, entry.version))
        .collect())
}

/// A version must not have the name of an alias: `/versions/production` would be ambiguous.
async fn refuse_alias(api: &Api, model: &ModelName, version: &VersionName) -> Result<(), ApiError> {
    if version.as_str() == PRODUCTION {
        let error = format!(
            "{PRODUCTION} is an alias of {model}, or may become one, so that no version can be \
                called that"
        );

        return Err(ApiError::new(
            StatusCode::CONFLICT,
            error,
            "choose another version name",
        ));
    }

    let aliases = aliases(api, model).await?;
    let Some(named) = aliases.get(version) else {
        return Ok(());
    };
    let error = format!(
        "{version} is an alias of {model} (it names version {named}), so that no version can be \
            called that"
    );

    Err(ApiError::new(
        StatusCode::CONFLICT,
        error,
        "choose another version name",
    ))
}

/// The content of a version, by the own store or else by what other regions say that they hold.
async fn content(
    api: &Api,
    model: &ModelName,
    version: &VersionName,
) -> Result<Option<Digest>, ApiError> {
    match api.store.manifest(model, version).await {
        Ok(manifest) => Ok(Some(manifest.content())),
        Err(ModelError::NotFound { .. }) => {
            Ok(status::models::content(&api.snapshots, model, version))
        }
        Err(error) => Err(error.into()),
    }
}
