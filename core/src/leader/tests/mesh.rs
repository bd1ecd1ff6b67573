//! The mesh that the tests drive.

mod actions;
mod effects;

pub(super) use actions::ordered;

use crate::{
    gossip::{BoardView, SeenStatus},
    health::verdict::RegionVerdict,
    leader::{
        Input, Leader, LeaderView, Notice, PlanClock, Refusal, Settings, Start,
        certificate::{check_answer, sign_answer},
    },
    now::Now,
    planning::judging::Objection,
    slots::Proposal,
    testing::{Key, Toy, plan_settings},
    ticket::Ticket,
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use regionmesh_protocol::{
    identity::{AgentId, MeshName, RegionName},
    plan::CommittedPlan,
    register::{
        acceptor::{AcceptorAnswer, AcceptorReply, AcceptorRequest, AcceptorState},
        ballot::{Ballot, Bounds, Stamp},
        certificate::AgentSignature,
        members::Incarnation,
        prevote::PreVoteRequest,
    },
    status::{StatusEntry, entry::EntryVersion},
    wire::OrderRefusal,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

pub(super) const REGIONS: [&str; 3] = ["ap-south-1", "eu-west-1", "us-west-2"];
/// Time on the way, one direction, milliseconds.
const TRIP_MS: u64 = 5;
const TICK_MS: u64 = 20;
/// Longest wait for anything, milliseconds.
const PATIENCE_MS: u64 = 20_000;
const START_MS: u64 = 1_789_992_000_000;

pub(super) type Ordered = Result<CommittedPlan, OrderRefusal>;

/// One region's agent, its store, and what the rest of the agent knows.
pub(super) struct Agent {
    pub(super) id: AgentId,
    /// None if it does not run.
    pub(super) leader: Option<Leader>,
    /// Which run of the agent this is: events of earlier ones are dropped.
    run: u64,
    pub(super) acceptor: AcceptorState,
    bounds: Bounds,
    pub(super) board: BoardView,
    /// Whether what other agents publish reaches its board.
    pub(super) hears: bool,
    verdicts: BTreeMap<RegionName, RegionVerdict>,
    pub(super) plan: Option<Arc<CommittedPlan>>,
    pub(super) view: LeaderView,
    pub(super) is_current: bool,
    pub(super) notices: Vec<Notice>,
    pub(super) refusals: Vec<Refusal>,
}

/// Something that will happen.
enum Event {
    Input {
        to: RegionName,
        run: u64,
        input: Input,
    },
    Tick {
        region: RegionName,
        run: u64,
    },
    Call {
        from: RegionName,
        run: u64,
        to: RegionName,
        request: AcceptorRequest,
        /// The round, if it is a read.
        round: Option<u64>,
    },
    Vote {
        from: RegionName,
        run: u64,
        to: RegionName,
        ballot: Ballot,
    },
    Publish {
        owner: AgentId,
        entry: StatusEntry,
    },
}

pub(super) struct Mesh {
    pub(super) agents: BTreeMap<RegionName, Agent>,
    /// The stamps that each region's agent asked acceptors to accept plans under.
    pub(super) proposed: BTreeSet<(RegionName, Stamp)>,
    /// Regions that no call reaches or leaves.
    pub(super) cut: BTreeSet<RegionName>,
    begun: Instant,
    pub(super) elapsed_ms: u64,
    events: BTreeMap<(u64, u64), Event>,
    scheduled: u64,
    /// Candidates that wait for a vote, with their run and ballot.
    asked: BTreeMap<Ticket, (RegionName, u64, Ballot)>,
    ordered: BTreeMap<Ticket, Option<Ordered>>,
    judged: BTreeMap<Ticket, Result<(), Objection>>,
    /// Whether agents judge what they are asked to accept.
    pub(super) judges: bool,
    tickets: u64,
    rng: StdRng,
}

pub(super) fn name(region: &str) -> RegionName {
    region.parse().unwrap()
}

pub(super) fn mesh_name() -> MeshName {
    "test".parse().unwrap()
}

fn settings(region: &str) -> Settings {
    Settings {
        id: format!("{region}/a").parse().unwrap(),
        mesh: mesh_name(),
        configured: REGIONS.map(name).into(),
        plan: plan_settings(&REGIONS),
        filters_when_frozen: true,
        withdraws_when_all_failed: false,
    }
}

impl Mesh {
    pub(super) fn start() -> Self {
        let mut rng = StdRng::seed_from_u64(12);
        let agents = REGIONS.map(|region| {
            let agent = Agent {
                id: settings(region).id,
                leader: None,
                run: 0,
                acceptor: AcceptorState::begin(Incarnation(rng.next_u64())),
                bounds: Bounds::default(),
                board: BoardView::default(),
                hears: true,
                verdicts: BTreeMap::new(),
                plan: None,
                view: LeaderView::default(),
                is_current: false,
                notices: Vec::new(),
                refusals: Vec::new(),
            };
            (name(region), agent)
        });

        let mut mesh = Self {
            agents: agents.into(),
            proposed: BTreeSet::new(),
            cut: BTreeSet::new(),
            begun: Instant::now(),
            elapsed_ms: 0,
            events: BTreeMap::new(),
            scheduled: 0,
            asked: BTreeMap::new(),
            ordered: BTreeMap::new(),
            judged: BTreeMap::new(),
            judges: true,
            tickets: 0,
            rng,
        };

        for region in REGIONS {
            mesh.spawn(&name(region), None);
        }
        mesh
    }

    /// Starts a region's agent with the plan from its disk.
    pub(super) fn spawn(&mut self, region: &RegionName, saved: Option<CommittedPlan>) {
        self.spawn_with(region, saved, None);
    }

    /// The same, with the agent's own signature of the plan.
    pub(super) fn spawn_with(
        &mut self,
        region: &RegionName,
        saved: Option<CommittedPlan>,
        confirmation: Option<AgentSignature>,
    ) {
        let now = self.now();
        let boot = self.rng.next_u64();
        let plan_clock = PlanClock::new(now.monotonic);
        let agent = self.agents.get_mut(region).unwrap();

        agent.run += 1;
        agent.leader = Some(Leader::new(
            settings(region.as_str()),
            Arc::new(Toy),
            Arc::new(Toy),
            boot,
            plan_clock,
            now,
        ));
        agent.plan = None;
        agent.view = LeaderView::default();
        agent.is_current = false;

        let run = agent.run;
        let start = Start {
            saved,
            confirmation,
            known: None,
            freeze: None,
        };
        self.feed(region, Input::Start(Box::new(start)));

        let region = region.clone();
        self.schedule(0, Event::Tick { region, run });
    }

    /// Kills a region's agent, and marks it dead on every board.
    pub(super) fn kill(&mut self, region: &RegionName) {
        let agent = self.agents.get_mut(region).unwrap();
        agent.leader = None;
        agent.run += 1;

        let id = agent.id.clone();
        for agent in self.agents.values_mut() {
            agent.board.agents.get_mut(&id).unwrap().is_alive = false;
        }
    }

    pub(super) fn now(&self) -> Now {
        Now {
            monotonic: self.begun + Duration::from_millis(self.elapsed_ms),
            unix_ms: START_MS + self.elapsed_ms,
        }
    }

    fn schedule(&mut self, in_ms: u64, event: Event) {
        self.scheduled += 1;
        self.events
            .insert((self.elapsed_ms + in_ms, self.scheduled), event);
    }

    /// Passes time until `check` finds what it looks for.
    pub(super) fn until<T>(&mut self, what: &str, check: impl Fn(&Self) -> Option<T>) -> T {
        let deadline_ms = self.elapsed_ms + PATIENCE_MS;
        loop {
            if let Some(found) = check(self) {
                return found;
            }

            let ((at_ms, _), event) = self.events.pop_first().unwrap();
            assert!(at_ms < deadline_ms, "waited in vain: {what}");
            self.elapsed_ms = at_ms;
            self.happen(event);
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Input { to, run, input } => {
                if self.agents[&to].run == run {
                    self.feed(&to, input);
                }
            }
            Event::Tick { region, run } => {
                if self.agents[&region].run == run {
                    self.feed(&region, Input::Tick);
                    self.schedule(TICK_MS, Event::Tick { region, run });
                }
            }
            Event::Call {
                from,
                run,
                to,
                request,
                round,
            } => {
                let answer = self.call(&from, &to, &request);
                let input = match round {
                    None => Input::AcceptorAnswered { from: to, answer },
                    Some(round) => Input::AcceptorRead {
                        round,
                        from: to,
                        answer,
                    },
                };
                let to = from;
                self.schedule(TRIP_MS, Event::Input { to, run, input });
            }
            Event::Vote {
                from,
                run,
                to,
                ballot,
            } => self.ask_vote(from, run, to, ballot),
            Event::Publish { owner, entry } => {
                let regions: Vec<RegionName> = self.agents.keys().cloned().collect();
                for region in regions {
                    if self.agents[&region].hears || region == owner.region {
                        self.publish_to(&region, &owner, &entry);
                    }
                }
            }
        }
    }

    /// Puts an entry on one agent's board.
    pub(super) fn publish_to(&mut self, region: &RegionName, owner: &AgentId, entry: &StatusEntry) {
        let seen = SeenStatus {
            status_entry: Arc::new(entry.clone()),
            version: EntryVersion::default(),
            seen_at: self.now().monotonic,
        };
        let board = &mut self.agents.get_mut(region).unwrap().board;
        let view = board.agents.entry(owner.clone()).or_default();

        view.is_alive = true;
        view.status_entries.insert(entry.kind(), seen);
    }

    fn is_reachable(&self, from: &RegionName, to: &RegionName) -> bool {
        self.agents[to].leader.is_some() && !self.cut.contains(from) && !self.cut.contains(to)
    }

    /// Asks an acceptor: one's own in its store, others through their agent, which signs.
    pub(super) fn call(
        &mut self,
        from: &RegionName,
        to: &RegionName,
        request: &AcceptorRequest,
    ) -> Result<AcceptorAnswer, String> {
        if let AcceptorRequest::Accept(stamp, _) = request {
            self.proposed.insert((from.clone(), stamp.clone()));
        }
        if from != to && !self.is_reachable(from, to) {
            return Err("not connected".into());
        }

        if let Some(objection) = self.objection(to, request) {
            return Ok(objection);
        }

        let agent = self.agents.get_mut(to).unwrap();
        let (reply, changed) = agent.acceptor.apply_within(request, &agent.bounds);
        agent.acceptor = changed.unwrap_or(agent.acceptor.clone());
        let incarnation = agent.acceptor.incarnation;

        let heard = Input::of_asked(request, &reply);
        if let Some(heard) = heard.filter(|_| from != to) {
            self.feed(to, heard);
        }

        let answer = AcceptorAnswer {
            incarnation,
            reply,
            acceptance: None,
        };
        let id = self.agents[to].id.clone();
        let answer = sign_answer(&mesh_name(), &id, &Key(id.clone(), 0), request, answer)?;
        if from == to {
            return Ok(answer);
        }

        check_answer(&mesh_name(), to, &Toy, request, answer)
    }

    /// What the agent of an acceptor answers instead of it.
    fn objection(&mut self, to: &RegionName, request: &AcceptorRequest) -> Option<AcceptorAnswer> {
        let AcceptorRequest::Accept(stamp, plan) = request else {
            return None;
        };
        if !self.judges {
            return None;
        }

        let AcceptorState {
            incarnation,
            accepted,
            ..
        } = self.agents[to].acceptor.clone();
        let proposal = Proposal {
            stamp: stamp.clone(),
            plan: plan.clone(),
            incarnation,
            accepted,
        };

        let objection = self.judge(to, proposal).err()?;
        let reply = AcceptorReply::Unjustified {
            stamp: stamp.clone(),
            why: objection.to_string(),
            is_final: objection.is_final(),
        };
        Some(AcceptorAnswer {
            incarnation,
            reply,
            acceptance: None,
        })
    }

    /// What a region's agent has against a proposal.
    pub(super) fn judge(&mut self, to: &RegionName, proposal: Proposal) -> Result<(), Objection> {
        let ticket = self.ticket();
        self.feed(to, Input::Proposed(Box::new(proposal), ticket));
        self.judged.remove(&ticket).unwrap()
    }

    fn ask_vote(&mut self, from: RegionName, run: u64, to: RegionName, ballot: Ballot) {
        if self.is_reachable(&from, &to) {
            let ticket = self.ticket();
            self.asked.insert(ticket, (from, run, ballot.clone()));
            self.feed(&to, Input::VoteAsked(PreVoteRequest { ballot }, ticket));
            return;
        }

        let vote = Err("not connected".into());
        let input = Input::Voted {
            from: to,
            ballot,
            vote,
        };
        let to = from;
        self.schedule(TRIP_MS, Event::Input { to, run, input });
    }

    fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }
}
