//! Judging budgets, anomalies of bills and late bills, in a thread beside: reading months of cells
//! takes a while.

use super::{CostArguments, CostMetrics};
use crate::{
    actors::messages::CostMessage,
    config::CostConfig,
    cost::answers::{self, BudgetBasis, BudgetProgress, Figures, Sources},
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

/// How often budgets are judged: people hear of a crossing within 60 s.
const EVERY: Duration = Duration::from_secs(10);
/// After this time a judgement that has not come back, because it panicked or hangs, is begun
/// again.
const LOST_AFTER: Duration = Duration::from_secs(600);
/// How long what a period is heading for is good.
const FORECAST_KEPT: Duration = Duration::from_secs(600);

/// What the ids of notices of live incidents begin with.
const LIVE: &str = "anomaly:live:";
/// After this time an incident of the live plane has become what is usual, milliseconds.
const LIVE_MAX_MS: u64 = 26 * 3_600_000;

/// What was read of bills for one budget.
#[derive(Debug, Clone)]
struct Known {
    budget: Budget,
    today: Date,
    basis: BudgetBasis,
}

/// What came of judging.
#[derive(Debug)]
pub struct Verdict {
    known: BTreeMap<String, Known>,
    budgets: Vec<BudgetProgress>,
    notices: Vec<CostNotice>,
    /// Incidents that are over.
    ended: Vec<CostNotice>,
    /// Anomalies of bills, and what these say of this month; none where they are as they were.
    billed: Option<(Vec<Anomaly>, Figures)>,
}

/// The judge.
#[derive(Default)]
pub(super) struct Judge {
    is_running: bool,
    ran_at: Option<Instant>,
    known: BTreeMap<String, Known>,
    budgets: Vec<BudgetProgress>,
    billed: Vec<Anomaly>,
    /// The day that what bills say was worked out on; none once they have changed.
    billed_on: Option<Date>,
    /// Whether the bills were read since the start.
    has_books: bool,
    /// Whether the bills changed since the judgement that runs began.
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

    /// Another agent leads: what this one found is not shown any more.
    pub(super) fn stand_down(&mut self, metrics: &CostMetrics) {
        let is_running = self.is_running;
        let has_books = self.has_books;
        *self = Self {
            is_running,
            has_books,
            ..Self::default()
        };

        metrics.show_billed(&Figures::default());
    }

    /// Whether budgets were judged lately.
    pub(super) fn has_judged(&self) -> bool {
        !self.is_running && self.ran_at.is_some_and(|at| at.elapsed() < 6 * EVERY)
    }

    /// How the budgets stand.
    pub(super) fn budgets(&self) -> &[BudgetProgress] {
        &self.budgets
    }

    /// The anomalies of bills.
    pub(super) fn billed(&self) -> &[Anomaly] {
        &self.billed
    }

    /// What the board says of budgets.
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

    /// Begins to judge where that is due.
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

        // "This month" is another one on its first day.
        let billed = (self.billed_on.replace(today) == Some(today)).then(|| self.billed.clone());
        tasks.spawn_blocking(move || {
            let verdict = judge(known, billed, &arguments, &regions, today);
            let _ = me.cast(CostMessage::Judged(Box::new(verdict)));
        });
    }

    /// Takes over what came of it: new notices are added, and those that hold no more are ended.
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
            metrics.show_billed(&figures);
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
            // A budget's crossing holds until its period ends, whatever is refunded.
            NoticeKind::Budget => is_budget_over(notice, budgets, now_ms),
            // This agent may have seen nothing of an incident yet: it ends where it was seen to
            // end, or has become usual.
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
    mut known: BTreeMap<String, Known>,
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

    known.retain(|name, known| {
        known.today == today
            && config
                .cost
                .budgets
                .iter()
                .any(|budget| budget.name == *name && *budget == known.budget)
    });

    let mut budgets = Vec::new();
    let mut notices = Vec::new();
    for budget in &config.cost.budgets {
        let basis = match known.remove(&budget.name) {
            Some(Known { mut basis, .. }) => {
                basis.rest = basis.rest.filter(|(_, at)| at.elapsed() < FORECAST_KEPT);
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
        let traffic_state = sources.traffic_state(budget, &mut basis);

        if let Some(BudgetProblem::OtherCurrencies { .. }) = &traffic_state.state.problem {
            let problem = &traffic_state.state.problem;
            tracing::debug!(
                budget = budget.name,
                ?problem,
                "a budget leaves out other currencies"
            );
        }

        notices.extend(budget_notices(
            budget,
            traffic_state.window,
            &traffic_state.state,
            now_ms,
        ));

        budgets.push(traffic_state);
        known.insert(
            budget.name.clone(),
            Known {
                budget: budget.clone(),
                today,
                basis,
            },
        );
    }

    let new_billed = billed.is_none().then(|| {
        (
            answers::billed(&books.ledger, today),
            answers::figures(&sources),
        )
    });
    let billed = billed
        .or_else(|| Some(new_billed.as_ref()?.0.clone()))
        .unwrap_or_default();

    let to_region = |anomaly: &Anomaly| -> Option<RegionName> {
        let region = anomaly.scope.get("region")?;
        let by_bill = config.regions.iter().find(|known| {
            regions
                .billing_of(known.name.as_str())
                .is_some_and(|at| at.region() == region.as_str())
        });

        by_bill
            .map(|known| known.name.clone())
            .or_else(|| region.parse().ok())
    };

    let of_live = live
        .anomalies
        .iter()
        .filter(|anomaly| anomaly.plane == Plane::Live);
    let all = of_live
        .chain(&billed)
        .map(|anomaly| anomaly_notice(anomaly, to_region(anomaly)));
    let (open, ended) = all.partition::<Vec<_>, _>(|notice| notice.ended_ms.is_none());

    notices.extend(open);
    notices.extend(late_notices(
        &books.ledger,
        config.cost.late_after_h,
        now_ms,
    ));

    Verdict {
        known,
        budgets,
        notices,
        ended,
        billed: new_billed,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use regionmesh_cost::{Currency, ONE, Reconciliation};

    #[test]
    fn what_was_read_of_bills_that_have_changed_meanwhile_is_read_again() {
        let metrics = CostMetrics::new(&prometheus::Registry::new()).unwrap();
        let budget: Budget =
            serde_json::from_str(r#"{ "name": "all", "amount": "1 USD" }"#).unwrap();
        let today = date_at(0).unwrap();
        let sources = Sources::of_files(Default::default(), CostConfig::default(), today);
        let basis = sources.budget_basis(&budget).unwrap();

        for (have_changed, kept) in [(false, 1), (true, 0)] {
            let mut judge = Judge {
                is_running: true,
                ..Judge::default()
            };

            if have_changed {
                judge.books_changed();
            }

            let known = Known {
                budget: budget.clone(),
                today,
                basis: basis.clone(),
            };
            let (budgets, notices, ended, billed) = Default::default();
            let verdict = Verdict {
                known: [("all".to_owned(), known)].into(),
                budgets,
                notices,
                ended,
                billed,
            };

            judge.ended(
                verdict,
                &CostConfig::default(),
                &mut Notices::default(),
                &metrics,
                0,
            );

            assert_eq!((judge.known.len(), judge.is_outdated), (kept, false));
        }
    }

    #[test]
    fn an_agent_that_does_not_lead_shows_nothing_of_bills() {
        let registry = prometheus::Registry::new();
        let metrics = CostMetrics::new(&registry).unwrap();
        let shown = || -> Vec<String> {
            let of_bills = [
                "month_to_date",
                "forecast_month_end",
                "reconciliation_ratio",
            ];
            let is_of_bills = |name: &str| of_bills.iter().any(|end| name.ends_with(end));
            let families = registry
                .gather()
                .into_iter()
                .filter(|family| is_of_bills(family.name()));

            families
                .map(|family| format!("{} {}", family.name(), family.get_metric().len()))
                .collect()
        };

        let compared = |currency: &[u8]| Reconciliation {
            region: "eu-west-1".into(),
            currency: Currency::parse(currency).unwrap(),
            days: 1,
            live: regionmesh_cost::Amount(ONE),
            billed: regionmesh_cost::Amount(ONE),
            ratio: Some(1.0),
        };

        let figures = Figures {
            month: [(
                ("eu-west-1".into(), Currency::USD),
                regionmesh_cost::Amount(ONE),
            )]
            .into(),
            reconciliation: vec![compared(b"USD"), compared(b"EUR")],
            ..Figures::default()
        };

        let (known, budgets, notices, ended) = Default::default();
        let verdict = Verdict {
            known,
            budgets,
            notices,
            ended,
            billed: Some((Vec::new(), figures)),
        };

        let mut judge = Judge {
            is_running: true,
            ..Judge::default()
        };

        judge.ended(
            verdict,
            &CostConfig::default(),
            &mut Notices::default(),
            &metrics,
            0,
        );

        assert_eq!(
            shown(),
            [
                "regionmesh_cost_month_to_date 1",
                "regionmesh_cost_reconciliation_ratio 2"
            ]
        );

        judge.stand_down(&metrics);
        assert_eq!(shown(), Vec::<String>::new());
    }
}
