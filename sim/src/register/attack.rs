//! What somebody does who holds one agent's key, or the credentials of one region's store.

use super::{Event, World, store::Slots};
use regionmesh_protocol::register::{
    acceptor::AcceptorRequest,
    ballot::{Ballot, Reach, STEP_MAX},
};

impl World {
    /// One attack: a ballot that nobody else is near, in the slots of the first region, or with the
    /// key of an agent in a request or on the board. A run has one thief, who holds one of both.
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
            // One acceptor, taken further and further.
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
                let life = self.agents[thief].life;
                let request = AcceptorRequest::Prepare(ballot);

                self.at(
                    1,
                    Event::Request {
                        from: thief,
                        life,
                        to,
                        request,
                    },
                );
            }
        }
    }

    /// As an agent does whose acceptor was asked for too much: it looks how far the others are.
    pub(super) fn ask_how_far(&mut self, by: usize) {
        let life = self.agents[by].life;
        let region = self.agents[by].region;
        for (to, name) in self.names.clone().into_iter().enumerate() {
            self.send(
                region,
                to,
                Event::Request {
                    from: by,
                    life,
                    to: name,
                    request: AcceptorRequest::Read,
                },
            );
        }
    }
}
