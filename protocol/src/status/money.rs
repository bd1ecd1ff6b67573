//! What an agent publishes about costs: its counters, the live totals of the regions, the state of
//! budgets, and notices. Reports come from the cells in the region's bucket, never from here.

use crate::{
    event::Severity,
    identity::RegionName,
    text::{escape, visible},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most models in one entry; those with the most requests are kept.
pub const MODELS_MAX: usize = 256;
/// Most pairs of target and cause in one entry; those with the most bytes are kept.
pub const EGRESS_MAX: usize = 256;
/// Most regions in one entry.
pub const REGIONS_MAX: usize = 64;
/// Most budgets in one entry.
pub const BUDGETS_MAX: usize = 32;
/// Most notices in one entry; the newest are kept. More than budgets usually have thresholds.
pub const NOTICES_MAX: usize = 160;
/// Longest text of a notice, characters.
pub const TEXT_MAX: usize = 400;
/// How long a notice is kept, milliseconds: after the end of a budget's, after the beginning of
/// others.
pub(crate) const NOTICE_RETENTION_MS: u64 = 40 * 24 * 3_600 * 1_000;

/// What one agent publishes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CostStatus {
    /// When the agent's counters began at zero, its clock, Unix milliseconds.
    pub counted_since_ms: u64,
    /// What its model server did since then, by model.
    pub models: Vec<ModelUse>,
    /// What it sent out of its region since then.
    pub egress: Vec<EgressUse>,
    /// The live cost of every region, as this agent counts it.
    pub regions: Vec<RegionCost>,
    /// How far budgets are used up; published by the leader.
    pub budgets: Vec<BudgetUse>,
    /// Notices to people; every agent publishes all that it knows, so that they outlive a leader.
    pub notices: Vec<CostNotice>,
}

/// One model's use at one agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelUse {
    /// The model; `(other)` for those beyond [`MODELS_MAX`].
    pub model: String,
    /// Inferences answered.
    pub requests: u64,
    /// Total time of computations, milliseconds.
    pub busy_ms: u64,
}

/// Bytes that one agent sent out of its region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EgressUse {
    /// The region that they went to; none for users.
    pub to: Option<RegionName>,
    /// The cause: `answers` to users of other regions, `replication:<model>`, or `other`.
    pub cause: String,
    pub bytes: u64,
}

/// The live cost of a region. Amounts are in units of 1e-15 of the currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionCost {
    pub region: RegionName,
    /// The currency's code.
    pub currency: String,
    /// What it costs per hour now.
    pub hourly: i128,
    /// What it cost since midnight, UTC.
    pub today: i128,
    /// What it cost since the first of the month.
    pub month: i128,
    /// How much of the month was observed, milliseconds.
    pub known_ms: u64,
}

/// How far a budget is used up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetUse {
    pub name: String,
    /// Spent of it, basis points.
    pub spent_bp: u32,
    /// Expected to be spent of it by the end of its period, basis points; none without a forecast
    /// yet.
    pub forecast_bp: Option<u32>,
}

/// What a notice is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum NoticeKind {
    /// A budget's threshold was crossed.
    Budget,
    /// Spending left its usual range.
    Anomaly,
    /// Billing data are late, or can't be read.
    Data,
}

/// A notice about costs, sent to people once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CostNotice {
    /// What it is about.
    pub kind: NoticeKind,
    /// Unique to the notice, and equal at every agent.
    pub id: String,
    /// How urgent it is.
    pub severity: Severity,
    /// The budget, the anomaly's scope, or the source of data.
    pub subject: String,
    /// The region that it is about, if any.
    pub region: Option<RegionName>,
    /// What happened, for people; one sentence without a full stop.
    pub text: String,
    /// Since when, Unix milliseconds.
    pub since_ms: u64,
    /// When it ended, Unix milliseconds.
    pub ended_ms: Option<u64>,
}

impl CostStatus {
    /// Escapes the free texts.
    pub fn escape(&mut self) {
        for notice in &mut self.notices {
            [&mut notice.id, &mut notice.subject, &mut notice.text]
                .into_iter()
                .for_each(escape);
        }

        self.models
            .iter_mut()
            .for_each(|used| escape(&mut used.model));
        self.egress
            .iter_mut()
            .for_each(|sent| escape(&mut sent.cause));
        self.budgets
            .iter_mut()
            .for_each(|budget| escape(&mut budget.name));
        self.regions
            .iter_mut()
            .for_each(|region| escape(&mut region.currency));
    }
}

/// The notices that one agent knows: a set that only grows until they are old, merged by union, so
/// that a notice outlives the leader that made it and is made once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notices(BTreeMap<String, CostNotice>);

impl Notices {
    /// Whether a notice is known.
    pub fn contains(&self, id: &str) -> bool {
        self.0.contains_key(id)
    }

    /// Adds a notice. Of two with the same id the one that ended earlier counts; returns whether
    /// anything changed.
    pub fn take(&mut self, notice: &CostNotice, now_ms: u64) -> bool {
        if is_old(notice, now_ms) {
            return false;
        }

        let shortened = CostNotice {
            text: notice.text.chars().take(TEXT_MAX).collect(),
            id: visible(&notice.id).chars().take(TEXT_MAX).collect(),
            ..notice.clone()
        };
        let Some(known) = self.0.get_mut(&shortened.id) else {
            self.0.insert(shortened.id.clone(), shortened);
            self.shorten();
            return true;
        };

        // An ended one wins, then the content decides: any order of merges gives the same result.
        let rank = |notice: &CostNotice| {
            (
                notice.ended_ms.unwrap_or(u64::MAX),
                notice.since_ms,
                notice.text.clone(),
            )
        };
        let is_news = rank(&shortened) < rank(known);

        if is_news {
            *known = shortened;
        }
        is_news
    }

    /// Ends a notice; returns whether it was active.
    pub fn end(&mut self, id: &str, now_ms: u64) -> bool {
        match self.0.get_mut(id) {
            Some(known) if known.ended_ms.is_none() => {
                known.ended_ms = Some(now_ms.max(known.since_ms));
                true
            }
            _ => false,
        }
    }

    /// Forgets what is old.
    pub fn forget(&mut self, now_ms: u64) {
        self.0.retain(|_, notice| !is_old(notice, now_ms));
    }

    /// All notices, by id.
    pub fn iter(&self) -> impl Iterator<Item = &CostNotice> {
        self.0.values()
    }

    /// Drops the oldest beyond [`NOTICES_MAX`], ended ones first.
    fn shorten(&mut self) {
        while self.0.len() > NOTICES_MAX {
            let rank = |notice: &&CostNotice| {
                (
                    notice.ended_ms.is_none(),
                    notice.since_ms,
                    notice.id.clone(),
                )
            };

            let Some(oldest) = self
                .0
                .values()
                .min_by_key(rank)
                .map(|notice| notice.id.clone())
            else {
                return;
            };

            self.0.remove(&oldest);
        }
    }
}

/// Whether a notice is old enough to forget. A budget's is not before its end, which may come a
/// year later: it would be sent again.
fn is_old(notice: &CostNotice, now_ms: u64) -> bool {
    let from_ms = match notice.kind {
        NoticeKind::Budget => notice.ended_ms,
        NoticeKind::Anomaly | NoticeKind::Data => Some(notice.since_ms),
    };
    from_ms.is_some_and(|from_ms| from_ms.saturating_add(NOTICE_RETENTION_MS) < now_ms)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
