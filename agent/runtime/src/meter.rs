//! Counts what is billed since the process started: inferences, their computing time, and bytes.

use parking_lot::Mutex;
use regionmesh_protocol::{identity::RegionName, models::manifest::ModelName};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// Limit of models, and of pairs of target and model; the rest is not counted.
const KEYS_MAX: usize = 4_096;

/// One model's inferences.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ModelCount {
    /// Inferences answered.
    pub requests: u64,
    /// Computing time, microseconds; includes computations without an answer.
    pub busy_us: u64,
}

/// What was counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// By model.
    pub models: BTreeMap<ModelName, ModelCount>,
    /// Bytes of answers to users.
    pub answered_bytes: u64,
    /// Bytes of replication sent to other regions, by region and model.
    pub replicated: BTreeMap<(RegionName, ModelName), u64>,
}

/// The counters. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Meter(Arc<Mutex<Counts>>);

impl Meter {
    /// Counts an inference that was answered with `bytes`.
    pub fn answered(&self, model: &ModelName, bytes: usize) {
        let mut counts = self.0.lock();
        counts.answered_bytes = counts.answered_bytes.saturating_add(bytes as u64);
        if let Some(count) = counter(&mut counts.models, model) {
            count.requests = count.requests.saturating_add(1);
        }
    }

    /// Counts a computation's time.
    pub fn computed(&self, model: &ModelName, took: Duration) {
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if let Some(count) = counter(&mut self.0.lock().models, model) {
            count.busy_us = count.busy_us.saturating_add(took_us);
        }
    }

    /// Counts bytes of a model sent to a region.
    pub fn replicated(&self, to: &RegionName, model: &ModelName, bytes: u64) {
        let mut counts = self.0.lock();
        if let Some(sent) = counter(&mut counts.replicated, &(to.clone(), model.clone())) {
            *sent = sent.saturating_add(bytes);
        }
    }

    /// The current values.
    pub fn read(&self) -> Counts {
        self.0.lock().clone()
    }
}

/// The counter of a key; none for a new key beyond the limit.
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
    fn the_number_of_counted_names_is_bounded() {
        let meter = Meter::default();
        for number in 0..2 * KEYS_MAX {
            meter.answered(&format!("m{number}").parse().unwrap(), 1);
        }
        assert_eq!(meter.read().models.len(), KEYS_MAX);
    }
}
