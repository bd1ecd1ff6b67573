//! Carries out what elections and proposers decide.

use super::world::{Event, World};
use regionmesh_core::leader::{
    election::ElectionEffect,
    proposer::{Acceptors, Effect, StepDown},
};
use regionmesh_protocol::register::acceptor::AcceptorRequest;

impl World {
    pub(super) fn carry_out_election(&mut self, index: usize, effect: Option<ElectionEffect>) {
        match effect {
            None => {}
            Some(ElectionEffect::RequestVotes(ballot, regions)) => {
                let run = self.agents[index].run;
                let from = self.agents[index].region;
                let asked = |region: &usize| regions.contains(&self.names[*region]);
                let asked: Vec<usize> = (0..self.names.len()).filter(asked).collect();

                for region in asked {
                    self.send(
                        from,
                        region,
                        Event::RequestVote {
                            from: index,
                            run,
                            region,
                            ballot: ballot.clone(),
                        },
                    );
                }
            }
            Some(ElectionEffect::Propose(ballot)) => {
                let acceptors = match self.agents[index].known.as_ref() {
                    Some((_, plan)) => Acceptors::Known(plan.members.clone()),
                    None => Acceptors::First {
                        names: self.configured(),
                        register: 7,
                    },
                };

                match self.agents[index]
                    .proposer
                    .prepare(ballot, acceptors, self.now_ms)
                {
                    Ok(effects) => self.carry_out(index, effects),
                    Err(error) => self.broken = Some(error.to_string()),
                }
            }
        }
    }

    pub(super) fn carry_out(&mut self, index: usize, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Send { to, request } => {
                    let Some(region) = self.region_of(&to) else {
                        continue;
                    };
                    let run = self.agents[index].run;
                    let from = self.agents[index].region;

                    if let (AcceptorRequest::Accept(stamp, plan), Some(members)) =
                        (&request, self.agents[index].proposer.members())
                    {
                        self.proposed
                            .entry(stamp.clone())
                            .or_insert_with(|| plan.members.clone());
                        self.deciders
                            .entry(stamp.clone())
                            .or_insert_with(|| members.clone());
                    }

                    self.send(
                        from,
                        region,
                        Event::Request {
                            from: index,
                            run,
                            to,
                            request,
                        },
                    );
                }
                Effect::Elected(ballot) => {
                    self.elections += 1;
                    self.agents[index].election.elected(&ballot);
                }
                Effect::Committed(committed) => {
                    self.committed(index, committed.stamp, committed.plan)
                }
                // No agent judges here.
                Effect::Certified(_)
                | Effect::Unjustified { .. }
                | Effect::Dropped(_)
                | Effect::PassedOver(_) => {}
                Effect::Joined(name, incarnation) => {
                    self.agents[index].joining = Some((name, Some(incarnation)))
                }
                Effect::NotJoined(..) => self.agents[index].joining = None,
                Effect::SteppedDown(_, reason) => {
                    self.agents[index].joining = None;
                    let by = if let StepDown::Outranked(by) = &reason {
                        Some(by)
                    } else {
                        None
                    };
                    let random = self.random.draw();

                    self.agents[index]
                        .election
                        .stepped_down(by, self.now_ms, random);
                }
            }
        }
    }
}
