//! Which record set a name server answers with: routing policy first, then health. Pure.
//!
//! Route 53 developer guide, "How Amazon Route 53 chooses records when health checking is
//! configured": sets without a check are always healthy; if all are unhealthy all count as healthy;
//! weight 0 is considered only when every set with a weight is unhealthy.

use super::zone::{Policy, Set};
use std::collections::BTreeMap;

/// One possible answer and how often it comes up among the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub values: Vec<String>,
    /// The set identifier; empty for a simple set.
    pub id: String,
    /// Relative frequency.
    pub weight: u32,
}

/// Every answer that may be given for a name and type.
pub(super) fn answers(
    sets: &[Set],
    name: &str,
    record_type: &str,
    is_healthy: impl Fn(&str) -> bool,
) -> Vec<Answer> {
    let group: Vec<_> = sets
        .iter()
        .filter(|set| set.name == name && set.record_type == record_type)
        .collect();
    let healthy = |set: &&&Set| set.check.as_deref().is_none_or(&is_healthy);
    let alive: Vec<_> = group.iter().filter(healthy).copied().collect();
    let considered = if alive.is_empty() { &group } else { &alive };
    let Some(first) = considered.first() else {
        return Vec::new();
    };

    let answer = |set: &Set, weight| Answer {
        values: set.values.iter().cloned().collect(),
        id: set.id.clone().unwrap_or_default(),
        weight,
    };

    match &first.policy {
        Policy::Simple | Policy::Latency(_) => {
            considered.iter().map(|set| answer(set, 1)).collect()
        }
        Policy::Failover(_) => {
            let best = considered
                .iter()
                .find(|set| set.policy == Policy::Failover(true))
                .unwrap_or(first);
            vec![answer(best, 1)]
        }
        Policy::Weighted(_) => {
            let weights: BTreeMap<usize, u32> = considered
                .iter()
                .enumerate()
                .filter_map(|(index, set)| match set.policy {
                    Policy::Weighted(weight) if weight > 0 => Some((index, u32::from(weight))),
                    _ => None,
                })
                .collect();

            let weight = |index| {
                if weights.is_empty() {
                    1
                } else {
                    weights.get(&index).copied().unwrap_or(0)
                }
            };

            let all = considered
                .iter()
                .enumerate()
                .map(|(index, set)| answer(set, weight(index)));

            all.filter(|answer| answer.weight > 0).collect()
        }
    }
}
