//! Counts what costs money since the process started: inferences, their computing time, and bytes.

use regionmesh_protocol::{identity::RegionName, models::manifest::ModelName};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Most models, and most pairs of target and model, that are counted apart; the rest is not
/// counted.
const KEYS_MAX: usize = 4_096;

/// What one model's inferences took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ModelCount {
    /// Inferences answered.
    pub requests: u64,
    /// Time that computations took, microseconds; also of those that gave no answer.
    pub busy_us: u64,
}

/// What was counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// By model.
    pub models: BTreeMap<ModelName, ModelCount>,
    /// Bytes of answers to users.
    pub answered_bytes: u64,
    /// Bytes sent to other regions, by region and by the model whose replication they were.
    pub replicated: BTreeMap<(RegionName, ModelName), u64>,
}

/// The counters. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Meter(Arc<Mutex<Counts>>);

impl Meter {
    /// An inference was answered with so many bytes.
    pub fn answered(&self, model: &ModelName, bytes: usize) {
        let mut counts = self.lock();
        counts.answered_bytes = counts.answered_bytes.saturating_add(bytes as u64);
        if let Some(count) = counter(&mut counts.models, model) {
            count.requests = count.requests.saturating_add(1);
        }
    }

    /// A computation took so long.
    pub fn computed(&self, model: &ModelName, took: Duration) {
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if let Some(count) = counter(&mut self.lock().models, model) {
            count.busy_us = count.busy_us.saturating_add(took_us);
        }
    }

    /// Bytes of a model were sent to a region.
    pub fn replicated(&self, to: &RegionName, model: &ModelName, bytes: u64) {
        let mut counts = self.lock();
        if let Some(sent) = counter(&mut counts.replicated, &(to.clone(), model.clone())) {
            *sent = sent.saturating_add(bytes);
        }
    }

    /// What was counted so far.
    pub fn read(&self) -> Counts {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The counter of a key; none for a new one where there are too many.
fn counter<'a, K: Ord + Clone, V: Default>(
    counters: &'a mut BTreeMap<K, V>,
    key: &K,
) -> Option<&'a mut V> {
    if !counters.contains_key(key) && counters.len() >= KEYS_MAX {
        return None;
    }
    Some(counters.entry(key.clone()).or_default())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn clones_count_together() {
        let meter = Meter::default();
        let model = "m".parse().unwrap();
        meter.answered(&model, 7);
        meter.clone().answered(&model, 3);
        meter.clone().computed(&model, Duration::from_micros(5));
        meter.replicated(&"b".parse().unwrap(), &model, 11);

        let counts = meter.read();
        assert_eq!(
            counts.models[&model],
            ModelCount {
                requests: 2,
                busy_us: 5
            }
        );

        assert_eq!(
            (
                counts.answered_bytes,
                counts.replicated.into_values().collect::<Vec<_>>()
            ),
            (10, vec![11])
        );
    }

    #[test]
    fn a_flood_of_names_is_bounded() {
        let meter = Meter::default();
        for number in 0..2 * KEYS_MAX {
            meter.answered(&format!("m{number}").parse().unwrap(), 1);
        }
        assert_eq!(meter.read().models.len(), KEYS_MAX);
    }
}
