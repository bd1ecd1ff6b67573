//! `/v1/cost/import`: taking in billing files.

use super::{
    super::{
        access::{By, Operator},
        parameters::{SOURCE_NAME_MAX, currency, source_name},
        reply::ApiError,
        request::text,
        route::{Parameter, schema},
        state::Api,
    },
    archive, broken, today,
};
use crate::cost::import::{self, BillFile, FILES_MAX, FilesError, ImportError, ImportSummary};
use axum::{
    Extension, Json,
    extract::{
        Multipart, Query, State,
        multipart::{MultipartError, MultipartRejection},
    },
    http::StatusCode,
};
use regionmesh_cost::{Currency, ImportOptions};
use serde::Deserialize;
use std::{path::Path, time::Duration};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;

/// Longest path of a file in the form, characters.
const FILE_NAME_MAX: usize = 1_024;
/// Largest import, bytes, as sent.
const IMPORT_MAX: u64 = 64 << 30;
/// Longest pause within a file.
const PAUSE_MAX: Duration = Duration::from_secs(30);

pub(crate) const IMPORT_QUERY: &[Parameter] = &[
    (
        "dry_run",
        schema::<bool>,
        "Read everything and report what would change; changes nothing",
    ),
    (
        "source",
        source_name,
        "Name of the source; by default provider and billing account of each row",
    ),
    ("currency", currency, "Currency of rows without one"),
];

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImportQuery {
    #[serde(default)]
    dry_run: bool,
    source: Option<String>,
    currency: Option<Currency>,
}

/// `POST /v1/cost/import?dry_run=...`
pub(crate) async fn import(
    State(api): State<Api>,
    Extension(operator): Extension<Operator>,
    Query(query): Query<ImportQuery>,
    files: Result<Multipart, MultipartRejection>,
) -> Result<(Extension<By>, Json<ImportSummary>), ApiError> {
    if let Some(source) = &query.source {
        text("source", source, SOURCE_NAME_MAX)?;
        if source.is_empty() {
            return Err(ApiError::bad("source: empty"));
        }
    }

    let files = files.map_err(|error| no_form(&error))?;
    let busy = "another import is running at this agent";
    let busy = || {
        ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            busy,
            "wait until it has ended, or ask another agent",
        )
    };

    let _turn = api
        .cost
        .importing
        .clone()
        .try_acquire_owned()
        .map_err(|_| busy())?;
    let (folder, files) = stage(&api.cost.archive.staging, files).await?;

    let cost = api.live.borrow().cost.clone();
    let options = ImportOptions {
        tag_keys: cost.tag_keys(),
        source: query.source.clone(),
        currency: query.currency,
    };
    let read = tokio::task::spawn_blocking(move || {
        let _folder = folder;
        import::read(&files, options, |file| {
            tracing::info!(file = file.name, rows = file.rows, "billing file read")
        })
    });

    let read = read.await.map_err(|error| broken(&error))?;
    let books = api.cost.books.borrow().clone();
    let by = operator.0.unwrap_or_else(|| api.config.id().to_string());
    let outcome = async {
        let read = read?;
        let summary = import::summarise(&read, &books, query.dry_run)?;
        import::check_age(&read, &cost, today().0)?;

        let parts = import::prepare(read.parts, &books, &by)?;
        if !query.dry_run {
            import::store(parts, &api.cost.archive, &by).await?;
        }

        Ok(summary)
    };

    let outcome: Result<ImportSummary, ImportError> = outcome.await;
    if !query.dry_run {
        api.cost
            .metrics
            .imported(outcome.as_ref().ok().map(|summary| &summary.report));
    }

    Ok((Extension(By(by)), Json(outcome.map_err(not_imported)?)))
}

fn not_imported(error: ImportError) -> ApiError {
    let message = error.to_string();
    let unusable = |message, hint| ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, message, hint);
    match error {
        ImportError::Files(FilesError::Copy { .. }) | ImportError::TooOld { .. } => {
            unusable(message, "see docs/how-to/import-bills.md")
        }
        ImportError::Files(_) => disk(&message),
        ImportError::Incomplete(_) | ImportError::Empty(_) => {
            unusable(message, "correct the file and import it again")
        }
        ImportError::Part(_) => ApiError::bad(message),
        ImportError::Store { error: cause, .. } => {
            tracing::error!(error = message, "an import was stored only in part");
            ApiError::new(
                archive(*cause).status(),
                message,
                "import the same files again",
            )
        }
    }
}

/// Writes the files of a form to a temporary folder.
async fn stage(staging: &Path, mut form: Multipart) -> Result<(TempDir, Vec<BillFile>), ApiError> {
    tokio::fs::create_dir_all(staging)
        .await
        .map_err(|error| disk(&error.to_string()))?;

    let folder =
        TempDir::with_prefix_in("import-", staging).map_err(|error| disk(&error.to_string()))?;
    let mut files = Vec::new();
    let mut total = 0u64;

    loop {
        let next = tokio::time::timeout(PAUSE_MAX, form.next_field())
            .await
            .map_err(|_| silent())?;
        let Some(mut field) = next.map_err(|error| bad_form(&error))? else {
            break;
        };

        if files.len() >= FILES_MAX {
            return Err(ApiError::bad(format!(
                "more than {FILES_MAX} files; import fewer per request"
            )));
        }

        let name = field
            .file_name()
            .or(field.name())
            .unwrap_or("file")
            .to_owned();

        text("the name of a file", &name, FILE_NAME_MAX)?;
        let path = folder.path().join(files.len().to_string());
        let mut file = tokio::fs::File::create(&path)
            .await
            .map_err(|error| disk(&error.to_string()))?;

        loop {
            let piece = tokio::time::timeout(PAUSE_MAX, field.chunk())
                .await
                .map_err(|_| silent())?;
            let Some(piece) = piece.map_err(|error| bad_form(&error))? else {
                break;
            };

            total += piece.len() as u64;
            if total > IMPORT_MAX {
                let error = format!("the files have more than {IMPORT_MAX} bytes");
                return Err(ApiError::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    error,
                    "compress them, or import fewer months",
                ));
            }

            file.write_all(&piece)
                .await
                .map_err(|error| disk(&error.to_string()))?;
        }

        file.flush()
            .await
            .map_err(|error| disk(&error.to_string()))?;
        files.push(BillFile { name, path });
    }

    if files.is_empty() {
        return Err(ApiError::bad("the form holds no file"));
    }
    Ok((folder, files))
}

fn no_form(error: &MultipartRejection) -> ApiError {
    ApiError::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        error.body_text(),
        "send a form: multipart/form-data",
    )
}

fn bad_form(error: &MultipartError) -> ApiError {
    ApiError::bad(format!("the form can't be read: {}", error.body_text()))
}

fn silent() -> ApiError {
    let error = format!("no data arrived for {PAUSE_MAX:?}");
    ApiError::new(
        StatusCode::REQUEST_TIMEOUT,
        error,
        "send the files without pauses",
    )
}

fn disk(why: &str) -> ApiError {
    let error = format!("the files can't be stored for reading: {why}");
    ApiError::new(
        StatusCode::INSUFFICIENT_STORAGE,
        error,
        "make room in the agent's data_dir, or ask another agent",
    )
}
