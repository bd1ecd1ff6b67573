//! `/v1/uploads`: publishing versions.

use super::{
    super::{
        access::{By, Operator},
        reply::ApiError,
        request::{json, text},
        server::Limits,
        state::Api,
    },
    names, refuse_alias,
};
use axum::{
    Extension, Json,
    body::{Body, Bytes},
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, header},
};
use futures::StreamExt;
use regionmesh_client::{
    BeginUpload, Done, FileStatus, UploadBegun, UploadStatus, Uploads, VersionBrief,
};
use regionmesh_protocol::models::manifest::{METADATA_MAX, TEXT_MAX};
use regionmesh_replication::OpenUpload;
use serde::Deserialize;
use std::time::Duration;

fn check_id(upload: &str) -> Result<(), ApiError> {
    let is_id = upload.len() == 16
        && upload
            .bytes()
            .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));

    if is_id {
        Ok(())
    } else {
        Err(ApiError::bad(format!(
            "{upload:?} is not the id of an upload"
        )))
    }
}

/// `POST /v1/models/{model}/versions/{version}/uploads`
pub(crate) async fn begin(
    State(api): State<Api>,
    Path(path): Path<(String, String)>,
    Extension(operator): Extension<Operator>,
    body: Bytes,
) -> Result<(Extension<By>, (StatusCode, Json<UploadBegun>)), ApiError> {
    let (model, version) = names(&path)?;
    if model.is_internal() {
        let error = format!(
            "{model}: names that begin with \"regionmesh.\" are reserved for the mesh's own data"
        );
        return Err(ApiError::bad(error));
    }

    if version.as_str().contains('+') {
        return Err(ApiError::bad(
            "names with '+conflict.' are given by conflict resolution alone",
        ));
    }

    let BeginUpload {
        publisher,
        metadata,
    } = json(&body)?;
    let publisher = operator.0.unwrap_or(publisher);

    // The commit checks it again; this refuses it before the files are sent.
    text("publisher", &publisher, TEXT_MAX)?;
    if metadata.len() > METADATA_MAX {
        return Err(ApiError::bad(format!(
            "metadata: {} pairs, the limit is {METADATA_MAX}",
            metadata.len()
        )));
    }

    for (key, value) in &metadata {
        text("a metadata key", key, TEXT_MAX)?;
        text(&format!("metadata.{key}"), value, TEXT_MAX)?;
    }

    refuse_alias(&api, &model, &version).await?;
    let by = Extension(By(publisher.clone()));
    let upload = api
        .publisher
        .begin(model, version, publisher, metadata.into_iter().collect())
        .await?;

    Ok((by, (StatusCode::CREATED, Json(UploadBegun { upload }))))
}

#[derive(Debug, Deserialize)]
pub(crate) struct FileQuery {
    path: String,
}

/// `POST /v1/uploads/{upload}/files?path=...`
pub(crate) async fn add_file(
    State(api): State<Api>,
    Extension(limits): Extension<Limits>,
    Path(upload): Path<String>,
    Query(query): Query<FileQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<FileStatus>), ApiError> {
    check_id(&upload)?;
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    let length = length.ok_or_else(|| {
        let hint = "send the file's size in Content-Length, so that a truncated one is noticed";
        ApiError::new(
            StatusCode::LENGTH_REQUIRED,
            "the size of the file is not declared",
            hint,
        )
    })?;

    let body = Box::pin(futures::stream::unfold(
        body.into_data_stream(),
        move |mut body| async move {
            match tokio::time::timeout(limits.file_pause, body.next()).await {
                Ok(Some(piece)) => Some((piece.map_err(std::io::Error::other), body)),
                Ok(None) => None,
                Err(_) => Some((Err(std::io::ErrorKind::TimedOut.into()), body)),
            }
        },
    ));

    let file = api
        .publisher
        .add_file(&upload, &query.path, length, body)
        .await?;
    let status = FileStatus {
        path: file.path,
        size: file.size,
        digest: file.digest.to_string(),
        chunks: file.chunks.len(),
    };

    Ok((StatusCode::CREATED, Json(status)))
}

fn upload_status(upload: &OpenUpload) -> UploadStatus {
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    UploadStatus {
        upload: upload.id.clone(),
        model: upload.model.to_string(),
        version: upload.version.to_string(),
        publisher: upload.publisher.clone(),
        files: upload.files,
        bytes: upload.bytes,
        receiving: upload.is_receiving,
        idle_ms: millis(upload.idle),
        expires_in_ms: millis(upload.idle_max.saturating_sub(upload.idle)),
    }
}

/// `POST /v1/uploads/{upload}/commit`
pub(crate) async fn commit(
    State(api): State<Api>,
    Path(upload): Path<String>,
) -> Result<Json<VersionBrief>, ApiError> {
    check_id(&upload)?;
    // In a task, so that a client that disconnects does not leave the commit half done.
    let publisher = api.publisher.clone();
    let committed = tokio::spawn(async move { publisher.commit(&upload).await });
    let committed = committed.await.map_err(|error| {
        ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("the commit failed: {error}"),
            "try again",
        )
    })?;

    Ok(Json((&committed?).into()))
}

/// `GET /v1/uploads`
pub(crate) async fn list(State(api): State<Api>) -> Json<Uploads> {
    let uploads = api.publisher.uploads().iter().map(upload_status).collect();

    Json(Uploads {
        agent: api.config.id().to_string(),
        uploads,
    })
}

/// `POST /v1/uploads/{upload}/abort`
pub(crate) async fn abort(
    State(api): State<Api>,
    Path(upload): Path<String>,
) -> Result<Json<Done>, ApiError> {
    check_id(&upload)?;
    api.publisher.abort(&upload).await?;
    Ok(Json(Done {
        done: format!("upload {upload} is gone"),
    }))
}
