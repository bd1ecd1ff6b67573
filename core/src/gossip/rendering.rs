//! The board as the rest of the agent reads it, made from what gossip holds.

use super::{
    Gossip,
    types::{Effect, Notice},
    view::{AgentView, BoardView, StatusEntries},
};
use regionmesh_protocol::identity::AgentId;
use std::{collections::BTreeMap, sync::Arc};

impl Gossip {
    pub(super) fn publish_view(&self, out: &mut Vec<Effect>) {
        let alive = self.membership.alive();
        let mut agents: BTreeMap<AgentId, AgentView> = self
            .board
            .owners()
            .map(|owner| (owner.clone(), self.view_of(owner)))
            .collect();

        for agent in alive {
            agents.entry(agent.clone()).or_insert_with(|| AgentView {
                is_alive: true,
                status_entries: StatusEntries::default(),
            });
        }

        out.push(Effect::Notice(Notice::Sizes {
            members_alive: alive.len() + 1,
            board_agents: self.board.agent_count(),
            board_entries: self.board.entry_count(),
            board_bytes: self.board.bytes(),
        }));
        out.push(Effect::Board(Arc::new(BoardView { agents })));
    }

    fn view_of(&self, owner: &AgentId) -> AgentView {
        let is_alive = self.membership.alive().contains(owner)
            || self.liveness.is_inherited(owner)
            || *owner == self.own;
        AgentView {
            is_alive,
            status_entries: self.board.shown(owner),
        }
    }
}
