//! The data that answers are computed from: the mesh's bills and live plane, or files alone.

use crate::{
    config::{Config, CostConfig},
    cost::{
        advice::Advice,
        books::{Books, LIVE_GAP_MS},
        budgets::{BudgetBasis, BudgetProgress},
        observe::{self, Holdings, region_map},
        questions::Span,
        view::LiveView,
    },
    snapshots::Snapshots,
};
use regionmesh_cost::{
    Anomaly, BilledDays, Budget, Ledger, LiveMeter, LiveRegion, Prices, Pricing, Query, QueryError,
    RegionCapacity, RegionMap, evaluate_budget, expected_rest, outlook,
};
use std::{collections::BTreeMap, sync::Arc, time::Instant};
use time::{Date, Duration};

/// Days before a period that its forecast is trained on.
pub(super) const HISTORY_DAYS: i64 = 300;

/// The data that answers are computed from.
pub struct Sources {
    pub ledger: Ledger,
    pub prices: Prices,
    /// Use in past months.
    pub usage: Vec<Arc<LiveMeter>>,
    /// Use now and in the past weeks.
    pub live: Arc<LiveMeter>,
    /// Current cost of every region; empty without a mesh.
    pub live_regions: Vec<LiveRegion>,
    /// Anomalies of the live plane.
    pub live_anomalies: Vec<Anomaly>,
    /// Capacity of every region; empty without a mesh.
    pub capacity: BTreeMap<String, RegionCapacity>,
    /// Mean size of an answer, bytes.
    pub bytes_per_answer: f64,
    /// Measured round trips between regions, milliseconds.
    pub round_trips_ms: BTreeMap<(String, String), f64>,
    /// Catalogue of every region; empty without a mesh.
    pub holdings: Holdings,
    /// Earlier recommendations.
    pub advice: Arc<Advice>,
    /// Regions of the mesh.
    pub regions: RegionMap,
    /// None without a mesh.
    pub config: Option<Arc<Config>>,
    /// Tags, budgets and limits.
    pub cost: CostConfig,
    /// Today, UTC.
    pub today: Date,
}

impl Sources {
    /// Bills alone, without a mesh.
    pub fn of_files(ledger: Ledger, cost: CostConfig, today: Date) -> Self {
        Self {
            ledger,
            prices: Prices::default(),
            usage: Vec::new(),
            live: Arc::new(LiveMeter::new(LIVE_GAP_MS)),
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

    /// A mesh's bills and prices, without live data.
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

    /// A mesh's bills, prices and live data.
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

    pub(super) fn pricing(&self) -> Pricing<'_> {
        Pricing {
            prices: &self.prices,
            regions: &self.regions,
        }
    }

    pub(super) fn region_name(&self, provider: &str, region: &str) -> Option<String> {
        match &self.config {
            Some(_) => self
                .regions
                .mesh_region_of(provider, region)
                .map(str::to_owned),
            // Without a mesh, regions keep the names on the bill.
            None => Some(region.to_owned()),
        }
    }

    pub(super) fn mesh_regions(&self) -> Vec<String> {
        let regions = self.config.iter().flat_map(|config| &config.regions);
        regions.map(|region| region.name.to_string()).collect()
    }

    /// The billed part of a budget.
    pub(crate) fn budget_basis(&self, budget: &Budget) -> Result<BudgetBasis, QueryError> {
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

    /// Evaluates a budget. Adds the forecast to `basis` if it is missing, which takes tens of
    /// milliseconds.
    pub(crate) fn progress(&self, budget: &Budget, basis: &mut BudgetBasis) -> BudgetProgress {
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

    /// The first day that a budget's forecast is trained on.
    fn history_start(&self, budget: &Budget) -> Date {
        let first = budget.period.window(self.today).first;
        first
            .checked_sub(Duration::days(HISTORY_DAYS))
            .unwrap_or(first)
    }

    pub(super) fn query(&self, span: &Span) -> Query {
        Query {
            by: span.by.clone(),
            metric: span.metric,
            filters: span.filters.clone(),
            model_tag: self.cost.model_tag.clone(),
            ..Query::new(span.start, span.end)
        }
    }
}

/// The names of regions in answers.
pub(super) fn names(sources: &Sources) -> impl Fn(&str, &str) -> Option<String> + '_ {
    |provider, region| sources.region_name(provider, region)
}
