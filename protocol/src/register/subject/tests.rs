use super::*;
use crate::register::ballot::Ballot;
use std::collections::BTreeSet;

fn stamp(number: u64, seq: u64) -> Stamp {
    let ballot = Ballot {
        number,
        agent: "r0/a".parse().unwrap(),
        boot: 1,
    };
    Stamp { ballot, seq }
}

#[test]
fn every_part_of_the_subject_changes_what_is_signed() {
    let mesh: MeshName = "m".parse().unwrap();
    let other_mesh: MeshName = "n".parse().unwrap();
    let agent: AgentId = "r1/a".parse().unwrap();
    let other_agent: AgentId = "r2/a".parse().unwrap();
    let plan = Plan::default();
    let changed = Plan {
        made_ms: 1,
        ..Plan::default()
    };

    let mut other_register = Plan::default();
    other_register.members.register = 1;

    let accept = |mesh: &MeshName, stamp: &Stamp, plan: &Plan, agent: &AgentId, run: u64| {
        PlanSubject::new(mesh, stamp, plan)
            .unwrap()
            .acceptance(agent, Incarnation(run))
            .unwrap()
    };
    let base = stamp(1, 1);
    let confirmed = PlanSubject::new(&mesh, &base, &plan).unwrap();

    let all = [
        accept(&mesh, &base, &plan, &agent, 1),
        accept(&other_mesh, &base, &plan, &agent, 1),
        accept(&mesh, &stamp(2, 1), &plan, &agent, 1),
        accept(&mesh, &stamp(1, 2), &plan, &agent, 1),
        accept(&mesh, &base, &changed, &agent, 1),
        accept(&mesh, &base, &other_register, &agent, 1),
        accept(&mesh, &base, &plan, &other_agent, 1),
        accept(&mesh, &base, &plan, &agent, 2),
        confirmed.confirmation(&agent).unwrap(),
        confirmed.confirmation(&other_agent).unwrap(),
    ];

    let distinct: BTreeSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
}
