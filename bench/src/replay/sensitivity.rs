//! Sensitivity analysis: repeats the replay with one assumption changed at a time.

use super::{
    Replay,
    error::ReplayError,
    report::{Range, Report},
    scenario::{Assumptions, Callers},
    strategy::Strategy,
};
use serde::Serialize;

/// A changed assumption.
pub struct Variant {
    pub title: &'static str,
    change: fn(&mut Assumptions),
}

impl Variant {
    /// All variants; the first changes nothing.
    pub const ALL: [Self; 14] = [
        Self {
            title: "the documented case",
            change: |_| {},
        },
        Self {
            title: "callers on the Internet: all answers are egress",
            change: |it| it.callers = Callers::OnInternet,
        },
        Self {
            title: "e2-standard-4, cheaper and slower, in Google Cloud",
            change: |it| it.node_types[1] = "e2-standard-4",
        },
        Self {
            title: "no spot nodes",
            change: |it| it.spot_share_max = 0.0,
        },
        Self {
            title: "spot nodes lost three times as often",
            change: |it| {
                it.spot.loss_per_hour *= 3.0;
                it.spot.scarce_loss_per_hour = (it.spot.scarce_loss_per_hour * 3.0).min(0.9);
            },
        },
        Self {
            title: "spot markets scarce five times as often",
            change: |it| it.spot.scarce_per_hour *= 5.0,
        },
        Self {
            title: "no commitments",
            change: |it| it.has_commitments = false,
        },
        Self {
            title: "peak known without headroom",
            change: |it| it.peak_margin = 1.0,
        },
        Self {
            title: "no headroom after the loss of a region",
            change: |it| it.loss_margin = 1.0,
        },
        Self {
            title: "large model with three times the work",
            change: |it| it.node_seconds[0] *= 3.0,
        },
        Self {
            title: "mid model with three times the work",
            change: |it| it.node_seconds[1] *= 3.0,
        },
        Self {
            title: "all origins with the same time of day",
            change: |it| it.is_shifted = false,
        },
        Self {
            title: "ten times the load",
            change: |it| it.load_factor = 10.0,
        },
        Self {
            title: "a twentieth of the load",
            change: |it| it.load_factor = 0.05,
        },
    ];
}

/// Savings of a mesh that survives the loss of a region, in a variant, as shares of the baselines'
/// cost.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sensitivity {
    pub title: &'static str,
    /// By baseline.
    pub savings: Vec<(Strategy, Range)>,
    /// The share of requests that the mesh answered.
    pub served: Range,
}

/// Baselines of the comparison.
pub(super) const BASELINES: [Strategy; 4] = [
    Strategy::Peak,
    Strategy::StandbyMixed,
    Strategy::PairMixed,
    Strategy::AutoscaledMixed,
];

/// Replays all variants, each baseline in the regions with the most callers.
pub fn sensitivity(replay: &Replay<'_>) -> Result<Vec<Sensitivity>, ReplayError> {
    let strategies = [BASELINES.as_slice(), &[Strategy::Mesh]].concat();
    let run = |variant: &Variant| {
        let mut assumptions = replay.assumptions.clone();
        (variant.change)(&mut assumptions);

        let report = Replay {
            assumptions: &assumptions,
            ..*replay
        }
        .run(&strategies, false)?;

        Ok(summary(variant.title, &report))
    };

    Variant::ALL.iter().map(run).collect()
}

fn summary(title: &'static str, report: &Report) -> Sensitivity {
    let mesh = report.documented(Strategy::Mesh);
    let saving =
        |baseline: Strategy| Some((baseline, mesh?.saving_against(report.documented(baseline)?)));
    let served = mesh.map(|mesh| mesh.served()).unwrap_or_default();

    Sensitivity {
        title,
        savings: BASELINES
            .iter()
            .filter_map(|baseline| saving(*baseline))
            .collect(),
        served,
    }
}
