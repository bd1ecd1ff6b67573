//! Outcomes of many seeds, and savings with their baselines.

use super::{run::Outcome, strategy::Strategy};
use serde::Serialize;

/// Minimum, median and maximum of some numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Range {
    pub min: f64,
    /// The middle number; the mean of the middle two of an even number.
    pub median: f64,
    pub max: f64,
}

impl Range {
    fn of(numbers: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = numbers.into_iter().collect();
        sorted.sort_by(f64::total_cmp);

        let (Some(&min), Some(&max)) = (sorted.first(), sorted.last()) else {
            return Self::default();
        };
        let middle = sorted.len() / 2;
        let below = sorted[(sorted.len() - 1) / 2];

        Self {
            min,
            median: (below + sorted[middle]) / 2.0,
            max,
        }
    }
}

/// A strategy in certain regions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Candidate {
    pub strategy: Strategy,
    pub regions: Vec<&'static str>,
    /// Final commitments, in the order of `regions`.
    pub committed: Vec<u32>,
    /// By seed.
    pub outcomes: Vec<Outcome>,
}

impl Candidate {
    /// The range of a figure over all seeds.
    pub fn range(&self, of: impl Fn(&Outcome) -> f64) -> Range {
        Range::of(self.outcomes.iter().map(of))
    }

    /// US dollars for all days after the warm-up.
    pub fn cost(&self) -> Range {
        self.range(|outcome| outcome.bill.total().to_f64())
    }

    /// Share of requests answered.
    pub fn served(&self) -> Range {
        self.range(|outcome| outcome.served / outcome.demanded)
    }

    /// Share of minutes in which the loss of any region would have been survived.
    pub fn survivable(&self) -> Range {
        self.range(|outcome| outcome.survivable_minutes as f64 / outcome.minutes as f64)
    }

    /// Share of requests that would have been answered without the region whose loss hurts most.
    pub fn served_after_loss(&self) -> Range {
        self.range(|outcome| outcome.served_after_loss / outcome.demanded)
    }

    /// Savings against a baseline as a share of the baseline's cost, seed by seed; negative where
    /// this costs more.
    pub fn saving_against(&self, baseline: &Self) -> Range {
        let pairs = self.outcomes.iter().zip(&baseline.outcomes);
        Range::of(
            pairs.map(|(own, other)| 1.0 - own.bill.total().to_f64() / other.bill.total().to_f64()),
        )
    }
}

/// The results of a replay.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Days after the warm-up.
    pub days: usize,
    pub warm_up_days: usize,
    /// Seeds of the spot markets.
    pub seeds: Vec<u64>,
    /// All strategies, in all regions that were replayed.
    pub candidates: Vec<Candidate>,
}

/// A goal and its measurement.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Goal {
    pub title: String,
    /// Required share.
    pub least: f64,
    pub measured: Range,
    /// Whether the median reaches it.
    pub is_reached: bool,
}

/// Share of a baseline's cost that a mesh must save.
const SAVING_GOAL: f64 = 0.30;
/// Share of requests that a mesh must answer.
const SERVED_GOAL: f64 = 0.9999;

impl Report {
    /// The strategy in the regions with the most callers.
    pub fn documented(&self, strategy: Strategy) -> Option<&Candidate> {
        self.candidates
            .iter()
            .find(|candidate| candidate.strategy == strategy)
    }

    /// The strategies in other regions.
    pub fn elsewhere(&self) -> impl Iterator<Item = &Candidate> {
        let documented = |of: &Candidate| {
            self.documented(of.strategy)
                .is_some_and(|first| first.regions == of.regions)
        };

        self.candidates
            .iter()
            .filter(move |candidate| !documented(candidate))
    }

    /// Goals of the mesh that survives the loss of a region, against the baselines that were run.
    pub fn goals(&self) -> Vec<Goal> {
        let Some(mesh) = self.documented(Strategy::Mesh) else {
            return Vec::new();
        };
        let goal = |title: String, least: f64, measured: Range| {
            let is_reached = measured.median >= least;
            Goal {
                title,
                least,
                measured,
                is_reached,
            }
        };

        let baselines = [Strategy::Peak, Strategy::StandbyMixed]
            .into_iter()
            .filter_map(|it| self.documented(it));
        let mut goals: Vec<Goal> = baselines
            .map(|baseline| {
                let title = baseline.strategy.title();
                let regions = baseline.regions.join(" + ");
                goal(
                    format!("saved against {title} ({regions})"),
                    SAVING_GOAL,
                    mesh.saving_against(baseline),
                )
            })
            .collect();

        goals.push(goal(
            "requests answered".to_owned(),
            SERVED_GOAL,
            mesh.served(),
        ));

        goals
    }
}
