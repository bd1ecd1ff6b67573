//! Orders and cool-downs last as long as intended, whatever clocks show.

use super::*;
use crate::planning::{Strategy, next_plan, plan_order};
use regionmesh_protocol::{
    plan::{Order, OrderAction, OverrideKind, PlanAge, PlanTime, SHIFT_MIN_MS},
    status::condition::Condition,
};

const HOUR: u64 = 60 * MINUTE;
/// True time of the first plan, Unix milliseconds.
const BEGIN: u64 = 1_800_000_000_000;

/// One agent: its clocks, and what it knows of the plan.
#[derive(Debug, Clone)]
struct Agent {
    /// How far its wall clock is off.
    off_ms: i64,
    /// When its process started, true time: its steady clock begins there.
    started_ms: u64,
    time: PlanTime,
}

impl Agent {
    fn clocks(&self, now_ms: u64) -> (u64, u64) {
        (
            now_ms - self.started_ms,
            now_ms.saturating_add_signed(self.off_ms),
        )
    }

    fn learn(&mut self, plan: &Plan, now_ms: u64) {
        let (steady_ms, wall_ms) = self.clocks(now_ms);
        self.time.learned(plan.made_ms, None, steady_ms, wall_ms);
    }

    /// The plan by its own clock, and that clock.
    fn view(&mut self, plan: &Plan, now_ms: u64) -> (Plan, u64) {
        let (steady_ms, wall_ms) = self.clocks(now_ms);
        self.time.compare(steady_ms, wall_ms);
        (plan.shifted(self.time.shift_ms(plan.made_ms)), wall_ms)
    }

    fn receive_age(&mut self, age: Option<PlanAge>, now_ms: u64) {
        let (steady_ms, wall_ms) = self.clocks(now_ms);
        if let Some(age) = age {
            self.time.measured_by_peer(age, steady_ms, wall_ms);
        }
    }
}

fn order(kind: OverrideKind, region: &str, for_ms: u64) -> Order {
    Order {
        action: OrderAction::Set(kind),
        region: Some(name(region)),
        by: "ann".into(),
        why: "disks".into(),
        for_ms,
        is_forced: false,
        is_immediate: false,
        proof: None,
    }
}

/// What happens before an order ends.
#[derive(Debug, Clone)]
enum Turn {
    /// Another agent becomes leader.
    Leads(usize),
    /// An agent's wall clock is set.
    Set(usize, i64),
    /// An agent restarts: it reads the plan from its disk and learns its age from a living peer.
    Restarts(usize),
    /// Something happens in a third region, so that another plan is made.
    Fails(bool),
}

fn off() -> impl Generator<Value = i64> {
    prop_oneof![2 => -900i64..900, 1 => -(2 * HOUR as i64)..(2 * HOUR as i64)]
}

fn turn() -> impl Generator<Value = Turn> {
    prop_oneof![
        3 => (0usize..3).prop_map(Turn::Leads),
        2 => (0usize..3, off()).prop_map(|(agent, off_ms)| Turn::Set(agent, off_ms)),
        1 => (0usize..3).prop_map(Turn::Restarts),
        2 => any::<bool>().prop_map(Turn::Fails),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Agents whose clocks differ by hours and are set lead one after the other: an order ends when
    /// its time is over, give or take what clocks may differ without being corrected, once for each
    /// change.
    #[test]
    fn an_order_lasts_its_duration_whichever_agent_leads_and_whatever_clocks_show(
        offs in [off(), off(), off()],
        turns in prop::collection::vec((turn(), 1_000u64..10 * MINUTE), 1..12),
    ) {
        let mut world = World::of(&THREE, Strategy::Weighted);
        let started_ms = BEGIN - HOUR;
        let mut agents = offs.map(|off_ms| Agent {
            off_ms,
            started_ms,
            time: PlanTime::default(),
        });
        let mut now_ms = BEGIN;
        let mut leader = 0;

        // Every agent has known an earlier plan, as it has when it runs for a while.
        let mut plan = Plan {
            made_ms: agents[0].clocks(BEGIN - 1).1,
            ..world.plan.clone().unwrap()
        };

        agents
            .iter_mut()
            .for_each(|agent| agent.learn(&plan, BEGIN - 1));

        let (known, wall_ms) = agents[leader].view(&plan, now_ms);
        plan = plan_order(
            Some(&known),
            &order(OverrideKind::Drain, "a", 30 * MINUTE),
            &world.inputs,
            wall_ms,
        )
        .unwrap();

        agents
            .iter_mut()
            .for_each(|agent| agent.learn(&plan, now_ms));

        let mut slack_ms = SHIFT_MIN_MS;
        for (turn, after_ms) in turns {
            let end_ms = now_ms + after_ms;
            match turn {
                Turn::Leads(agent) => leader = agent,
                Turn::Set(agent, off_ms) => agents[agent].off_ms = off_ms,
                Turn::Restarts(agent) => {
                    let off_ms = agents[agent].off_ms;
                    agents[agent] = Agent {
                        off_ms,
                        started_ms: now_ms,
                        time: PlanTime::default(),
                    };

                    agents[agent].learn(&plan, now_ms);
                    let (steady_ms, _) = agents[(agent + 1) % 3].clocks(now_ms);
                    let age = agents[(agent + 1) % 3].time.age(steady_ms);

                    // An agent whose clock is hours fast rejects a plan age beyond its own clock.
                    agents[agent].receive_age(age, now_ms);
                    if agents[agent]
                        .time
                        .age(now_ms - agents[agent].started_ms)
                        .is_none()
                    {
                        return Ok(());
                    }

                    if agents[agent].off_ms.unsigned_abs() > SHIFT_MIN_MS {
                        return Ok(());
                    }
                }
                Turn::Fails(is_failed) => {
                    let input = world.region_mut("b");
                    input.condition = if is_failed {
                        Condition::Failed
                    } else {
                        Condition::Healthy
                    };
                }
            }

            slack_ms += SHIFT_MIN_MS;
            while now_ms < end_ms {
                let (known, wall_ms) = agents[leader].view(&plan, now_ms);
                if let Some(next) = next_plan(Some(&known), &world.inputs, wall_ms) {
                    plan = next;
                    agents
                        .iter_mut()
                        .for_each(|agent| agent.learn(&plan, now_ms));
                }

                let lasted_ms = now_ms - BEGIN;
                if plan.overrides.is_empty() {
                    prop_assert!(
                        lasted_ms + slack_ms >= 30 * MINUTE,
                        "ended after {lasted_ms} ms"
                    );
                    return Ok(());
                }

                prop_assert!(
                    lasted_ms <= 30 * MINUTE + slack_ms + 5 * SECOND,
                    "in effect after {lasted_ms} ms"
                );

                now_ms += 5 * SECOND;
            }
        }
    }

    #[test]
    fn shifting_a_plan_there_and_back_changes_nothing(
        mut world in world(),
        events in prop::collection::vec(event(), 0..10),
        by_ms in -900_000i64..900_000,
    ) {
        world.apply();
        for event in &events {
            world.happen(event);
        }

        let _ = world.apply();
        let ordered = plan_order(
            world.plan.as_ref(),
            &order(OverrideKind::Hold, "a", MINUTE),
            &world.inputs,
            world.now_ms,
        );

        for plan in [world.plan.clone(), ordered.ok()].into_iter().flatten() {
            prop_assert_eq!(&plan.shifted(by_ms).shifted(-by_ms), &plan);
        }
    }
}

#[test]
fn a_plan_is_not_shifted_while_clocks_agree() {
    let mut time = PlanTime::default();
    time.learned(BEGIN, None, 0, BEGIN + 300);
    assert_eq!(
        (time.compare(60_000, BEGIN + 60_900), time.shift_ms(BEGIN)),
        (None, 0)
    );

    // Set an hour ahead, and back again.
    assert_eq!(
        time.compare(61_000, BEGIN + 61_300 + HOUR),
        Some(HOUR as i64)
    );

    assert_eq!(time.compare(62_000, BEGIN + 62_400 + HOUR), None);
    assert_eq!(time.compare(63_000, BEGIN + 63_300), Some(0));
    assert_eq!(
        time.shift_ms(BEGIN + 1),
        0,
        "of another plan nothing is known"
    );
}

#[test]
fn a_late_agent_learns_the_plans_age_but_rejects_implausible_claims() {
    let mut time = PlanTime::default();
    time.learned(BEGIN, None, 0, BEGIN + 5_000);
    time.learned(BEGIN + HOUR, None, 1_000, BEGIN + HOUR + 10 * MINUTE);

    // It was cut off while the second plan was made.
    assert_eq!(
        time.age(1_000),
        Some(PlanAge {
            made_ms: BEGIN + HOUR,
            age_ms: 0
        })
    );

    time.measured_by_peer(
        PlanAge {
            made_ms: BEGIN + HOUR,
            age_ms: 10 * MINUTE,
        },
        2_000,
        BEGIN + HOUR + 10 * MINUTE + 1_000,
    );

    assert_eq!(time.age(2_000).unwrap().age_ms, 10 * MINUTE);
    time.measured_by_peer(
        PlanAge {
            made_ms: BEGIN + HOUR,
            age_ms: u64::MAX,
        },
        2_000,
        BEGIN + HOUR + 10 * MINUTE + 1_000,
    );

    time.measured_by_peer(
        PlanAge {
            made_ms: BEGIN,
            age_ms: 20 * MINUTE,
        },
        2_000,
        BEGIN + HOUR + 10 * MINUTE + 1_000,
    );

    assert_eq!(time.age(3_000).unwrap().age_ms, 10 * MINUTE + 1_000);
}

#[test]
fn a_starting_agent_uses_its_wall_clock_until_a_peer_has_measured_the_age() {
    let mut time = PlanTime::default();
    time.learned(BEGIN, Some(40), 0, BEGIN + 2 * HOUR);
    assert_eq!(
        time.age(0).unwrap().age_ms,
        40,
        "the age of its own plan is exact"
    );

    let mut time = PlanTime::default();
    time.learned(BEGIN, None, 0, BEGIN + 2 * HOUR);
    assert_eq!(time.age(0), None);
    assert_eq!(time.shift_ms(BEGIN), 0);
    time.measured_by_peer(
        PlanAge {
            made_ms: BEGIN,
            age_ms: MINUTE,
        },
        1_000,
        BEGIN + 2 * HOUR + 1_000,
    );

    assert_eq!(time.age(1_000).unwrap().age_ms, MINUTE);
    assert_eq!(
        time.compare(1_000, BEGIN + 2 * HOUR + 1_000),
        Some((2 * HOUR + 1_000 - MINUTE) as i64)
    );
}

#[test]
fn a_verdict_from_a_clock_an_hour_ahead_does_not_block_the_ramp() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    world.judge("b", Condition::Failed);
    world.judge("b", Condition::Healthy);
    world.region_mut("b").since_ms = world.now_ms + HOUR;
    world.wait(10 * SECOND);
    assert_eq!(world.traffic_state("b"), world.ramping_now(0));

    world.wait(5 * SECOND);
    assert_eq!(world.traffic_state("b"), world.ramping_now(1));

    // Nor is it known whether such a suspicion is younger than the step.
    world.region_mut("b").condition = Condition::Suspect;
    assert_eq!(world.wait(SECOND), None);
    world.judge("b", Condition::Healthy);
    world.wait(5 * SECOND);
    assert_eq!(world.traffic_state("b"), TrafficState::Serving);
}
