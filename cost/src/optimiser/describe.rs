//! Recommendations in words: titles, risks, commands.

use super::{
    baselines::Fleet,
    prepared::Prepared,
    recommendation::{
        Baseline, Comparison, Evidence, NodeChange, Proposal, Recommendation, RecommendationKind,
        Risk, RiskLevel, Saving, WeightChange,
    },
    stage::Stage,
    state::{ModelCopy, RecommendInput},
};
use crate::money::{Amount, Currency};
use regionmesh_protocol::identity::RegionName;
use std::{collections::BTreeMap, fmt::Write as _};
use time::Duration;

/// Days until a bill shows what a change did: two weeks, and three days until bills are complete.
const VERIFY_DAYS: i64 = 17;
/// The same for purchases, which bills may show by the month.
const VERIFY_PURCHASE_DAYS: i64 = 33;
/// The full weight, basis points.
const FULL_WEIGHT_BP: u16 = 10_000;
/// Spot nodes that are lost more often than this per hour are a high risk.
const SPOT_LOSS_HIGH: f64 = 0.05;

/// The reason for a recommendation.
#[derive(Clone, Copy)]
pub(super) enum Origin {
    Idle { days: u32 },
    Copy,
    Stage(Stage),
    Autoscale,
}

pub(super) struct Writer<'a> {
    pub(super) input: &'a RecommendInput,
    pub(super) baseline: Baseline,
    pub(super) currency: Currency,
}

impl Writer<'_> {
    pub(super) fn recommendation(
        &self,
        kind: RecommendationKind,
        subject: &str,
        proposal: Proposal,
        saving: Saving,
        origin: Origin,
    ) -> Recommendation {
        let RecommendInput {
            window_days,
            rows,
            price_date,
            generated_at,
            ..
        } = *self.input;

        let days = if kind == RecommendationKind::Purchase {
            VERIFY_PURCHASE_DAYS
        } else {
            VERIFY_DAYS
        };
        let today = generated_at.date();

        Recommendation {
            id: id(kind, subject, &proposal),
            kind,
            title: self.title(&proposal, saving.expected, origin),
            baseline: self.baseline,
            constraints: self.constraints(origin),
            risk: self.risk(&proposal, origin),
            reversibility: reversibility(origin).to_owned(),
            command: self.command(&proposal),
            proposal,
            saving,
            evidence: Evidence {
                window_days,
                rows,
                price_date,
            },
            verify_after: today.checked_add(Duration::days(days)).unwrap_or(today),
        }
    }

    fn title(&self, proposal: &Proposal, expected: Amount, origin: Origin) -> String {
        let what = match (proposal, origin) {
            (Proposal::Fleet { nodes, .. }, Origin::Stage(stage)) => {
                let names = names(nodes.iter().map(|change| &change.region));
                match stage {
                    Stage::Scale => format!("Run fewer nodes in {names}"),
                    Stage::Shift if nodes.is_empty() => {
                        "Move traffic to cheaper regions".to_owned()
                    }
                    Stage::Shift => {
                        format!("Move traffic to cheaper regions and run fewer nodes in {names}")
                    }
                    Stage::Region => {
                        format!("Serve demand in cheaper regions: change nodes in {names}")
                    }
                    Stage::Spot => format!("Use spot nodes in {names}"),
                    Stage::Commit => format!("Commit to the steady base in {names}"),
                }
            }
            (Proposal::Fleet { nodes, .. } | Proposal::Autoscale { nodes }, _) => {
                format!(
                    "Let on-demand nodes follow the load in {}",
                    names(nodes.iter().map(|change| &change.region))
                )
            }
            (Proposal::Delete { copies }, Origin::Idle { days }) => {
                format!("Delete {}: no requests for {days} days", version(copies))
            }
            (Proposal::Delete { copies }, _) => {
                format!(
                    "Stop keeping {} in {}",
                    version(copies),
                    names(copies.iter().map(|copy| &copy.region))
                )
            }
            (
                Proposal::Relay {
                    model,
                    version,
                    region,
                    via,
                },
                _,
            ) => {
                format!("Copy {model}@{version} to {region} from {via}")
            }
        };

        let currency = self.currency;
        let name = self.baseline.name;
        let part = percentage(expected, self.baseline.monthly_cost);

        format!(
            "{what}: {} {currency} a month, {part} of {name} ({} {currency})",
            expected.rounded(2),
            self.baseline.monthly_cost.rounded(2)
        )
    }

    fn constraints(&self, origin: Origin) -> Vec<String> {
        let rules = &self.input.placement.rules;
        match origin {
            Origin::Idle { .. } | Origin::Copy => {
                vec!["no requests need the copy where it is deleted".to_owned()]
            }
            Origin::Stage(_) | Origin::Autoscale => {
                let survive = match rules.survive {
                    0 => "the loss of a region is not survived without errors",
                    _ => "any one region may be lost: the others can serve the whole peak load",
                };

                vec![
                    format!(
                        "round trip and service time within {:.0} ms",
                        rules.latency_ms
                    ),
                    survive.to_owned(),
                    format!("capacity at least {} times the peak load", rules.headroom),
                ]
            }
        }
    }

    fn risk(&self, proposal: &Proposal, origin: Origin) -> Risk {
        let survives = self.input.placement.rules.survive > 0;
        let (level, why) = match origin {
            Origin::Idle { .. } => (
                RiskLevel::Low,
                "it had no requests; it can be published again",
            ),
            Origin::Copy => (RiskLevel::Low, "other copies serve users in the meantime"),
            Origin::Autoscale => (
                RiskLevel::Medium,
                "new nodes need minutes to start serving when load rises fast",
            ),
            Origin::Stage(Stage::Scale) if survives => (
                RiskLevel::Low,
                "the remaining nodes can serve the peak without any one region",
            ),
            Origin::Stage(Stage::Scale) => {
                (RiskLevel::Medium, "fewer spare nodes when a region is lost")
            }
            Origin::Stage(Stage::Shift) => (
                RiskLevel::Low,
                "traffic moves within the latency bound, and back within minutes",
            ),
            Origin::Stage(Stage::Region) => (
                RiskLevel::Medium,
                "users are served from farther away, within the latency bound",
            ),
            Origin::Stage(Stage::Spot) if self.has_risky_spot(proposal) => (
                RiskLevel::High,
                "spot nodes of a region are lost more often than once in 20 hours each",
            ),
            Origin::Stage(Stage::Spot) => (
                RiskLevel::Medium,
                "the cloud may take spot nodes back at short notice",
            ),
            Origin::Stage(Stage::Commit) => (
                RiskLevel::Medium,
                "commitments are paid for until they end, used or not",
            ),
        };

        Risk {
            level,
            why: why.to_owned(),
        }
    }

    fn has_risky_spot(&self, proposal: &Proposal) -> bool {
        let Proposal::Fleet { nodes, .. } = proposal else {
            return false;
        };
        nodes
            .iter()
            .filter(|change| change.to.spot > change.from.spot)
            .any(|change| {
                let offer = self
                    .input
                    .placement
                    .regions
                    .iter()
                    .find(|offer| offer.name == change.region);

                offer
                    .and_then(|offer| offer.spot.as_ref())
                    .is_some_and(|spot| spot.loss_per_hour > SPOT_LOSS_HIGH)
            })
    }

    fn fleet_command(&self, nodes: &[NodeChange], weights: &[WeightChange]) -> String {
        let environment = &self.input.environment;
        let mut text = String::new();
        for change in nodes {
            let _ = writeln!(
                text,
                "# environments/{environment}/terraform.tfvars: {}",
                nodes_text(change, change.to.total())
            );
            let committed = change.to.committed.saturating_sub(change.from.committed);

            if committed > 0 {
                let _ = writeln!(
                    text,
                    "# buy commitments for {committed} nodes in {}",
                    change.region
                );
            }

            if change.to.spot != change.from.spot {
                let _ = writeln!(
                    text,
                    "# {}: {} spot nodes (use_spot_instances)",
                    change.region, change.to.spot
                );
            }
        }

        for WeightChange { region, to_bp, .. } in weights {
            let _ = writeln!(
                text,
                "# agent.toml of every region: weight_bp = {to_bp} for {region}"
            );
        }

        text + "scripts/deploy.sh " + environment
    }

    fn command(&self, proposal: &Proposal) -> String {
        let environment = &self.input.environment;
        match proposal {
            Proposal::Fleet { nodes, weights } => self.fleet_command(nodes, weights),
            Proposal::Autoscale { nodes } => {
                let mut text = String::new();
                for change in nodes {
                    let line = nodes_text(change, change.from.total());
                    let _ = writeln!(
                        text,
                        "# environments/{environment}/terraform.tfvars: {line}"
                    );
                }

                text + "scripts/deploy.sh " + environment
            }
            Proposal::Delete { copies } => match copies.first() {
                // The command deletes a version in all regions.
                Some(copy) if self.is_whole(copies) => {
                    format!("regionmesh models delete {} {}", copy.model, copy.version)
                }
                _ => {
                    let regions = names(copies.iter().map(|copy| &copy.region));
                    format!("# not automated: remove {} from {regions}", version(copies))
                }
            },
            Proposal::Relay {
                model,
                version,
                region,
                via,
            } => format!("# not automated: copy {model}@{version} to {region} from {via}"),
        }
    }

    /// Whether these are all copies of their version.
    fn is_whole(&self, copies: &[ModelCopy]) -> bool {
        let Some(first) = copies.first() else {
            return false;
        };
        let all = self.input.state.copies.iter();

        all.filter(|copy| copy.model == first.model && copy.version == first.version)
            .count()
            == copies.len()
    }
}

fn nodes_text(change: &NodeChange, most: u32) -> String {
    let region = &change.region;
    let least = change.to.total();
    format!("regions.{region}: serving_nodes_min = {least}, serving_nodes_max = {most}")
}

fn reversibility(origin: Origin) -> &'static str {
    match origin {
        Origin::Idle { .. } => "Publish the version again; it is deleted in every region.",
        Origin::Copy => "Let it be copied as before; that copy is paid for once more.",
        Origin::Autoscale | Origin::Stage(Stage::Scale | Stage::Region) => {
            "Deploy the previous numbers; nodes start serving within minutes."
        }
        Origin::Stage(Stage::Shift) => {
            "Restore the previous weights; clients follow within the DNS TTL."
        }
        Origin::Stage(Stage::Spot) => "Deploy on-demand nodes again; nodes serve after minutes.",
        Origin::Stage(Stage::Commit) => {
            "Not until the commitments end; some clouds allow exchanging or selling them."
        }
    }
}

fn version(copies: &[ModelCopy]) -> String {
    copies.first().map_or_else(String::new, |copy| {
        format!("{}@{}", copy.model, copy.version)
    })
}

fn names<'a>(regions: impl Iterator<Item = &'a RegionName>) -> String {
    let mut names: Vec<&str> = regions.map(RegionName::as_str).collect();
    names.dedup();
    names.join(", ")
}

/// The same for the same kind, subject and regions, whatever the numbers: FNV-1a, 64 bits
/// (draft-eastlake-fnv).
fn id(kind: RecommendationKind, subject: &str, proposal: &Proposal) -> String {
    let mut text = format!("{kind}/{subject}");
    for region in proposal.regions() {
        let _ = write!(text, "/{region}");
    }

    if let Proposal::Fleet { weights, .. } = proposal {
        for change in weights {
            let _ = write!(text, "/weight of {}", change.region);
        }
    }

    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", text.bytes().fold(0xcbf2_9ce4_8422_2325, step))
}

/// `part` of `whole`, to one digit: `12.3 %`.
fn percentage(part: Amount, whole: Amount) -> String {
    match whole.is_zero() {
        true => "0.0 %".to_owned(),
        false => format!("{:.1} %", part.to_f64() / whole.to_f64() * 100.0),
    }
}

/// The proposal's serving cost compared with a baseline's.
pub(super) fn comparison(
    baseline: Baseline,
    proposal_cost: Amount,
    currency: Currency,
) -> Comparison {
    let saving = baseline.monthly_cost - proposal_cost;
    let (size, word) = if saving < Amount::ZERO {
        (-saving, "more")
    } else {
        (saving, "less")
    };
    let part = percentage(size, baseline.monthly_cost);
    let name = baseline.name;
    let cost = baseline.monthly_cost.rounded(2);

    Comparison {
        baseline,
        proposal_cost,
        saving,
        text: format!("{part} {word} than {name} ({cost} {currency} a month)"),
    }
}

/// Weights that implement the traffic shares, where those change. The largest is the full weight.
pub(super) fn weight_changes(
    prepared: &Prepared<'_>,
    before: &Fleet,
    after: &Fleet,
    known: &BTreeMap<RegionName, u16>,
) -> Vec<WeightChange> {
    let requests = |fleet: &Fleet, region: usize| -> f64 {
        let pairs = prepared.streams.iter().zip(&fleet.shares);
        let rps = pairs.map(|(stream, shares)| {
            shares[region]
                * stream
                    .model
                    .demand
                    .get(stream.origin)
                    .map_or(0.0, |demand| demand.peak_rps)
        });

        rps.sum()
    };

    let count = prepared.regions.len();
    let all = |fleet: &Fleet| {
        (0..count)
            .map(|region| requests(fleet, region))
            .collect::<Vec<f64>>()
    };
    let was = all(before);
    let is = all(after);
    let sum = is.iter().sum::<f64>();
    let most = is.iter().copied().fold(0.0, f64::max);

    let moves = was
        .iter()
        .zip(&is)
        .any(|(was, is)| (was - is).abs() > sum * 1e-3);

    if !moves || most <= 0.0 {
        return Vec::new();
    }

    let change = |region: usize| {
        let to_bp = (is[region] / most * f64::from(FULL_WEIGHT_BP)).round() as u16;
        let name = prepared.name(region).clone();
        let from_bp = known.get(&name).copied();

        (from_bp != Some(to_bp)).then_some(WeightChange {
            region: name,
            from_bp,
            to_bp,
        })
    };

    (0..count).filter_map(change).collect()
}
