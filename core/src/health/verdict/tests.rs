use super::*;
use proptest::prelude::*;

type Vote = (AgentId, Condition, bool);

fn agent(region: &str, agent: u8) -> AgentId {
    AgentId {
        region: region.parse().unwrap(),
        agent: format!("node-{agent}").parse().unwrap(),
    }
}

fn condition() -> impl Strategy<Value = Condition> {
    prop::sample::select(Condition::ALL.to_vec())
}

fn votes() -> impl Strategy<Value = Vec<Vote>> {
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

fn opinions(votes: &[Vote]) -> Vec<Opinion<'_>> {
    votes
        .iter()
        .map(|(agent, condition, is_fresh)| Opinion {
            agent,
            condition: *condition,
            evidence: "evidence",
            is_fresh: *is_fresh,
        })
        .collect()
}

fn judge(votes: &[Vote], own: &[Vote]) -> RegionVerdict {
    region_verdict(
        &"judged".parse().unwrap(),
        &opinions(votes),
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
    fn the_order_of_opinions_does_not_matter(
        (votes, shuffled) in votes()
            .prop_flat_map(|votes| (Just(votes.clone()), Just(votes).prop_shuffle())),
    ) {
        let one = judge(&votes, &[]);
        let other = judge(&shuffled, &[]);
        prop_assert_eq!((one.condition, one.votes), (other.condition, other.votes));
    }

    #[test]
    fn a_regions_own_agents_never_improve_its_verdict(votes in votes(), own in votes()) {
        let observed = judge(&votes, &[]).condition;
        let with_own = judge(&votes, &own).condition;
        prop_assert!(with_own == observed || (severity(with_own) > severity(observed)));
    }

    #[test]
    fn observations_of_the_own_region_do_not_count(votes in votes()) {
        let others: Vec<Vote> = votes
            .iter()
            .filter(|(agent, ..)| agent.region.as_str() != "judged")
            .cloned()
            .collect();

        prop_assert_eq!(judge(&votes, &[]), judge(&others, &[]));
    }

    #[test]
    fn abstentions_and_stale_opinions_change_nothing(
        votes in votes(),
        more in votes(),
        own in votes(),
    ) {
        let mut with_abstentions = votes.clone();
        with_abstentions.extend(more.into_iter().map(|(agent, condition, _)| {
            if condition == Condition::Unknown {
                (agent, condition, true)
            } else {
                (agent, condition, false)
            }
        }));

        prop_assert_eq!(
            judge(&with_abstentions, &own).condition,
            judge(&votes, &own).condition
        );
    }

    #[test]
    fn a_worse_opinion_never_makes_a_better_verdict(
        votes in votes(),
        which: prop::sample::Index,
        own in votes(),
    ) {
        let ladder = [Condition::Healthy, Condition::Suspect, Condition::Failed];
        let mut regression = votes.clone();
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
            severity(judge(&regression, &own).condition) >= severity(judge(&votes, &own).condition)
        );
    }

    #[test]
    fn failed_needs_a_majority_of_the_observing_regions_with_an_opinion(votes in votes()) {
        let verdict = judge(&votes, &[]);
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
    fn since_is_unchanged_while_the_condition_is(first in votes(), second in votes()) {
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
    let votes = [
        (agent("a", 0), Condition::Failed, true),
        (agent("a", 1), Condition::Failed, true),
        (agent("a", 2), Condition::Failed, true),
        (agent("b", 0), Condition::Healthy, true),
        (agent("c", 0), Condition::Healthy, true),
    ];

    assert_eq!(judge(&votes, &[]).condition, Condition::Healthy);
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
    fn an_answer_is_never_empty_and_contains_only_configured_addresses(
        configured in prop::collection::vec(1u8..9, 1..6),
        verdicts in prop::collection::vec((1u8..9, condition()), 0..9),
        answered_now in prop::option::of(prop::collection::vec(1u8..9, 0..6)),
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
            answered_now.map(|answered_now| ips(&answered_now)).as_deref(),
        );

        prop_assert!(
            !given.is_empty() && given.iter().all(|address| configured.contains(address))
        );
    }

    #[test]
    fn own_address_reports_count_for_the_region_only_when_too_few_addresses_are_left(
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
fn a_dead_address_is_omitted_and_an_unknown_one_is_unchanged() {
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
    let votes = [
        (agent("ap-south-1", 0), Condition::Failed, true),
        (agent("us-west-2", 0), Condition::Failed, true),
        (agent("sa-east-1", 0), Condition::Unknown, true),
    ];

    assert_eq!(
        judge(&votes, &[]).reason,
        "2 of 2 observing regions say failed (ap-south-1 failed: evidence, sa-east-1 abstains, \
            us-west-2 failed: evidence)"
    );
}

#[test]
fn hostile_evidence_is_truncated_and_stripped_of_line_breaks() {
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
