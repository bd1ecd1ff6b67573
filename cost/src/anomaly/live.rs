//! Anomalies of the live plane: a rate per minute. One incident is opened once, when the last ten
//! minutes are unusual, and closed when the rate has been usual for a while. A ×3 spike of a steady
//! rate is reported after 8 minutes.

use super::{
    Anomaly, AnomalyKind, Detector, Plane, Scope, amount_of,
    expectation::{Expectation, Judgement, WINDOW},
    explain::OTHER,
    incident::{Cost, Incident},
};
use crate::money::{Amount, Currency};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

const INTERVAL_S: u32 = 60;
const HOUR_S: u64 = 3_600;
/// An incident begins with, and lasts while the rate is, more than this multiple of the expected
/// one.
const ELEVATED: f64 = 1.5;
/// Consecutive time without elevation that ends an incident.
const CALM_S: i64 = 15 * 60;
/// No new incident for this long after the end of one.
const REOPEN_DELAY_S: i64 = 30 * 60;
/// An incident this old is a shift of the level; after a day it is the new usual level.
const SHIFT_S: i64 = 6 * 3_600;
const NEW_LEVEL_S: i64 = 24 * 3_600;
/// After a gap this long the recent rate is unknown.
const GAP_S: i64 = 30 * 60;
/// Longest time that one rate applies when minutes are missing.
const RATE_VALID_MAX_S: i64 = 5 * 60;
/// Most parts tracked separately; later ones count as other.
const PARTS_MAX: usize = 64;
/// Minutes that the usual rates of parts are averaged over.
const PARTS_MINUTES: f64 = 30.0;
/// Version of the stored state; other versions are rejected and the watch starts over.
const LAYOUT: u8 = 2;

/// A change of an incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LiveChange {
    Opened(Anomaly),
    /// Its excess has doubled since it was last reported.
    Grew(Anomaly),
    /// It is over, or has become usual.
    Closed(Anomaly),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Minute {
    at_s: i64,
    /// Costs of the minute by part.
    parts: BTreeMap<String, Amount>,
    seconds: u64,
    rate: Amount,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Open {
    incident: Incident,
    /// The rate that was expected when it began, and what was usual at that time of the day.
    expected: f64,
    time_of_day: Option<f64>,
    last_elevated_s: i64,
    reported: Amount,
}

/// The layout of a stored state.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
struct Layout;

impl From<Layout> for u8 {
    fn from(Layout: Layout) -> Self {
        LAYOUT
    }
}

impl TryFrom<u8> for Layout {
    type Error = String;

    fn try_from(layout: u8) -> Result<Self, Self::Error> {
        let refusal = || {
            format!(
                "live anomalies are stored in layout {layout}, expected {LAYOUT}; start a new watch"
            )
        };
        (layout == LAYOUT).then_some(Self).ok_or_else(refusal)
    }
}

/// Watches the rate of one scope. Its state can be stored and read back (exactly by the protocol's
/// codec), so a restart forgets nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LiveAnomalies {
    layout: Layout,
    scope: Scope,
    currency: Currency,
    detector: Detector,
    at_s: Option<i64>,
    /// The last minutes, oldest first.
    minutes: VecDeque<Minute>,
    expectation: Expectation,
    /// Mean rates by part.
    usual: BTreeMap<String, f64>,
    open: Option<Open>,
    held_until_s: Option<i64>,
}

impl LiveAnomalies {
    /// A watch that has seen nothing. It reports nothing during the first day: only then does it
    /// know every time of the day.
    pub fn new(scope: Scope, currency: Currency) -> Result<Self, super::DetectorError> {
        Ok(Self {
            layout: Layout,
            scope,
            currency,
            detector: Detector::new(INTERVAL_S)?,
            at_s: None,
            minutes: VecDeque::new(),
            expectation: Expectation::default(),
            usual: BTreeMap::new(),
            open: None,
            held_until_s: None,
        })
    }

    /// Takes the rate of a minute, per hour and by part; `at_s` counts seconds since 1970. Times
    /// that don't advance are ignored. At most 64 parts are kept apart.
    pub fn observe(&mut self, at_s: i64, parts: &BTreeMap<String, Amount>) -> Option<LiveChange> {
        if self.at_s.is_some_and(|last| at_s <= last) {
            return None;
        }

        let elapsed = self
            .at_s
            .map_or(i64::from(INTERVAL_S), |last| at_s.saturating_sub(last));
        self.at_s = Some(at_s);
        if elapsed > GAP_S {
            self.minutes.clear();
            self.expectation.forget_recent();
        }

        let was_warm = self.detector.is_warm();
        let level = self.detector.level();
        let time_of_day = self.detector.time_of_day(at_s);
        let rate: Amount = parts.values().copied().sum();

        self.detector.observe(at_s, rate.to_f64());
        let parts = self.bounded(parts);
        self.push(at_s, elapsed, rate, &parts);
        if self.open.is_some() {
            self.expectation.push(rate.to_f64());
            return self.extend_open(at_s);
        }

        let judgement = self.expectation.observe(rate.to_f64(), level, time_of_day);
        let is_held = self.held_until_s.is_some_and(|until| at_s < until);
        if let Some(judgement) =
            judgement.filter(|judgement| was_warm && !is_held && judgement.is_unusual)
        {
            return self.open(judgement);
        }

        if judgement.is_none_or(|judgement| rate.to_f64() <= ELEVATED * judgement.expected) {
            self.learn_parts(&parts);
        }
        None
    }

    /// The incident that is open.
    pub fn current(&self) -> Option<Anomaly> {
        let open = self.open.as_ref()?;
        self.anomaly(open, self.at_s?, None)
    }

    fn bounded(&self, parts: &BTreeMap<String, Amount>) -> BTreeMap<String, Amount> {
        let mut kept: BTreeMap<String, Amount> = BTreeMap::new();
        for (part, amount) in parts {
            let is_known =
                self.usual.contains_key(part) || kept.len() + self.usual.len() < PARTS_MAX;
            let part = if is_known { part.as_str() } else { OTHER };
            *kept.entry(part.to_owned()).or_default() += *amount;
        }

        kept
    }

    fn push(&mut self, at_s: i64, elapsed_s: i64, rate: Amount, parts: &BTreeMap<String, Amount>) {
        let seconds = elapsed_s.clamp(0, RATE_VALID_MAX_S) as u64;
        let cost = |(part, rate): (&String, &Amount)| {
            (
                part.clone(),
                rate.share(seconds, HOUR_S).unwrap_or_default(),
            )
        };
        let parts = parts.iter().map(cost).collect();

        self.minutes.push_back(Minute {
            at_s,
            parts,
            seconds,
            rate,
        });

        while self.minutes.len() > WINDOW {
            self.minutes.pop_front();
        }
    }

    fn learn_parts(&mut self, parts: &BTreeMap<String, Amount>) {
        let weight = 1.0 / PARTS_MINUTES;
        for part in parts.keys() {
            self.usual.entry(part.clone()).or_default();
        }
        for (part, mean) in &mut self.usual {
            let rate = parts.get(part).copied().unwrap_or_default().to_f64();
            *mean += weight * (rate - *mean);
        }

        // A part that is gone makes room.
        let least = Amount(1).to_f64();
        self.usual
            .retain(|part, mean| parts.contains_key(part) || *mean > least);
    }

    fn open(&mut self, judgement: Judgement) -> Option<LiveChange> {
        let is_elevated = |minute: &&Minute| minute.rate.to_f64() > ELEVATED * judgement.expected;
        let first = self.minutes.iter().find(is_elevated)?;
        let usual = self
            .usual
            .iter()
            .map(|(part, rate)| (part.clone(), amount_of(*rate)))
            .collect();
        let mut open = Open {
            incident: Incident::new(first.at_s, usual),
            expected: judgement.expected,
            time_of_day: self.detector.time_of_day(first.at_s),
            last_elevated_s: first.at_s,
            reported: Amount::ZERO,
        };

        for minute in self
            .minutes
            .iter()
            .filter(|minute| minute.at_s >= first.at_s)
        {
            self.add(&mut open, minute);
        }

        open.reported = open.incident.excess();
        let anomaly = self.anomaly(&open, self.at_s?, None);
        self.open = Some(open);
        anomaly.map(LiveChange::Opened)
    }

    /// Adds a minute to the incident.
    fn add(&self, open: &mut Open, minute: &Minute) {
        let growth = open.time_of_day.zip(self.detector.time_of_day(minute.at_s));
        let growth = growth
            .filter(|(then, _)| *then > 0.0)
            .map_or(1.0, |(then, now)| (now / then).clamp(0.5, 2.0));
        let expected = open.expected * growth;

        if minute.rate.to_f64() > ELEVATED * expected {
            open.last_elevated_s = minute.at_s;
        }

        let cost = amount_of(expected)
            .share(minute.seconds, HOUR_S)
            .unwrap_or_default();
        let low = amount_of(expected / ELEVATED);
        let high = amount_of(expected * ELEVATED);

        open.incident.add(&Cost {
            parts: &minute.parts,
            expected: cost,
            rate: minute.rate,
            low,
            high,
        });
    }

    fn extend_open(&mut self, at_s: i64) -> Option<LiveChange> {
        let mut open = self.open.take()?;
        if let Some(minute) = self.minutes.back() {
            self.add(&mut open, minute);
        }

        let is_calm = at_s.saturating_sub(open.last_elevated_s) >= CALM_S;
        if is_calm || at_s.saturating_sub(open.incident.since_s) >= NEW_LEVEL_S {
            self.held_until_s = Some(at_s.saturating_add(REOPEN_DELAY_S));
            let until_s = if is_calm {
                open.last_elevated_s.saturating_add(i64::from(INTERVAL_S))
            } else {
                at_s
            };

            return self
                .anomaly(&open, until_s, Some(until_s))
                .map(LiveChange::Closed);
        }

        let excess = open.incident.excess();
        let has_grown = excess.0 >= open.reported.0.saturating_mul(2) && excess > Amount::ZERO;
        if has_grown {
            open.reported = excess;
        }

        let change = has_grown.then(|| self.anomaly(&open, at_s, None)).flatten();
        self.open = Some(open);
        change.map(LiveChange::Grew)
    }

    fn anomaly(&self, open: &Open, now_s: i64, until_s: Option<i64>) -> Option<Anomaly> {
        let is_shift = now_s.saturating_sub(open.incident.since_s) >= SHIFT_S;
        let kind = if is_shift {
            AnomalyKind::LevelShift
        } else {
            AnomalyKind::Spike
        };

        open.incident
            .anomaly(Plane::Live, kind, &self.scope, self.currency, until_s)
    }
}

#[cfg(test)]
mod tests;
