//! What goes into the health part and comes out of it.

use super::{endpoint::EndpointPolicy, probe::ProbeResult, verdict::RegionVerdict};
use crate::{gossip::BoardView, planning::freeze::OwnView};
use regionmesh_protocol::{
    identity::{AgentId, RegionName},
    status::{StatusEntry, condition::Condition},
};
use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Instant};

/// The configuration of the health part.
#[derive(Debug, Clone)]
pub struct Settings {
    /// This agent.
    pub id: AgentId,
    pub policy: EndpointPolicy,
    /// The endpoint of every region; agents of other regions have no vote.
    pub endpoints: BTreeMap<RegionName, EndpointSettings>,
    /// Whether canaries are checked: without one that is reached, this agent abstains.
    pub has_canaries: bool,
    /// The address at which the embedded model server listens; none where another server serves
    /// the models.
    pub serves_at: Option<IpAddr>,
}

impl Settings {
    /// An agent whose server listens at one of several addresses of its region reports for that
    /// address. Behind a load balancer, which sends no traffic to an agent that is not ready, it
    /// reports for the region.
    pub(super) fn own_address(&self) -> Option<IpAddr> {
        let addresses = &self.endpoints.get(&self.id.region)?.addresses;
        self.serves_at
            .filter(|serves_at| addresses.len() > 1 && addresses.contains(serves_at))
    }
}

/// How the endpoint of one region is probed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndpointSettings {
    /// The addresses that are probed individually; none: the endpoint is probed by its name.
    pub addresses: Vec<IpAddr>,
    /// Run a synthetic inference on every n-th probe; none: never.
    pub inference_every: Option<u32>,
}

impl EndpointSettings {
    /// What is probed: each address, or the endpoint by its name. [`Probe::index`] counts these.
    pub fn probed(&self) -> Vec<Option<IpAddr>> {
        if self.addresses.is_empty() {
            vec![None]
        } else {
            self.addresses.iter().copied().map(Some).collect()
        }
    }
}

/// What remains of a previous run of this part in the same process.
#[derive(Debug, Clone, Default)]
pub struct Restored {
    /// An announced drain is restored from this agent's own entry.
    pub board: Arc<BoardView>,
    pub verdicts: Arc<BTreeMap<RegionName, RegionVerdict>>,
}

/// A probe to perform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    pub region: RegionName,
    /// Which of [`EndpointSettings::probed`].
    pub index: usize,
    /// Whether to run a synthetic inference.
    pub is_inference: bool,
    /// Whether it confirms a definite failure, at the quicker pace.
    pub is_confirmation: bool,
    /// When to start; may have passed.
    pub at: Instant,
}

/// How a probe ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinishedProbe {
    pub region: RegionName,
    /// As in [`Probe`].
    pub index: usize,
    /// As in [`Probe`].
    pub is_inference: bool,
    pub result: ProbeResult,
    pub started: Instant,
    pub ended: Instant,
}

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// The first input.
    Started(Restored),
    /// The process was suspended or stalled: what it observed before is outdated.
    Resumed,
    /// Time passed. At least every 500 ms: opinions grow old, and `OwnServing` is sampled.
    Tick,
    /// The probe that [`Effect::Probe`] asked for ended.
    ProbeFinished(FinishedProbe),
    /// The probe that [`Effect::Probe`] asked for has no result. The next `Tick` asks again.
    ProbeLost {
        region: RegionName,
        /// As in [`Probe`].
        index: usize,
    },
    /// Whether any canary answered [`Effect::CheckCanaries`].
    CanariesChecked(bool),
    /// [`Effect::CheckCanaries`] has no result. The next `Tick` asks again.
    CanaryCheckLost,
    /// Report our own region as draining (`true`) or not.
    SetDraining(bool),
    /// Whether the embedded model server is ready. Only remembered: `Tick` acts on it.
    OwnServing(bool),
    Board(Arc<BoardView>),
    /// As `Board`, where nothing changed but times, counters and evidence.
    BoardRefreshed(Arc<BoardView>),
}

/// What to do.
#[derive(Debug)]
pub enum Effect {
    /// Perform this probe, and answer with [`Input::ProbeFinished`].
    Probe(Probe),
    /// Probe the canaries at this time, which may have passed; answer with
    /// [`Input::CanariesChecked`].
    CheckCanaries(Instant),
    /// Publish this entry; it is published again within 2 s.
    Publish(Box<StatusEntry>),
    /// The verdict on every region changed.
    Verdicts(Arc<BTreeMap<RegionName, RegionVerdict>>),
    /// What this agent sees of every region, by its own probes or its region's observers'.
    OwnView(Arc<BTreeMap<RegionName, OwnView>>),
    /// To be logged or counted.
    Notice(Notice),
}

/// What an operator may want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Whether this agent observes endpoints: at the start, and when it changes.
    Observes(bool),
    /// Whether this agent abstains at present.
    Abstains(bool),
    /// No canary can be reached any more.
    CanariesLost,
    /// A canary is reached again.
    CanaryReached,
    /// The drain of our own region was announced or withdrawn.
    DrainChanged(bool),
    /// This agent now reports its own region failed.
    OwnRegionFailed,
    /// This agent's conclusion about an endpoint.
    Observed {
        region: RegionName,
        condition: Condition,
    },
    /// This agent's conclusion about one address of an endpoint changed.
    AddressChanged {
        region: RegionName,
        /// None: the endpoint by its name.
        address: Option<IpAddr>,
        before: Condition,
        after: Condition,
        evidence: String,
    },
    /// The verdict on a region changed.
    Verdict {
        region: RegionName,
        /// None if it is the first.
        before: Option<Condition>,
        after: Condition,
        reason: String,
    },
    /// The verdict on an address changed.
    AddressVerdict {
        region: RegionName,
        address: IpAddr,
        /// None if it is the first.
        before: Option<Condition>,
        after: Condition,
        reason: String,
        /// Whether the region has no other address.
        is_only: bool,
    },
}
