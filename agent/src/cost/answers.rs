//! Answers to questions about money, in every format. What they rest on is an argument: the mesh's
//! bills and live plane, or files alone.

mod documents;
mod figures;
mod holdings;
mod recommend;
mod series;
mod usage;
mod verifications;

pub use figures::{Figures, figures};
pub use recommend::recommendations;

use super::{
    advice::Advice,
    books::Books,
    observe::{self, Holdings, region_map},
    questions::{Question, Span},
    view::LiveView,
};
use crate::{
    config::{Config, CostConfig},
    snapshots::Snapshots,
};
use clap::ValueEnum;
use regionmesh_cost::{
    Amount, Anomaly, BilledDays, BilledSettings, Budget, BudgetState, BudgetWindow, Currency,
    DailyCosts, Dimension, EgressReport, Forecast, Group, INCOMPLETE_DAYS, Ledger, LiveMeter,
    LiveRegion, MonthEnd, Price, Prices, Pricing, Query, QueryError, Reconciliation,
    RegionCapacity, RegionMap, Warning, WarningKind, allocate, billed_anomalies, billed_series,
    day_number, egress_report, evaluate_budget, expected_rest, forecast, month_end, outlook,
    parse_date, reconcile,
    render::{Document, allocation_document, csv, html, report_document, text, trends_document},
    report, trends,
};
use serde::Serialize;
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc, time::Instant};
use time::{Date, Duration};

/// Rows of a table for people; the rest is summed.
const TOP: usize = 50;
/// Movers of trends that are shown.
const MOVERS: usize = 10;
/// Most groups that are forecast in one answer: each takes some ten milliseconds.
const FORECASTS_MAX: usize = 64;

/// Days before a period that its forecast learns from.
const HISTORY_DAYS: i64 = 300;

/// What answers rest on.
pub struct Sources {
    /// The bills.
    pub ledger: Ledger,
    /// The prices.
    pub prices: Prices,
    /// What ran in past months.
    pub usage: Vec<Arc<LiveMeter>>,
    /// What runs.
    pub live: Arc<LiveMeter>,
    /// What every region costs now; empty without a mesh.
    pub live_regions: Vec<LiveRegion>,
    /// Incidents of the live plane.
    pub live_anomalies: Vec<Anomaly>,
    /// What runs in every region; empty without a mesh.
    pub capacity: BTreeMap<String, RegionCapacity>,
    /// Mean size of an answer, bytes.
    pub bytes_per_answer: f64,
    /// Measured round trips between regions, milliseconds.
    pub round_trips_ms: BTreeMap<(String, String), f64>,
    /// What every region holds; empty without a mesh.
    pub holdings: Holdings,
    /// Recommendations that were made.
    pub advice: Arc<Advice>,
    /// Regions of the mesh.
    pub regions: RegionMap,
    /// The configuration; none without a mesh.
    pub config: Option<Arc<Config>>,
    /// Tags, budgets and limits.
    pub cost: CostConfig,
    /// The day that it is, UTC.
    pub today: Date,
}

impl Sources {
    /// Bills alone, without a mesh.
    pub fn of_files(ledger: Ledger, cost: CostConfig, today: Date) -> Self {
        Self {
            ledger,
            prices: Prices::default(),
            usage: Vec::new(),
            live: Arc::new(LiveMeter::new(super::books::LIVE_GAP_MS)),
            live_regions: Vec::new(),
            live_anomalies: Vec::new(),
            capacity: BTreeMap::new(),
            bytes_per_answer: 0.0,
            round_trips_ms: BTreeMap::new(),
            holdings: Holdings::new(),
            advice: Arc::default(),
            regions: RegionMap::default(),
            config: None,
            cost,
            today,
        }
    }

    /// Those of a mesh, without what is observed.
    pub fn of_mesh(
        config: Arc<Config>,
        cost: CostConfig,
        ledger: Ledger,
        prices: Prices,
        today: Date,
    ) -> Self {
        let regions = region_map(&config);
        Self {
            prices,
            regions,
            config: Some(config),
            ..Self::of_files(ledger, cost, today)
        }
    }

    /// Those of a mesh with what is observed now.
    pub fn observed(
        config: Arc<Config>,
        books: &Books,
        live: &LiveView,
        snapshots: &Snapshots,
        today: Date,
    ) -> Self {
        let cost = config.cost.clone();
        let board = snapshots.board.borrow().clone();
        Self {
            usage: books.usage.clone(),
            live: live.meter.clone(),
            live_regions: live.regions.clone(),
            live_anomalies: live.live_anomalies().cloned().collect(),
            capacity: observe::capacities(&config, &board),
            bytes_per_answer: observe::bytes_per_answer(&board),
            round_trips_ms: observe::round_trips_ms(&board),
            holdings: observe::holdings(&config.region, snapshots),
            advice: books.advice.clone(),
            ..Self::of_mesh(
                config,
                cost,
                books.ledger.clone(),
                books.prices.clone(),
                today,
            )
        }
    }

    fn pricing(&self) -> Pricing<'_> {
        Pricing {
            prices: &self.prices,
            regions: &self.regions,
        }
    }

    fn region_name(&self, provider: &str, region: &str) -> Option<String> {
        match &self.config {
            Some(_) => self
                .regions
                .mesh_region_of(provider, region)
                .map(str::to_owned),
            // Without a mesh a region is called as on its bill.
            None => Some(region.to_owned()),
        }
    }

    fn mesh_regions(&self) -> Vec<String> {
        let regions = self.config.iter().flat_map(|config| &config.regions);
        regions.map(|region| region.name.to_string()).collect()
    }

    /// What bills say of a budget.
    pub fn budget_basis(&self, budget: &Budget) -> Result<BudgetBasis, QueryError> {
        let days = (self.history_start(budget), self.today);
        let billed = BilledDays::new(
            &self.ledger,
            budget,
            days,
            &names(self),
            &self.cost.model_tag,
        )?;

        Ok(BudgetBasis { billed, rest: None })
    }

    /// How a budget stands. Fills in what its basis lacks, which takes some ten milliseconds.
    pub fn traffic_state(&self, budget: &Budget, basis: &mut BudgetBasis) -> BudgetProgress {
        let span = (self.history_start(budget), self.today);
        let regions = self.config.iter().flat_map(|config| &config.regions);
        let regions: BTreeMap<_, _> = regions
            .map(|region| (region.name.to_string(), !region.nodes.is_empty()))
            .collect();
        let days = basis
            .billed
            .with_live(&self.live, span, &regions, self.pricing());
        let forecast = || {
            let known_to = basis
                .billed
                .known_to(&self.live, &regions, self.today, self.pricing());
            let rest = known_to
                .and_then(|known_to| expected_rest(budget, &days, known_to, self.today).ok());

            (rest, Instant::now())
        };

        let (rest, _) = basis.rest.get_or_insert_with(forecast);
        let outlook = outlook(budget, &days, rest.as_ref(), self.today);
        let state = evaluate_budget(budget, &outlook.spent, outlook.forecast.as_ref());

        BudgetProgress {
            budget: budget.clone(),
            window: budget.period.window(self.today),
            state,
        }
    }

    /// The first day that a budget's forecast learns from.
    fn history_start(&self, budget: &Budget) -> Date {
        let first = budget.period.window(self.today).first;
        first
            .checked_sub(Duration::days(HISTORY_DAYS))
            .unwrap_or(first)
    }

    fn query(&self, span: &Span) -> Query {
        Query {
            by: span.by.clone(),
            metric: span.metric,
            filters: span.filters.clone(),
            model_tag: self.cost.model_tag.clone(),
            ..Query::new(span.start, span.end)
        }
    }
}

/// An answer: the same as JSON, and as what people read.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// For programs; money is decimal text.
    pub json: Value,
    /// For people and spreadsheets.
    pub document: Document,
}

/// A format of answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// JSON; money as decimal text
    #[default]
    Json,
    /// Comma-separated, for spreadsheets
    Csv,
    /// A page that stands alone, with charts
    Html,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Table, Self::Json, Self::Csv, Self::Html];

    /// As it is written: `json`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Html => "html",
        }
    }

    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Table => "text/plain; charset=utf-8",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Html => "text/html; charset=utf-8",
        }
    }
}

impl Answer {
    fn new(json: &impl Serialize, document: Document) -> Result<Self, AnswerError> {
        Ok(Self {
            json: serde_json::to_value(json)?,
            document,
        })
    }

    /// Adds what is wrong with the files that the answer to a question rests on.
    pub fn add_file_warnings(&mut self, question: &Question, warnings: Vec<String>) {
        let told = |message: &String| match question {
            Question::Report(_) | Question::Trends(..) | Question::Models(_) => {
                json!(Warning {
                    kind: WarningKind::File,
                    message: message.clone()
                })
            }
            _ => json!(message),
        };

        if let Some(fields) = self.json.as_object_mut()
            && let Some(told_before) = fields
                .entry("warnings")
                .or_insert_with(|| json!([]))
                .as_array_mut()
        {
            told_before.extend(warnings.iter().map(told));
        }

        self.document.warnings.extend(warnings);
    }

    /// The answer in a format.
    pub fn render(&self, format: Format) -> String {
        match format {
            Format::Json => format!("{:#}\n", self.json),
            Format::Table => text(&self.document),
            Format::Csv => csv(&self.document),
            Format::Html => html(&self.document),
        }
    }
}

/// Why a question can't be answered.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// It is not a question that bills can answer.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// It needs a mesh.
    #[error("{0} need a running mesh: ask one, without --files")]
    NeedsMesh(&'static str),
    /// There is no placement that keeps to the limits.
    #[error("{0}")]
    NoPlacement(String),
    /// The answer can't be written.
    #[error("the answer can't be written: {0}")]
    Json(#[from] serde_json::Error),
}

/// Answers a question. Takes as long as the bills are large: not for a thread that serves others.
pub fn answer(question: &Question, sources: &Sources) -> Result<Answer, AnswerError> {
    match question {
        Question::Report(span) => spent(span, sources),
        Question::Trends(span, interval) => {
            let found = trends(
                &sources.ledger,
                &sources.query(span),
                *interval,
                &names(sources),
            )?;

            Answer::new(&found, trends_document(&found, MOVERS))
        }
        Question::Models(span) => {
            let (usage, capacity) = usage::usage(sources, span.start, span.end);
            let query = sources.query(span);
            let found = allocate(&sources.ledger, &query, &usage, &capacity, &names(sources))?;
            Answer::new(&found, allocation_document(&found))
        }
        Question::Egress(span) => egress(span, sources),
        Question::Forecast(span, days) => expected(span, *days, sources),
        Question::Anomalies => anomalies(sources),
        Question::Budgets => budgets(sources),
        Question::Prices(day) => {
            let prices: Vec<Price> = sources.prices.on(*day).into_iter().cloned().collect();
            let document = documents::prices(*day, &prices);
            let told: Vec<Value> = prices.iter().map(documents::price).collect();
            Answer::new(&json!({ "day": day.to_string(), "prices": told }), document)
        }
        Question::Sources => held(sources),
        Question::Recommendations(wishes) => recommend::recommend(wishes, sources),
    }
}

fn names(sources: &Sources) -> impl Fn(&str, &str) -> Option<String> + '_ {
    |provider, region| sources.region_name(provider, region)
}

fn spent(span: &Span, sources: &Sources) -> Result<Answer, AnswerError> {
    let query = sources.query(span);
    let found = report(&sources.ledger, &query, &names(sources))?;
    let has_time = query.by.first().is_some_and(Group::is_time);
    let over_time = match has_time {
        true => None,
        false => Some(report(
            &sources.ledger,
            &query.over_time(),
            &names(sources),
        )?),
    };

    Answer::new(
        &found,
        report_document(&found, over_time.as_ref(), Some(TOP)),
    )
}

fn egress(span: &Span, sources: &Sources) -> Result<Answer, AnswerError> {
    if sources.config.is_none() {
        return Err(AnswerError::NeedsMesh(
            "causes of egress are counted by agents, and",
        ));
    }

    let first = span.start.replace_day(1).unwrap_or(span.start);
    let sent = usage::egress(sources, first, span.end);
    let found: EgressReport = egress_report(
        &sent,
        (span.start, span.end),
        &sources.prices,
        &sources.regions,
    );
    let document = documents::egress(span, &found);
    let missing: Vec<String> = found.missing.iter().map(ToString::to_string).collect();
    let start = span.start.to_string();
    let end = span.end.to_string();
    let told = json!({ "start": start, "end": end, "lines": found.lines, "totals": found.totals, "missing": missing });

    Answer::new(&told, document)
}

/// A group's forecast.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Expected {
    /// The group's values; empty for all charges.
    pub(super) values: Vec<String>,
    /// What its month is heading for.
    pub(super) month_end: Option<MonthEnd>,
    /// The days to come.
    pub(super) forecast: Option<Forecast>,
    /// Why there is none.
    pub(super) problem: Option<String>,
}

fn expected(span: &Span, days: u16, sources: &Sources) -> Result<Answer, AnswerError> {
    let by: Vec<Group> = span
        .by
        .iter()
        .filter(|group| !group.is_time())
        .cloned()
        .collect();
    let query = sources.query(span).by(by.clone());
    let found = report(&sources.ledger, &query, &names(sources))?;
    let mut warnings: Vec<String> = found.warnings.iter().map(ToString::to_string).collect();
    let series = series::daily_costs(&query, sources)?;

    if series.len() > FORECASTS_MAX {
        warnings.push(format!(
            "{} of {} series are forecast; filter for others",
            FORECASTS_MAX,
            series.len()
        ));
    }

    let one = |((values, _), costs): ((Vec<String>, Currency), DailyCosts)| {
        let month = month_end(&costs, INCOMPLETE_DAYS);
        let days = forecast(&costs, days, INCOMPLETE_DAYS);
        let problem = month
            .as_ref()
            .err()
            .or(days.as_ref().err())
            .map(ToString::to_string);

        Expected {
            values,
            month_end: month.ok(),
            forecast: days.ok(),
            problem,
        }
    };

    let forecasts: Vec<Expected> = series.into_iter().take(FORECASTS_MAX).map(one).collect();
    let document = documents::forecasts(&by, &forecasts, warnings.clone());
    Answer::new(
        &json!({ "by": by, "forecasts": forecasts, "warnings": warnings }),
        document,
    )
}

/// The anomalies of bills that are open or began within 45 days of their end.
pub fn billed(ledger: &Ledger, today: Date) -> Vec<Anomaly> {
    let ends = ledger.ends(today);
    let mut last = None;
    let mut found = Vec::new();

    for (by, part) in [
        (Dimension::Region, Dimension::Service),
        (Dimension::Service, Dimension::Region),
        (Dimension::Provider, Dimension::Service),
        (Dimension::Account, Dimension::Service),
    ] {
        let series = billed_series(ledger, &ends, by, part);
        last = last.max(series.iter().map(|series| series.last_day).max());
        found.extend(billed_anomalies(&series, &BilledSettings::default()));
    }

    let is_recent = |since: Date| last.is_some_and(|last| last - day_number(since) <= 45);
    found.retain(|anomaly| anomaly.until.is_none() || is_recent(anomaly.since.date()));
    found
}

fn anomalies(sources: &Sources) -> Result<Answer, AnswerError> {
    let mut found = sources.live_anomalies.clone();
    found.extend(billed(&sources.ledger, sources.today));
    found.sort_by_key(|anomaly| (anomaly.until.is_some(), std::cmp::Reverse(anomaly.since)));
    Answer::new(&json!({ "anomalies": found }), documents::anomalies(&found))
}

/// A budget and how it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct BudgetProgress {
    /// The budget.
    pub budget: Budget,
    /// Its current period.
    pub window: BudgetWindow,
    /// How it stands.
    pub state: BudgetState,
}

/// What is slow to find out about a budget, and stays good for a while.
#[derive(Debug, Clone, PartialEq)]
pub struct BudgetBasis {
    /// What bills say of its days; good until they change or the day ends.
    pub billed: BilledDays,
    /// What the rest of its period is expected to cost, day by day, and when that was worked out;
    /// none where it is to be worked out.
    pub rest: Option<(Option<BTreeMap<Date, Amount>>, Instant)>,
}

fn budgets(sources: &Sources) -> Result<Answer, AnswerError> {
    if sources.config.is_none() {
        return Err(AnswerError::NeedsMesh(
            "budgets stand in the agents' configuration, and",
        ));
    }

    let mut found = Vec::new();
    for budget in &sources.cost.budgets {
        found.push(sources.traffic_state(budget, &mut sources.budget_basis(budget)?));
    }

    let told: Vec<Value> = found.iter().map(documents::budget).collect();
    Answer::new(&json!({ "budgets": told }), documents::budgets(&found))
}

fn held(sources: &Sources) -> Result<Answer, AnswerError> {
    let held = sources.ledger.sources();
    let reconciled = reconciliation(sources);
    let live: Vec<Value> = sources
        .live_regions
        .iter()
        .map(documents::live_region)
        .collect();
    let document = documents::sources(&held, &sources.live_regions, &reconciled);

    Answer::new(
        &json!({ "sources": held, "live": live, "reconciliation": reconciled }),
        document,
    )
}

/// Live cost against bills, over the days that both know and that bills add nothing to any more.
pub fn reconciliation(sources: &Sources) -> Vec<Reconciliation> {
    let live = sources.live.whole_days(sources.pricing());
    let first = live.keys().map(|(_, day)| *day).min();
    let (Some(first), Some(last)) = (first, sources.ledger.settled_day(sources.today)) else {
        return Vec::new();
    };
    let query = Query::new(first, last).by([Group::Day, Group::Region]);
    let Ok(found) = report(&sources.ledger, &query, &names(sources)) else {
        return Vec::new();
    };
    let mut billed = regionmesh_cost::DailyTotals::new();

    for row in found.rows {
        let [day, region] = &row.values[..] else {
            continue;
        };
        if let Some(day) = parse_date(day) {
            let money = regionmesh_cost::Money {
                amount: row.amount,
                currency: row.currency,
            };
            billed.entry((region.clone(), day)).or_default().add(money);
        }
    }

    reconcile(&live, &billed)
}

#[cfg(test)]
mod tests;
