//! Judging budgets, anomalies of bills and late bills, in a blocking task: reading months of cells
//! takes a while.

use super::{
    arguments::CostArguments,
    metrics::CostMetrics,
    verdict::{Known, Verdict},
};
use crate::{
    actors::messages::CostMessage,
    config::{Config, CostConfig},
    cost::answers::{self, BudgetProgress, Figures, Sources},
};
use ractor::ActorRef;
use regionmesh_cost::{
    Anomaly, Budget, BudgetProblem, Plane, RegionMap, anomaly_notice, budget_notices, date_at,
    is_budget_over, is_of_export, late_notices,
};
use regionmesh_protocol::{
    identity::RegionName,
    status::money::{BUDGETS_MAX, BudgetUse, CostNotice, NoticeKind, Notices},
};
use regionmesh_runtime::time::unix_ms;
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};
use time::Date;
use tokio::task::JoinSet;

/// How often budgets are judged: a crossing is reported within 60 s.
const EVERY: Duration = Duration::from_secs(10);
/// A judgement that has not returned after this time, because it panicked or hangs, is started
/// again.
const LOST_AFTER: Duration = Duration::from_secs(600);
/// How long the forecast of a period stays valid.
const FORECAST_VALIDITY: Duration = Duration::from_secs(600);
/// Prefix of the ids of notices about live incidents.
const LIVE: &str = "anomaly:live:";
/// After this time an incident of the live plane counts as the new normal, milliseconds.
const LIVE_MAX_MS: u64 = 26 * 3_600_000;

/// When budgets and bills are judged, and the last result.
#[derive(Default)]
pub(super) struct Judge {
    is_running: bool,
    ran_at: Option<Instant>,
    known: BTreeMap<String, Known>,
    budgets: Vec<BudgetProgress>,
    billed: Vec<Anomaly>,
    /// The day for which the bills were evaluated; none once they have changed.
    billed_on: Option<Date>,
    /// Whether the bills were read since the start.
    has_books: bool,
    /// Whether the bills changed since the running judgement began.
    is_outdated: bool,
}

impl Judge {
    /// The bills changed.
    pub(super) fn books_changed(&mut self) {
        self.known.clear();
        self.billed_on = None;
        self.has_books = true;
        self.is_outdated = self.is_running;
    }

    /// Another agent leads: this one's results are no longer exported.
    pub(super) fn stand_down(&mut self, metrics: &CostMetrics) {
        let is_running = self.is_running;
        let has_books = self.has_books;
        *self = Self {
            is_running,
            has_books,
            ..Self::default()
        };

        metrics.export_billed(&Figures::default());
    }

    /// Whether budgets were judged recently.
    pub(super) fn has_judged(&self) -> bool {
        !self.is_running && self.ran_at.is_some_and(|at| at.elapsed() < 6 * EVERY)
    }

    /// The budgets' progress.
    pub(super) fn budgets(&self) -> &[BudgetProgress] {
        &self.budgets
    }

    /// The anomalies of bills.
    pub(super) fn billed(&self) -> &[Anomaly] {
        &self.billed
    }

    /// The budgets' progress, for the board.
    pub(super) fn published(&self) -> Vec<BudgetUse> {
        let basis_points =
            |ratio: f64| (ratio * 1e4).clamp(0.0, f64::from(u32::MAX)).round() as u32;
        let used = |view: &BudgetProgress| BudgetUse {
            name: view.budget.name.clone(),
            spent_bp: basis_points(view.state.ratio),
            forecast_bp: view.state.forecast_ratio.map(basis_points),
        };

        self.budgets.iter().take(BUDGETS_MAX).map(used).collect()
    }

    /// Starts judging if it is due.
    pub(super) fn begin(
        &mut self,
        me: &ActorRef<CostMessage>,
        tasks: &mut JoinSet<()>,
        arguments: CostArguments,
        regions: Arc<RegionMap>,
        now_ms: u64,
    ) {
        let is_due = self.ran_at.is_none_or(|at| at.elapsed() >= EVERY);
        if self.is_running && self.ran_at.is_some_and(|at| at.elapsed() >= LOST_AFTER) {
            tracing::error!(
                "budgets were not judged within {} s; trying again",
                LOST_AFTER.as_secs()
            );
            (self.is_running, self.billed_on) = (false, None);
        }

        let Some(today) = date_at(now_ms) else { return };
        if self.is_running || !is_due || !self.has_books {
            return;
        }
        (self.is_running, self.ran_at) = (true, Some(Instant::now()));

        let known = std::mem::take(&mut self.known);
        let me = me.clone();

        // On the first day of a month "this month" changes.
        let billed = (self.billed_on.replace(today) == Some(today)).then(|| self.billed.clone());
        tasks.spawn_blocking(move || {
            let verdict = judge(known, billed, &arguments, &regions, today);
            let _ = me.cast(CostMessage::Judged(Box::new(verdict)));
        });
    }

    /// Takes over the result: adds new notices and ends those that no longer apply.
    pub(super) fn ended(
        &mut self,
        verdict: Verdict,
        cost: &CostConfig,
        notices: &mut Notices,
        metrics: &CostMetrics,
        now_ms: u64,
    ) {
        self.is_running = false;
        self.known = if std::mem::take(&mut self.is_outdated) {
            BTreeMap::new()
        } else {
            verdict.known
        };

        self.budgets = verdict.budgets;
        if let Some((billed, figures)) = verdict.billed {
            self.billed = billed;
            metrics.export_billed(&figures);
        }

        let budgets = &cost.budgets;
        let exports = &cost.exports;
        let holding = verdict.notices;

        for notice in &holding {
            if !notices.contains(&notice.id) {
                tracing::warn!(id = notice.id, text = notice.text, "cost notice");
            }
            notices.take(notice, now_ms);
        }

        for notice in verdict.ended {
            if notices.contains(&notice.id) {
                notices.take(&notice, now_ms);
            }
        }

        let is_over = |notice: &&CostNotice| match notice.kind {
            // A budget's crossing applies until its period ends, whatever is refunded.
            NoticeKind::Budget => is_budget_over(notice, budgets, now_ms),
            // This agent may not have seen the incident: it ends where its end was observed, or
            // once it counts as normal.
            NoticeKind::Anomaly if notice.id.starts_with(LIVE) => {
                notice.since_ms + LIVE_MAX_MS < now_ms
            }
            NoticeKind::Data if is_of_export(notice) => {
                !exports.iter().any(|export| export.url == notice.subject)
            }
            NoticeKind::Anomaly | NoticeKind::Data => {
                !holding.iter().any(|held| held.id == notice.id)
            }
        };

        let over: Vec<String> = notices
            .iter()
            .filter(|notice| notice.ended_ms.is_none())
            .filter(is_over)
            .map(|n| n.id.clone())
            .collect();

        for id in over {
            notices.end(&id, now_ms);
        }
    }
}

fn judge(
    known: BTreeMap<String, Known>,
    billed: Option<Vec<Anomaly>>,
    arguments: &CostArguments,
    regions: &RegionMap,
    today: Date,
) -> Verdict {
    let now_ms = unix_ms();
    let config = arguments.live.borrow().clone();
    let books = arguments.books.borrow().clone();
    let live = arguments.view.borrow().clone();
    let ledger = books.ledger.clone();
    let prices = books.prices.clone();
    let sources = Sources {
        live: live.meter.clone(),
        ..Sources::of_mesh(config.clone(), config.cost.clone(), ledger, prices, today)
    };

    let mut judged = judge_budgets(known, &config.cost.budgets, &sources, today, now_ms);
    let new_billed = billed.is_none().then(|| {
        (
            answers::billed(&books.ledger, today),
            answers::figures(&sources),
        )
    });
    let billed = billed
        .or_else(|| Some(new_billed.as_ref()?.0.clone()))
        .unwrap_or_default();

    let of_live = live
        .anomalies
        .iter()
        .filter(|anomaly| anomaly.plane == Plane::Live);
    let all = of_live
        .chain(&billed)
        .map(|anomaly| anomaly_notice(anomaly, region_of(anomaly, &config, regions)));
    let (open, ended) = all.partition::<Vec<_>, _>(|notice| notice.ended_ms.is_none());

    judged.notices.extend(open);
    judged.notices.extend(late_notices(
        &books.ledger,
        config.cost.late_after_h,
        now_ms,
    ));

    Verdict {
        ended,
        billed: new_billed,
        ..judged
    }
}

/// The budgets' progress and their notices; the rest of the verdict is empty.
fn judge_budgets(
    mut known: BTreeMap<String, Known>,
    budgets: &[Budget],
    sources: &Sources,
    today: Date,
    now_ms: u64,
) -> Verdict {
    known.retain(|name, known| {
        known.today == today
            && budgets
                .iter()
                .any(|budget| budget.name == *name && *budget == known.budget)
    });

    let mut all_progress = Vec::new();
    let mut notices = Vec::new();
    for budget in budgets {
        let basis = match known.remove(&budget.name) {
            Some(Known { mut basis, .. }) => {
                basis.rest = basis
                    .rest
                    .filter(|(_, at)| at.elapsed() < FORECAST_VALIDITY);
                Ok(basis)
            }
            None => sources.budget_basis(budget),
        };

        let mut basis = match basis {
            Ok(basis) => basis,
            Err(error) => {
                tracing::error!(budget = budget.name, %error, "a budget can't be judged");
                continue;
            }
        };
        let progress = sources.progress(budget, &mut basis);

        if let Some(BudgetProblem::OtherCurrencies { .. }) = &progress.state.problem {
            let problem = &progress.state.problem;
            tracing::debug!(
                budget = budget.name,
                ?problem,
                "a budget leaves out other currencies"
            );
        }

        let of_budget = budget_notices(budget, progress.window, &progress.state, now_ms);
        notices.extend(of_budget);
        all_progress.push(progress);
        known.insert(
            budget.name.clone(),
            Known {
                budget: budget.clone(),
                today,
                basis,
            },
        );
    }

    Verdict {
        known,
        budgets: all_progress,
        notices,
        ended: Vec::new(),
        billed: None,
    }
}

/// The region of the mesh that an anomaly is about.
fn region_of(anomaly: &Anomaly, config: &Config, regions: &RegionMap) -> Option<RegionName> {
    let region = anomaly.scope.get("region")?;
    let by_bill = config.regions.iter().find(|known| {
        regions
            .billing_of(known.name.as_str())
            .is_some_and(|at| at.region() == region.as_str())
    });

    by_bill
        .map(|known| known.name.clone())
        .or_else(|| region.parse().ok())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
