//! Agents' counters and their growth.

use crate::egress::Cause;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An agent's counters of a model since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelCounters {
    pub requests: u64,
    /// Time that places were busy with them, milliseconds.
    pub busy_ms: u64,
}

impl ModelCounters {
    pub(super) fn add(&mut self, other: Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.busy_ms = self.busy_ms.saturating_add(other.busy_ms);
    }

    fn since(self, earlier: Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(earlier.requests),
            busy_ms: self.busy_ms.saturating_sub(earlier.busy_ms),
        }
    }
}

/// Bytes that an agent's region has sent since the agent started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EgressCounter {
    /// To which region of the mesh; none for the internet.
    pub to: Option<String>,
    pub cause: Cause,
    pub bytes: u64,
}

/// An agent's counters since its start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    pub models: BTreeMap<String, ModelCounters>,
    /// Bytes by receiver and cause, each pair once.
    pub egress: Vec<EgressCounter>,
}

/// The counters of one agent.
#[derive(Debug, Clone, Copy)]
pub struct SourceCounters<'a> {
    pub source: &'a str,
    /// When its counters started from zero, Unix milliseconds.
    pub started_ms: u64,
    pub counters: &'a Counters,
}

/// A source's last counters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SourceState {
    started_ms: u64,
    models: BTreeMap<String, ModelCounters>,
    egress: BTreeMap<(Option<String>, Cause), u64>,
}

impl SourceCounters<'_> {
    /// How much the counters have grown since they were last seen. All of them count where the
    /// source started after the last observation of its region, at `last_ms`; `None` if it ran
    /// before and was not seen.
    pub(super) fn growth(&self, known: Option<&SourceState>, last_ms: Option<u64>) -> Counters {
        let earlier = known.filter(|state| state.started_ms == self.started_ms);
        let is_new = last_ms.is_some_and(|last_ms| self.started_ms >= last_ms) || known.is_some();
        if earlier.is_none() && !is_new {
            return Counters::default();
        }

        let models = self.counters.models.iter().map(|(model, counted)| {
            let before = earlier
                .and_then(|state| state.models.get(model))
                .copied()
                .unwrap_or_default();
            (model.clone(), counted.since(before))
        });

        let egress = self.counters.egress.iter().map(|counter| {
            let pair = (counter.to.clone(), counter.cause.clone());
            let before = earlier
                .and_then(|state| state.egress.get(&pair))
                .copied()
                .unwrap_or_default();

            EgressCounter {
                bytes: counter.bytes.saturating_sub(before),
                ..counter.clone()
            }
        });

        Counters {
            models: models
                .filter(|(_, counted)| *counted != ModelCounters::default())
                .collect(),
            egress: egress.filter(|counter| counter.bytes > 0).collect(),
        }
    }

    /// The counters to remember, including those beyond the limit of a day.
    pub(super) fn state(&self) -> SourceState {
        let egress = self.counters.egress.iter();
        SourceState {
            started_ms: self.started_ms,
            models: self.counters.models.clone(),
            egress: egress
                .map(|counter| ((counter.to.clone(), counter.cause.clone()), counter.bytes))
                .collect(),
        }
    }
}
