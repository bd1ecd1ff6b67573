//! Outcomes of many seeds, and savings with their baselines.

use super::{run::Outcome, strategy::Strategy};
use serde::Serialize;

/// The least, median and largest of some numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Range {
    /// The least.
    pub min: f64,
    /// The one in the middle; of an even number, the mean of both.
    pub median: f64,
    /// The largest.
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
    /// How it is run.
    pub strategy: Strategy,
    /// Where.
    pub regions: Vec<&'static str>,
    /// Nodes that were committed to in the end, by region of `regions`.
    pub committed: Vec<u32>,
    /// What came of it, by seed.
    pub outcomes: Vec<Outcome>,
}

impl Candidate {
    /// Something of all seeds.
    pub fn range(&self, of: impl Fn(&Outcome) -> f64) -> Range {
        Range::of(self.outcomes.iter().map(of))
    }

    /// US dollars for all days that count.
    pub fn cost(&self) -> Range {
        self.range(|outcome| outcome.bill.total().to_f64())
    }

    /// The share of requests that was answered.
    pub fn served(&self) -> Range {
        self.range(|outcome| outcome.served / outcome.demanded)
    }

    /// The share of minutes in which the loss of any region would have been survived.
    pub fn survivable(&self) -> Range {
        self.range(|outcome| outcome.survivable_minutes as f64 / outcome.minutes as f64)
    }

    /// The share of requests that would have been answered if, at any time, the region had been
    /// lost whose loss hurts most.
    pub fn served_after_loss(&self) -> Range {
        self.range(|outcome| outcome.served_after_loss / outcome.demanded)
    }

    /// What this saves against a baseline, as a share of the baseline's cost, seed by seed;
    /// negative where it costs more.
    pub fn saving_against(&self, baseline: &Self) -> Range {
        let pairs = self.outcomes.iter().zip(&baseline.outcomes);
        Range::of(
            pairs.map(|(own, other)| 1.0 - own.bill.total().to_f64() / other.bill.total().to_f64()),
        )
    }
}

/// What was replayed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Days that count.
    pub days: usize,
    /// Days before them.
    pub warm_up_days: usize,
    /// Seeds of the spot markets.
    pub seeds: Vec<u64>,
    /// All strategies in all regions that they could be run in.
    pub candidates: Vec<Candidate>,
}

/// What the replay shall show, and what it shows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Goal {
    /// What about.
    pub title: String,
    /// At least this share.
    pub least: f64,
    /// What it is.
    pub measured: Range,
    /// Whether the median reaches it.
    pub is_reached: bool,
}

/// Of a baseline's cost, what a mesh is to save.
const SAVING_GOAL: f64 = 0.30;
/// Of all requests, what it is to answer.
const SERVED_GOAL: f64 = 0.9999;

impl Report {
    /// The strategy where most callers are.
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

    /// The goals of the mesh that survives the loss of a region, as far as its baselines were run.
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
