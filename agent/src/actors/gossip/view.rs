//! The board as the other actors read it.

use super::GossipState;
use regionmesh_core::gossip::{AgentView, BoardView, SeenStatus};
use regionmesh_protocol::identity::AgentId;
use std::{collections::BTreeMap, sync::Arc};

impl GossipState {
    pub(super) fn publish_view(&self) {
        let alive = self.membership.alive();
        let is_alive = |agent: &AgentId| {
            alive.contains(agent) || self.inherited.contains(agent) || *agent == self.arguments.own
        };
        let board = self.board();
        let mut agents: BTreeMap<AgentId, AgentView> = board
            .owners()
            .map(|owner| {
                let status_entries = board.entries(owner).map(|held| {
                    let status_entry = held.status_entry.clone();
                    let version = held.entry.version;
                    let seen_at = held.seen_at;

                    (
                        held.entry.kind,
                        SeenStatus {
                            status_entry,
                            version,
                            seen_at,
                        },
                    )
                });

                (
                    owner.clone(),
                    AgentView {
                        is_alive: is_alive(owner),
                        status_entries: status_entries.collect(),
                    },
                )
            })
            .collect();

        for agent in alive {
            agents.entry(agent.clone()).or_insert_with(|| AgentView {
                is_alive: true,
                status_entries: BTreeMap::new(),
            });
        }

        let metrics = &self.arguments.metrics;
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        metrics.members_alive.set(gauge(alive.len() + 1));
        metrics.board_agents.set(gauge(board.agent_count()));
        metrics.board_entries.set(gauge(board.entry_count()));
        metrics.board_bytes.set(gauge(board.bytes()));
        drop(board);
        self.arguments
            .snapshots
            .board
            .send_replace(Arc::new(BoardView { agents }));
    }
}
