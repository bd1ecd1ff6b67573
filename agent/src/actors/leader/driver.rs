//! Drives the election and the proposer: feeds them what happened, carries out what they answer.

use super::{
    LeaderArguments, board,
    calls::{CALL_TIMEOUT, ask_acceptor, ask_voter},
    coalesce::AddressPause,
    members::Change,
    trust::Trust,
};
use crate::{
    actors::messages::{GossipMessage, LeaderMessage},
    cost::shift,
    snapshots::LeaderView,
};
use ractor::{ActorRef, RpcReplyPort};
use regionmesh_core::{
    gossip::BoardView,
    leader::{
        election::{Election, ElectionEffect, ElectionSettings, ElectionView},
        proposer::{Acceptors, Effect, Proposer, ProposerSettings, StepDown},
    },
    planning::{
        CostTarget, PlanInputs, freeze::FreezeWatch, load::LoadMeter, next_plan, plan_order,
    },
};
use regionmesh_protocol::{
    identity::{IdentityError, RegionName},
    plan::{CommittedPlan, Order, OrderAction, OrderError, Plan},
    register::{
        acceptor::{AcceptorAnswer, AcceptorRequest},
        ballot::{Ballot, Stamp},
        members::{Members, configured, register_id},
        prevote::{PreVoteReply, PreVoteRequest},
    },
    status::{LeaderStatus, StatusEntry, StatusKind},
    wire::OrderRefusal,
};
use regionmesh_runtime::time::unix_ms;
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

/// Calls to one acceptor at once: repeats of what it is slow to answer.
const CALLS_PER_MEMBER: usize = 4;
/// How long a start waits for another region's plan.
const HEARING: Duration = Duration::from_secs(3);
/// A fact that our own board entry does not show is published again after this long.
const REPUBLISH: Duration = Duration::from_secs(1);

/// How often it is judged what is moved for money: each time looks at every pair of regions.
const COST_JUDGED: Duration = Duration::from_secs(1);

/// Orders that may wait for the plan before them to be committed.
const ORDERS: usize = 16;

/// The members while there is no register yet.
static NOBODY: Members = Members {
    register: 0,
    acceptors: BTreeMap::new(),
};

/// Where the answer to an order goes.
pub(super) type OrderReply = RpcReplyPort<Result<CommittedPlan, OrderRefusal>>;

/// The logic of one life of the actor.
pub(super) struct Driver {
    pub(super) arguments: LeaderArguments,
    pub(super) myself: ActorRef<LeaderMessage>,
    started: Instant,
    pub(super) election: Election,
    pub(super) proposer: Proposer,
    /// The acceptors that the configuration names: those of a register that begins.
    pub(super) configured: BTreeSet<RegionName>,
    /// The change of members that is under way.
    pub(super) change: Option<Change>,
    calls: BTreeMap<RegionName, usize>,
    proposed_at: Option<Instant>,
    published: BTreeMap<StatusKind, (Instant, StatusEntry)>,
    meter: LoadMeter,
    /// Notices when the plan is frozen.
    pub(super) freeze: FreezeWatch,
    /// Lets a change of addresses wait for what follows it.
    pause: AddressPause,
    /// Orders that wait for their turn.
    orders: VecDeque<(Order, OrderReply)>,
    /// Whose order is in the plan that is being committed.
    pub(super) ordered: Option<OrderReply>,
    /// What is believed of what others tell.
    pub(super) trust: Trust,
    /// When this agent's clock was last judged.
    pub(super) clock_judged: Option<Instant>,
    /// When it was last judged what is moved for money, and to what end.
    cost: Option<(Instant, Option<CostTarget>)>,
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
            cost: None,
        })
    }

    /// Takes up what was known before the start and asks our acceptor for the rest.
    pub(super) fn start(&mut self, kept: Option<CommittedPlan>) {
        let metrics = &self.arguments.metrics;
        metrics
            .members
            .set(i64::try_from(self.configured.len()).unwrap_or(i64::MAX));
        metrics.is_leader.set(0);
        for region in &self.arguments.config.regions {
            metrics
                .left_out
                .with_label_values(&[region.name.as_str()])
                .set(0);
        }

        if let Some(plan) = kept {
            // From the disk: to be compared with what the acceptors say before it holds against
            // anything else.
            self.learn_plan(&plan, false, None);
        }

        let own = self.arguments.id.region.clone();
        let read = AcceptorRequest::Read;
        self.call_acceptor(own, read);
        self.publish_changes();
    }

    /// Says that this agent leads no longer, so that others need not wait until it is missed.
    pub(super) fn stop(&mut self) {
        self.proposer = Proposer::new(ProposerSettings::default());
        self.refuse_orders("the leader's agent stops");
        self.publish_changes();
    }

    pub(super) fn vote(&mut self, request: &PreVoteRequest) -> PreVoteReply {
        let view = self.view();
        let now_ms = self.now_ms();
        let reply = self.election.vote(request, &view, now_ms);

        // Perhaps it is us who were away: what the acceptors say shows it.
        self.trust.is_due |= request.ballot.number > self.election.known().allowance().number;
        tracing::debug!(ballot = %request.ballot, granted = reply.is_granted, reason = %reply.reason, "asked for our vote");
        reply
    }

    pub(super) fn proposer_heard(&mut self, ballot: &Ballot) {
        let now_ms = self.now_ms();
        self.election.heard(ballot, now_ms);
        self.trust.promised = Some(ballot.clone());
    }

    pub(super) fn tick(&mut self) {
        let board = self.board();
        self.weigh(&board);
        self.look_at_clocks(&board);
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

    /// An operator's order: taken up if this agent leads, as soon as the plan before it is
    /// committed.
    pub(super) fn order(&mut self, order: Order, reply: OrderReply) {
        let refuse = |reply: OrderReply, why: String| {
            // Whoever asked and no longer waits is answered by silence.
            let _ = reply.send(Err(OrderRefusal::NotNow(why)));
        };

        if self.proposer.leading().is_none() {
            return refuse(reply, format!("{} does not lead", self.arguments.id));
        }
        if self.orders.len() >= ORDERS {
            return refuse(reply, format!("{ORDERS} orders wait already"));
        }
        tracing::info!(action = ?order.action, region = ?order.region.as_ref().map(RegionName::as_str), by = ?order.by, why = ?order.why, for_ms = order.for_ms, "ordered");
        self.orders.push_back((order, reply));

        let board = self.board();
        self.plan_ahead(&board);
    }

    fn refuse_orders(&mut self, why: &str) {
        if let Some(reply) = self.ordered.take() {
            self.arguments
                .metrics
                .orders
                .with_label_values(&["unknown"])
                .inc();

            let _ = reply.send(Err(OrderRefusal::Unknown(why.into())));
        }

        self.refuse_change(why);
        for (_, reply) in self.orders.drain(..) {
            self.arguments
                .metrics
                .orders
                .with_label_values(&["refused"])
                .inc();

            let _ = reply.send(Err(OrderRefusal::NotNow(why.into())));
        }
    }

    /// A plan from before the start, or from before the process stood still, may be long overtaken:
    /// that of a region that comes back from the dead says that it serves. It is acted on once
    /// another region's was heard, or when nobody can be.
    fn judge_currency(&self, board: &BoardView) {
        let is_current = &self.arguments.snapshots.is_current;
        if *is_current.borrow() {
            return;
        }

        let has_elsewhere = self.arguments.config.regions.len() > 1;
        let resumed = *self.arguments.snapshots.resumed.borrow();
        let heard = *self.arguments.snapshots.heard.borrow();
        let known = self
            .arguments
            .snapshots
            .plan
            .borrow()
            .clone()
            .filter(|_| self.trust.is_plan_confirmed);

        let is_heard = match resumed {
            Some(resumed) => heard >= Some(resumed),
            None => known.is_some_and(|known| {
                board::is_heard_elsewhere(board, &self.arguments.id.region, &known.stamp)
            }),
        };

        if has_elsewhere && !is_heard {
            if self.started.max(resumed.unwrap_or(self.started)).elapsed() < HEARING {
                return;
            }
            if self.arguments.snapshots.plan.borrow().is_some() {
                tracing::warn!(waited = ?HEARING, "no other region confirms the plan; going on \
                    with the one known from before");
            }
        }

        is_current.send_replace(true);
    }

    /// A leader or a plan under a higher ballot than ours means that a majority promised it: we are
    /// fenced already.
    fn notice_successor(&mut self, view: &ElectionView) {
        let leader = view
            .leader
            .as_ref()
            .filter(|leader| leader.is_alive)
            .map(|leader| leader.ballot.clone());
        let known = self
            .arguments
            .snapshots
            .plan
            .borrow()
            .clone()
            .filter(|_| self.trust.is_plan_confirmed);

        let planned = known.map(|plan| plan.stamp.ballot.clone());
        let effects: Vec<_> = [leader, planned]
            .into_iter()
            .flatten()
            .flat_map(|ballot| self.proposer.outranked(ballot))
            .collect();

        self.carry_out(effects);
    }

    pub(super) fn acceptor_answered(
        &mut self,
        from: RegionName,
        answer: Result<AcceptorAnswer, String>,
    ) {
        if let Some(calls) = self.calls.get_mut(&from) {
            *calls = calls.saturating_sub(1);
        }

        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                self.arguments
                    .metrics
                    .calls_failed
                    .with_label_values(&[from.as_str()])
                    .inc();

                tracing::debug!(acceptor = %from, %error, "an acceptor did not answer");
                return;
            }
        };

        // An acceptor that says what can't be is heard no more than one that is away.
        if !self.note_acceptor(&from, &answer.reply) {
            return;
        }

        let now_ms = self.now_ms();
        let effects = self.proposer.answered(&from, answer, now_ms);
        self.carry_out(effects);
        if self.proposer.is_ready() {
            let board = self.board();
            self.plan_ahead(&board);
        }

        self.publish_changes();
    }

    pub(super) fn voted(
        &mut self,
        from: RegionName,
        ballot: Ballot,
        vote: Result<PreVoteReply, String>,
    ) {
        match &vote {
            Ok(vote) if vote.is_granted => {}
            Ok(vote) => tracing::debug!(%from, %ballot, reason = %vote.reason, "vote refused"),
            Err(error) => tracing::debug!(%from, %ballot, %error, "no vote"),
        }

        let view = self.view();
        let now_ms = self.now_ms();
        let effect = self.election.voted(
            &from,
            &ballot,
            vote.as_ref().ok(),
            &view,
            now_ms,
            rand::random(),
        );

        self.carry_out_election(effect);
    }

    fn carry_out_election(&mut self, effect: Option<ElectionEffect>) {
        let elections = &self.arguments.metrics.elections;
        match effect {
            None => {}
            Some(ElectionEffect::AskVotes(ballot, regions)) => {
                elections.with_label_values(&["asked"]).inc();
                tracing::debug!(%ballot, "no leader is seen; asking for votes");
                regions
                    .into_iter()
                    .for_each(|region| self.ask_vote(region, ballot.clone()));
            }
            Some(ElectionEffect::Stand(ballot)) => {
                elections.with_label_values(&["stood"]).inc();
                tracing::info!(%ballot, "standing for leader");

                let now_ms = self.now_ms();
                let acceptors = match self.members() {
                    Some(members) => Acceptors::Known(members),
                    None => {
                        let names = self.configured.clone();
                        let register = register_id(&self.arguments.config.mesh, &names);
                        Acceptors::First { names, register }
                    }
                };

                match self.proposer.prepare(ballot, acceptors, now_ms) {
                    Ok(effects) => self.carry_out(effects),
                    Err(error) => {
                        tracing::warn!(%error, "cannot stand for leader");
                        self.election.stepped_down(None, now_ms, rand::random());
                    }
                }
            }
        }
    }

    pub(super) fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Send { to, request } => self.call_acceptor(to, request),
                Effect::Elected(ballot) => {
                    self.arguments
                        .metrics
                        .elections
                        .with_label_values(&["won"])
                        .inc();

                    tracing::info!(%ballot, "elected leader");
                    self.election.elected(&ballot);
                }
                Effect::Committed(stamp, plan) => self.committed(stamp, plan),
                Effect::Joined(region, incarnation) => self.joined(region, incarnation),
                Effect::NotJoined(region, why) => self.not_joined(&region, &why),
                Effect::SteppedDown(ballot, reason) => self.stepped_down(&ballot, &reason),
            }
        }
    }

    fn committed(&mut self, stamp: Stamp, plan: Plan) {
        let metrics = &self.arguments.metrics;
        metrics.commits.inc();

        let duration = self.proposed_at.take().map(|at| at.elapsed());
        if let Some(duration) = duration {
            metrics.commit_duration.observe(duration.as_secs_f64());
        }
        tracing::info!(%stamp, seq = stamp.seq, reason = %plan.reason, ?duration, "plan committed");

        let committed = CommittedPlan { stamp, plan };
        self.decided(committed.clone());
        self.learn_plan(&committed, true, duration);
        if let Some(reply) = self.ordered.take() {
            self.arguments
                .metrics
                .orders
                .with_label_values(&["committed"])
                .inc();

            let _ = reply.send(Ok(committed.clone()));
        }

        if !committed.plan.members.has(&self.arguments.id.region) {
            let effects = self.proposer.step_down(StepDown::Removed);
            self.carry_out(effects);
        }
    }

    fn stepped_down(&mut self, ballot: &Ballot, reason: &StepDown) {
        let (label, by) = match reason {
            StepDown::Outranked(by) => ("outranked", Some(by)),
            StepDown::NoMajority { .. } => ("no-majority", None),
            StepDown::Removed => ("removed", None),
        };

        self.arguments
            .metrics
            .step_downs
            .with_label_values(&[label])
            .inc();

        self.proposed_at = None;
        tracing::warn!(%ballot, %reason, "stepped down");
        self.refuse_orders(&format!("the leader stepped down: {reason}"));

        let now_ms = self.now_ms();
        self.election.stepped_down(by, now_ms, rand::random());
    }

    /// What the next plan would rest on; any agent may be asked for it.
    pub(super) fn look(&mut self, board: &BoardView) -> Arc<PlanInputs> {
        let verdicts = self.arguments.snapshots.verdicts.borrow().clone();
        let now_ms = self.now_ms();
        self.meter.observe(board::served(board), now_ms);

        let known = self.arguments.snapshots.plan.borrow().clone();
        let decided = self.proposer.decided().map(|(_, plan)| plan);
        let current = decided.or(known.as_deref().map(|known| &known.plan));
        let current = current.map(|plan| self.arguments.snapshots.clocks.by_own_clock(plan));
        let current = current.as_deref();
        let config = &self.arguments.config;
        let members = current.map(|plan| &plan.members).unwrap_or(&NOBODY);
        let mut inputs =
            board::plan_inputs(config, board, &verdicts, &mut self.meter, current, members);

        if let Some(current) = current.filter(|_| self.proposer.leading().is_some()) {
            let costs = self.arguments.snapshots.request_costs.borrow().clone();
            let judge = || shift::target(config, costs.as_deref(), current, &inputs, unix_ms());
            inputs.cost = judged(&mut self.cost, judge);
        }

        let inputs = Arc::new(inputs);
        self.arguments
            .snapshots
            .plan_inputs
            .send_if_modified(|known| {
                let is_news = known.as_deref() != Some(&*inputs);
                if is_news {
                    *known = Some(inputs.clone());
                }
                is_news
            });

        inputs
    }

    /// As the leader: proposes the plan that an order, the board or the verdicts ask for, if it
    /// differs from the last.
    fn plan_ahead(&mut self, board: &BoardView) {
        let inputs = self.look(board);
        if !self.proposer.is_ready() {
            return;
        }

        while let Some((order, reply)) = self.orders.pop_front() {
            if matches!(order.action, OrderAction::Member(_)) {
                if self.order_member(order, reply, board) {
                    return;
                }
                continue;
            }

            match self.order_planned(&order, &inputs) {
                Ok(plan) => {
                    self.ordered = Some(reply);
                    return self.propose(plan);
                }
                Err(error) => {
                    self.arguments
                        .metrics
                        .orders
                        .with_label_values(&["refused"])
                        .inc();

                    tracing::info!(%error, "an order is refused");
                    let _ = reply.send(Err(error.into()));
                }
            }
        }

        if self.tend_members(board) {
            return;
        }

        let acting = self.acting(&inputs);
        let current = self.decided_by_own_clock().map(Cow::into_owned);
        let next = next_plan(current.as_ref(), &acting, unix_ms());

        if let Some(plan) = self.pause.pass(current.as_ref(), next) {
            self.propose(plan);
        }
    }

    /// The plan that an order leads to.
    fn order_planned(&self, order: &Order, inputs: &Arc<PlanInputs>) -> Result<Plan, OrderError> {
        let current = self.decided_by_own_clock();
        let now_ms = unix_ms();
        // What an order is judged by is seen; what automation adds to it may be refused.
        plan_order(current.as_deref(), order, inputs, now_ms)?;
        plan_order(current.as_deref(), order, &self.acting(inputs), now_ms)
    }

    /// What a plan rests on once these are the members.
    pub(super) fn inputs_of(
        &mut self,
        board: &BoardView,
        current: &Plan,
        members: &Members,
    ) -> PlanInputs {
        let verdicts = self.arguments.snapshots.verdicts.borrow().clone();
        let config = &self.arguments.config;
        let inputs = board::plan_inputs(
            config,
            board,
            &verdicts,
            &mut self.meter,
            Some(current),
            members,
        );

        if members.why_not_automatic().is_some() {
            inputs.held()
        } else {
            inputs
        }
    }

    /// What automation may act on: nothing where it is refused.
    pub(super) fn acting(&self, inputs: &Arc<PlanInputs>) -> Arc<PlanInputs> {
        let decided = self.proposer.decided().map(|(_, plan)| &plan.members);
        match decided.and_then(Members::why_not_automatic) {
            Some(_) => Arc::new(inputs.held()),
            None => inputs.clone(),
        }
    }

    pub(super) fn propose(&mut self, plan: Plan) {
        let now_ms = self.now_ms();
        self.proposed_at = Some(Instant::now());
        match self.proposer.commit(plan, now_ms) {
            Ok(effects) => self.carry_out(effects),
            Err(error) => {
                tracing::error!(%error, "a plan could not be proposed");
                self.refuse_orders(&error.to_string());
            }
        }
    }

    /// Takes a committed plan up if it is later than the one known. `is_confirmed`: it is known to
    /// be committed. It was made `age` ago, where we made it.
    pub(super) fn learn_plan(
        &mut self,
        plan: &CommittedPlan,
        is_confirmed: bool,
        age: Option<Duration>,
    ) {
        self.election.observe(&plan.stamp.ballot);
        let snapshots = &self.arguments.snapshots;
        let before = snapshots.plan.borrow().clone();

        if let Some(known) = before.as_ref().filter(|known| known.stamp >= plan.stamp) {
            self.trust.is_plan_confirmed |= is_confirmed && known.stamp == plan.stamp;
            return;
        }

        snapshots.clocks.learned(&plan.plan, age);
        snapshots.plan.send_replace(Some(Arc::new(plan.clone())));
        self.trust.is_plan_confirmed = is_confirmed;
        self.tell_addresses(plan);
        self.tell_members(
            before.as_deref().map(|known| &known.plan.members),
            &plan.plan.members,
        );

        let metrics = &self.arguments.metrics;
        metrics
            .plan_seq
            .set(i64::try_from(plan.stamp.seq).unwrap_or(i64::MAX));
        metrics.show(&plan.plan);
        if self.proposer.leading() != Some(&plan.stamp.ballot) {
            metrics.adopted.inc();
            tracing::info!(stamp = %plan.stamp, reason = %plan.plan.reason, "plan adopted");
        }

        self.publish(StatusEntry::Plan(plan.clone()));
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

    fn publish_changes(&mut self) {
        let leading = self.proposer.leading().cloned();
        let highest = self.election.highest().cloned();
        let metrics = &self.arguments.metrics;

        metrics.is_leader.set(i64::from(leading.is_some()));
        metrics.ballot.set(
            highest
                .as_ref()
                .map_or(0, |ballot| i64::try_from(ballot.number).unwrap_or(i64::MAX)),
        );

        let board = self.board();
        let other = self.known_leader(&board).filter(|leader| leader.is_alive);
        let is_self = leading.is_some();
        let view = LeaderView {
            ballot: leading.clone().or(other.map(|leader| leader.ballot)),
            is_self,
        };

        metrics.leader_known.set(i64::from(view.ballot.is_some()));
        self.arguments.snapshots.leader.send_if_modified(|known| {
            let is_news = *known != view;
            *known = view;
            is_news
        });

        self.publish(StatusEntry::Leader(LeaderStatus { leading, highest }));
        let plan = self.arguments.snapshots.plan.borrow().clone();
        if let Some(plan) = plan {
            self.publish(StatusEntry::Plan((*plan).clone()));
        }
    }

    /// Publishes a fact until our own entry on the board shows it: the gossip actor may have been
    /// restarted meanwhile.
    fn publish(&mut self, status_entry: StatusEntry) {
        let kind = status_entry.kind();
        let board = self.board();
        let shown = board
            .agents
            .get(&self.arguments.id)
            .and_then(|view| view.status_entries.get(&kind));

        if shown.is_some_and(|seen| *seen.status_entry == status_entry) {
            self.published.remove(&kind);
            return;
        }

        if self
            .published
            .get(&kind)
            .is_some_and(|(at, last)| at.elapsed() < REPUBLISH && *last == status_entry)
        {
            return;
        }

        self.published
            .insert(kind, (Instant::now(), status_entry.clone()));
        // A vacant address is tried again by the rule above.
        let _ = self
            .arguments
            .gossip
            .cast(GossipMessage::Publish(Box::new(status_entry)));
    }

    pub(super) fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn board(&self) -> Arc<BoardView> {
        self.arguments.snapshots.board.borrow().clone()
    }

    fn view(&self) -> ElectionView {
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

    fn call_acceptor(&mut self, to: RegionName, request: AcceptorRequest) {
        let calls = self.calls.entry(to.clone()).or_default();
        if *calls >= CALLS_PER_MEMBER {
            return;
        }
        *calls += 1;

        let arguments = self.arguments.clone();
        let myself = self.myself.clone();
        tokio::spawn(async move {
            let asked =
                tokio::time::timeout(CALL_TIMEOUT * 2, ask_acceptor(&arguments, &to, request));
            let answer = asked
                .await
                .unwrap_or_else(|_| Err(format!("no answer within {:?}", CALL_TIMEOUT * 2)));
            let _ = myself.cast(LeaderMessage::AcceptorAnswered { from: to, answer });
        });
    }

    fn ask_vote(&self, region: RegionName, ballot: Ballot) {
        let arguments = self.arguments.clone();
        let myself = self.myself.clone();
        tokio::spawn(async move {
            let asked = tokio::time::timeout(CALL_TIMEOUT, ask_voter(&arguments, &region, &ballot));
            let vote = asked
                .await
                .unwrap_or_else(|_| Err(format!("no vote within {CALL_TIMEOUT:?}")));
            let _ = myself.cast(LeaderMessage::Voted {
                from: region,
                ballot,
                vote,
            });
        });
    }
}

/// What is moved for money, as judged now or a moment ago; why nothing is, is logged once.
fn judged(
    last: &mut Option<(Instant, Option<CostTarget>)>,
    judge: impl FnOnce() -> Option<CostTarget>,
) -> Option<CostTarget> {
    let known = last.as_ref();
    if let Some((_, target)) = known.filter(|(at, _)| at.elapsed() < COST_JUDGED) {
        return target.clone();
    }

    fn idle(target: Option<&CostTarget>) -> Option<&str> {
        target
            .filter(|target| target.is_normal())
            .map(|target| target.reason.as_str())
    }

    let target = judge();
    let why = idle(target.as_ref());
    if let Some(why) = why.filter(|_| why != idle(known.and_then(|(_, target)| target.as_ref()))) {
        tracing::info!(why, "traffic.cost moves no traffic");
    }
    *last = Some((Instant::now(), target.clone()));
    target
}
