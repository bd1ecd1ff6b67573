//! `/v1/cost`: spending, forecasts and prices.

pub(crate) mod bills;

use super::{
    access::{By, Operator},
    parameters::{days, filters, groups, latency, survive},
    reply::ApiError,
    request::{json, text},
    route::{Parameter, schema},
    state::Api,
};
use crate::cost::{
    answers::{self, AnswerError, Format, Sources},
    archive::ArchiveError,
    books::{ImportPricesError, import_prices},
    questions::{Parameters, Question, QuestionError},
};
use axum::{
    Extension, Json,
    body::Bytes,
    extract::{Query, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use regionmesh_client::{PRICE_TABLE_MAX, PricesBody, PricesDone};
use regionmesh_cost::{
    BaselineName, CurrencyError, Interval, Metric, PriceDefaults, PriceFileError, parse_date,
    read_prices,
};
use regionmesh_protocol::{models::manifest::TEXT_MAX, schema::day};
use time::Date;

const FORMAT: Parameter = ("format", schema::<Format>, "How to answer; JSON by default");
const START: Parameter = ("start", day, "First day, UTC");
const END: Parameter = ("end", day, "Last day, included");
const BY: Parameter = (
    "by",
    groups,
    "Groups, separated by commas: region,service,tag:team",
);
const FILTER: Parameter = (
    "filter",
    filters,
    "Which charges count, separated by commas (\\, is one within a value): region=eu-west-1",
);
const METRIC: Parameter = (
    "metric",
    schema::<Metric>,
    "Which cost; effective by default",
);

pub(crate) const SPAN_QUERY: &[Parameter] = &[START, END, BY, METRIC, FILTER, FORMAT];
pub(crate) const TRENDS_QUERY: &[Parameter] = &[
    START,
    END,
    BY,
    METRIC,
    FILTER,
    FORMAT,
    (
        "interval",
        schema::<Interval>,
        "Interval to compare; months by default",
    ),
];
pub(crate) const FORECAST_QUERY: &[Parameter] = &[
    START,
    END,
    BY,
    METRIC,
    FILTER,
    FORMAT,
    ("days", days, "Days to forecast; 30 by default"),
];
pub(crate) const PRICES_QUERY: &[Parameter] =
    &[("day", day, "The day, UTC; today by default"), FORMAT];
pub(crate) const FORMAT_QUERY: &[Parameter] = &[FORMAT];
pub(crate) const RECOMMENDATIONS_QUERY: &[Parameter] = &[
    (
        "baseline",
        schema::<BaselineName>,
        "What savings are compared with; current by default",
    ),
    (
        "latency_ms",
        latency,
        "Longest time from a user to an answer, milliseconds; as configured by default",
    ),
    (
        "survive",
        survive,
        "How many regions may be lost with all load still served; as configured by default",
    ),
    FORMAT,
];
/// Today, UTC, and the time, Unix milliseconds.
fn today() -> (Date, u64) {
    let now_ms = regionmesh_runtime::time::unix_ms();
    (crate::cost::day::date(now_ms), now_ms)
}

/// A well-formed request that can't be carried out.
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
        Some(name) => name
            .parse()
            .map_err(|_| ApiError::bad("format: not one of table, json, csv, html"))?,
    };

    let question = Question::parse(kind, &parameters, today)?;
    let sources = observed(&api, today);
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

    // The page is self-contained: it loads nothing and runs nothing.
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
        format!("the answer failed: {error}"),
        "try again",
    )
}

/// What answers are computed from, as of now.
fn observed(api: &Api, today: Date) -> Sources {
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
            pub(crate) async fn $name(
                State(api): State<Api>,
                Query(parameters): Query<Parameters>,
            ) -> Result<Response, ApiError> {
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
    sources = "sources",
    /// `GET /v1/cost/recommendations`
    recommendations = "recommendations",
);

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
pub(crate) async fn add_prices(
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
    if table.contains('\0') || table.chars().count() > PRICE_TABLE_MAX {
        return Err(ApiError::bad("text: too long, or holds a zero byte"));
    }

    let currency = currency.map(|code| {
        code.parse()
            .map_err(|error: CurrencyError| ApiError::bad(error.to_string()))
    });
    let parsed_day = |text: String| {
        let wrong = || {
            ApiError::bad(format!(
                "valid_from: {text:?} is not a date; write 2026-09-18"
            ))
        };
        parse_date(&text).ok_or_else(wrong)
    };
    let (_, imported_ms) = today();
    let valid_from = valid_from.map(parsed_day).transpose()?;
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
