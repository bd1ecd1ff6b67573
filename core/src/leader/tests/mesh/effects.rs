//! Inputs of the agents, and what becomes of their effects.

use super::{Event, Mesh, TRIP_MS};
use crate::leader::{Contact, Effect, Input};
use regionmesh_protocol::{identity::RegionName, register::acceptor::AcceptorRequest};
use std::sync::Arc;

impl Mesh {
    /// Hands an input to an agent, after what it sees, and performs the effects.
    pub(super) fn feed(&mut self, region: &RegionName, input: Input) {
        let now = self.now();
        let agent = self.agents.get_mut(region).unwrap();
        let Some(leader) = &mut agent.leader else {
            return;
        };
        let contact = Contact {
            is_current: agent.is_current,
            ..Contact::default()
        };

        let mut effects = Vec::new();
        for input in [
            Input::Board(Arc::new(agent.board.clone())),
            Input::Verdicts(Arc::new(agent.verdicts.clone())),
            Input::Contact(contact),
            input,
        ] {
            leader.handle(input, now, &mut self.rng, &mut effects);
        }

        for effect in effects {
            self.perform(region, effect);
        }
    }

    fn perform(&mut self, region: &RegionName, effect: Effect) {
        let agent = self.agents.get_mut(region).unwrap();
        let run = agent.run;
        let from = region.clone();
        let call = |to, request, round| Event::Call {
            from: region.clone(),
            run,
            to,
            request,
            round,
        };

        match effect {
            Effect::CallAcceptor { to, request } => {
                self.schedule(TRIP_MS, call(to, request, None));
            }
            Effect::ReadAcceptor { round, to } => {
                self.schedule(TRIP_MS, call(to, AcceptorRequest::Read, Some(round)));
            }
            Effect::AskVote { to, ballot } => {
                let vote = Event::Vote {
                    from,
                    run,
                    to,
                    ballot,
                };
                self.schedule(TRIP_MS, vote);
            }
            Effect::Publish(entry) => {
                let owner = agent.id.clone();
                let entry = *entry;
                self.schedule(TRIP_MS, Event::Publish { owner, entry });
            }
            Effect::AdoptPlan(plan) => agent.plan = Some(plan),
            Effect::WithdrawPlan => agent.plan = None,
            Effect::JudgeCost { .. } => self.feed(region, Input::CostTarget(None)),
            Effect::LeaderView(view) => agent.view = view,
            Effect::Current => agent.is_current = true,
            Effect::Bounds(bounds) => agent.bounds = *bounds,
            Effect::Judged(ticket, judged) => {
                self.judged.insert(ticket, judged);
            }
            Effect::VoteReply(ticket, vote) => {
                let (to, run, ballot) = self.asked.remove(&ticket).unwrap();
                let input = Input::Voted {
                    from,
                    ballot,
                    vote: Ok(vote),
                };
                self.schedule(TRIP_MS, Event::Input { to, run, input });
            }
            Effect::OrderReply(ticket, ordered) => {
                let before = self.ordered.insert(ticket, Some(*ordered));
                assert_eq!(before, Some(None), "an order is answered once");
            }
            Effect::Refuse { reason, .. } | Effect::CountRefusal(reason) => {
                agent.refusals.push(reason);
            }
            Effect::Notice(notice) => agent.notices.push(notice),
            Effect::PlanClock(_)
            | Effect::PlanInputs(_)
            | Effect::Freeze(_)
            | Effect::Problem(_) => {}
        }
    }
}
