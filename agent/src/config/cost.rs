//! `[cost]`: bills, budgets, and the nodes of regions.

use super::RegionConfig;
use regionmesh_cost::{Budget, BudgetScope, Currency, Period, PricingClass, check_budgets};
use regionmesh_protocol::{identity::RegionName, status::money::BUDGETS_MAX};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use time::Date;

/// Limit on the exports.
const EXPORTS_MAX: usize = 64;
/// Limit on the tags, `model_tag` included: each multiplies the number of cells.
const TAGS_MAX: usize = 16;

/// Bills and budgets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CostConfig {
    /// The currency of live cost.
    #[schemars(with = "String", extend("format" = "currency"))]
    pub currency: Currency,
    /// Tags of bills that reports can group by, at most 15 in addition to `model_tag`. They apply
    /// to bills imported later.
    pub tags: Vec<String>,
    /// The tag whose value names the model of a charge.
    pub model_tag: String,
    /// Places that providers export bills to, at most 64.
    pub exports: Vec<ExportConfig>,
    /// [Budgets](../how-to/set-budgets.md), at most 32.
    pub budgets: Vec<Budget>,
    /// Retention of bills, months.
    #[schemars(range(min = 2, max = 120))]
    pub keep_months: u32,
    /// Age of a bill's newest day that raises an alert, hours. 72: providers complete a day within
    /// two days.
    #[schemars(range(min = 1))]
    pub late_after_h: u64,
    /// Limits of recommendations and of `traffic.cost`.
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportConfig {
    /// The prefix: `s3://bucket/prefix`, `gs://…`, `azure://…` or `file:///…`.
    pub url: String,
    /// The region whose agents read it, if only they have access. Default: the leader's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<RegionName>,
    /// Options as in `store.options`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
    /// Poll interval, seconds.
    #[serde(default = "default_poll_s")]
    #[schemars(range(min = 10, max = 604_800))]
    pub poll_s: u64,
}

fn default_poll_s() -> u64 {
    3_600
}

impl ExportConfig {
    /// The settings of its store.
    pub fn store(&self) -> regionmesh_store::Settings {
        regionmesh_store::Settings {
            url: self.url.clone(),
            options: self.options.clone(),
        }
    }
}

/// Limits of recommendations and `traffic.cost`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OptimiserConfig {
    /// Highest latency for users, round trip plus inference, milliseconds: above 0, at most 60,000.
    pub latency_ms: f64,
    /// Number of regions that may fail with the whole load still served.
    #[schemars(range(max = 1))]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NodesConfig {
    /// The provider's name of the type: `g5.xlarge`.
    pub instance: String,
    /// Their pricing class.
    #[serde(default = "default_pricing")]
    pub pricing: PricingClass,
    /// Their number. Default: the region's live agents, one per node; possible for one entry only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
}

fn default_pricing() -> PricingClass {
    PricingClass::OnDemand
}

impl CostConfig {
    /// All tags that are kept in imported bills.
    pub fn tag_keys(&self) -> Vec<String> {
        let keys: BTreeSet<&String> = self
            .tags
            .iter()
            .chain(std::iter::once(&self.model_tag))
            .collect();

        keys.into_iter().cloned().collect()
    }

    /// Whether the bill of a month is kept.
    pub fn retains(&self, month: Period, today: Date) -> bool {
        let number = |month: Period| i64::from(month.year) * 12 + i64::from(u8::from(month.month));
        number(month) + i64::from(self.keep_months) >= number(Period::of(today))
    }

    /// Every fault, as `place: what is wrong`.
    pub(super) fn faults(&self, regions: &BTreeSet<&RegionName>) -> Vec<String> {
        let mut faults = self.budget_faults(regions);
        faults.extend(self.tag_faults());
        faults.extend(self.export_faults(regions));
        faults.extend(self.optimiser.fault());
        faults
    }

    fn budget_faults(&self, regions: &BTreeSet<&RegionName>) -> Vec<String> {
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

        faults
    }

    fn tag_faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
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

        faults
    }

    fn export_faults(&self, regions: &BTreeSet<&RegionName>) -> Vec<String> {
        let mut faults = Vec::new();
        if self.exports.len() > EXPORTS_MAX {
            faults.push(format!(
                "cost.exports: {} exports, at most {EXPORTS_MAX} are possible",
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
        }

        faults
    }
}

impl OptimiserConfig {
    fn fault(&self) -> Option<String> {
        let latency_ms = self.latency_ms;
        let is_possible = latency_ms > 0.0 && latency_ms <= 60_000.0;
        let fault = || format!("cost.optimiser.latency_ms: {latency_ms} is not within 0 and 60000");

        (!is_possible).then(fault)
    }
}

impl RegionConfig {
    /// Whether the region has as many nodes as agents, so that their number may follow the load.
    pub(crate) fn follows_load(&self) -> bool {
        self.nodes.iter().any(|nodes| nodes.count.is_none())
    }

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
