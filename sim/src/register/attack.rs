//! Attacks with one agent's key, or with the credentials of one region's store.

use super::{
    slots::Slots,
    world::{Event, World},
};
use regionmesh_protocol::register::{
    acceptor::AcceptorRequest,
    ballot::{Ballot, Reach, STEP_MAX},
};

impl World {
    /// One attack with a ballot far beyond all others: either written to the slots of the first
    /// region, or sent in a request or published with an agent's key. The thief of a run has stolen
    /// only one of the two.
    pub(super) fn attack(&mut self, thief: usize) {
        let id = self.agents[thief].id.clone();
        let reach_of = |slots: &Slots| {
            slots
                .state()
                .map_or_else(Reach::default, |state| state.reach())
        };
        let far = Reach::of_majority(self.slots.iter().map(reach_of));
        let furthest = self
            .slots
            .iter()
            .map(reach_of)
            .fold(Reach::default(), Reach::max);

        let number = match self.random.below(5) {
            0 => u64::MAX,
            1 => far.number.saturating_add(STEP_MAX),
            // Pushes one acceptor further each time.
            2 => furthest.number.saturating_add(STEP_MAX),
            3 => furthest.number.saturating_add(1),
            _ => self.random.draw(),
        };

        let ballot = Ballot {
            number,
            agent: id,
            boot: 0,
        };

        if self.scenario.seed.is_multiple_of(2) {
            return self.slots[0].forge_promise(Ballot {
                number: u64::MAX,
                ..ballot
            });
        }

        match self.random.below(3) {
            0 => {
                for agent in &mut self.agents {
                    agent.election.observe(&ballot);
                }
            }
            _ => {
                let to = self.names[self.random.below(self.names.len() as u64) as usize].clone();
                let run = self.agents[thief].run;
                let request = AcceptorRequest::Prepare(ballot);

                self.at(
                    1,
                    Event::Request {
                        from: thief,
                        run,
                        to,
                        request,
                    },
                );
            }
        }
    }

    /// Reads all acceptors, as an agent does whose acceptor was asked for a ballot out of reach.
    pub(super) fn ask_progress(&mut self, by: usize) {
        let run = self.agents[by].run;
        let region = self.agents[by].region;
        for (to, name) in self.names.clone().into_iter().enumerate() {
            self.send(
                region,
                to,
                Event::Request {
                    from: by,
                    run,
                    to: name,
                    request: AcceptorRequest::Read,
                },
            );
        }
    }
}
