//! Metrics of money.

mod families;

use crate::cost::{answers::Figures, books::Books, observe::Answers, view::LiveView};
use families::{BillFamilies, LiveFamilies};
use parking_lot::Mutex;
use prometheus::GaugeVec;
use regionmesh_cost::{Amount, Currency, Estimate, Plane, RegionMap, date_at, end_of_day_ms};
use regionmesh_runtime::{meter::Counts, metrics::Registry};
use std::{collections::BTreeMap, sync::Arc};
use time::Date;

/// Most series of one metric: names of models and sources come from outside.
const SERIES_MAX: usize = 512;

/// Metrics of live and billed cost.
#[derive(Clone)]
pub struct CostMetrics {
    live: LiveFamilies,
    bills: BillFamilies,
    counted: Arc<Mutex<BTreeMap<[String; 3], u64>>>,
    /// Regions and currencies whose billed cost is exported.
    billed: Arc<Mutex<Vec<(String, Currency)>>>,
}

impl CostMetrics {
    /// Registers the metrics.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            live: LiveFamilies::new(registry)?,
            bills: BillFamilies::new(registry)?,
            counted: Arc::default(),
            billed: Arc::default(),
        })
    }

    /// A billing export was read, or could not be.
    pub(super) fn polled(&self, is_ok: bool) {
        let outcome = if is_ok { "done" } else { "failed" };
        self.bills.polls.with_label_values(&[outcome]).inc();
    }

    /// An import ended; its rows, if it was kept.
    pub fn imported(&self, report: Option<&regionmesh_cost::ImportReport>) {
        let outcome = if report.is_some() { "done" } else { "failed" };
        self.bills.imports.with_label_values(&[outcome]).inc();
        if let Some(report) = report {
            self.bills
                .rows
                .with_label_values(&["imported"])
                .inc_by(report.imported);
            self.bills
                .rows
                .with_label_values(&["rounded"])
                .inc_by(report.rounded);
            self.bills
                .rows
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
        let mut counted = self.counted.lock();

        for (labels, bytes) in replicated.chain(answered) {
            if !counted.contains_key(&labels) && counted.len() >= SERIES_MAX {
                continue;
            }

            let before = counted.insert(labels.clone(), bytes).unwrap_or_default();
            self.live
                .egress_bytes
                .with_label_values(&labels.each_ref().map(String::as_str))
                .inc_by(bytes.saturating_sub(before));
        }
    }

    /// Exports the live plane, budgets and the age of bills.
    pub(super) fn export(&self, view: &LiveView, books: &Books, regions: &RegionMap) {
        for gauges in [
            &self.live.hourly,
            &self.live.today,
            &self.live.per_thousand,
            &self.live.idle,
            &self.live.egress,
            &self.bills.budgets,
            &self.bills.data_age,
        ] {
            gauges.reset();
        }

        let Some(today) = date_at(view.at_ms) else {
            return;
        };

        self.export_regions(view);
        self.export_egress(view, books, regions, today);
        self.export_budgets(view);
        self.export_data_age(view, books, today);
        self.export_anomalies(view);
    }

    fn export_regions(&self, view: &LiveView) {
        let mut missing = 0;

        for region in &view.regions {
            let name = region.region.as_str();
            missing += region.missing.len();
            set(&self.live.hourly, &region.hourly.0, |currency| {
                vec![name, currency]
            });
            set(&self.live.today, &region.today.total.0, |currency| {
                vec![name, currency]
            });
            set(&self.live.month, &region.month.total.0, |currency| {
                vec![name, currency, "live"]
            });
            if let Some(idle) = region.month.idle_ratio() {
                self.live.idle.with_label_values(&[name]).set(idle);
            }

            for (model, live) in region.month.models.iter().take(SERIES_MAX) {
                set(
                    &self.live.per_thousand,
                    &live.per_thousand().0,
                    |currency| vec![name, model, currency],
                );
            }
        }

        self.live
            .missing
            .set(i64::try_from(missing).unwrap_or(i64::MAX));
    }

    fn export_egress(&self, view: &LiveView, books: &Books, regions: &RegionMap, today: Date) {
        let first = today.replace_day(1).unwrap_or(today);
        let usage = view.meter.egress_usage((first, today));
        let sent = regionmesh_cost::egress_report(&usage, (today, today), &books.prices, regions);

        for line in sent.lines.iter().take(SERIES_MAX) {
            let to = line.to.as_deref().unwrap_or_default();
            let cause = cause(&line.cause);
            for (currency, amount) in &line.cost.0 {
                self.live
                    .egress
                    .with_label_values(&[&line.from, to, cause, currency.as_str()])
                    .add(amount.to_f64());
            }
        }
    }

    fn export_budgets(&self, view: &LiveView) {
        for progress in &view.budgets {
            let name = &*progress.budget.name;
            let state = &progress.state;
            self.bills
                .budgets
                .with_label_values(&[name, "actual"])
                .set(state.ratio);

            if let Some(ratio) = state.forecast_ratio {
                self.bills
                    .budgets
                    .with_label_values(&[name, "forecast"])
                    .set(ratio);
            }
        }
    }

    fn export_data_age(&self, view: &LiveView, books: &Books, today: Date) {
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

            self.bills
                .data_age
                .with_label_values(&[source])
                .set(age_ms as f64 / 1e3);
        }
    }

    fn export_anomalies(&self, view: &LiveView) {
        for (plane, name) in [(Plane::Live, "live"), (Plane::Billed, "billed")] {
            let open = view
                .anomalies
                .iter()
                .filter(|anomaly| anomaly.plane == plane && anomaly.until.is_none());

            self.live
                .anomalies
                .with_label_values(&[name])
                .set(i64::try_from(open.count()).unwrap_or(i64::MAX));
        }
    }

    /// Exports what the bills say of this month, and how live and billed cost compare. Only at the
    /// leader.
    pub(super) fn export_billed(&self, figures: &Figures) {
        self.bills.forecast.reset();
        self.bills.reconciliation.reset();

        let mut shown = self.billed.lock();
        for (region, currency) in shown.drain(..) {
            let _ = self
                .live
                .month
                .remove_label_values(&[&*region, currency.as_str(), "billed"]);
        }

        for ((region, currency), amount) in figures.month.iter().take(SERIES_MAX) {
            self.live
                .month
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
                self.bills
                    .forecast
                    .with_label_values(&labels)
                    .set(amount.to_f64());
            }
        }

        for compared in &figures.reconciliation {
            if let Some(ratio) = compared.ratio {
                let labels = [compared.region.as_str(), compared.currency.as_str()];
                self.bills
                    .reconciliation
                    .with_label_values(&labels)
                    .set(ratio);
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
