//! One agent's health part, and everything around it.

use super::*;
use crate::{
    gossip::{AgentView, SeenStatus},
    health::{gray::GrayPolicy, probe::ProbePolicy},
    planning::freeze::OwnView,
};
use rand::{SeedableRng, rngs::StdRng};
use regionmesh_protocol::status::{
    Observations, StatusEntry, StatusKind, condition::Observation, entry::EntryVersion,
};

/// Virtual time within which something must happen.
const DEADLINE: Duration = Duration::from_secs(20);
pub(super) const TICK: Duration = Duration::from_millis(500);

/// What an endpoint does.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Answer {
    Answers,
    Refuses,
    Hangs,
    /// Answers readiness probes alone.
    InfersWrongly,
}

/// What is due.
enum Event {
    Tick,
    Canaries,
    Probe(Probe),
    Ended(FinishedProbe),
}

/// The agent `a/node-0` of a mesh of three regions: a, b and c.
pub(super) struct World {
    health: Health,
    settings: Settings,
    rng: StdRng,
    pub(super) now: Now,
    /// What both clocks showed at the start.
    origin: Now,
    /// By how much the wall clock was set back.
    pub(super) set_back_ms: u64,
    events: BTreeMap<(Instant, u64), Event>,
    scheduled: u64,
    script: BTreeMap<(RegionName, usize), Answer>,
    pub(super) is_canary_reached: bool,
    /// Whether probes are lost.
    pub(super) loses: bool,
    /// Readiness of the embedded server.
    pub(super) is_ready: bool,
    pub(super) board: BoardView,
    /// Whether other agents' failures are definite ones.
    pub(super) is_definite: bool,
    pub(super) published: Vec<Observations>,
    pub(super) verdicts: Arc<BTreeMap<RegionName, RegionVerdict>>,
    pub(super) own_view: Arc<BTreeMap<RegionName, OwnView>>,
    pub(super) notices: Vec<Notice>,
    /// Probes that were started.
    pub(super) probes: Vec<Probe>,
}

/// Of three regions with one endpoint each, by its name.
pub(super) fn settings() -> Settings {
    let probes = ProbePolicy {
        failures: 3,
        evidence_ms: 300,
        interval_ms: 20,
        confirm_interval_ms: 20,
        successes: 3,
        suspect_ms: 300,
        silent_ms: 900,
        gap_ms: 320,
    };
    let endpoints = ["a", "b", "c"]
        .map(|region| (region.parse().unwrap(), EndpointSettings::default()))
        .into();

    Settings {
        id: "a/node-0".parse().unwrap(),
        policy: endpoint::EndpointPolicy {
            probes,
            gray: GrayPolicy::default(),
            minimum: 1,
        },
        endpoints,
        has_canaries: false,
        serves_at: None,
    }
}

impl World {
    pub(super) fn new(settings: Settings) -> Self {
        let now = Now {
            monotonic: Instant::now() + Duration::from_secs(3_600),
            unix_ms: 1_700_000_000_000,
        };

        Self {
            health: Health::new(settings.clone(), now),
            settings,
            rng: StdRng::seed_from_u64(7),
            now,
            origin: now,
            set_back_ms: 0,
            events: BTreeMap::new(),
            scheduled: 0,
            script: BTreeMap::new(),
            is_canary_reached: true,
            loses: false,
            is_ready: false,
            board: BoardView::default(),
            is_definite: false,
            published: Vec::new(),
            verdicts: Arc::default(),
            own_view: Arc::default(),
            notices: Vec::new(),
            probes: Vec::new(),
        }
    }

    pub(super) fn start(&mut self) {
        let restored = Restored {
            board: Arc::new(self.board.clone()),
            verdicts: self.verdicts.clone(),
        };
        self.input(Input::Started(restored));
        self.schedule(self.now.monotonic, Event::Tick);
    }

    /// Replaces the part by a new one, as a restart of the core does.
    pub(super) fn restart(&mut self) {
        self.events.clear();
        self.health = Health::new(self.settings.clone(), self.now);
        self.start();
    }

    pub(super) fn started(settings: Settings) -> Self {
        let mut world = Self::new(settings);
        world.start();
        world
    }

    pub(super) fn healthy() -> Self {
        let mut world = Self::started(settings());
        for region in ["a", "b", "c"] {
            world.until_observed(region, Condition::Healthy);
        }
        world
    }

    pub(super) fn set(&mut self, region: &str, index: usize, answer: Answer) {
        self.script.insert((region.parse().unwrap(), index), answer);
    }

    pub(super) fn input(&mut self, input: Input) {
        let mut effects = Vec::new();
        self.health
            .handle(input, self.now, &mut self.rng, &mut effects);

        for effect in effects {
            match effect {
                Effect::Probe(probe) => self.schedule(probe.at, Event::Probe(probe)),
                Effect::CheckCanaries(at) => self.schedule(at, Event::Canaries),
                Effect::Publish(status_entry) => {
                    let StatusEntry::Observations(observations) = *status_entry else {
                        panic!("{status_entry:?} is not an observation");
                    };
                    self.published.push(observations);
                }
                Effect::Verdicts(verdicts) => self.verdicts = verdicts,
                Effect::OwnView(view) => self.own_view = view,
                Effect::Notice(notice) => self.notices.push(notice),
            }
        }
    }

    fn schedule(&mut self, at: Instant, event: Event) {
        self.scheduled += 1;
        let at = at.max(self.now.monotonic);
        self.events.insert((at, self.scheduled), event);
    }

    /// Lets the next event happen.
    fn step(&mut self) {
        let ((at, _), event) = self.events.pop_first().unwrap();
        let passed = at - self.origin.monotonic;
        self.now.monotonic = at;
        self.now.unix_ms =
            self.origin.unix_ms + u64::try_from(passed.as_millis()).unwrap() - self.set_back_ms;

        match event {
            Event::Tick => {
                self.input(Input::OwnServing(self.is_ready));
                self.input(Input::Tick);
                self.schedule(at + TICK, Event::Tick);
            }
            Event::Canaries if self.loses => self.input(Input::CanaryCheckLost),
            Event::Canaries => self.input(Input::CanariesChecked(self.is_canary_reached)),
            Event::Probe(Probe { region, index, .. }) if self.loses => {
                self.input(Input::ProbeLost { region, index });
            }
            Event::Probe(probe) => self.perform(probe),
            Event::Ended(finished) => self.input(Input::ProbeFinished(finished)),
        }
    }

    fn perform(&mut self, probe: Probe) {
        let answer = self
            .script
            .get(&(probe.region.clone(), probe.index))
            .copied()
            .unwrap_or(Answer::Answers);
        let is_wrong = answer == Answer::InfersWrongly && probe.is_inference;

        let result = match answer {
            _ if is_wrong => ProbeResult::DefiniteFailure("output y is 2, expected 1".into()),
            Answer::Answers | Answer::InfersWrongly => ProbeResult::Success {
                round_trip_us: 700,
                evidence: "200 in 0.7 ms".into(),
            },
            Answer::Refuses => ProbeResult::DefiniteFailure("connection refused".into()),
            Answer::Hangs => ProbeResult::Silence("no answer in 50 ms".into()),
        };

        let took_ms = if answer == Answer::Hangs { 50 } else { 1 };
        let ended = self.now.monotonic + Duration::from_millis(took_ms);
        self.probes.push(probe.clone());

        let finished = FinishedProbe {
            region: probe.region,
            index: probe.index,
            is_inference: probe.is_inference,
            result,
            started: self.now.monotonic,
            ended,
        };
        self.schedule(ended, Event::Ended(finished));
    }

    /// Lets time pass until something is so.
    pub(super) fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let deadline = self.now.monotonic + DEADLINE;
        while !is_so(self) {
            assert!(self.now.monotonic < deadline, "never {what}");
            self.step();
        }
    }

    pub(super) fn run_for(&mut self, time: Duration) {
        let end = self.now.monotonic + time;
        while self.events.keys().next().unwrap().0 <= end {
            self.step();
        }
    }

    /// Waits until the last published observations are as wanted.
    pub(super) fn until_published(
        &mut self,
        wanted: impl Fn(&Observations) -> bool,
    ) -> Observations {
        self.until("published", |world| {
            world.published.last().is_some_and(&wanted)
        });
        self.published.last().unwrap().clone()
    }

    pub(super) fn until_observed(&mut self, region: &str, condition: Condition) {
        self.until_published(|seen| observed(seen, region) == condition);
    }

    /// Waits until a verdict is as wanted.
    pub(super) fn until_judged(
        &mut self,
        region: &str,
        wanted: impl Fn(&RegionVerdict) -> bool,
    ) -> RegionVerdict {
        let region: RegionName = region.parse().unwrap();
        self.until("judged", |world| {
            world.verdicts.get(&region).is_some_and(&wanted)
        });
        self.verdicts[&region].clone()
    }

    pub(super) fn until_verdict(&mut self, region: &str, condition: Condition) -> RegionVerdict {
        self.until_judged(region, |verdict| verdict.condition == condition)
    }

    /// A living agent observes this of a region.
    pub(super) fn says(&mut self, agent: &str, region: &str, condition: Condition) {
        self.hear(agent, &[(region, condition)], None, true, Duration::ZERO);
    }

    /// The board changes: `agent` observes and reports this.
    pub(super) fn hear(
        &mut self,
        agent: &str,
        says: &[(&str, Condition)],
        own: Option<Condition>,
        is_alive: bool,
        age: Duration,
    ) {
        self.put(agent, says, own, is_alive, age);
        self.input(Input::Board(Arc::new(self.board.clone())));
    }

    /// Puts what `agent` observes and reports on the board.
    pub(super) fn put(
        &mut self,
        agent: &str,
        says: &[(&str, Condition)],
        own: Option<Condition>,
        is_alive: bool,
        age: Duration,
    ) {
        let regions = says.iter().map(|(region, condition)| Observation {
            region: region.parse().unwrap(),
            condition: *condition,
            is_definite: self.is_definite,
            evidence: "as scripted".into(),
            since_ms: 1,
            round_trip_us: None,
            addresses: Vec::new(),
        });
        let observations = Observations {
            regions: regions.collect(),
            own,
            own_address: None,
        };

        let seen = SeenStatus {
            status_entry: Arc::new(StatusEntry::Observations(observations)),
            version: EntryVersion::default(),
            seen_at: self.now.monotonic - age,
        };
        let view = AgentView {
            is_alive,
            status_entries: [(StatusKind::Observations, seen)].into(),
        };

        self.board.agents.insert(agent.parse().unwrap(), view);
    }
}

pub(super) fn observed(observations: &Observations, region: &str) -> Condition {
    observations
        .regions
        .iter()
        .find(|observation| observation.region.as_str() == region)
        .unwrap()
        .condition
}
