//! Simulates the register and its elections: agents crash; the network drops, repeats, delays and
//! partitions messages; members change; stores lose data.
//!
//! Acceptors are modelled down to their slots (see [`store`]): puts take time, replies get lost,
//! agents of a region race, old slots are compacted, and slots that are needed are deleted. Leaders
//! add, remove, rename and repair members.
//!
//! Checked throughout: one stamp carries one value; every value that a proposer calls committed is
//! accepted by a majority of the members that decide; the committed plans form one chain, each made
//! from the one before, so no election and no change of members loses a plan. Checked at the end,
//! after the network has healed: there is exactly one leader, and every member has a vote.

mod agents;
mod attack;
mod effects;
mod laws;
mod plans;
mod scenario;
mod slots;
mod store;
mod world;

pub use scenario::{Broken, Outcome, Scenario};

use world::World;

/// Time within which a healed mesh must have one leader.
const HEALING_MS: u64 = 30_000;

/// Plays one scenario to its end.
pub fn run(scenario: Scenario) -> Result<Outcome, Broken> {
    let broken = |what: String| Broken {
        seed: scenario.seed,
        what,
    };
    let mut world = World::new(scenario).map_err(broken)?;

    world.play().map_err(broken)
}

impl World {
    fn play(&mut self) -> Result<Outcome, String> {
        let healed_ms = self.scenario.faults_ms;
        while let Some(((time_ms, _), event)) = self.events.pop_first() {
            self.now_ms = time_ms;
            if self.are_faults_on && time_ms >= healed_ms {
                self.heal();
            }
            self.step(event);
            if let Some(what) = self.broken.take() {
                return Err(what);
            }

            if !self.are_faults_on
                && self.last_commit_ms > healed_ms
                && self.is_led()
                && self.is_mended()
            {
                let (committed, member_changes) = self.check_chain()?;
                self.check_slots()?;

                let healed_after_ms = self.now_ms - healed_ms;
                let elections = self.elections;
                let losses = self.losses;

                return Ok(Outcome {
                    committed,
                    elections,
                    member_changes,
                    losses,
                    is_stuck: false,
                    healed_after_ms,
                });
            }

            if time_ms > healed_ms + HEALING_MS {
                if !self.keeps_majority(None) {
                    // Two stores lost their slots before either could rejoin: no majority is left.
                    let (committed, member_changes) = self.check_chain()?;
                    let elections = self.elections;
                    let losses = self.losses;

                    return Ok(Outcome {
                        committed,
                        elections,
                        member_changes,
                        losses,
                        is_stuck: true,
                        healed_after_ms: 0,
                    });
                }

                let latest = self
                    .latest
                    .as_ref()
                    .map(|(stamp, plan)| (stamp.to_string(), &plan.members));

                return Err(format!(
                    "no single leader, no new plan or no vote for some member {HEALING_MS} ms \
                     after the network was healed: {latest:?}"
                ));
            }
        }

        Err("nothing happens any more".into())
    }
}
