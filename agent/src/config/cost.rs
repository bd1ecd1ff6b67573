//! `[cost]`: bills, budgets, and what runs where.

use super::RegionConfig;
use regionmesh_cost::{Budget, BudgetScope, Currency, Period, PricingClass, check_budgets};
use regionmesh_protocol::{identity::RegionName, status::money::BUDGETS_MAX};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use time::Date;

/// Most exports that are polled.
const LISTED_MAX: usize = 64;
/// Most tags that cells are kept apart by: each multiplies their number.
const TAGS_MAX: usize = 16;

/// Bills, budgets, and how they are read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CostConfig {
    /// The currency of live cost, and of budgets that name none.
    pub currency: Currency,
    /// Tags of bills that reports can be grouped by; `model_tag` is always one of them. Chosen when
    /// a bill is imported.
    pub tags: Vec<String>,
    /// The tag whose value is the model that a charge is for.
    pub model_tag: String,
    /// Where bills are exported to.
    pub exports: Vec<ExportConfig>,
    /// Budgets, and the shares of them at which an alert is raised.
    pub budgets: Vec<Budget>,
    /// How long bills are kept, months.
    pub keep_months: u32,
    /// How old the newest day of a bill may get before an alert is raised, hours. 72: providers
    /// complete a day within two days.
    pub late_after_h: u64,
    /// What of the mesh's traffic the leader may move to cheaper regions.
    pub optimiser: OptimiserConfig,
}

impl Default for CostConfig {
    fn default() -> Self {
        Self {
            currency: Currency::USD,
            tags: Vec::new(),
            model_tag: "model".into(),
            exports: Vec::new(),
            budgets: Vec::new(),
            keep_months: 26,
            late_after_h: 72,
            optimiser: OptimiserConfig::default(),
        }
    }
}

/// A prefix of a bucket that a provider exports bills to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportConfig {
    /// The prefix: `s3://bucket/prefix`, `gs://…`, `azure://…`, `file:///…`.
    pub url: String,
    /// The region whose agents read it, where only these may; none: the leader's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<RegionName>,
    /// Options of the object_store crate, for example `aws_region`; credentials come from the
    /// environment or the platform's identity, never from here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
    /// How often it is looked at, seconds.
    #[serde(default = "hour")]
    pub poll_s: u64,
}

fn hour() -> u64 {
    3_600
}

impl ExportConfig {
    /// The store that it is in.
    pub fn store(&self) -> regionmesh_store::Settings {
        regionmesh_store::Settings {
            url: self.url.clone(),
            options: self.options.clone(),
        }
    }
}

/// What recommendations and `traffic.cost` must keep to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptimiserConfig {
    /// Longest time from a user to an answer, milliseconds: round trip and inference.
    pub latency_ms: f64,
    /// How many regions may be lost at once with all of the load still served: 0 or 1.
    pub survive: u8,
}

impl Eq for OptimiserConfig {}

impl Default for OptimiserConfig {
    fn default() -> Self {
        Self {
            latency_ms: 150.0,
            survive: 1,
        }
    }
}

/// Nodes of one type in a region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodesConfig {
    /// The provider's name of the type: `g5.xlarge`.
    pub instance: String,
    /// How they are paid for.
    #[serde(default = "on_demand")]
    pub pricing: PricingClass,
    /// How many there are; none: as many as agents of the region are alive, since each node runs
    /// one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
}

fn on_demand() -> PricingClass {
    PricingClass::OnDemand
}

impl CostConfig {
    /// All tags that cells are kept apart by.
    pub fn tag_keys(&self) -> Vec<String> {
        let keys: BTreeSet<&String> = self
            .tags
            .iter()
            .chain(std::iter::once(&self.model_tag))
            .collect();

        keys.into_iter().cloned().collect()
    }

    /// Whether the bill of a month is kept.
    pub fn keeps(&self, month: Period, today: Date) -> bool {
        let number = |month: Period| i64::from(month.year) * 12 + i64::from(u8::from(month.month));
        number(month) + i64::from(self.keep_months) >= number(Period::of(today))
    }

    /// What is wrong, as `place: what`.
    pub(super) fn faults(&self, regions: &BTreeSet<&RegionName>) -> Vec<String> {
        let mut faults = Vec::new();
        if let Err(error) = check_budgets(&self.budgets) {
            faults.push(format!("cost.budgets: {error}"));
        }

        if self.budgets.len() > BUDGETS_MAX {
            faults.push(format!(
                "cost.budgets: {} budgets, at most {BUDGETS_MAX} are possible",
                self.budgets.len()
            ));
        }

        for budget in &self.budgets {
            if let BudgetScope::Region(name) = &budget.scope
                && !regions.iter().any(|region| region.as_str() == name)
            {
                faults.push(format!(
                    "cost.budgets: {} is of the region {name:?}, which is no region",
                    budget.name
                ));
            }
        }

        if self.tags.len() >= TAGS_MAX {
            faults.push(format!(
                "cost.tags: {} tags, at most {} are possible",
                self.tags.len(),
                TAGS_MAX - 1
            ));
        }

        if self
            .tags
            .iter()
            .chain([&self.model_tag])
            .any(|tag| tag.trim().is_empty() || tag.chars().count() > 128)
        {
            faults.push("cost.tags and cost.model_tag: a tag has 1 to 128 characters".into());
        }

        if self.exports.len() > LISTED_MAX {
            faults.push(format!(
                "cost.exports: {} exports, at most {LISTED_MAX} are possible",
                self.exports.len()
            ));
        }

        let mut seen = BTreeSet::new();
        for export in &self.exports {
            if let Some(why) = export.store().fault() {
                faults.push(format!("cost.exports.url: {why}"));
            }

            if let Some(region) = export
                .region
                .as_ref()
                .filter(|region| !regions.contains(region))
            {
                faults.push(format!("cost.exports.region: {region} is no region"));
            }

            if !seen.insert(&export.url) {
                faults.push(format!(
                    "cost.exports.url: {:?} is listed twice",
                    export.url
                ));
            }

            if !(10..=7 * 24 * 3_600).contains(&export.poll_s) {
                faults.push(format!(
                    "cost.exports.poll_s: {} is not within 10 and a week",
                    export.poll_s
                ));
            }
        }

        if !(2..=120).contains(&self.keep_months) {
            faults.push(format!(
                "cost.keep_months: {} is not within 2 to 120",
                self.keep_months
            ));
        }

        if self.late_after_h == 0 {
            faults.push("cost.late_after_h must be at least 1".into());
        }

        let OptimiserConfig {
            latency_ms,
            survive,
        } = self.optimiser;

        if !(latency_ms > 0.0 && latency_ms <= 60_000.0) {
            faults.push(format!(
                "cost.optimiser.latency_ms: {latency_ms} is not within 0 and 60000"
            ));
        }

        if survive > 1 {
            faults.push(format!(
                "cost.optimiser.survive: {survive} is neither 0 nor 1"
            ));
        }

        faults
    }
}

impl RegionConfig {
    pub(super) fn node_faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for nodes in &self.nodes {
            if nodes.instance.trim().is_empty() || nodes.instance.len() > 128 {
                faults.push(format!(
                    "regions.{}.nodes.instance: 1 to 128 characters are expected",
                    self.name
                ));
            }
        }

        if self
            .nodes
            .iter()
            .filter(|nodes| nodes.count.is_none())
            .count()
            > 1
        {
            faults.push(format!(
                "regions.{}.nodes: only one kind of nodes may leave out `count`: it stands for all \
                    of the region's agents",
                self.name
            ));
        }

        faults
    }
}
