//! `/v1/models` and `/v1/uploads`.

use super::{
    Api, access,
    reply::ApiError,
    types::{AliasStatus, BeginUpload, Done, FileStatus, Promote, UploadBegun, VersionBrief, VersionDetail},
};
use crate::{actors::messages::ReplicatorMessage, store::models::ModelError};
use axum::{
    Json,
    body::{Body, Bytes},
    extract::{ConnectInfo, Path, Query, State},
    http::{HeaderMap, StatusCode, header},
};
use futures::StreamExt;
use regionmesh_protocol::{
    conflict::{AliasEntry, Tombstone},
    manifest::{ModelName, VersionName},
};
use serde::{Deserialize, de::DeserializeOwned};
use std::{net::SocketAddr, str::FromStr, time::Duration};

/// A body without a byte for this long is given up.
const IDLE: Duration = Duration::from_secs(30);

/// Reads a name from a path.
fn name<T: FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, ApiError> {
    text.parse().map_err(|error: T::Err| ApiError::bad(error.to_string()))
}

fn names(path: &(String, String)) -> Result<(ModelName, VersionName), ApiError> {
    Ok((name(&path.0)?, name(&path.1)?))
}

/// Reads a JSON body; none at all is an empty object.
fn json<T: DeserializeOwned>(body: &Bytes) -> Result<T, ApiError> {
    let text: &[u8] = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(text).map_err(|error| ApiError::bad(format!("the body is not the JSON expected: {error}")))
}

/// Lets a change pass, and writes down who made it; never the token.
async fn change(api: &Api, headers: &HeaderMap, from: SocketAddr, what: &str) -> Result<(), ApiError> {
    let allowed = access::check(api.config.api.token_file.as_deref(), headers).await;
    match &allowed {
        Ok(()) => tracing::info!(target: "regionmesh::audit", %from, "{what}"),
        Err(_) => tracing::warn!(target: "regionmesh::audit", %from, "refused: {what}"),
    }
    allowed
}

/// `GET /v1/models/{model}/versions/{version}`
pub async fn show(State(api): State<Api>, Path(path): Path<(String, String)>) -> Result<Json<VersionDetail>, ApiError> {
    let (model, version) = names(&path)?;
    Ok(Json((&api.store.manifest(&model, &version).await?).into()))
}

/// `POST /v1/models/{model}/versions/{version}/uploads`
pub async fn begin(
    State(api): State<Api>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Path(path): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, Json<UploadBegun>), ApiError> {
    change(&api, &headers, from, &format!("publish {}@{}", path.0, path.1)).await?;
    let (model, version) = names(&path)?;
    if version.as_str().contains('+') {
        return Err(ApiError::bad("names with '+conflict.' are given by conflict resolution alone"));
    }
    let BeginUpload { publisher, metadata } = json(&body)?;
    let upload = api.publisher.begin(model, version, publisher, metadata.into_iter().collect()).await?;
    Ok((StatusCode::CREATED, Json(UploadBegun { upload })))
}

/// Where a file goes.
#[derive(Debug, Deserialize)]
pub struct FileQuery {
    path: String,
}

/// `POST /v1/uploads/{upload}/files?path=...`
pub async fn add_file(
    State(api): State<Api>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Path(upload): Path<String>,
    Query(query): Query<FileQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<FileStatus>), ApiError> {
    change(&api, &headers, from, &format!("add {} to upload {upload}", query.path)).await?;
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let length = length.ok_or_else(|| {
        let hint = "send the file's size in Content-Length, so that a truncated one is noticed";
        ApiError::new(StatusCode::LENGTH_REQUIRED, "the size of the file is not declared", hint)
    })?;
    let body = Box::pin(futures::stream::unfold(body.into_data_stream(), |mut body| async {
        match tokio::time::timeout(IDLE, body.next()).await {
            Ok(Some(piece)) => Some((piece.map_err(std::io::Error::other), body)),
            Ok(None) => None,
            Err(_) => Some((Err(std::io::ErrorKind::TimedOut.into()), body)),
        }
    }));
    let file = api.publisher.add_file(&upload, &query.path, length, body).await?;
    let status =
        FileStatus { path: file.path, size: file.size, digest: file.digest.to_string(), chunks: file.chunks.len() };
    Ok((StatusCode::CREATED, Json(status)))
}

/// `POST /v1/uploads/{upload}/commit`
pub async fn commit(
    State(api): State<Api>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Path(upload): Path<String>,
    headers: HeaderMap,
) -> Result<Json<VersionBrief>, ApiError> {
    change(&api, &headers, from, &format!("commit upload {upload}")).await?;
    // In a task of its own: a client that goes away must not leave half of it done.
    let publisher = api.publisher.clone();
    let committed = tokio::spawn(async move { publisher.commit(&upload).await });
    let summary = committed.await.map_err(|error| {
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the commit broke: {error}"), "try again")
    })??;
    store_changed(&api);
    Ok(Json((&summary).into()))
}

/// `POST /v1/uploads/{upload}/abort`
pub async fn abort(
    State(api): State<Api>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Path(upload): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Done>, ApiError> {
    change(&api, &headers, from, &format!("abort upload {upload}")).await?;
    api.publisher.abort(&upload).await?;
    Ok(Json(Done { done: format!("upload {upload} is gone") }))
}

/// `POST /v1/models/{model}/versions/{version}/delete`
pub async fn delete(
    State(api): State<Api>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Path(path): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<Done>, ApiError> {
    change(&api, &headers, from, &format!("delete {}@{}", path.0, path.1)).await?;
    let (model, version) = names(&path)?;
    known(&api, &model, &version)?;
    let done = format!("{model}@{version} is deleted here, and everywhere as soon as the other regions hear of it");
    let stone = Tombstone { model, version, deleted: api.clock.next(), origin: api.config.region.clone() };
    let store = api.store.clone();
    let buried = tokio::spawn(async move { store.bury(&stone).await });
    buried.await.map_err(|error| {
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the deletion broke: {error}"), "try again")
    })??;
    store_changed(&api);
    Ok(Json(Done { done }))
}

/// `POST /v1/models/{model}/versions/{version}/promote`
pub async fn promote(
    State(api): State<Api>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Path(path): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<AliasStatus>, ApiError> {
    change(&api, &headers, from, &format!("promote {}@{}", path.0, path.1)).await?;
    let (model, version) = names(&path)?;
    let Promote { alias, by } = json(&body)?;
    let alias: VersionName = name(&alias)?;
    known(&api, &model, &version)?;
    let entry = AliasEntry { set: api.clock.next(), origin: api.config.region.clone(), model, alias, version, by };
    api.store.set_alias(&entry).await?;
    store_changed(&api);
    Ok(Json(AliasStatus {
        alias: entry.alias.to_string(),
        version: entry.version.to_string(),
        set_ms: entry.set.wall_ms,
        by: entry.by,
    }))
}

/// `POST /v1/models/{model}/versions/{version}/verify`
pub async fn verify(
    State(api): State<Api>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Path(path): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<VersionBrief>, ApiError> {
    change(&api, &headers, from, &format!("verify {}@{}", path.0, path.1)).await?;
    let (model, version) = names(&path)?;
    Ok(Json((&api.store.verify(&model, &version).await?).into()))
}

/// A version may be deleted or promoted where any region is known to hold it.
fn known(api: &Api, model: &ModelName, version: &VersionName) -> Result<(), ApiError> {
    let models = super::status::models(&api.config, &api.snapshots);
    let is_known = models.iter().any(|known| {
        known.model == model.as_str() && known.versions.iter().any(|held| held.version == version.as_str())
    });
    if is_known {
        return Ok(());
    }
    Err(ModelError::NotFound { model: model.clone(), version: version.clone() }.into())
}

fn store_changed(api: &Api) {
    // If the replicator is being restarted it reads the store anyway.
    let _ = api.replicator.cast(ReplicatorMessage::StoreChanged);
}
