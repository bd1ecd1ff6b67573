//! Cost of a range of days so far.

use super::{
    DayMeter, LiveMeter, ModelCounters, Pricing, RegionMeter, hourly_rate, peaks::QUARTER_MS,
};
use crate::{
    date::{DAY_MS, date_at, day_number, day_of},
    egress::{EgressReport, EgressUsage, egress_report},
    money::{Money, Totals},
    prices::NoPrice,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use time::Date;

/// Cost of one or all regions over some days so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveWindow {
    /// Nodes and storage.
    pub capacity: Totals,
    /// The part of it that no model used.
    pub idle: Totals,
    /// What requests cost by themselves, where they have a price.
    pub requests: Totals,
    pub egress: Totals,
    /// Capacity, requests and egress.
    pub total: Totals,
    pub models: BTreeMap<String, LiveModel>,
    /// Time that is counted, milliseconds, summed over regions.
    pub known_ms: u64,
    /// Time that is not, as nothing was observed in it.
    pub unknown_ms: u64,
    /// Counted time in which something that ran had no price.
    pub unpriced_ms: u64,
    /// Time that places were there for, milliseconds.
    pub place_ms: u64,
    /// Time that they were busy.
    pub busy_ms: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveModel {
    pub requests: u64,
    /// Time that places were busy with them, milliseconds.
    pub busy_ms: u64,
    /// Inferences in its busiest quarter of an hour; 0 where none is over yet.
    pub peak_quarter: u64,
    /// Its share of the capacity by busy time. The models' and the idle share sum to the capacity
    /// exactly.
    pub cost: Totals,
}

impl LiveModel {
    /// Requests per second in its busiest quarter of an hour; `None` if none is over yet.
    pub fn peak_rps(&self) -> Option<f64> {
        (self.peak_quarter > 0).then(|| self.peak_quarter as f64 / (QUARTER_MS as f64 / 1e3))
    }

    /// The cost of a thousand inferences; empty without any.
    pub fn per_thousand(&self) -> Totals {
        let share = |(currency, amount): (&_, &crate::money::Amount)| {
            Some((*currency, amount.share(1_000, self.requests)?))
        };
        Totals(self.cost.0.iter().filter_map(share).collect())
    }
}

impl LiveWindow {
    /// The part of the places' time in which they did nothing, 0 to 1; `None` if there were no
    /// places.
    pub fn idle_ratio(&self) -> Option<f64> {
        let busy_ms = self.busy_ms.min(self.place_ms);
        (self.place_ms > 0).then(|| 1.0 - busy_ms as f64 / self.place_ms as f64)
    }

    /// Adds what another region, or other days, cost.
    pub fn merge(&mut self, other: &Self) {
        add(&mut self.capacity, &other.capacity);
        add(&mut self.idle, &other.idle);
        add(&mut self.requests, &other.requests);
        add(&mut self.egress, &other.egress);
        add(&mut self.total, &other.total);
        for (name, model) in &other.models {
            let here = self.models.entry(name.clone()).or_default();
            here.requests = here.requests.saturating_add(model.requests);
            here.busy_ms = here.busy_ms.saturating_add(model.busy_ms);
            here.peak_quarter = here.peak_quarter.max(model.peak_quarter);
            add(&mut here.cost, &model.cost);
        }

        self.known_ms = self.known_ms.saturating_add(other.known_ms);
        self.unknown_ms = self.unknown_ms.saturating_add(other.unknown_ms);
        self.unpriced_ms = self.unpriced_ms.saturating_add(other.unpriced_ms);
        self.place_ms = self.place_ms.saturating_add(other.place_ms);
        self.busy_ms = self.busy_ms.saturating_add(other.busy_ms);
    }
}

fn add(totals: &mut Totals, other: &Totals) {
    for (currency, amount) in &other.0 {
        totals.add(Money {
            amount: *amount,
            currency: *currency,
        });
    }
}

/// A region's current cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveRegion {
    /// Its name in the mesh.
    pub region: String,
    /// Time since the last observation, milliseconds.
    pub age_ms: u64,
    /// Hourly cost of its capacity.
    pub hourly: Totals,
    /// Since midnight UTC.
    pub today: LiveWindow,
    /// Since the first of the month.
    pub month: LiveWindow,
    /// Prices that are missing for what runs there and what it sent this month.
    pub missing: Vec<NoPrice>,
}

impl LiveMeter {
    /// Current cost of each region at `now_ms`, Unix milliseconds, as charged up to the last
    /// observation.
    pub fn regions(&self, now_ms: u64, pricing: Pricing<'_>) -> Vec<LiveRegion> {
        let Some(today) = date_at(now_ms) else {
            return Vec::new();
        };
        let first = today.replace_day(1).unwrap_or(today);
        let regions = self.regions.iter().filter_map(|(region, meter)| {
            let (last_ms, running) = meter.last.as_ref()?;
            let rate = hourly_rate(region, running, today, pricing);
            let (month, mut missing) = meter.window(region, (first, today), pricing);

            missing.extend(rate.missing);
            missing.sort();
            missing.dedup();
            Some(LiveRegion {
                region: region.clone(),
                age_ms: now_ms.saturating_sub(*last_ms),
                hourly: rate.totals,
                today: meter.window(region, (today, today), pricing).0,
                month,
                missing,
            })
        });

        regions.collect()
    }

    /// Cost of a region from `start` to `end`, inclusive, within the retained days.
    pub fn window(
        &self,
        region: &str,
        (start, end): (Date, Date),
        pricing: Pricing<'_>,
    ) -> LiveWindow {
        self.regions
            .get(region)
            .map(|meter| meter.window(region, (start, end), pricing).0)
            .unwrap_or_default()
    }

    /// The bytes that regions have sent, by day, from `start` to `end`, both included.
    pub fn egress_usage(&self, (start, end): (Date, Date)) -> Vec<EgressUsage> {
        self.regions
            .iter()
            .flat_map(|(region, meter)| meter.sent(region, (start, end)))
            .collect()
    }

    /// Cost of each region on each whole day, for comparison with bills: days with less than a
    /// twentieth unknown and prices for everything that ran.
    pub fn whole_days(&self, pricing: Pricing<'_>) -> super::DailyTotals {
        let mut found = super::DailyTotals::new();
        for (region, meter) in &self.regions {
            let whole = meter
                .days
                .iter()
                .filter(|(_, day)| day.unpriced_ms == 0 && day.known_ms >= DAY_MS / 20 * 19);

            for date in whole.filter_map(|(number, _)| day_of(*number)) {
                let (window, _) = meter.window(region, (date, date), pricing);
                found.insert((region.clone(), date), window.total);
            }
        }

        found
    }
}

impl RegionMeter {
    /// Cost of the region from `start` to `end`, and missing prices of bytes and requests.
    fn window(
        &self,
        region: &str,
        (start, end): (Date, Date),
        pricing: Pricing<'_>,
    ) -> (LiveWindow, Vec<NoPrice>) {
        let mut sum = LiveWindow::default();
        for (number, day) in self.days.range(day_number(start)..=day_number(end)) {
            sum.merge(&day_window(region, *number, day, pricing));
        }

        let first = start.replace_day(1).unwrap_or(start);
        let EgressReport {
            totals, missing, ..
        } = egress_report(
            &self.sent(region, (first, end)),
            (start, end),
            pricing.prices,
            pricing.regions,
        );

        add(&mut sum.total, &totals);
        sum.egress = totals;
        (sum, missing)
    }

    fn sent(&self, region: &str, (start, end): (Date, Date)) -> Vec<EgressUsage> {
        let days = self.days.range(day_number(start)..=day_number(end));
        let dated = days.filter_map(|(number, day)| Some((day_of(*number)?, day)));
        let usage = dated.flat_map(|(date, day)| {
            day.egress
                .iter()
                .map(move |((to, cause), bytes)| EgressUsage {
                    day: date,
                    from: region.to_owned(),
                    to: to.clone(),
                    cause: cause.clone(),
                    bytes: *bytes,
                })
        });

        usage.collect()
    }
}

fn uncharged(day: &DayMeter, name: &str, model: &ModelCounters) -> LiveModel {
    LiveModel {
        requests: model.requests,
        busy_ms: model.busy_ms,
        peak_quarter: day.peaks.get(name).copied().unwrap_or(0),
        cost: Totals::default(),
    }
}

fn day_window(region: &str, number: i32, day: &DayMeter, pricing: Pricing<'_>) -> LiveWindow {
    let busy_ms = day
        .models
        .values()
        .fold(0u64, |sum, model| sum.saturating_add(model.busy_ms));
    let idle_ms = day.place_ms.saturating_sub(busy_ms);

    // Without places or work all of it is idle.
    let idle_weight = if busy_ms == 0 { 1 } else { idle_ms };
    let weights: Vec<u64> = day
        .models
        .values()
        .map(|model| model.busy_ms)
        .chain(std::iter::once(idle_weight))
        .collect();

    let mut window = LiveWindow {
        capacity: day.capacity(),
        known_ms: day.known_ms,
        unknown_ms: day.unknown_ms,
        unpriced_ms: day.unpriced_ms,
        place_ms: day.place_ms,
        busy_ms,
        ..LiveWindow::default()
    };

    window.models = day
        .models
        .iter()
        .map(|(name, model)| (name.clone(), uncharged(day, name, model)))
        .collect();
    for (currency, amount) in &window.capacity.0 {
        let parts = amount.split(&weights);
        let (idle, of_models) = parts
            .split_last()
            .map_or((Default::default(), &[][..]), |(idle, models)| {
                (*idle, models)
            });

        window.idle.add(Money {
            amount: idle,
            currency: *currency,
        });

        for (model, part) in window.models.values_mut().zip(of_models) {
            model.cost.add(Money {
                amount: *part,
                currency: *currency,
            });
        }
    }

    let requests = day
        .models
        .values()
        .fold(0u64, |sum, model| sum.saturating_add(model.requests));
    let at = pricing.regions.billing_of(region).zip(day_of(number));
    let price = at.and_then(|(at, date)| pricing.prices.requests(date, at, "inference").ok());

    if let Some(price) = price.filter(|_| requests > 0) {
        window.requests.add(price.cost(0, requests));
    }
    window.total = window.capacity.clone();
    add(&mut window.total, &window.requests);
    window
}
