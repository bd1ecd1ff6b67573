//! What an agent publishes about itself: the contents of its status board entries.

pub mod condition;
pub mod entry;
pub mod money;
pub mod problem;
pub mod servability;
pub mod served;

use crate::{
    identity::{AgentId, RegionName},
    models::{
        catalogue::AliasEntry,
        digest::Digest,
        manifest::{ModelName, VersionName},
    },
    plan::CommittedPlan,
    register::ballot::Ballot,
    status::{
        condition::{Condition, Observation},
        money::CostStatus,
        problem::Problem,
        servability::{Outcome, Servability},
        served::{LATENCY_BUCKETS, Served},
    },
    text::escape,
};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use strum::IntoStaticStr;

/// Which entry of an agent's board: each agent has at most one of each kind.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, IntoStaticStr,
)]
#[strum(serialize_all = "kebab-case")]
pub enum StatusKind {
    /// The certificate (DER chain) whose key signs this agent's entries.
    Certificate,
    Agent,
    Observations,
    Holdings,
    Serving,
    /// [`CommittedPlan`]: the highest that the agent has seen.
    Plan,
    Leader,
    Links,
    Alerts,
    /// The agent's [`Problem`]s.
    Problems,
    Servability,
    Cost,
}

/// The content of one entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StatusEntry {
    /// The agent's certificate chain, leaf first, DER.
    Certificate(Vec<Vec<u8>>),
    Agent(AgentInfo),
    /// The conditions of regions, as it observes them.
    Observations(Observations),
    /// What its region's bucket holds.
    Holdings(Holdings),
    /// What its model server does.
    Serving(ServingStatus),
    /// The highest committed plan it has seen.
    Plan(CommittedPlan),
    /// What it knows about the leader.
    Leader(LeaderStatus),
    Links(Links),
    /// Which events the receivers of alerts took.
    Alerts(AlertStatus),
    /// Its problems, at most [`crate::status::problem::PROBLEMS_MAX`].
    Problems(Vec<Problem>),
    /// Which versions its model server can serve. A separate entry: it changes rarely, the counters
    /// of [`ServingStatus`] all the time.
    Servability(Servability),
    Cost(CostStatus),
}

impl StatusEntry {
    /// Which entry this is.
    pub fn kind(&self) -> StatusKind {
        match self {
            StatusEntry::Certificate(_) => StatusKind::Certificate,
            StatusEntry::Agent(_) => StatusKind::Agent,
            StatusEntry::Observations(_) => StatusKind::Observations,
            StatusEntry::Holdings(_) => StatusKind::Holdings,
            StatusEntry::Serving(_) => StatusKind::Serving,
            StatusEntry::Plan(_) => StatusKind::Plan,
            StatusEntry::Leader(_) => StatusKind::Leader,
            StatusEntry::Links(_) => StatusKind::Links,
            StatusEntry::Alerts(_) => StatusKind::Alerts,
            StatusEntry::Problems(_) => StatusKind::Problems,
            StatusEntry::Servability(_) => StatusKind::Servability,
            StatusEntry::Cost(_) => StatusKind::Cost,
        }
    }

    /// Escapes its free texts: a peer's text must not forge a line of a log or rewrite a terminal.
    /// Values that agents compare with each other (plans, aliases) stay as they are, and are
    /// escaped where they are shown.
    #[must_use]
    pub fn printable(mut self) -> Self {
        match &mut self {
            StatusEntry::Agent(about) => {
                [&mut about.version, &mut about.api_url, &mut about.cloud]
                    .into_iter()
                    .for_each(escape);
            }
            StatusEntry::Observations(all) => {
                for seen in &mut all.regions {
                    escape(&mut seen.evidence);
                    seen.addresses
                        .iter_mut()
                        .for_each(|address| escape(&mut address.evidence));
                }
            }
            StatusEntry::Links(links) => {
                links.peers.iter_mut().for_each(|(agent, _)| escape(agent))
            }
            StatusEntry::Problems(problems) => {
                for problem in problems {
                    escape(&mut problem.subject);
                    escape(&mut problem.detail);
                }
            }
            StatusEntry::Servability(servability) => {
                for known in &mut servability.versions {
                    if let Outcome::Unservable { reason, .. } = &mut known.outcome {
                        escape(reason);
                    }
                }
            }
            StatusEntry::Cost(cost) => cost.escape(),
            StatusEntry::Certificate(_)
            | StatusEntry::Holdings(_)
            | StatusEntry::Serving(_)
            | StatusEntry::Plan(_)
            | StatusEntry::Leader(_)
            | StatusEntry::Alerts(_) => {}
        }

        self
    }
}

/// About the agent's process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentInfo {
    /// Version of the binary.
    pub version: String,
    /// Start of the process, Unix milliseconds.
    pub started_ms: u64,
    /// Random, drawn at start.
    pub boot: u64,
    /// URL of its API, for people: `http://127.0.0.11:9080`.
    pub api_url: String,
    /// The cloud that the region is in: `aws`, `gcp`, `azure`, `local`, ...
    pub cloud: String,
}

/// What an agent sees and reports; republished every 2 s so that its age shows whether it is
/// current.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observations {
    /// One entry per region; empty if this agent does not observe.
    pub regions: Vec<Observation>,
    /// What the region reports about itself: `Healthy` unless it drains or is down; never improves
    /// a verdict.
    pub own: Option<Condition>,
    /// The address of its region that `own` is about; none: the region as a whole.
    pub own_address: Option<IpAddr>,
}

/// Summary of what a region's bucket holds; peers fetch the catalogue for the details.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holdings {
    /// Digest of the whole catalogue: equal digests mean equal catalogues.
    pub catalogue: Option<Digest>,
    /// At most 256 versions, newest first: model, version, content digest.
    pub versions: Vec<(ModelName, VersionName, Digest)>,
    /// How many versions there are in all.
    pub version_count: u64,
    /// At most 256 aliases.
    pub aliases: Vec<AliasEntry>,
    /// Versions known from peers that this region lacks.
    pub missing: u64,
    /// How long the oldest of them has been missing, or the oldest unknown catalogue has been
    /// unknown, milliseconds.
    pub lag_ms: u64,
    /// Living regions whose catalogue could not be read: what this region lacks of theirs is
    /// unknown.
    pub unknown: Vec<RegionName>,
}

impl Holdings {
    /// Whether the region `own`, which holds this, may serve: it lacks nothing that it knows of,
    /// and for each catalogue that can't be read one of `serving`, the regions with traffic,
    /// vouches. An unknown catalogue is not complete, but one that no agent can read must not keep
    /// a region out.
    pub fn is_complete(&self, own: &RegionName, serving: &[(&RegionName, &Self)]) -> bool {
        self.missing == 0 && self.is_vouched_for(own, serving)
    }

    /// Whether for each unknown catalogue one of `others` (regions and what their agents publish)
    /// vouches: its own catalogue was read here, and it either holds all of the unknown one or does
    /// not know that one either.
    pub fn is_vouched_for(&self, own: &RegionName, others: &[(&RegionName, &Self)]) -> bool {
        let vouches = |(region, held): &(&RegionName, &Self), unknown: &RegionName| {
            let is_known = *region != own && *region != unknown && !self.unknown.contains(region);
            is_known && (held.missing == 0 || held.unknown.contains(unknown))
        };

        self.unknown
            .iter()
            .all(|unknown| others.iter().any(|other| vouches(other, unknown)))
    }
}

/// What this agent's model server does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServingStatus {
    /// Whether every activated model is loaded.
    pub is_ready: bool,
    /// Loaded models: name and default version.
    pub models: Vec<(ModelName, VersionName)>,
    /// Inferences answered since start.
    pub requests_total: u64,
    /// Inferences since start that ended in an error of the server.
    pub errors_total: u64,
    /// Positive readiness answers since start: synthetic requests.
    pub probes_total: u64,
    /// Concurrent inferences: its configured limit, or its processors if those are fewer.
    pub places: u32,
    /// Inferences answered, by latency, see [`crate::status::served::LATENCY_BOUNDS_MS`].
    pub latency: [u64; LATENCY_BUCKETS],
}

impl ServingStatus {
    pub fn served(&self) -> Served {
        Served {
            answered: self.requests_total,
            errors: self.errors_total,
            probes: self.probes_total,
            latency: self.latency,
        }
    }
}

/// What the agent knows about the leader.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderStatus {
    /// The ballot under which *this agent* leads, if it does.
    pub leading: Option<Ballot>,
    /// The highest ballot it has seen anywhere.
    pub highest: Option<Ballot>,
}

/// The agent's connections.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Links {
    /// Region and agent at the other end, as text, and the smoothed round-trip time in
    /// microseconds; at most [`LINKS_MAX`].
    pub peers: Vec<(String, u64)>,
    /// Regions that the agent has no connection to.
    pub unreachable: Vec<RegionName>,
}

/// Most connections in one [`Links`]; the nearest are kept.
pub(crate) const LINKS_MAX: usize = 128;
/// Round-trip times alone are republished no sooner than this, milliseconds: they change all the
/// time.
const ROUND_TRIPS_EVERY_MS: u64 = 30_000;

impl Links {
    /// The connections of an agent in region `own`. `regions` are those of its configuration;
    /// `connections` are the agents that it is connected to, each with the smoothed round-trip time
    /// in microseconds.
    pub fn new<'a>(
        own: &RegionName,
        regions: impl IntoIterator<Item = &'a RegionName>,
        connections: impl IntoIterator<Item = (&'a AgentId, u64)>,
    ) -> Self {
        let mut connections: Vec<_> = connections.into_iter().collect();
        let is_reached =
            |region: &RegionName| connections.iter().any(|(agent, _)| agent.region == *region);
        let unreachable = regions
            .into_iter()
            .filter(|region| *region != own && !is_reached(region))
            .cloned()
            .collect();

        connections.sort_unstable_by_key(|(agent, round_trip_us)| (*round_trip_us, *agent));
        connections.truncate(LINKS_MAX);
        connections.sort_unstable();

        let peers = connections
            .into_iter()
            .map(|(agent, round_trip_us)| (agent.to_string(), round_trip_us))
            .collect();

        Self { peers, unreachable }
    }

    /// Whether to publish this in place of what was published `age_ms` ago: immediately if a
    /// connection came or went, after a while if only round-trip times changed.
    pub fn replaces(&self, published: &Self, age_ms: u64) -> bool {
        let peers = |links: &Self| {
            links
                .peers
                .iter()
                .map(|(agent, _)| agent.clone())
                .collect::<Vec<_>>()
        };
        let is_reach_changed =
            self.unreachable != published.unreachable || peers(self) != peers(published);

        is_reach_changed || (self != published && age_ms >= ROUND_TRIPS_EVERY_MS)
    }
}

/// Which events and alerts an agent delivered, so that no other agent sends them again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertStatus {
    /// One entry per receiver of the agent's configuration.
    pub receivers: Vec<ReceiverStatus>,
}

/// Deliveries to one receiver.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiverStatus {
    /// The receiver's name in the configuration.
    pub name: String,
    /// Whether deliveries have failed for a while.
    pub is_failing: bool,
    /// Ids of the last events delivered, at most [`RECEIPTS`], oldest first.
    pub delivered: Vec<String>,
}

/// Receipts published per receiver: earlier events are too old to be sent again.
pub const RECEIPTS: usize = 128;

#[cfg(test)]
mod tests;
