//! `/v1/cost`: what the platform spends.

use super::{
    Api, Parameter,
    access::{By, Operator},
    models::{json, text},
    reply::ApiError,
};
use crate::cost::{
    answers::{self, AnswerError, Format, Sources},
    archive::ArchiveError,
    books::{ImportPricesError, import_prices},
    import::{self, BillFile, FILES_MAX, FilesError, ImportError, ImportSummary},
    questions::{Parameters, Question, QuestionError},
};
use axum::{
    Extension, Json,
    body::Bytes,
    extract::{
        Multipart, Query, State,
        multipart::{MultipartError, MultipartRejection},
    },
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use regionmesh_client::{PricesBody, PricesDone};
use regionmesh_cost::{
    Currency, CurrencyError, ImportOptions, PriceDefaults, PriceFileError, parse_date, read_prices,
};
use regionmesh_protocol::models::manifest::TEXT_MAX;
use serde::Deserialize;
use std::{path::Path, time::Duration};
use tempfile::TempDir;
use time::Date;
use tokio::io::AsyncWriteExt;

/// Longest table of prices, characters: written as JSON it fits a body, whatever they are.
pub(super) const TABLE_MAX: usize = 170_000;
/// Longest name of a source, characters.
const NAME_MAX: usize = 128;
/// Longest name of a file with its folders, characters.
const FILE_NAME_MAX: usize = 1_024;
/// Largest import, bytes, as it is sent.
const IMPORT_MAX: u64 = 64 << 30;
/// Longest pause within a file that is sent.
const PAUSE_MAX: Duration = Duration::from_secs(30);
const FORMAT: Parameter = ("format", "cost-format", "How to answer; JSON by default");
const START: Parameter = ("start", "day", "First day, UTC");
const END: Parameter = ("end", "day", "Last day, included");
const BY: Parameter = (
    "by",
    "groups",
    "What to keep apart, separated by commas: region,service,tag:team",
);
const FILTER: Parameter = (
    "filter",
    "filters",
    "Which charges count, separated by commas (\\, is one within a value): region=eu-west-1",
);
const METRIC: Parameter = ("metric", "metric", "Which cost; effective by default");

/// What may be asked of a span of days.
pub(super) const SPAN_QUERY: &[Parameter] = &[START, END, BY, METRIC, FILTER, FORMAT];
/// What may be asked of trends.
pub(super) const TRENDS_QUERY: &[Parameter] = &[
    START,
    END,
    BY,
    METRIC,
    FILTER,
    FORMAT,
    (
        "interval",
        "interval",
        "What is put side by side; months by default",
    ),
];
/// What may be asked of forecasts.
pub(super) const FORECAST_QUERY: &[Parameter] = &[
    START,
    END,
    BY,
    METRIC,
    FILTER,
    FORMAT,
    ("days", "days", "How far to look ahead, days; 30 by default"),
];
/// What may be asked of prices.
pub(super) const PRICES_QUERY: &[Parameter] =
    &[("day", "day", "The day, UTC; today by default"), FORMAT];
/// What may be asked where there is nothing to choose.
pub(super) const FORMAT_QUERY: &[Parameter] = &[FORMAT];
/// What may be asked of recommendations.
pub(super) const RECOMMENDATIONS_QUERY: &[Parameter] = &[
    (
        "baseline",
        "baseline",
        "What savings are compared with; current by default",
    ),
    (
        "latency_ms",
        "latency",
        "Longest time from a user to an answer, milliseconds; as configured by default",
    ),
    (
        "survive",
        "survive",
        "How many regions may be lost with all load still served; as configured by default",
    ),
    FORMAT,
];
/// Options of an import.
pub(super) const IMPORT_QUERY: &[Parameter] = &[
    (
        "dry_run",
        "boolean",
        "Read everything, say what would change, and change nothing",
    ),
    (
        "source",
        "source-name",
        "Whose bill it is; else provider and billing account of each row",
    ),
    (
        "currency",
        "currency",
        "The currency of rows that name none",
    ),
];

/// Today, UTC, and the time.
fn today() -> (Date, u64) {
    let now_ms = regionmesh_runtime::time::unix_ms();
    (crate::cost::day::date(now_ms), now_ms)
}

/// A request of the right form that asks for something that can't be.
fn conflict(error: impl Into<String>) -> ApiError {
    ApiError::new(
        StatusCode::CONFLICT,
        error,
        "see docs/how-to/import-bills.md",
    )
}

impl From<QuestionError> for ApiError {
    fn from(error: QuestionError) -> Self {
        match error {
            QuestionError::Parameter { .. } => Self::bad(error.to_string()),
            QuestionError::Order { .. } => conflict(error.to_string()),
        }
    }
}

async fn ask(
    api: Api,
    kind: &'static str,
    mut parameters: Parameters,
) -> Result<Response, ApiError> {
    for (name, value) in &parameters {
        text(name, value, TEXT_MAX)?;
    }

    let (today, _) = today();
    let named = parameters.remove("format");
    let format = match named.as_deref() {
        None => Format::Json,
        Some(name) => Format::ALL
            .into_iter()
            .find(|format| format.as_str() == name)
            .ok_or_else(|| ApiError::bad("format: is none of table, json, csv, html"))?,
    };

    let question = Question::parse(kind, &parameters, today)?;
    let sources = sources(&api, today);
    let busy = || {
        ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the agent is stopping",
            "ask another agent",
        )
    };

    let place = api
        .cost
        .answering
        .clone()
        .acquire_owned()
        .await
        .map_err(|_| busy())?;

    let answered = tokio::task::spawn_blocking(move || {
        let _place = place;
        answers::answer(&question, &sources).map(|answer| answer.render(format))
    });
    let answered = answered.await.map_err(|error| broken(&error))?;
    let body = answered.map_err(|error| {
        let status = match error {
            AnswerError::Query(_) | AnswerError::NeedsMesh(_) | AnswerError::NoPlacement(_) => {
                StatusCode::CONFLICT
            }
            AnswerError::Json(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };

        ApiError::new(status, error.to_string(), "")
    })?;

    // A page that stands alone loads nothing and runs nothing.
    let policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";
    Ok((
        [
            (header::CONTENT_TYPE, format.media_type()),
            (header::CONTENT_SECURITY_POLICY, policy),
        ],
        body,
    )
        .into_response())
}

fn broken(error: &tokio::task::JoinError) -> ApiError {
    ApiError::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        format!("the answer broke: {error}"),
        "try again",
    )
}

/// What answers rest on, as of now.
fn sources(api: &Api, today: Date) -> Sources {
    let books = api.cost.books.borrow().clone();
    let live = api.cost.live.borrow().clone();
    Sources::observed(
        api.live.borrow().clone(),
        &books,
        &live,
        &api.snapshots,
        today,
    )
}

macro_rules! questions {
    ($($(#[$doc:meta])* $name:ident = $kind:literal),* $(,)?) => {
        $(
            $(#[$doc])*
            pub async fn $name(State(api): State<Api>, Query(parameters): Query<Parameters>) -> Result<Response, ApiError> {
                ask(api, $kind, parameters).await
            }
        )*
    };
}

questions!(
    /// `GET /v1/cost/report`
    report = "report",
    /// `GET /v1/cost/trends`
    trends = "trends",
    /// `GET /v1/cost/models`
    models = "models",
    /// `GET /v1/cost/egress`
    egress = "egress",
    /// `GET /v1/cost/forecast`
    forecast = "forecast",
    /// `GET /v1/cost/anomalies`
    anomalies = "anomalies",
    /// `GET /v1/cost/budgets`
    budgets = "budgets",
    /// `GET /v1/cost/prices`
    prices = "prices",
    /// `GET /v1/cost/sources`
    bills = "sources",
    /// `GET /v1/cost/recommendations`
    recommendations = "recommendations",
);

/// Options of an import.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportQuery {
    #[serde(default)]
    dry_run: bool,
    source: Option<String>,
    currency: Option<Currency>,
}

/// `POST /v1/cost/import?dry_run=...`
pub async fn import(
    State(api): State<Api>,
    Extension(operator): Extension<Operator>,
    Query(query): Query<ImportQuery>,
    files: Result<Multipart, MultipartRejection>,
) -> Result<(Extension<By>, Json<ImportSummary>), ApiError> {
    if let Some(source) = &query.source {
        text("source", source, NAME_MAX)?;
        if source.is_empty() {
            return Err(ApiError::bad("source: it is empty"));
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
            import::keep(parts, &api.cost.archive, &by).await?;
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
    let said = error.to_string();
    let unusable = |said, hint| ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, said, hint);
    match error {
        ImportError::Files(FilesError::Copy { .. }) | ImportError::TooOld { .. } => {
            unusable(said, "see docs/how-to/import-bills.md")
        }
        ImportError::Files(_) => disk(&said),
        ImportError::Incomplete(_) | ImportError::Empty(_) => {
            unusable(said, "mend the file and import it again")
        }
        ImportError::Part(_) => ApiError::bad(said),
        ImportError::Store { error: cause, .. } => {
            tracing::error!(error = said, "an import was kept in part");
            ApiError::new(
                archive(*cause).status(),
                said,
                "import the same files again",
            )
        }
    }
}

/// Writes the files of a form to a folder of their own.
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
                "more than {FILES_MAX} files; import less at once"
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
    let error = format!("nothing came for {PAUSE_MAX:?}");
    ApiError::new(StatusCode::REQUEST_TIMEOUT, error, "send the files at once")
}

fn disk(why: &str) -> ApiError {
    let error = format!("the files can't be kept for reading: {why}");
    ApiError::new(
        StatusCode::INSUFFICIENT_STORAGE,
        error,
        "make room in the agent's data_dir, or ask another agent",
    )
}

fn archive(error: ArchiveError) -> ApiError {
    match error {
        ArchiveError::Publish(error) => error.into(),
        ArchiveError::Store(error) => error.into(),
        ArchiveError::Name(error) => ApiError::bad(error.to_string()),
        ArchiveError::Unreadable { .. } => conflict(format!("nothing was changed: {error}")),
    }
}

fn no_table(error: &PriceFileError) -> ApiError {
    ApiError::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        error.to_string(),
        "see docs/how-to/cut-costs.md for the format of price files",
    )
}

/// `POST /v1/cost/prices`
pub async fn add_prices(
    State(api): State<Api>,
    Extension(operator): Extension<Operator>,
    body: Bytes,
) -> Result<(Extension<By>, Json<PricesDone>), ApiError> {
    let PricesBody {
        name,
        text: table,
        valid_from,
        currency,
        replace,
        dry_run,
    } = json(&body)?;
    let small = [Some(&name), valid_from.as_ref(), currency.as_ref()];

    for given in small.into_iter().flatten() {
        text("a field", given, TEXT_MAX)?;
    }
    if table.contains('\0') || table.chars().count() > TABLE_MAX {
        return Err(ApiError::bad("text: it is too long, or holds a zero byte"));
    }

    let currency = currency.map(|code| {
        code.parse()
            .map_err(|error: CurrencyError| ApiError::bad(error.to_string()))
    });
    let day = |text: String| {
        let wrong = || ApiError::bad(format!("valid_from: {text:?} is no day: write 2026-09-18"));
        parse_date(&text).ok_or_else(wrong)
    };
    let (_, imported_ms) = today();
    let valid_from = valid_from.map(day).transpose()?;
    let currency = currency.transpose()?;

    let defaults = PriceDefaults {
        valid_from,
        currency,
        imported_ms,
    };
    let read = read_prices(&name, table.as_bytes(), &defaults).map_err(|error| no_table(&error))?;
    let by = operator.0.unwrap_or_else(|| api.config.id().to_string());

    let _turn = api.cost.pricing.lock().await;
    let applied = import_prices(&api.cost.archive, read.prices, replace, dry_run, &by, name).await;
    let applied = applied.map_err(|error| match error {
        ImportPricesError::Archive(error) => archive(error),
        ImportPricesError::Table(error) => conflict(error.to_string()),
    })?;
    let done = PricesDone {
        dry_run,
        added: applied.added as u64,
        unchanged: applied.unchanged as u64,
        replaced: applied.replaced as u64,
        refused: applied
            .refused
            .iter()
            .map(|price| price.item.to_string())
            .collect(),
        rejected: read.rejected.iter().map(ToString::to_string).collect(),
        rejected_count: read.rejected_count,
        ignored: read.ignored_fields.into_iter().collect(),
    };

    Ok((Extension(By(by)), Json(done)))
}
