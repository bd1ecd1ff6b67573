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

const fn variant(title: &'static str, change: fn(&mut Assumptions)) -> Variant {
    Variant { title, change }
}

impl Variant {
    /// All variants; the first changes nothing.
    pub const ALL: [Self; 14] = [
        variant("the documented case", |_| {}),
        variant("callers on the Internet: all answers are egress", |it| {
            it.callers = Callers::OnInternet
        }),
        variant("e2-standard-4, cheaper and slower, in Google Cloud", |it| {
            it.node_types[1] = "e2-standard-4"
        }),
        variant("no spot nodes", |it| it.spot_share_max = 0.0),
        variant("spot nodes lost three times as often", |it| {
            it.spot.loss_per_hour *= 3.0;
            it.spot.scarce_loss_per_hour = (it.spot.scarce_loss_per_hour * 3.0).min(0.9);
        }),
        variant("spot markets scarce five times as often", |it| {
            it.spot.scarce_per_hour *= 5.0
        }),
        variant("no commitments", |it| it.has_commitments = false),
        variant("peak known without headroom", |it| it.peak_margin = 1.0),
        variant("no headroom after the loss of a region", |it| {
            it.loss_margin = 1.0
        }),
        variant("large model with three times the work", |it| {
            it.node_seconds[0] *= 3.0
        }),
        variant("mid model with three times the work", |it| {
            it.node_seconds[1] *= 3.0
        }),
        variant("all origins with the same time of day", |it| {
            it.is_shifted = false
        }),
        variant("ten times the load", |it| it.load_factor = 10.0),
        variant("a twentieth of the load", |it| it.load_factor = 0.05),
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
