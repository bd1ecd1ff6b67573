//! Counts what costs money: inferences, their computing time, and bytes, by UTC day.

use regionmesh_protocol::{identity::RegionName, manifest::ModelName};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Most models, and most pairs of target and model, that are counted apart in a day; the rest is not counted by name.
const KEYS_MAX: usize = 4_096;

/// What one model's inferences took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelCount {
    /// Inferences answered.
    pub requests: u64,
    /// Time that computations took, microseconds; also of those that gave no answer.
    pub busy_us: u64,
    /// Bytes of answers.
    pub bytes_out: u64,
}

/// What was counted since the last reading.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// By model.
    pub models: BTreeMap<ModelName, ModelCount>,
    /// Bytes sent to other regions, by region and by the model whose replication they were.
    pub replicated: BTreeMap<(RegionName, ModelName), u64>,
}

/// The counters. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Meter(Arc<Mutex<Counts>>);

impl Meter {
    /// An inference was answered with so many bytes.
    pub fn answered(&self, model: &ModelName, bytes: usize) {
        self.count(model, |count| {
            count.requests = count.requests.saturating_add(1);
            count.bytes_out = count.bytes_out.saturating_add(bytes as u64);
        });
    }

    /// A computation took so long.
    pub fn computed(&self, model: &ModelName, took: Duration) {
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.count(model, |count| count.busy_us = count.busy_us.saturating_add(took_us));
    }

    /// Bytes of a model were sent to a region.
    pub fn replicated(&self, to: &RegionName, model: &ModelName, bytes: u64) {
        let mut counts = self.lock();
        if let Some(sent) = counts.replicated.get_mut(&(to.clone(), model.clone())) {
            *sent = sent.saturating_add(bytes);
        } else if counts.replicated.len() < KEYS_MAX {
            counts.replicated.insert((to.clone(), model.clone()), bytes);
        }
    }

    /// What was counted since the last call.
    pub fn take(&self) -> Counts {
        std::mem::take(&mut *self.lock())
    }

    fn count(&self, model: &ModelName, add: impl FnOnce(&mut ModelCount)) {
        let mut counts = self.lock();
        if let Some(count) = counts.models.get_mut(model) {
            add(count);
        } else if counts.models.len() < KEYS_MAX {
            add(counts.models.entry(model.clone()).or_default());
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_read_once() {
        let (meter, model) = (Meter::default(), "m".parse().unwrap());
        meter.answered(&model, 7);
        meter.answered(&model, 3);
        meter.clone().computed(&model, Duration::from_micros(5));
        meter.replicated(&"b".parse().unwrap(), &model, 11);

        let counts = meter.take();
        assert_eq!(counts.models[&model], ModelCount { requests: 2, busy_us: 5, bytes_out: 10 });
        assert_eq!(counts.replicated.into_values().collect::<Vec<_>>(), [11]);
        assert_eq!(meter.take(), Counts::default());
    }

    #[test]
    fn a_flood_of_names_is_bounded() {
        let meter = Meter::default();
        for number in 0..2 * KEYS_MAX {
            meter.answered(&format!("m{number}").parse().unwrap(), 1);
        }
        assert_eq!(meter.take().models.len(), KEYS_MAX);
    }
}
