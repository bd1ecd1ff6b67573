//! The law that a thief moves no traffic.

use super::{
    forge::{FORGED, FORGED_ORDER, FORGED_TIME, is_forged},
    world::World,
};
use regionmesh_protocol::{
    plan::{CommittedPlan, Plan},
    register::ballot::Stamp,
};

/// After a disturbance, agents may for this long be mistaken about a region.
const MISTAKEN_MS: u64 = 25_000;
/// With more loss, some probe of a healthy region fails at almost any time.
const LOSS_PPM: u64 = 1_000;

impl World {
    /// An agent asks an acceptor to accept this. What the thief proposes beside its honest part is
    /// no proposal of a leader.
    pub(crate) fn note_proposal(&mut self, agent: usize, stamp: &Stamp, plan: &Plan) {
        if !is_forged(plan) || self.shape.liar != Some(agent) {
            self.note_honest_proposal(stamp, plan);
        }
    }

    /// No honest agent serves a thief's plan. It may believe one that only takes traffic from
    /// regions that it can't see to be healthy, or returns some to regions that it can't see to be
    /// down: so the plan counts only if the regions have worked, or not, for a while.
    pub(crate) fn check_forged(&mut self, agent: usize, plan: &CommittedPlan) {
        if self.shape.liar == Some(agent) {
            return;
        }

        let is_quiet = self.active.is_empty()
            && self.now_ms - self.quiet_since_ms >= MISTAKEN_MS
            && self.shape.loss_ppm <= LOSS_PPM
            && self
                .endpoints
                .iter()
                .all(|endpoint| endpoint.state.is_certain())
            && self
                .endpoints
                .iter()
                .all(|endpoint| self.now_ms - endpoint.since_ms >= MISTAKEN_MS);
        let is_forged = match plan.plan.reason.as_str() {
            FORGED_ORDER => true,
            FORGED => is_quiet,
            FORGED_TIME => {
                self.laws.is_time_forged = true;
                false
            }
            _ => false,
        };

        if is_forged {
            let id = &self.machines[agent].id;
            let what = format!("{id} serves {} ({})", plan.stamp, plan.plan.reason);
            self.laws
                .break_law("a thief moves no traffic", self.now_ms, what);
        }
    }
}
