//! What follows from members' coming and going.

use super::{
    Gossip,
    liveness::{FORGET_AFTER, age_ms},
    membership::{MemberEvent, Outputs},
    types::{Effect, Notice},
};
use regionmesh_protocol::identity::AgentId;
use std::{collections::BTreeSet, time::Instant};

impl Gossip {
    /// Passes on what membership wants done.
    pub(super) fn perform(&mut self, outputs: Outputs, now: Instant, out: &mut Vec<Effect>) {
        for (to, payload) in outputs.sends {
            out.push(Effect::SendDatagram { to, payload });
        }

        for fault in outputs.faults {
            out.push(Effect::Notice(Notice::SwimFault(fault)));
        }

        for event in outputs.events {
            self.is_view_stale = true;
            self.is_urgent = true;
            let notice = self.notice_of(event, now);
            out.push(Effect::Notice(notice));
        }
    }

    fn notice_of(&mut self, event: MemberEvent, now: Instant) -> Notice {
        match event {
            MemberEvent::Up(agent) => Notice::MemberUp {
                was_down_ms: self.liveness.changed(&agent, now),
                agent,
            },
            MemberEvent::Down(agent) => {
                let last_status = self.board.entries(&agent).map(|held| held.seen_at).max();

                Notice::MemberDown {
                    was_up_ms: self.liveness.changed(&agent, now),
                    last_status_ms: last_status.map(|seen| age_ms(seen, now)),
                    agent,
                }
            }
            MemberEvent::Restarted(agent) => Notice::MemberRestarted(agent),
            MemberEvent::Rejoined(generation) => Notice::Rejoined(generation),
        }
    }

    pub(super) fn forget_the_long_dead(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let owners: BTreeSet<AgentId> = self.board.owners().cloned().collect();
        let alive = self.membership.alive();
        let is_alive = |agent: &AgentId| alive.contains(agent) || *agent == self.own;

        for agent in self.liveness.take_forgotten(&owners, is_alive, now) {
            self.board.forget(&agent, now);
            self.is_view_stale = true;
            self.is_urgent = true;
            out.push(Effect::Notice(Notice::Forgotten {
                agent,
                dead_for: FORGET_AFTER,
            }));
        }
    }
}
