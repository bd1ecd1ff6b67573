use super::*;
use proptest::prelude::*;

type Said = (AgentId, Condition, bool);

fn agent(region: &str, agent: u8) -> AgentId {
    AgentId {
        region: region.parse().unwrap(),
        agent: format!("node-{agent}").parse().unwrap(),
    }
}

fn condition() -> impl Strategy<Value = Condition> {
    prop::sample::select(Condition::ALL.to_vec())
}

fn said() -> impl Strategy<Value = Vec<Said>> {
    let one = (
        prop::sample::select(vec!["a", "b", "c", "d", "judged"]),
        0u8..3,
        condition(),
        prop::bool::weighted(0.8),
    );

    prop::collection::vec(
        one.prop_map(|(region, node, condition, fresh)| (agent(region, node), condition, fresh)),
        0..14,
    )
}

fn opinions(said: &[Said]) -> Vec<Opinion<'_>> {
    said.iter()
        .map(|(agent, condition, is_fresh)| Opinion {
            agent,
            condition: *condition,
            evidence: "evidence",
            is_fresh: *is_fresh,
        })
        .collect()
}

fn judge(said: &[Said], own: &[Said]) -> RegionVerdict {
    region_verdict(
        &"judged".parse().unwrap(),
        &opinions(said),
        &opinions(own),
        None,
        7,
    )
}

fn severity(condition: Condition) -> u8 {
    match condition {
        Condition::Unknown | Condition::Healthy => 0,
        Condition::Suspect => 1,
        Condition::Draining => 2,
        Condition::Failed => 3,
    }
}

proptest! {
    #[test]
    fn the_order_of_opinions_is_of_no_matter(
        (said, shuffled) in said()
            .prop_flat_map(|said| (Just(said.clone()), Just(said).prop_shuffle())),
    ) {
        let one = judge(&said, &[]);
        let other = judge(&shuffled, &[]);
        prop_assert_eq!((one.condition, one.votes), (other.condition, other.votes));
    }

    #[test]
    fn the_regions_own_agents_never_lift_the_verdict(said in said(), own in said()) {
        let observed = judge(&said, &[]).condition;
        let with_own = judge(&said, &own).condition;
        prop_assert!(with_own == observed || (severity(with_own) > severity(observed)));
    }

    #[test]
    fn what_its_agents_observe_of_their_own_region_does_not_count(said in said()) {
        let others: Vec<Said> = said
            .iter()
            .filter(|(agent, ..)| agent.region.as_str() != "judged")
            .cloned()
            .collect();

        prop_assert_eq!(judge(&said, &[]), judge(&others, &[]));
    }

    #[test]
    fn abstentions_and_stale_opinions_change_nothing(
        said in said(),
        more in said(),
        own in said(),
    ) {
        let mut with_abstentions = said.clone();
        with_abstentions.extend(more.into_iter().map(|(agent, condition, _)| {
            if condition == Condition::Unknown {
                (agent, condition, true)
            } else {
                (agent, condition, false)
            }
        }));

        prop_assert_eq!(
            judge(&with_abstentions, &own).condition,
            judge(&said, &own).condition
        );
    }

    #[test]
    fn a_worse_opinion_never_makes_a_better_verdict(
        said in said(),
        which: prop::sample::Index,
        own in said(),
    ) {
        let ladder = [Condition::Healthy, Condition::Suspect, Condition::Failed];
        let mut regression = said.clone();
        prop_assume!(!regression.is_empty());

        let index = which.index(regression.len());
        let opinion = &mut regression[index];
        if let Some(step) = ladder
            .iter()
            .position(|condition| *condition == opinion.1)
            .filter(|step| *step < 2)
        {
            opinion.1 = ladder[step + 1];
        }

        prop_assert!(
            severity(judge(&regression, &own).condition) >= severity(judge(&said, &own).condition)
        );
    }

    #[test]
    fn failed_takes_more_than_half_of_the_observing_regions_with_an_opinion(said in said()) {
        let verdict = judge(&said, &[]);
        let count = |wanted: &[Condition]| {
            verdict
                .votes
                .iter()
                .filter(|(_, vote)| wanted.contains(vote))
                .count()
        };
        let voters = verdict.votes.len() - count(&[Condition::Unknown]);

        prop_assert_eq!(
            verdict.condition == Condition::Failed,
            count(&[Condition::Failed]) * 2 > voters
        );

        prop_assert_eq!(verdict.condition == Condition::Unknown, voters == 0);
    }

    #[test]
    fn since_stays_while_the_condition_does(first in said(), second in said()) {
        let region: RegionName = "judged".parse().unwrap();
        let before = region_verdict(&region, &opinions(&first), &[], None, 10);
        let after = region_verdict(&region, &opinions(&second), &[], Some(&before), 20);

        prop_assert_eq!(
            after.since_ms,
            if after.condition == before.condition {
                10
            } else {
                20
            }
        );
    }
}

#[test]
fn many_agents_of_one_region_have_one_vote() {
    let said = [
        (agent("a", 0), Condition::Failed, true),
        (agent("a", 1), Condition::Failed, true),
        (agent("a", 2), Condition::Failed, true),
        (agent("b", 0), Condition::Healthy, true),
        (agent("c", 0), Condition::Healthy, true),
    ];

    assert_eq!(judge(&said, &[]).condition, Condition::Healthy);
}

#[test]
fn a_single_observing_region_decides_alone() {
    assert_eq!(
        judge(&[(agent("a", 0), Condition::Failed, true)], &[]).condition,
        Condition::Failed
    );
}

#[test]
fn a_region_may_report_itself_down_or_draining_and_only_that() {
    let healthy = [
        (agent("a", 0), Condition::Healthy, true),
        (agent("b", 0), Condition::Healthy, true),
    ];
    let own = |condition| [(agent("judged", 0), condition, true)];

    assert_eq!(
        judge(&healthy, &own(Condition::Draining)).condition,
        Condition::Draining
    );

    assert_eq!(
        judge(&healthy, &own(Condition::Failed)).condition,
        Condition::Failed
    );

    assert_eq!(
        judge(&[], &own(Condition::Healthy)).condition,
        Condition::Unknown
    );

    let impostor = [(agent("a", 1), Condition::Draining, true)];
    assert_eq!(judge(&healthy, &impostor).condition, Condition::Healthy);
}

#[test]
fn one_of_three_own_agents_neither_fails_nor_drains_its_region() {
    let healthy = [(agent("a", 0), Condition::Healthy, true)];
    let own = |condition| {
        [
            (agent("judged", 0), condition, true),
            (agent("judged", 1), Condition::Healthy, true),
            (agent("judged", 2), Condition::Healthy, true),
        ]
    };

    assert_eq!(
        judge(&healthy, &own(Condition::Failed)).condition,
        Condition::Healthy
    );

    assert_eq!(
        judge(&healthy, &own(Condition::Draining)).condition,
        Condition::Healthy
    );

    let two = [
        (agent("judged", 0), Condition::Draining, true),
        (agent("judged", 1), Condition::Draining, true),
    ];

    assert_eq!(judge(&healthy, &two).condition, Condition::Draining);
}

fn ip(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

proptest! {
    #[test]
    fn an_endpoint_has_failed_when_fewer_addresses_than_the_minimum_have_not(
        conditions in prop::collection::vec(condition(), 1..6),
        minimum in 0usize..8,
    ) {
        let decides = of_addresses(&conditions, minimum).unwrap();
        let alive = conditions
            .iter()
            .filter(|condition| **condition != Condition::Failed)
            .count();

        prop_assert_eq!(
            conditions[decides] == Condition::Failed,
            alive < minimum.clamp(1, conditions.len())
        );
    }

    #[test]
    fn an_answer_is_never_empty_and_holds_configured_addresses_alone(
        configured in prop::collection::vec(1u8..9, 1..6),
        verdicts in prop::collection::vec((1u8..9, condition()), 0..9),
        stands in prop::option::of(prop::collection::vec(1u8..9, 0..6)),
    ) {
        let ips = |list: &[u8]| list.iter().map(|last| ip(*last)).collect::<Vec<_>>();
        let judged: Vec<AddressVerdict> = verdicts
            .iter()
            .map(|(last, condition)| AddressVerdict {
                address: ip(*last),
                condition: *condition,
                since_ms: 0,
                reason: String::new(),
            })
            .collect();

        let configured = ips(&configured);
        let given = answered(
            &configured,
            &judged,
            stands.map(|stands| ips(&stands)).as_deref(),
        );

        prop_assert!(
            !given.is_empty() && given.iter().all(|address| configured.contains(address))
        );
    }

    #[test]
    fn an_agents_report_on_its_address_counts_for_the_region_only_when_too_few_are_left(
        addresses in prop::collection::vec((condition(), prop::option::of(condition())), 1..6),
        minimum in 1usize..4,
    ) {
        let down =
            |condition: Condition| matches!(condition, Condition::Failed | Condition::Draining);
        let up = addresses
            .iter()
            .filter(|(verdict, own)| !down(*verdict) && !own.is_some_and(down))
            .count();
        let own = own_of_addresses(&addresses, minimum);

        prop_assert!(own.is_none() || up < minimum);
        prop_assert!(own.is_none_or(down));
    }
}

#[test]
fn a_dead_address_is_left_out_and_one_that_nothing_is_known_of_stays_as_it_is() {
    let judged = |last, condition| AddressVerdict {
        address: ip(last),
        condition,
        since_ms: 0,
        reason: String::new(),
    };
    let both = [ip(1), ip(2)];

    assert_eq!(
        answered(
            &both,
            &[judged(1, Condition::Failed), judged(2, Condition::Healthy)],
            None
        ),
        [ip(2)]
    );

    let unknown = [judged(1, Condition::Unknown), judged(2, Condition::Healthy)];
    assert_eq!(answered(&both, &unknown, Some(&[ip(2)])), [ip(2)]);
    assert_eq!(answered(&both, &unknown, None), both);
    assert_eq!(
        answered(
            &both,
            &[judged(1, Condition::Failed), judged(2, Condition::Draining)],
            None
        ),
        both
    );
}

#[test]
fn the_reason_lists_the_votes() {
    let said = [
        (agent("ap-south-1", 0), Condition::Failed, true),
        (agent("us-west-2", 0), Condition::Failed, true),
        (agent("sa-east-1", 0), Condition::Unknown, true),
    ];

    assert_eq!(
        judge(&said, &[]).reason,
        "2 of 2 observing regions say failed (ap-south-1 failed: evidence, sa-east-1 abstains, \
            us-west-2 failed: evidence)"
    );
}

#[test]
fn hostile_evidence_is_cut_and_has_no_line_breaks() {
    let evil = format!("x\n{}", "y".repeat(10_000));
    let id = agent("a", 0);
    let opinion = Opinion {
        agent: &id,
        condition: Condition::Failed,
        evidence: &evil,
        is_fresh: true,
    };
    let reason = region_verdict(&"judged".parse().unwrap(), &[opinion], &[], None, 0).reason;

    assert!(reason.len() < 200 && !reason.contains('\n'), "{reason}");
}
