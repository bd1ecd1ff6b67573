//! `/v1/models` and `/v1/uploads`.

use super::{
    Api,
    access::{By, Operator},
    reply::ApiError,
    server::Limits,
};
use axum::{
    Extension, Json,
    body::{Body, Bytes},
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, header},
};
use futures::StreamExt;
use regionmesh_client::{
    AliasStatus, BeginUpload, Done, FileStatus, Promote, Promoted, UploadBegun, UploadStatus,
    Uploads, VersionBrief, VersionDetail,
};
use regionmesh_core::planning::servability::{Promotable, RegionState, promotable};
use regionmesh_protocol::{
    identity::RegionName,
    models::{
        catalogue::{AliasEntry, Tombstone},
        digest::Digest,
        manifest::{METADATA_MAX, ModelName, TEXT_MAX, VersionName},
    },
    text::unprintable,
};
use regionmesh_replication::OpenUpload;
use regionmesh_runtime::models::ModelError;
use regionmesh_serving::PRODUCTION;
use serde::{Deserialize, de::DeserializeOwned};
use std::{collections::BTreeMap, str::FromStr, time::Duration};
use tokio::time::{Instant, timeout_at};

/// Longest that a promotion waits for regions to test a version.
pub(super) const PROMOTION_WAIT_MAX_MS: u64 = 60_000;
/// How often it looks again where nothing on the board changes.
const PROMOTION_LOOK: Duration = Duration::from_millis(500);

/// Reads a name from a path.
pub(super) fn name<T: FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, ApiError> {
    text.parse()
        .map_err(|error: T::Err| ApiError::bad(error.to_string()))
}

/// Reads a name from a field of a body.
pub(super) fn named<T: FromStr<Err: std::fmt::Display>>(
    field: &str,
    text: &str,
) -> Result<T, ApiError> {
    text.parse()
        .map_err(|error: T::Err| ApiError::bad(format!("{field}: {error}")))
}

fn names(path: &(String, String)) -> Result<(ModelName, VersionName), ApiError> {
    Ok((name(&path.0)?, name(&path.1)?))
}

/// Reads a JSON body; none at all is an empty object.
pub(super) fn json<T: DeserializeOwned>(body: &Bytes) -> Result<T, ApiError> {
    let text: &[u8] = if body.is_empty() { b"{}" } else { body };
    // An array would pass as well: its items as the fields in their order.
    if text.trim_ascii_start().first() != Some(&b'{') {
        return Err(ApiError::bad(
            "the body is not the JSON expected: it is no object",
        ));
    }

    serde_json::from_slice(text)
        .map_err(|error| ApiError::bad(format!("the body is not the JSON expected: {error}")))
}

/// Checks a free text of a request. What a client writes of itself travels to every agent, into
/// logs and onto terminals: so it is short, and holds nothing that could forge a line or rewrite a
/// screen.
pub(super) fn text(field: &str, text: &str, limit: usize) -> Result<(), ApiError> {
    let length = text.chars().count();
    if length > limit {
        return Err(ApiError::bad(format!(
            "{field}: {length} characters, the limit is {limit}"
        )));
    }

    if let Some(found) = unprintable(text) {
        let error = format!("{field}: it holds {found:?}");
        let hint =
            "control characters, line breaks and changes of direction are not allowed in texts";
        return Err(ApiError::new(StatusCode::BAD_REQUEST, error, hint));
    }

    Ok(())
}

/// The id of an upload, as its beginning was answered.
fn upload_id(upload: &str) -> Result<(), ApiError> {
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

/// `GET /v1/models/{model}/versions/{version}`
pub async fn show(
    State(api): State<Api>,
    Path(path): Path<(String, String)>,
) -> Result<Json<VersionDetail>, ApiError> {
    let (model, version) = names(&path)?;
    Ok(Json((&api.store.manifest(&model, &version).await?).into()))
}

/// `POST /v1/models/{model}/versions/{version}/uploads`
pub async fn begin(
    State(api): State<Api>,
    Path(path): Path<(String, String)>,
    Extension(operator): Extension<Operator>,
    body: Bytes,
) -> Result<(Extension<By>, (StatusCode, Json<UploadBegun>)), ApiError> {
    let (model, version) = names(&path)?;
    if model.is_internal() {
        let error = format!(
            "{model}: names that begin with \"regionmesh.\" are kept for the mesh's own data"
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

    // Checked again at the commit; said now, before the files are sent.
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

/// Where a file goes.
#[derive(Debug, Deserialize)]
pub struct FileQuery {
    path: String,
}

/// `POST /v1/uploads/{upload}/files?path=...`
pub async fn add_file(
    State(api): State<Api>,
    Extension(limits): Extension<Limits>,
    Path(upload): Path<String>,
    Query(query): Query<FileQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<FileStatus>), ApiError> {
    upload_id(&upload)?;
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
pub async fn commit(
    State(api): State<Api>,
    Path(upload): Path<String>,
) -> Result<Json<VersionBrief>, ApiError> {
    upload_id(&upload)?;
    // In a task of its own: a client that goes away must not leave half of it done.
    let publisher = api.publisher.clone();
    let committed = tokio::spawn(async move { publisher.commit(&upload).await });
    let committed = committed.await.map_err(|error| {
        ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("the commit broke: {error}"),
            "try again",
        )
    })?;

    Ok(Json((&committed?).into()))
}

/// `GET /v1/uploads`
pub async fn uploads(State(api): State<Api>) -> Json<Uploads> {
    let uploads = api.publisher.uploads().iter().map(upload_status).collect();

    Json(Uploads {
        agent: api.config.id().to_string(),
        uploads,
    })
}

/// `POST /v1/uploads/{upload}/abort`
pub async fn abort(
    State(api): State<Api>,
    Path(upload): Path<String>,
) -> Result<Json<Done>, ApiError> {
    upload_id(&upload)?;
    api.publisher.abort(&upload).await?;
    Ok(Json(Done {
        done: format!("upload {upload} is gone"),
    }))
}

/// Whether a version that aliases name is deleted all the same.
#[derive(Debug, Default, Deserialize)]
pub struct DeleteQuery {
    #[serde(default)]
    force: bool,
}

/// `POST /v1/models/{model}/versions/{version}/delete?force=...`
pub async fn delete(
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

    let mut done = format!(
        "{model}@{version} is deleted here, and everywhere as soon as the other regions hear of it"
    );
    if !naming.is_empty() {
        done += &format!("; {} names nothing now", naming.join(" and "));
    }

    let content = content(&api, &model, &version).await?;
    let origin = api.config.region.clone();
    let stone = Tombstone {
        model,
        version,
        deleted: api.clock.next(),
        origin,
        content,
    };

    let store = api.store.clone();
    let buried = tokio::spawn(async move { store.bury(&stone).await });
    buried.await.map_err(|error| {
        ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("the deletion broke: {error}"),
            "try again",
        )
    })??;

    Ok(Json(Done { done }))
}

/// `POST /v1/models/{model}/versions/{version}/promote`
pub async fn promote(
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
        super::status::version_states(&api.config, &api.snapshots, &model, &version)
    } else {
        promotable_within(&api, &model, &version, Duration::from_millis(wait_ms)).await?
    };
    let warnings = states.iter().filter(|(_, state)| !state.is_good());
    let warnings: Vec<_> = warnings
        .map(|(region, state)| format!("{region}: {state}"))
        .collect();

    if !warnings.is_empty() {
        tracing::warn!(%model, %version, %alias, force, ?warnings, "promoting a version that not \
            every region is known to serve");
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

/// Where the regions stand once a majority of them can serve a version; waits for those that are
/// still replicating or testing it.
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
        let states = super::status::version_states(&api.config, &api.snapshots, model, version);
        let may_be = promotable(&states);

        if may_be == Promotable::Yes {
            return Ok(states);
        }

        let now = Instant::now();
        if may_be == Promotable::No || now >= deadline {
            return Err(not_promotable(model, version, &states));
        }

        // Either way it is looked again.
        let _ = timeout_at(deadline.min(now + PROMOTION_LOOK), board.changed()).await;
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

/// `POST /v1/models/{model}/versions/{version}/retry`
pub async fn retry(
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
            format!("the retry broke: {error}"),
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
pub async fn verify(
    State(api): State<Api>,
    Path(path): Path<(String, String)>,
) -> Result<Json<VersionBrief>, ApiError> {
    let (model, version) = names(&path)?;
    Ok(Json((&api.store.verify(&model, &version).await?).into()))
}

/// A version may be deleted or promoted where any region is known to hold it. Our own store is
/// asked as well: whoever has just published a version may promote it, though the replicator has
/// not read the store again yet.
async fn known(api: &Api, model: &ModelName, version: &VersionName) -> Result<(), ApiError> {
    let models = super::status::models(&api.config, &api.snapshots);
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

/// What each alias of a model names, as far as it is known here: the region's own store is asked
/// too, since it may know of a promotion that the replicator has not read yet.
async fn aliases(
    api: &Api,
    model: &ModelName,
) -> Result<BTreeMap<VersionName, VersionName>, ApiError> {
    // Also before the bytes of a large model are sent: its publisher should not learn of an outage
    // at the end.
    api.store.check_available().await?;
    let mut newest: BTreeMap<VersionName, AliasEntry> = BTreeMap::new();
    let entries = api.store.aliases_of(model).await?;

    for entry in
        entries
            .into_iter()
            .chain(super::status::aliases(&api.config, &api.snapshots, model))
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

/// A version may not be called as an alias is: `/versions/production` would mean two things.
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

/// An alias may not be called as a version is.
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

/// The content of a version: of our own, or of what the other regions say that they hold.
async fn content(
    api: &Api,
    model: &ModelName,
    version: &VersionName,
) -> Result<Option<Digest>, ApiError> {
    match api.store.manifest(model, version).await {
        Ok(manifest) => Ok(Some(manifest.content())),
        Err(ModelError::NotFound { .. }) => {
            Ok(super::status::content(&api.snapshots, model, version))
        }
        Err(error) => Err(error.into()),
    }
}
