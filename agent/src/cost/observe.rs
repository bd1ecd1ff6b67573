//! The capacity of every region and what its agents counted, from the configuration and the status
//! board. Pure.

use crate::{
    config::{Config, RegionConfig},
    snapshots::Snapshots,
};
use regionmesh_core::gossip::BoardView;
use regionmesh_cost::{
    Cause, Counters, EgressCounter, LiveMeter, MeshRegion, ModelCounters, NodeGroup, Pricing,
    RegionCapacity, RegionMap, SourceCounters, StoredBytes,
};
use regionmesh_protocol::{
    identity::RegionName,
    models::catalogue::Catalogue,
    plan::Plan,
    status::{
        ServingStatus, StatusEntry, StatusKind,
        money::{CostStatus, EGRESS_MAX, EgressUse, MODELS_MAX, ModelUse, REGIONS_MAX},
    },
};
use regionmesh_runtime::meter::Counts;
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// The name under which models beyond the limit are summed.
const OTHER: &str = "(other)";
/// Number of causes of bytes sent to users.
const ANSWERS: usize = 2;

/// The regions of the mesh and their names on bills.
pub(crate) fn region_map(config: &Config) -> RegionMap {
    RegionMap::new(config.regions.iter().map(|region| MeshRegion {
        name: region.name.to_string(),
        cloud: region.cloud.clone(),
        billing_region: region.billing_region.clone(),
    }))
}

/// The storage class of models.
pub(crate) const STORAGE: &str = "standard";

/// The catalogue of every region that could be read.
pub(crate) type Holdings = BTreeMap<RegionName, Arc<Catalogue>>;

/// The current catalogues.
pub(crate) fn holdings(own: &RegionName, snapshots: &Snapshots) -> Holdings {
    let mut holdings = Holdings::clone(&snapshots.peer_catalogues.borrow());
    holdings.insert(own.clone(), snapshots.catalogue.borrow().clone());
    holdings
}

/// Adds an observation of every region to `live`: its capacity, stored bytes, and the counters of
/// live agents.
pub(crate) fn observe(
    live: &mut LiveMeter,
    config: &Config,
    board: &BoardView,
    holdings: &Holdings,
    now_ms: u64,
    pricing: Pricing<'_>,
) {
    for region in &config.regions {
        let counted: Vec<_> = board
            .agents
            .iter()
            .filter(|(agent, view)| agent.region == region.name && view.is_alive)
            .filter_map(|(agent, view)| {
                match &*view.status_entries.get(&StatusKind::Cost)?.status_entry {
                    StatusEntry::Cost(status) => {
                        Some((agent.to_string(), status.counted_since_ms, counters(status)))
                    }
                    _ => None,
                }
            })
            .collect();

        let sources: Vec<_> = counted
            .iter()
            .map(|(source, started_ms, counters)| SourceCounters {
                source,
                started_ms: *started_ms,
                counters,
            })
            .collect();

        let stored = holdings.get(&region.name).map(|held| StoredBytes {
            class: STORAGE.into(),
            bytes: held
                .published()
                .fold(0, |sum, version| sum.saturating_add(version.size)),
        });

        let running = RegionCapacity {
            stored: stored.into_iter().collect(),
            ..capacity(region, board)
        };

        live.observe(region.name.as_str(), now_ms, running, &sources, pricing);
    }
}

/// The capacity of every region.
pub(crate) fn capacities(config: &Config, board: &BoardView) -> BTreeMap<String, RegionCapacity> {
    config
        .regions
        .iter()
        .map(|region| (region.name.to_string(), capacity(region, board)))
        .collect()
}

/// Mean size of the answers that agents counted, bytes.
pub(crate) fn bytes_per_answer(board: &BoardView) -> f64 {
    let mut bytes = 0u64;
    let mut requests = 0u64;
    for view in board.agents.values() {
        let Some(StatusEntry::Cost(status)) = view
            .status_entries
            .get(&StatusKind::Cost)
            .map(|seen| &*seen.status_entry)
        else {
            continue;
        };
        let to_users = status.egress.iter().filter(|sent| sent.to.is_none());

        bytes = to_users.fold(bytes, |sum, sent| sum.saturating_add(sent.bytes));
        requests = status
            .models
            .iter()
            .fold(requests, |sum, used| sum.saturating_add(used.requests));
    }

    bytes as f64 / requests.max(1) as f64
}

/// Whether an agent of the region is alive and has published what it counts.
pub(crate) fn is_heard(region: &RegionConfig, board: &BoardView) -> bool {
    let mut own = board
        .agents
        .iter()
        .filter(|(agent, view)| agent.region == region.name && view.is_alive);
    own.any(|(_, view)| view.status_entries.contains_key(&StatusKind::Cost))
}

/// The capacity of a region. Nodes without a configured count are as many as live agents.
fn capacity(region: &RegionConfig, board: &BoardView) -> RegionCapacity {
    let living = board
        .agents
        .iter()
        .filter(|(agent, view)| agent.region == region.name && view.is_alive);
    let mut agents = 0u32;
    let mut places = 0u32;

    for (_, view) in living {
        agents += 1;
        if let Some(StatusEntry::Serving(ServingStatus { places: own, .. })) = view
            .status_entries
            .get(&StatusKind::Serving)
            .map(|seen| &*seen.status_entry)
        {
            places = places.saturating_add(*own);
        }
    }

    let nodes = region.nodes.iter().map(|nodes| NodeGroup {
        sku: nodes.instance.clone(),
        pricing: nodes.pricing,
        count: nodes.count.unwrap_or(agents),
    });

    RegionCapacity {
        nodes: nodes.collect(),
        stored: Vec::new(),
        places,
    }
}

fn counters(status: &CostStatus) -> Counters {
    let models = status.models.iter().map(|used| {
        (
            used.model.clone(),
            ModelCounters {
                requests: used.requests,
                busy_ms: used.busy_ms,
            },
        )
    });

    let egress = status.egress.iter().map(|sent| EgressCounter {
        to: sent.to.as_ref().map(ToString::to_string),
        cause: sent.cause.parse().unwrap_or(Cause::Other),
        bytes: sent.bytes,
    });

    Counters {
        models: models.collect(),
        egress: egress.collect(),
    }
}

/// Bytes of answers, split by whether the users' home region is another one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Answers {
    /// Bytes counted so far.
    seen: u64,
    /// Of these, bytes to users whose home is another region.
    away: u64,
}

impl Answers {
    /// Bytes that went to users whose home is another region.
    pub(crate) fn away(&self) -> u64 {
        self.away
    }

    /// Bytes that went to users at home.
    pub(crate) fn home(&self) -> u64 {
        self.seen - self.away
    }

    /// Adds the growth of `answered`, bytes since the start, split by the share of the region's
    /// traffic that is away from home.
    pub(crate) fn count(&mut self, answered: u64, away_share: f64) {
        let new = answered.saturating_sub(self.seen);
        self.away = self
            .away
            .saturating_add((new as f64 * away_share.clamp(0.0, 1.0)).round() as u64)
            .min(answered);

        self.seen = answered;
    }
}

/// The part of a region's traffic that is away from home: the excess of its share over its
/// configured share.
pub(crate) fn away_share(config: &Config, plan: &Plan, own: &RegionName) -> f64 {
    let total: f64 = config
        .regions
        .iter()
        .map(|region| f64::from(region.weight_bp))
        .sum();
    let home = config
        .region(own)
        .map_or(0.0, |region| f64::from(region.weight_bp) / total.max(1.0));
    let share = plan
        .shares()
        .into_iter()
        .find(|(region, _)| region == own)
        .map_or(0.0, |(_, share)| share);

    if share > home {
        (share - home) / share
    } else {
        0.0
    }
}

/// The shortest measured round trip between each pair of regions, milliseconds.
pub(crate) fn round_trips_ms(board: &BoardView) -> BTreeMap<(String, String), f64> {
    let mut found: BTreeMap<(String, String), f64> = BTreeMap::new();
    for (agent, view) in board.agents.iter().filter(|(_, view)| view.is_alive) {
        let Some(StatusEntry::Links(links)) = view
            .status_entries
            .get(&StatusKind::Links)
            .map(|seen| &*seen.status_entry)
        else {
            continue;
        };

        for (peer, round_trip_us) in &links.peers {
            let Some((region, _)) = peer.split_once('/') else {
                continue;
            };
            let ms = *round_trip_us as f64 / 1e3;

            for pair in [
                (agent.region.to_string(), region.to_owned()),
                (region.to_owned(), agent.region.to_string()),
            ] {
                let known = found.entry(pair).or_insert(ms);
                *known = known.min(ms);
            }
        }
    }

    found
}

/// The counters that this agent publishes: as many as fit by name, the rest summed. A name in
/// `before` is kept: a counter that left and returned would be counted twice.
pub(crate) fn published(
    counts: &Counts,
    answers: Answers,
    own: &RegionName,
    before: Option<&CostStatus>,
) -> (Vec<ModelUse>, Vec<EgressUse>) {
    let (models_before, egress_before) = before.map_or((&[][..], &[][..]), |status| {
        (status.models.as_slice(), status.egress.as_slice())
    });
    (
        used_models(counts, models_before),
        sent_bytes(counts, answers, own, egress_before),
    )
}

fn used_models(counts: &Counts, before: &[ModelUse]) -> Vec<ModelUse> {
    let named: BTreeSet<&str> = before.iter().map(|used| used.model.as_str()).collect();
    let mut models: Vec<ModelUse> = counts
        .models
        .iter()
        .map(|(model, count)| ModelUse {
            model: model.to_string(),
            requests: count.requests,
            busy_ms: count.busy_us / 1_000,
        })
        .collect();

    models.sort_by_key(|used| {
        (
            !named.contains(used.model.as_str()),
            Reverse((used.busy_ms, used.requests)),
        )
    });

    let rest = models.split_off(models.len().min(MODELS_MAX - 1));
    if !rest.is_empty() {
        let sum = |of: fn(&ModelUse) -> u64| rest.iter().map(of).fold(0, u64::saturating_add);
        models.push(ModelUse {
            model: OTHER.into(),
            requests: sum(|used| used.requests),
            busy_ms: sum(|used| used.busy_ms),
        });
    }

    models
}

fn sent_bytes(
    counts: &Counts,
    answers: Answers,
    own: &RegionName,
    before: &[EgressUse],
) -> Vec<EgressUse> {
    let named: BTreeSet<(Option<&RegionName>, &str)> = before
        .iter()
        .map(|sent| (sent.to.as_ref(), sent.cause.as_str()))
        .collect();
    let replication = |to: &RegionName, model: &str, bytes: u64| EgressUse {
        to: Some(to.clone()),
        cause: Cause::Replication {
            model: model.to_owned(),
        }
        .to_string(),
        bytes,
    };

    let others = counts.replicated.iter().filter(|((to, _), _)| to != own);
    let mut egress: Vec<EgressUse> = others
        .map(|((to, model), bytes)| replication(to, model.as_str(), *bytes))
        .collect();

    egress.sort_by_key(|sent| {
        (
            !named.contains(&(sent.to.as_ref(), sent.cause.as_str())),
            Reverse(sent.bytes),
        )
    });

    let mut rest: BTreeMap<RegionName, u64> = BTreeMap::new();
    for sent in egress.split_off(egress.len().min(EGRESS_MAX - ANSWERS - REGIONS_MAX)) {
        let sum = sent.to.map(|to| rest.entry(to).or_default());
        sum.into_iter()
            .for_each(|sum| *sum = sum.saturating_add(sent.bytes));
    }

    egress.extend(
        rest.iter()
            .take(REGIONS_MAX)
            .map(|(to, bytes)| replication(to, OTHER, *bytes)),
    );

    let answered: [_; ANSWERS] = [
        (Cause::AnswersAway, answers.away()),
        (Cause::Other, answers.home()),
    ];

    egress.extend(
        answered
            .into_iter()
            .filter(|(_, bytes)| *bytes > 0)
            .map(|(cause, bytes)| EgressUse {
                to: None,
                cause: cause.to_string(),
                bytes,
            }),
    );

    egress
}

#[cfg(test)]
mod tests;
