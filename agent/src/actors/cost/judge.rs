//! Judging budgets, anomalies of bills and late bills, in a thread beside: reading months of cells takes a while.

use super::{CostArguments, CostMetrics};
use crate::{
    actors::messages::CostMessage,
    config::CostConfig,
    cost::{
        answers::{self, Figures, Sources},
        view::{BudgetView, pricing},
    },
    time::unix_ms,
};
use ractor::ActorRef;
use regionmesh_cost::{
    Amount, Anomaly, BilledDays, Budget, BudgetProblem, Plane, RegionMap, anomaly_notice, budget_notices, day_of,
    evaluate_budget, expected_rest, is_current, is_of_export, late_notices, outlook,
};
use regionmesh_protocol::{
    identity::RegionName,
    money::{BUDGETS_MAX, BudgetUse, CostNotice, NoticeKind, Notices},
};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};
use time::Date;
use tokio::task::JoinSet;

/// How often budgets are judged: people hear of a crossing within 60 s.
const EVERY: Duration = Duration::from_secs(10);
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
    billed: BilledDays,
    rest: Option<Amount>,
    rest_at: Instant,
}

/// What came of judging.
#[derive(Debug)]
pub struct Verdict {
    known: BTreeMap<String, Known>,
    budgets: Vec<BudgetView>,
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
    budgets: Vec<BudgetView>,
    billed: Vec<Anomaly>,
    is_billed_known: bool,
    /// Whether the bills were read since the start.
    has_books: bool,
}

impl Judge {
    /// The bills changed.
    pub(super) fn books_changed(&mut self) {
        self.known.clear();
        self.is_billed_known = false;
        self.has_books = true;
    }

    /// How the budgets stand.
    pub(super) fn budgets(&self) -> &[BudgetView] {
        &self.budgets
    }

    /// The anomalies of bills.
    pub(super) fn billed(&self) -> &[Anomaly] {
        &self.billed
    }

    /// What the board says of budgets.
    pub(super) fn published(&self) -> Vec<BudgetUse> {
        let basis_points = |ratio: f64| (ratio * 1e4).clamp(0.0, f64::from(u32::MAX)).round() as u32;
        let used = |view: &BudgetView| BudgetUse {
            name: view.name.clone(),
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
        let Some(today) = i32::try_from(now_ms / 86_400_000).ok().and_then(day_of) else { return };
        if self.is_running || !is_due || !self.has_books {
            return;
        }
        (self.is_running, self.ran_at) = (true, Some(Instant::now()));
        let (known, me) = (std::mem::take(&mut self.known), me.clone());
        let billed = std::mem::replace(&mut self.is_billed_known, true).then(|| self.billed.clone());
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
        self.known = verdict.known;
        self.budgets = verdict.budgets;
        if let Some((billed, figures)) = verdict.billed {
            self.billed = billed;
            metrics.show_billed(&figures);
        }
        let (budgets, exports, holding) = (&cost.budgets, &cost.exports, verdict.notices);
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
        let Some(today) = i32::try_from(now_ms / 86_400_000).ok().and_then(day_of) else { return };
        let is_over = |notice: &&CostNotice| match notice.kind {
            // A budget's crossing holds until its period ends, whatever is refunded.
            NoticeKind::Budget => !is_current(notice, budgets, today),
            // This agent may have seen nothing of an incident yet: it ends where it was seen to end, or has become usual.
            NoticeKind::Anomaly if notice.id.starts_with(LIVE) => notice.since_ms + LIVE_MAX_MS < now_ms,
            NoticeKind::Data if is_of_export(notice) => !exports.iter().any(|export| export.url == notice.subject),
            NoticeKind::Anomaly | NoticeKind::Data => !holding.iter().any(|held| held.id == notice.id),
        };
        let over: Vec<String> =
            notices.iter().filter(|notice| notice.ended_ms.is_none()).filter(is_over).map(|n| n.id.clone()).collect();
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
    let (books, live) = (arguments.books.borrow().clone(), arguments.view.borrow().clone());
    let names = |provider: &str, region: &str| regions.mesh_region_of(provider, region).map(str::to_owned);
    let mesh: Vec<String> = config.regions.iter().map(|region| region.name.to_string()).collect();
    let pricing = pricing(&books, regions);

    known.retain(|name, known| {
        known.today == today && config.cost.budgets.iter().any(|budget| budget.name == *name && *budget == known.budget)
    });
    let (mut budgets, mut notices) = (Vec::new(), Vec::new());
    for budget in &config.cost.budgets {
        let window = budget.period.window(today);
        let start = window.first.checked_sub(time::Duration::days(answers::HISTORY_DAYS)).unwrap_or(window.first);
        let before = known.remove(&budget.name);
        let billed = match &before {
            Some(before) => Ok(before.billed.clone()),
            None => BilledDays::new(&books.ledger, budget, (start, today), &names, &config.cost.model_tag),
        };
        let billed = match billed {
            Ok(billed) => billed,
            Err(error) => {
                tracing::error!(budget = budget.name, %error, "a budget can't be judged");
                continue;
            }
        };
        let days = billed.with_live(&live.meter, (start, today), budget.metric, &mesh, pricing);
        let (rest, rest_at) = match before.filter(|before| before.rest_at.elapsed() < FORECAST_KEPT) {
            Some(before) => (before.rest, before.rest_at),
            None => (expected_rest(budget, &days, today).unwrap_or_default(), Instant::now()),
        };
        let outlook = outlook(budget, &days, billed.others(), rest, today);
        let state = evaluate_budget(budget, &outlook.spent, outlook.forecast.as_ref());
        if let Some(BudgetProblem::OtherCurrencies { .. }) = &state.problem {
            tracing::debug!(budget = budget.name, problem = ?state.problem, "a budget leaves out other currencies");
        }
        notices.extend(budget_notices(budget, window, &state, now_ms));
        budgets.push(BudgetView { name: budget.name.clone(), period: (window.first, window.last), state });
        known.insert(budget.name.clone(), Known { budget: budget.clone(), today, billed, rest, rest_at });
    }

    let new_billed = billed.is_none().then(|| {
        let (ledger, prices) = (books.ledger.clone(), books.prices.clone());
        let sources = Sources::of_mesh(config.clone(), config.cost.clone(), ledger, prices, today);
        (answers::billed(&books.ledger), answers::figures(&Sources { live: live.meter.clone(), ..sources }))
    });
    let billed = billed.or_else(|| Some(new_billed.as_ref()?.0.clone())).unwrap_or_default();
    let to_region = |anomaly: &Anomaly| -> Option<RegionName> {
        let region = anomaly.scope.get("region")?;
        let by_bill = config
            .regions
            .iter()
            .find(|known| regions.billing_of(known.name.as_str()).is_some_and(|at| at.region() == region.as_str()));
        by_bill.map(|known| known.name.clone()).or_else(|| region.parse().ok())
    };
    let of_live = live.anomalies.iter().filter(|anomaly| anomaly.plane == Plane::Live);
    let all = of_live.chain(&billed).map(|anomaly| anomaly_notice(anomaly, to_region(anomaly)));
    let (open, ended) = all.partition::<Vec<_>, _>(|notice| notice.ended_ms.is_none());
    notices.extend(open);
    notices.extend(late_notices(&books.ledger, config.cost.late_after_h, now_ms));
    Verdict { known, budgets, notices, ended, billed: new_billed }
}
