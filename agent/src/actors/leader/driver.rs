//! Drives the election and the proposer: feeds them events and performs their effects.

use super::{
    arguments::LeaderArguments,
    board,
    coalesce::AddressPause,
    member_change::{Change, OrderReply},
    trust::Trust,
};
use crate::{actors::messages::LeaderMessage, refusals::reason};
use ractor::ActorRef;
use regionmesh_core::{
    gossip::BoardView,
    leader::{
        certificate::Renewal,
        election::{Election, ElectionSettings, ElectionView},
        proposer::{Proposer, ProposerSettings},
    },
    planning::{CostTarget, freeze::FreezeWatch, load::LoadMeter},
};
use regionmesh_protocol::{
    identity::{IdentityError, RegionName},
    plan::Order,
    register::{
        acceptor::AcceptorRequest,
        members::{Members, configured},
    },
    status::{StatusEntry, StatusKind},
};
use regionmesh_store::SavedPlan;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Instant,
};

/// The logic of the actor, from its start to its end.
pub(super) struct Driver {
    pub(super) arguments: LeaderArguments,
    pub(super) myself: ActorRef<LeaderMessage>,
    pub(super) started: Instant,
    pub(super) election: Election,
    pub(super) proposer: Proposer,
    /// The acceptors that the configuration names; a new register begins with them.
    pub(super) configured: BTreeSet<RegionName>,
    /// The change of members that is under way.
    pub(super) change: Option<Change>,
    pub(super) calls: BTreeMap<RegionName, usize>,
    pub(super) proposed_at: Option<Instant>,
    pub(super) published: BTreeMap<StatusKind, (Instant, StatusEntry)>,
    pub(super) meter: LoadMeter,
    /// Notices when the plan is frozen.
    pub(super) freeze: FreezeWatch,
    /// Delays a change of addresses for changes that follow it.
    pub(super) pause: AddressPause,
    /// Orders that wait for their turn.
    pub(super) orders: VecDeque<(Order, OrderReply)>,
    /// Who waits for the plan that is being committed.
    pub(super) ordered: Option<OrderReply>,
    /// Which claims of other agents are believed.
    pub(super) trust: Trust,
    /// When this agent's clock was last judged.
    pub(super) clock_judged: Option<Instant>,
    /// Decides when a plan needs new signatures.
    pub(super) renewal: Renewal,
    /// When the cost shift was last computed, and its result.
    pub(super) cost: Option<(Instant, Option<CostTarget>)>,
}

impl Driver {
    pub(super) fn new(
        arguments: LeaderArguments,
        boot: u64,
        myself: ActorRef<LeaderMessage>,
    ) -> Result<Self, IdentityError> {
        let regions = arguments
            .config
            .regions
            .iter()
            .map(|region| region.name.clone());
        let configured = configured(regions, arguments.witness.is_some())?;
        let election = Election::new(ElectionSettings::default(), arguments.id.clone(), boot);

        Ok(Self {
            arguments,
            myself,
            started: Instant::now(),
            election,
            proposer: Proposer::new(ProposerSettings::default()),
            configured,
            change: None,
            calls: BTreeMap::new(),
            proposed_at: None,
            published: BTreeMap::new(),
            meter: LoadMeter::default(),
            freeze: FreezeWatch::default(),
            pause: AddressPause::default(),
            orders: VecDeque::new(),
            ordered: None,
            trust: Trust::default(),
            clock_judged: None,
            renewal: Renewal::default(),
            cost: None,
        })
    }

    /// Loads the plan from before the start and reads our acceptor.
    pub(super) fn start(&mut self, saved: Option<SavedPlan>) {
        let metrics = &self.arguments.metrics;
        metrics
            .register
            .members
            .set(i64::try_from(self.configured.len()).unwrap_or(i64::MAX));
        metrics.election.is_leader.set(0);
        for region in &self.arguments.config.regions {
            metrics
                .frozen
                .left_out
                .with_label_values(&[region.name.as_str()])
                .set(0);
        }

        if let Some(saved) = saved {
            self.restore(&saved);
        }

        let own = self.arguments.id.region.clone();
        let read = AcceptorRequest::Read;
        self.call_acceptor(own, read);
        self.publish_changes();
    }

    /// Continues with a plan from the disk if it is proven. It is compared with the acceptors as
    /// soon as they can be read.
    fn restore(&mut self, saved: &SavedPlan) {
        let plan = &saved.committed;
        let signing = &self.arguments.signing;
        let is_certified = self.with_voters(None, |voters| signing.is_certified(plan, voters));

        if is_certified || signing.is_own(saved) {
            self.learn_plan(plan, false, None);
            return;
        }

        tracing::warn!(
            stamp = %plan.stamp,
            "the plan in the data directory has neither a valid certificate nor this agent's \
                signature; waiting for the register's"
        );
        self.arguments
            .refusals
            .count_one(reason::PLAN_NOT_COMMITTED);
    }

    /// Publishes that this agent no longer leads, so that others need not wait for a timeout.
    pub(super) fn stop(&mut self) {
        self.proposer = Proposer::new(ProposerSettings::default());
        self.refuse_orders("the leader's agent stops");
        self.publish_changes();
    }

    pub(super) fn tick(&mut self) {
        let board = self.board();
        self.weigh(&board);
        self.check_clocks(&board);
        self.judge_currency(&board);

        let view = self.view();
        self.notice_successor(&view);

        let now_ms = self.now_ms();
        let effects = self.proposer.tick(now_ms);
        self.carry_out(effects);

        let effect = self.election.tick(&view, now_ms, rand::random());
        self.carry_out_election(effect);
        self.plan_ahead(&board);
        self.publish_changes();
        self.judge_freeze(&board);
    }

    /// The register's members as far as known; none while no plan is.
    pub(super) fn members(&self) -> Option<Members> {
        let known = self
            .arguments
            .snapshots
            .plan
            .borrow()
            .as_ref()
            .map(|known| known.plan.members.clone());

        self.proposer
            .members()
            .cloned()
            .or(known)
            .filter(|members| !members.is_empty())
    }

    pub(super) fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn board(&self) -> Arc<BoardView> {
        self.arguments.snapshots.board.borrow().clone()
    }

    pub(super) fn view(&self) -> ElectionView {
        let verdicts = self.arguments.snapshots.verdicts.borrow().clone();
        let is_clock_off = self.arguments.snapshots.clocks.is_off();
        let view = board::view(
            self.known_leader(&self.board()),
            &verdicts,
            self.member_names(),
        );

        ElectionView {
            is_clock_off,
            ..view
        }
    }

    /// The register's members as far as known, else those that the configuration names.
    pub(super) fn member_names(&self) -> BTreeSet<RegionName> {
        self.members()
            .map_or_else(|| self.configured.clone(), |members| members.names())
    }
}
