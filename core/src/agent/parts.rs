//! The parts that start over when the caller restarts, and the inputs that wait for a part.

use super::types::Settings;
use crate::{
    gossip,
    health::{self, Health},
    keys::Keys,
    leader::{self, Leader, PlanClock},
    now::Now,
    replication::{self, Replication},
};
use rand::Rng;

/// One input of one part.
#[derive(Debug)]
pub(super) enum Step {
    Gossip(gossip::Input),
    Health(health::Input),
    Leader(Box<leader::Input>),
    /// [`leader::Input::Contact`], as it is when the step is taken.
    Contact,
    /// Choose the gateways again.
    Gateways,
    Replication(replication::Input),
}

pub(super) struct Parts {
    pub(super) health: Health,
    pub(super) leader: Leader,
    pub(super) replication: Replication,
}

impl Parts {
    pub(super) fn new(
        settings: &Settings,
        keys: &Keys,
        plan_clock: PlanClock,
        now: Now,
        rng: &mut impl Rng,
    ) -> Self {
        let own = settings.gossip.own.clone();
        let boot = rng.next_u64();
        let verifier = keys.verifier.clone();
        let orders = keys.orders.clone();

        Self {
            health: Health::new(settings.health.clone(), now),
            leader: Leader::new(
                settings.leader.clone(),
                verifier,
                orders,
                boot,
                plan_clock,
                now,
            ),
            replication: Replication::new(own, settings.replication, now),
        }
    }
}
