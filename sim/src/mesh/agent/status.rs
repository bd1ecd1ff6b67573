//! Takes in what other agents say about themselves.

use super::{
    Agent, Turn,
    types::{Seen, Status},
};
use regionmesh_protocol::{codec, identity::AgentId};
use std::sync::Arc;

impl Agent {
    /// Takes in a peer's status.
    pub(super) fn absorb(&mut self, from: AgentId, payload: &[u8], turn: &mut Turn<'_>) {
        let Ok(mut status) = codec::decode::<Status>(payload) else {
            return;
        };
        if let Some(highest) = &status.highest {
            self.election.observe(highest);
        }
        if let Some(plan) = status.plan.take() {
            self.learn(Arc::new(plan), None, turn);
        }
        if let Some(age) = status.age {
            self.time
                .measured_by_peer(age, turn.now_ms, turn.now.unix_ms);
        }

        let before = self.board.get(&from);
        self.is_judging_due |=
            before.is_none_or(|before| before.status.opinions != status.opinions);
        let at_ms = turn.now_ms;
        self.board.insert(from, Seen { status, at_ms });
    }
}
