//! Metrics of money.

use crate::cost::{answers::Figures, books::Books, observe::Answers, view::LiveView};
use prometheus::{GaugeVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use regionmesh_cost::{Amount, Currency, Estimate, Plane, RegionMap, date_at, end_of_day_ms};
use regionmesh_runtime::meter::Counts;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Most series of one metric: names of models and sources come from outside.
const SERIES_MAX: usize = 512;

/// The metrics.
#[derive(Clone)]
pub struct CostMetrics {
    hourly: GaugeVec,
    today: GaugeVec,
    month: GaugeVec,
    per_thousand: GaugeVec,
    idle: GaugeVec,
    egress: GaugeVec,
    egress_bytes: IntCounterVec,
    budgets: GaugeVec,
    data_age: GaugeVec,
    reconciliation: GaugeVec,
    forecast: GaugeVec,
    missing: IntGauge,
    anomalies: IntGaugeVec,
    rows: IntCounterVec,
    imports: IntCounterVec,
    pub(super) polls: IntCounterVec,
    counted: Arc<Mutex<BTreeMap<[String; 3], u64>>>,
    /// Regions and currencies whose billed cost is shown.
    billed: Arc<Mutex<Vec<(String, Currency)>>>,
}

impl CostMetrics {
    /// Registers them.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let gauges = |name: &str, help: &str, labels: &[&str]| -> prometheus::Result<GaugeVec> {
            let gauges = GaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(gauges.clone()))?;
            Ok(gauges)
        };
        let counters =
            |name: &str, help: &str, labels: &[&str]| -> prometheus::Result<IntCounterVec> {
                let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
                registry.register(Box::new(counters.clone()))?;
                Ok(counters)
            };

        let missing = IntGauge::new(
            "regionmesh_cost_prices_missing",
            "Things that run or are sent and have no price.",
        )?;

        registry.register(Box::new(missing.clone()))?;
        let anomalies = IntGaugeVec::new(
            Opts::new(
                "regionmesh_cost_anomalies",
                "Open anomalies, by plane: live, or billed (at the leader).",
            ),
            &["plane"],
        )?;

        registry.register(Box::new(anomalies.clone()))?;
        let metrics = Self {
            hourly: gauges(
                "regionmesh_cost_hourly",
                "Live cost of a region per hour.",
                &["region", "currency"],
            )?,
            today: gauges(
                "regionmesh_cost_today",
                "Live cost of a region since midnight UTC.",
                &["region", "currency"],
            )?,
            month: gauges(
                "regionmesh_cost_month_to_date",
                "Cost of a region since the first of the month, by source: live, or billed (at the \
                    leader).",
                &["region", "currency", "source"],
            )?,
            per_thousand: gauges(
                "regionmesh_cost_per_1000_inferences",
                "Live cost of 1,000 inferences of a model this month.",
                &["region", "model", "currency"],
            )?,
            idle: gauges(
                "regionmesh_cost_idle_ratio",
                "Part of a region's inference places that was idle this month.",
                &["region"],
            )?,
            egress: gauges(
                "regionmesh_cost_egress_today",
                "Cost of bytes sent out of a region since midnight UTC, by receiver (empty: users) \
                    and cause.",
                &["from", "to", "cause", "currency"],
            )?,
            egress_bytes: counters(
                "regionmesh_cost_egress_bytes_total",
                "Bytes that this agent sent out of its region, by receiver (empty: users), cause \
                    and model.",
                &["to", "cause", "model"],
            )?,
            budgets: gauges(
                "regionmesh_cost_budget_ratio",
                "Part of a budget that is spent (actual) or will be by the end of its period \
                    (forecast); at the leader.",
                &["budget", "kind"],
            )?,
            data_age: gauges(
                "regionmesh_cost_data_age_seconds",
                "Age of the newest complete day of a bill; not of bills that ended, without a new \
                    day for 45 days.",
                &["source"],
            )?,
            reconciliation: gauges(
                "regionmesh_cost_reconciliation_ratio",
                "Live cost by billed cost over the complete days that both know; 1 where they \
                    agree (at the leader).",
                &["region", "currency"],
            )?,
            forecast: gauges(
                "regionmesh_cost_forecast_month_end",
                "Total that the month is heading for, by quantile; region empty: the mesh (at the \
                    leader).",
                &["region", "currency", "quantile"],
            )?,
            missing,
            anomalies,
            rows: counters(
                "regionmesh_cost_rows_imported_total",
                "Rows of bills read by this agent, by outcome: imported, rounded (imported, with \
                    digits beyond the fifteenth), bad.",
                &["outcome"],
            )?,
            imports: counters(
                "regionmesh_cost_imports_total",
                "Imports of bills by this agent, by outcome: done, failed.",
                &["outcome"],
            )?,
            polls: counters(
                "regionmesh_cost_export_polls_total",
                "Looks at billing exports by this agent, by outcome: done, failed.",
                &["outcome"],
            )?,
            counted: Arc::default(),
            billed: Arc::default(),
        };

        for outcome in ["imported", "rounded", "bad"] {
            metrics.rows.with_label_values(&[outcome]);
        }
        for outcome in ["done", "failed"] {
            metrics.imports.with_label_values(&[outcome]);
            metrics.polls.with_label_values(&[outcome]);
        }

        Ok(metrics)
    }

    /// An import ended; its rows, if it was kept.
    pub fn imported(&self, report: Option<&regionmesh_cost::ImportReport>) {
        let outcome = if report.is_some() { "done" } else { "failed" };
        self.imports.with_label_values(&[outcome]).inc();
        if let Some(report) = report {
            self.rows
                .with_label_values(&["imported"])
                .inc_by(report.imported);
            self.rows
                .with_label_values(&["rounded"])
                .inc_by(report.rounded);
            self.rows
                .with_label_values(&["bad"])
                .inc_by(report.bad.values().sum());
        }
    }

    /// What this agent counted so far.
    pub(super) fn count(&self, counts: &Counts, answers: Answers) {
        let replicated = counts.replicated.iter().map(|((to, model), bytes)| {
            (
                [to.to_string(), "replication".to_owned(), model.to_string()],
                *bytes,
            )
        });
        let answered = [("answers", answers.away()), ("home", answers.home())]
            .map(|(cause, bytes)| ([String::new(), cause.to_owned(), String::new()], bytes));
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);

        for (labels, bytes) in replicated.chain(answered) {
            if !counted.contains_key(&labels) && counted.len() >= SERIES_MAX {
                continue;
            }

            let before = counted.insert(labels.clone(), bytes).unwrap_or_default();
            self.egress_bytes
                .with_label_values(&labels.each_ref().map(String::as_str))
                .inc_by(bytes.saturating_sub(before));
        }
    }

    /// Shows the live plane, budgets and the age of bills.
    pub(super) fn show(&self, view: &LiveView, books: &Books, regions: &RegionMap) {
        for gauges in [
            &self.hourly,
            &self.today,
            &self.per_thousand,
            &self.idle,
            &self.egress,
            &self.budgets,
            &self.data_age,
        ] {
            gauges.reset();
        }

        let Some(today) = date_at(view.at_ms) else {
            return;
        };
        let mut missing = 0;

        for region in &view.regions {
            let name = region.region.as_str();
            missing += region.missing.len();
            set(&self.hourly, &region.hourly.0, |currency| {
                vec![name, currency]
            });
            set(&self.today, &region.today.total.0, |currency| {
                vec![name, currency]
            });
            set(&self.month, &region.month.total.0, |currency| {
                vec![name, currency, "live"]
            });
            if let Some(idle) = region.month.idle_ratio() {
                self.idle.with_label_values(&[name]).set(idle);
            }

            for (model, live) in region.month.models.iter().take(SERIES_MAX) {
                set(&self.per_thousand, &live.per_thousand().0, |currency| {
                    vec![name, model, currency]
                });
            }
        }

        self.missing.set(i64::try_from(missing).unwrap_or(i64::MAX));

        let first = today.replace_day(1).unwrap_or(today);
        let usage = view.meter.egress_usage((first, today));
        let sent = regionmesh_cost::egress_report(&usage, (today, today), &books.prices, regions);

        for line in sent.lines.iter().take(SERIES_MAX) {
            let to = line.to.as_deref().unwrap_or_default();
            let cause = cause(&line.cause);
            for (currency, amount) in &line.cost.0 {
                self.egress
                    .with_label_values(&[&line.from, to, cause, currency.as_str()])
                    .add(amount.to_f64());
            }
        }

        for traffic_state in &view.budgets {
            let name = &*traffic_state.budget.name;
            let state = &traffic_state.state;
            self.budgets
                .with_label_values(&[name, "actual"])
                .set(state.ratio);

            if let Some(ratio) = state.forecast_ratio {
                self.budgets
                    .with_label_values(&[name, "forecast"])
                    .set(ratio);
            }
        }

        let sources = books
            .ledger
            .sources()
            .into_iter()
            .filter(|(_, state)| !state.has_ended(today));

        for (source, state) in sources.take(SERIES_MAX) {
            let Some(complete) = state.complete_day.or(state.last_day) else {
                continue;
            };
            let age_ms = view.at_ms.saturating_sub(end_of_day_ms(complete));

            self.data_age
                .with_label_values(&[source])
                .set(age_ms as f64 / 1e3);
        }

        for (plane, name) in [(Plane::Live, "live"), (Plane::Billed, "billed")] {
            let open = view
                .anomalies
                .iter()
                .filter(|anomaly| anomaly.plane == plane && anomaly.until.is_none());

            self.anomalies
                .with_label_values(&[name])
                .set(i64::try_from(open.count()).unwrap_or(i64::MAX));
        }
    }

    /// Shows what the bills say of this month, and how live and billed cost compare: at the leader
    /// alone.
    pub(super) fn show_billed(&self, figures: &Figures) {
        self.forecast.reset();
        self.reconciliation.reset();

        let mut shown = self.billed.lock().unwrap_or_else(PoisonError::into_inner);
        for (region, currency) in shown.drain(..) {
            let _ = self
                .month
                .remove_label_values(&[&*region, currency.as_str(), "billed"]);
        }

        for ((region, currency), amount) in figures.month.iter().take(SERIES_MAX) {
            self.month
                .with_label_values(&[region, currency.as_str(), "billed"])
                .set(amount.to_f64());
            shown.push((region.clone(), *currency));
        }

        for (region, expected) in &figures.month_ends {
            let Estimate {
                low,
                expected: middle,
                high,
            } = expected.total;

            for (quantile, amount) in [("0.1", low), ("0.5", middle), ("0.9", high)] {
                let labels = [region.as_str(), expected.currency.as_str(), quantile];
                self.forecast
                    .with_label_values(&labels)
                    .set(amount.to_f64());
            }
        }

        for compared in &figures.reconciliation {
            if let Some(ratio) = compared.ratio {
                let labels = [compared.region.as_str(), compared.currency.as_str()];
                self.reconciliation.with_label_values(&labels).set(ratio);
            }
        }
    }
}

fn set<'a>(
    gauges: &GaugeVec,
    totals: &'a BTreeMap<Currency, Amount>,
    labels: impl Fn(&'a str) -> Vec<&'a str>,
) {
    for (currency, amount) in totals {
        gauges
            .with_label_values(&labels(currency.as_str()))
            .set(amount.to_f64());
    }
}

fn cause(cause: &regionmesh_cost::Cause) -> &'static str {
    match cause {
        regionmesh_cost::Cause::Replication { .. } => "replication",
        regionmesh_cost::Cause::AnswersAway => "answers",
        regionmesh_cost::Cause::Other => "home",
    }
}
