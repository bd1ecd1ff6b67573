//! From single probes to the verdict on a region.
//!
//! [`Health`] decides when each endpoint is probed, what this agent publishes about it
//! ([`endpoint`]), and the verdict on every region from what all agents publish ([`verdict`]).
//! A few agents of each region observe (`observers`). Every agent computes every verdict, so that
//! each can answer for the mesh and lead.

mod clock;
pub mod endpoint;
pub mod gray;
mod judge;
mod observers;
mod own;
pub mod probe;
mod schedule;
pub mod store;
mod types;
pub mod verdict;
mod verdicts;

pub use types::{
    Effect, EndpointSettings, FinishedProbe, Input, Notice, Probe, Restored, Settings,
};

use crate::{gossip::BoardView, now::Now, planning::freeze::OwnView};
use clock::{Clock, WallShift, shift};
use endpoint::EndpointTracker;
use judge::announced_drain;
use observers::Role;
use probe::{ProbeResult, ProbeTracker};
use rand::{Rng, RngExt};
use regionmesh_protocol::{
    identity::{AgentId, RegionName},
    status::condition::{AddressObservation, Condition},
};
use schedule::Schedule;
use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use verdict::RegionVerdict;

/// Observations are published this often even if nothing changed: their age shows whether this
/// agent still probes.
const REPUBLISH: Duration = Duration::from_secs(2);
/// Pause between two checks of the canaries: half of the time in which silence makes an endpoint
/// suspect.
const CANARY_PAUSE: Duration = Duration::from_secs(1);

/// Probes, observations and verdicts of one agent.
#[derive(Debug)]
pub struct Health {
    settings: Settings,
    clock: Clock,
    /// Difference of the wall clock to `clock`.
    shift: WallShift,
    role: Role,
    trackers: BTreeMap<RegionName, EndpointTracker>,
    /// When to probe, by region and index.
    schedules: BTreeMap<RegionName, Vec<Schedule>>,
    /// The address of its region that this agent serves at, if it is probed.
    own_address: Option<IpAddr>,
    /// The embedded server's readiness, with the thresholds of a probe: swapping a model is no
    /// failure.
    own_readiness: Option<ProbeTracker>,
    /// Whether the embedded server is ready at present.
    is_ready: bool,
    /// Whether a check of the canaries was asked for and has not ended.
    is_checking: bool,
    is_abstaining: bool,
    is_draining: bool,
    published: Option<Instant>,
    board: Arc<BoardView>,
    /// Whether something changed since the verdicts were computed.
    is_unjudged: bool,
    /// After this the oldest of the observations that count is outdated.
    fresh_until: Option<Instant>,
    own_view: Arc<BTreeMap<RegionName, OwnView>>,
    verdicts: Arc<BTreeMap<RegionName, RegionVerdict>>,
}

impl Health {
    /// It does nothing before [`Input::Started`].
    pub fn new(settings: Settings, now: Now) -> Self {
        let clock = Clock::start(now);
        let schedules = settings
            .endpoints
            .iter()
            .map(|(region, endpoint)| {
                let schedule = Schedule::new(endpoint.inference_every);
                (region.clone(), vec![schedule; endpoint.probed().len()])
            })
            .collect();
        let own_readiness = settings
            .serves_at
            .map(|_| ProbeTracker::new(clock.ms(now.monotonic)));

        Self {
            own_address: settings.own_address(),
            is_abstaining: settings.has_canaries,
            settings,
            clock,
            shift: WallShift::default(),
            role: Role::default(),
            trackers: BTreeMap::new(),
            schedules,
            own_readiness,
            is_ready: false,
            is_checking: false,
            is_draining: false,
            published: None,
            board: Arc::default(),
            is_unjudged: true,
            fresh_until: None,
            own_view: Arc::default(),
            verdicts: Arc::default(),
        }
    }

    /// Takes in one input; adds what to do to `out`, in order.
    pub fn handle(&mut self, input: Input, now: Now, rng: &mut impl Rng, out: &mut Vec<Effect>) {
        match input {
            Input::Started(restored) => self.start(restored, now, rng, out),
            Input::Resumed => {
                self.forget_observations(now, out);
                self.publish(now, out);
                self.judge(now, out);
            }
            Input::Tick => self.tick(now, out),
            Input::ProbeFinished(probe) => self.probe_finished(probe, now, out),
            Input::ProbeLost { region, index } => self.probe_lost(&region, index),
            Input::CanariesChecked(is_reached) => self.canaries_checked(is_reached, now, out),
            Input::CanaryCheckLost => self.is_checking = false,
            Input::SetDraining(is_draining) => self.set_draining(is_draining, now, out),
            Input::OwnServing(is_ready) => self.is_ready = is_ready,
            Input::Board(board) => {
                self.board = board;
                self.adopt_role(now, out);
                self.judge(now, out);
            }
            Input::BoardRefreshed(board) => {
                self.board = board;
                self.is_unjudged |= self.is_anything_wrong();
            }
        }
    }

    /// The living agents of the region that should observe.
    pub(crate) fn observers(&self) -> &[AgentId] {
        self.role.chosen()
    }

    fn start(&mut self, restored: Restored, now: Now, rng: &mut impl Rng, out: &mut Vec<Effect>) {
        self.is_draining = announced_drain(&restored.board, &self.settings.id);
        self.board = restored.board;
        self.verdicts = restored.verdicts;
        self.role
            .update(&self.settings.id, &self.board, now.monotonic);

        out.push(Effect::Notice(Notice::Abstains(self.is_abstaining)));
        self.forget_observations(now, out);
        self.judge(now, out);
        self.publish(now, out);

        self.check_canaries(now.monotonic, out);
        let is_observing = self.role.is_observing();
        out.push(Effect::Notice(Notice::Observes(is_observing)));
        if is_observing {
            // Jitter: agents that start together do not probe together.
            let interval = Duration::from_millis(self.settings.policy.probes.interval_ms);
            self.begin_probes(
                || now.monotonic + interval.mul_f64(rng.random::<f64>()),
                out,
            );
        }
    }

    /// Begins or ceases to observe, if the board or the time says so.
    fn adopt_role(&mut self, now: Now, out: &mut Vec<Effect>) {
        let was_observing = self.role.is_observing();
        self.role
            .update(&self.settings.id, &self.board, now.monotonic);

        let is_observing = self.role.is_observing();
        if is_observing == was_observing {
            return;
        }

        self.is_unjudged = true;
        out.push(Effect::Notice(Notice::Observes(is_observing)));
        self.forget_observations(now, out);
        self.publish(now, out);
        if is_observing {
            self.begin_probes(|| now.monotonic, out);
        }
    }

    fn begin_probes(&mut self, mut at: impl FnMut() -> Instant, out: &mut Vec<Effect>) {
        let policy = &self.settings.policy.probes;
        for (region, schedules) in &mut self.schedules {
            for (index, schedule) in schedules.iter_mut().enumerate() {
                let probe = schedule.begin(region, index, at(), policy);
                out.extend(probe.map(Effect::Probe));
            }
        }
    }

    fn probe_finished(&mut self, probe: FinishedProbe, now: Now, out: &mut Vec<Effect>) {
        let schedules = self.schedules.get_mut(&probe.region);
        let Some(schedule) = schedules.and_then(|schedules| schedules.get_mut(probe.index)) else {
            return;
        };

        if !self.role.is_observing() {
            schedule.end();
            return;
        }

        let policy = &self.settings.policy.probes;
        let ended_ms = self.clock.ms(probe.ended);
        let at = schedule.record(&probe, ended_ms, policy);
        let next = schedule.next(&probe.region, probe.index, at, policy);
        out.push(Effect::Probe(next));

        // Results of an observer without connectivity say nothing about the endpoint.
        if !self.is_abstaining {
            self.record(probe, ended_ms, now, out);
        }
    }

    fn probe_lost(&mut self, region: &RegionName, index: usize) {
        let schedules = self.schedules.get_mut(region);
        if let Some(schedule) = schedules.and_then(|schedules| schedules.get_mut(index)) {
            schedule.end();
        }
    }

    /// Asks again for what was lost: an observer always has a probe of each address under way.
    fn repeat_lost(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.check_canaries(now.monotonic, out);
        if !self.role.is_observing() {
            return;
        }

        let policy = &self.settings.policy.probes;
        for (region, schedules) in &mut self.schedules {
            for (index, schedule) in schedules.iter_mut().enumerate() {
                if !schedule.is_pending() {
                    let probe = schedule.next(region, index, now.monotonic, policy);
                    out.push(Effect::Probe(probe));
                }
            }
        }
    }

    /// Checks the canaries at this time, unless a check is under way.
    fn check_canaries(&mut self, at: Instant, out: &mut Vec<Effect>) {
        if self.settings.has_canaries && !self.is_checking {
            self.is_checking = true;
            out.push(Effect::CheckCanaries(at));
        }
    }

    fn record(&mut self, probe: FinishedProbe, ended_ms: u64, now: Now, out: &mut Vec<Effect>) {
        let FinishedProbe {
            region,
            index,
            is_inference,
            result,
            ..
        } = probe;
        let Some(tracker) = self.trackers.get_mut(&region) else {
            return;
        };
        let policy = &self.settings.policy;
        let was_definite = tracker.is_definite();
        let changed = tracker.record(index, result, is_inference, ended_ms, policy);
        self.is_unjudged |= tracker.is_definite() != was_definite;

        if let Some(before) = changed.address
            && let Some(seen) = tracker.observations().into_iter().nth(index)
        {
            let AddressObservation {
                address,
                condition: after,
                evidence,
                ..
            } = seen;

            out.push(Effect::Notice(Notice::AddressChanged {
                region: region.clone(),
                address,
                before,
                after,
                evidence,
            }));
        }

        if changed.endpoint.is_some() {
            let condition = tracker.condition();
            out.push(Effect::Notice(Notice::Observed { region, condition }));
        }

        if changed.address.is_some() || changed.endpoint.is_some() {
            self.publish(now, out);
            self.judge(now, out);
        }
    }

    fn canaries_checked(&mut self, is_reached: bool, now: Now, out: &mut Vec<Effect>) {
        self.is_checking = false;
        self.check_canaries(now.monotonic + CANARY_PAUSE, out);
        if self.is_abstaining != is_reached {
            return;
        }

        self.is_abstaining = !is_reached;
        out.push(Effect::Notice(Notice::Abstains(self.is_abstaining)));
        out.push(Effect::Notice(if is_reached {
            Notice::CanaryReached
        } else {
            Notice::CanariesLost
        }));

        self.forget_observations(now, out);
        self.publish(now, out);
        self.judge(now, out);
    }

    fn set_draining(&mut self, is_draining: bool, now: Now, out: &mut Vec<Effect>) {
        if self.is_draining == is_draining {
            return;
        }

        self.is_draining = is_draining;
        out.push(Effect::Notice(Notice::DrainChanged(is_draining)));
        self.publish(now, out);
        self.judge(now, out);
    }

    fn tick(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.adjust_to_wall_clock(now, out);
        self.adopt_role(now, out);
        self.repeat_lost(now, out);

        let own_before = self.own_report();
        self.record_own_readiness(now);
        let own = self.own_report();
        if own != own_before && own == Some(Condition::Failed) {
            out.push(Effect::Notice(Notice::OwnRegionFailed));
        }

        let is_due = self.published.is_none_or(|published| {
            now.monotonic.saturating_duration_since(published) >= REPUBLISH
        });
        if own != own_before || is_due {
            self.publish(now, out);
        }

        let is_outdated = self.fresh_until.is_some_and(|until| now.monotonic > until);
        if own != own_before || self.is_unjudged || is_outdated {
            self.judge(now, out);
        }
    }

    fn record_own_readiness(&mut self, now: Now) {
        let Some(tracker) = &mut self.own_readiness else {
            return;
        };
        let result = if self.is_ready {
            ProbeResult::Success {
                round_trip_us: 0,
                evidence: "ready".into(),
            }
        } else {
            ProbeResult::DefiniteFailure("the embedded model server is not ready".into())
        };

        let now_ms = self.clock.ms(now.monotonic);
        tracker.record(result, now_ms, &self.settings.policy.probes);
    }

    /// Published verdicts carry wall-clock times, which the leader compares with its plan's: when
    /// the wall clock is set, they move with it.
    fn adjust_to_wall_clock(&mut self, now: Now, out: &mut Vec<Effect>) {
        let clock_ms = self.clock.ms(now.monotonic);
        let Some(by_ms) = self.shift.update(clock_ms, now.unix_ms) else {
            return;
        };

        for verdict in Arc::make_mut(&mut self.verdicts).values_mut() {
            shift(verdict, by_ms);
        }
        out.push(Effect::Verdicts(self.verdicts.clone()));
    }

    fn forget_observations(&mut self, now: Now, out: &mut Vec<Effect>) {
        let now_ms = self.clock.ms(now.monotonic);
        let endpoints = self.settings.endpoints.iter();
        self.trackers = endpoints
            .map(|(region, endpoint)| {
                let tracker = EndpointTracker::new(&endpoint.probed(), now_ms);
                (region.clone(), tracker)
            })
            .collect();

        out.extend(self.trackers.keys().map(|region| {
            Effect::Notice(Notice::Observed {
                region: region.clone(),
                condition: Condition::Unknown,
            })
        }));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
