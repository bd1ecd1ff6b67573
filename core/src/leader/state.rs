//! The state of the leader part.

use super::{
    board,
    certificate::{self, Renewal},
    clocks::Clocks,
    election::{Election, ElectionSettings, ElectionView, KnownLeader},
    member_change::Change,
    pause::AddressPause,
    plan_clock::PlanClock,
    proposer::{Proposer, ProposerSettings},
    sightings::Sightings,
    trust::Trust,
    types::{Contact, LeaderView, Settings},
};
use crate::{
    gossip::{BoardView, Verifier},
    health::verdict::RegionVerdict,
    keys::OrderVerifier,
    now::{Now, millis},
    planning::{
        CostTarget, PlanInputs,
        freeze::{Freeze, FreezeWatch, OwnView},
        load::LoadMeter,
    },
    ticket::Ticket,
};
use regionmesh_protocol::{
    identity::RegionName,
    plan::{CommittedPlan, Order, Plan},
    register::{
        ballot::{Ballot, Bounds},
        members::Members,
    },
    status::{StatusEntry, StatusKind, condition::Condition},
};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Instant,
};

/// One agent's part in elections, plans and orders.
pub struct Leader {
    pub(super) settings: Settings,
    /// Checks what other agents sign.
    pub(super) verifier: Arc<dyn Verifier>,
    /// Checks what operators order.
    pub(super) order_verifier: Arc<dyn OrderVerifier>,
    pub(super) started: Instant,
    pub(super) election: Election,
    pub(super) proposer: Proposer,
    pub(super) seen: Seen,
    pub(super) clocks: Clocks,
    /// The highest committed plan known.
    pub(super) plan: Option<Arc<CommittedPlan>>,
    /// The change of members that is under way.
    pub(super) change: Option<Change>,
    /// Unanswered calls to each acceptor.
    pub(super) calls: BTreeMap<RegionName, usize>,
    pub(super) proposed_at: Option<Instant>,
    pub(super) published: Published,
    pub(super) meter: LoadMeter,
    /// Notices when the plan is frozen.
    pub(super) freeze: FreezeWatch,
    /// Delays a change of addresses for changes that follow it.
    pub(super) pause: AddressPause,
    /// Orders that wait for their turn.
    pub(super) orders: VecDeque<(Order, Ticket)>,
    /// Who waits for the plan that is being committed.
    pub(super) ordered: Option<Ticket>,
    /// Which claims of other agents are believed.
    pub(super) trust: Trust,
    /// Decides when a plan needs new signatures.
    pub(super) renewal: Renewal,
    pub(super) cost: CostShift,
    pub(super) judging: Sightings,
    /// Until when this leader makes no plan, after objections to the last.
    pub(super) rests_until: Option<Instant>,
}

/// What other parts of the agent last reported.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) board: Arc<BoardView>,
    pub(super) verdicts: Arc<BTreeMap<RegionName, RegionVerdict>>,
    pub(super) own_view: Arc<BTreeMap<RegionName, OwnView>>,
    pub(super) contact: Contact,
    /// See [`ElectionView`].
    pub(super) candidacy: Option<u64>,
}

/// What other parts of the agent know, so that only changes are passed on.
#[derive(Debug, Default)]
pub(super) struct Published {
    /// When each status entry was published, until the board shows it.
    pub(super) entries: BTreeMap<StatusKind, (Instant, StatusEntry)>,
    pub(super) leader: Option<LeaderView>,
    pub(super) highest: Option<Option<Ballot>>,
    pub(super) inputs: Option<Arc<PlanInputs>>,
    pub(super) freeze: Option<Arc<Freeze>>,
    pub(super) bounds: Option<Bounds>,
    /// Acceptors that were reported as implausible.
    pub(super) strays: Option<BTreeSet<String>>,
}

/// Traffic to move to cheaper regions.
#[derive(Debug, Default)]
pub(super) struct CostShift {
    /// When it was last asked for, while this agent leads.
    pub(super) asked: Option<Instant>,
    pub(super) target: Option<CostTarget>,
    /// Why no traffic moves, as of the last target.
    pub(super) idle: Option<String>,
}

impl Leader {
    /// `boot` must differ between any two runs of an agent: no ballot may be used twice.
    /// `plan_clock`: a new one, or that of before if only this part was restarted.
    pub fn new(
        settings: Settings,
        verifier: Arc<dyn Verifier>,
        order_verifier: Arc<dyn OrderVerifier>,
        boot: u64,
        plan_clock: PlanClock,
        now: Now,
    ) -> Self {
        let election = Election::new(ElectionSettings::default(), settings.id.clone(), boot);

        Self {
            settings,
            verifier,
            order_verifier,
            started: now.monotonic,
            election,
            proposer: Proposer::new(ProposerSettings::default()),
            seen: Seen {
                candidacy: Some(0),
                ..Seen::default()
            },
            clocks: Clocks::new(plan_clock, now),
            plan: None,
            change: None,
            calls: BTreeMap::new(),
            proposed_at: None,
            published: Published::default(),
            meter: LoadMeter::default(),
            freeze: FreezeWatch::default(),
            pause: AddressPause::default(),
            orders: VecDeque::new(),
            ordered: None,
            trust: Trust::default(),
            renewal: Renewal::default(),
            cost: CostShift::default(),
            judging: Sightings::default(),
            rests_until: None,
        }
    }

    pub(super) fn own_region(&self) -> &RegionName {
        &self.settings.id.region
    }

    pub(super) fn board(&self) -> Arc<BoardView> {
        self.seen.board.clone()
    }

    /// Milliseconds since the start.
    pub(super) fn now_ms(&self, now: Now) -> u64 {
        millis(now.monotonic.saturating_duration_since(self.started))
    }

    /// The register's members as far as known; none while no plan is.
    pub(super) fn members(&self) -> Option<Members> {
        let known = self.plan.as_ref().map(|known| &known.plan.members);
        self.proposer
            .members()
            .or(known)
            .filter(|members| !members.is_empty())
            .cloned()
    }

    /// The register's members as far as known, else those that the configuration names.
    pub(super) fn member_names(&self) -> BTreeSet<RegionName> {
        self.members().map_or_else(
            || self.settings.configured.clone(),
            |members| members.names(),
        )
    }

    /// What the election sees.
    pub(super) fn view(&self) -> ElectionView {
        let failed = self
            .seen
            .verdicts
            .iter()
            .filter(|(_, verdict)| verdict.condition == Condition::Failed)
            .map(|(region, _)| region.clone())
            .collect();

        ElectionView {
            leader: self.known_leader(&self.seen.board),
            failed,
            members: self.member_names(),
            is_clock_off: self.clocks.own.is_off,
            candidacy: self.seen.candidacy,
        }
    }

    /// The plan that this agent knows, if it is confirmed.
    pub(super) fn confirmed_plan(&self) -> Option<&Arc<CommittedPlan>> {
        self.plan.as_ref().filter(|_| self.trust.is_plan_confirmed)
    }

    /// Whether the certificate of a plan proves it to the members known, or without them to those
    /// of the configuration.
    pub(super) fn is_certified(&self, plan: &CommittedPlan, known: Option<&Members>) -> bool {
        let mesh = &self.settings.mesh;
        self.with_voters(known, |voters| {
            certificate::is_certified(plan, voters, mesh, &*self.verifier)
        })
    }

    /// The other agent that claims to lead, if it is believed.
    pub(super) fn known_leader(&self, board: &BoardView) -> Option<KnownLeader> {
        let planned = self.confirmed_plan();
        let is_believed = |ballot: &Ballot| {
            ballot.number <= self.election.known().allowance().number
                && (self.trust.promised.as_ref() == Some(ballot)
                    || self.trust.leaders.contains(ballot)
                    || planned.is_some_and(|planned| planned.stamp.ballot == *ballot))
        };

        board::known_leader(board, &self.settings.id, is_believed)
    }

    /// The last plan that the proposer knows to be decided, with its times by our own clock.
    pub(super) fn decided_by_own_clock(&self, now: Now) -> Option<Cow<'_, Plan>> {
        let (_, plan) = self.proposer.decided()?;
        Some(self.clocks.plan.by_own_clock(plan, now))
    }
}
