//! Probes of endpoints, and users who follow DNS answers.

use super::{
    endpoint::ANSWER_MS,
    event::{Event, Process},
    fault::EndpointState,
    node::{DnsSnapshot, NodeInput},
    sometimes::Sometimes,
    world::World,
};
use rand::RngExt;
use regionmesh_core::health::{FinishedProbe, Probe, probe::ProbeResult};
use regionmesh_protocol::identity::RegionName;

/// How a request to an endpoint ends.
enum Response {
    Answered,
    Refused,
    Silent,
}

impl World {
    pub(crate) fn probe(&mut self, process: Process, probe: Probe) {
        let Some(region) = self.region_named(&probe.region) else {
            return;
        };
        if !self.runs(process) {
            return;
        }

        let from = self.machines[process.agent].region;
        let there = self.network.fate(process.agent, from, region);
        let back = self.network.fate(process.agent, region, from);
        let is_cut = self.network.is_blocked(from, region, self.now_ms)
            || self.network.is_blocked(region, from, self.now_ms);
        let delay_ms = there.delay_ms + back.delay_ms;
        let is_silent = is_cut || there.is_lost || back.is_lost || delay_ms >= ANSWER_MS;

        let response = match is_silent {
            true => Response::Silent,
            false => self.request(from, region),
        };
        let is_answered = matches!(response, Response::Answered);
        self.reach.record(from, region, self.now_ms, is_answered);

        let result = match response {
            Response::Answered => ProbeResult::Success {
                round_trip_us: delay_ms * 1_000,
                evidence: "200".into(),
            },
            Response::Refused => ProbeResult::DefiniteFailure("connection refused".into()),
            Response::Silent => ProbeResult::Silence("no answer".into()),
        };

        let delay_ms = match result {
            ProbeResult::Silence(_) => ANSWER_MS,
            _ => delay_ms,
        };
        let started = self.instant(self.now_ms);
        let finished = FinishedProbe {
            region: probe.region,
            index: probe.index,
            is_inference: probe.is_inference,
            result,
            started,
            ended: self.instant(self.now_ms + delay_ms),
        };
        let probed = NodeInput::Probed(Box::new(finished));
        self.after(delay_ms, Event::Input(process, Box::new(probed)));
    }

    /// A request from one region reaches the endpoint of another.
    fn request(&mut self, from: usize, region: usize) -> Response {
        let draw: u64 = self.users.random_range(0..1_000_000);
        match self.endpoints[region].state {
            EndpointState::Gray { ppm } if draw < ppm => Response::Refused,
            EndpointState::Up | EndpointState::Gray { .. } => Response::Answered,
            EndpointState::Refusing => Response::Refused,
            EndpointState::Unreachable if from == region => Response::Answered,
            EndpointState::Hanging | EndpointState::Unreachable => Response::Silent,
        }
    }

    /// A resolver's answer has expired: it asks again, and a user follows the answer.
    pub(crate) fn resolve(&mut self, resolver: usize) {
        self.after(self.shape.ttl_ms, Event::Resolve(resolver));
        let draw: u64 = self.users.random();
        let own = self.resolvers[resolver].region;
        let mut servers: Vec<usize> = (0..self.machines.len())
            .filter(|agent| self.machines[*agent].serves.is_some())
            .filter(|agent| self.machines[*agent].reacts(self.now_ms))
            .collect();

        servers.sort_by_key(|agent| self.machines[*agent].region != own);
        let Some(snapshot) = servers
            .first()
            .and_then(|server| self.machines[*server].serves.as_ref())
        else {
            return;
        };
        let Some(answer) = answer(snapshot, draw) else {
            let what = format!("{} answers nothing", self.machines[servers[0]].id);
            return self.laws.break_law("no empty answer", self.now_ms, what);
        };

        let Some(region) = self.region_named(&answer) else {
            return;
        };
        let before = self.resolvers[resolver].answer.replace(region);
        if before.is_some_and(|before| before != region) {
            self.reached.count(Sometimes::UserMoved);
        }
        if !matches!(self.request(own, region), Response::Answered) {
            self.reached.count(Sometimes::UserFailed);
        }
    }
}

/// The region that a server answers with, by the weights that it answers by.
fn answer(snapshot: &DnsSnapshot, draw: u64) -> Option<RegionName> {
    let weights: Vec<(&RegionName, u64)> = snapshot
        .weights()
        .map(|(name, _, weight_bp)| (name, u64::from(weight_bp)))
        .collect();
    let total: u64 = weights.iter().map(|(_, weight)| weight).sum();
    let mut point = draw.checked_rem(total)?;

    weights.into_iter().find_map(|(name, weight)| {
        let is_hit = point < weight;
        point = point.saturating_sub(weight);
        is_hit.then(|| name.clone())
    })
}
