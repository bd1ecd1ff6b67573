//! Elections that commit the successor of the value found.

use super::*;
use regionmesh_protocol::plan::CommittedPlan;

/// A mesh whose first leader committed `first`, and a second candidate that knows it, with what it
/// finds in the promises.
fn candidate(
    all: &mut BTreeMap<RegionName, AcceptorState>,
    found: Plan,
) -> (Proposer, Option<Effect>) {
    let (mut first, _) = lead(all, 1, "a b c");
    let effects = first.commit(value("a b c", "first"), 0).unwrap();
    let outcomes = converge(&mut first, all, effects, 0);
    let [Effect::Committed(known)] = &outcomes[..] else {
        panic!("{outcomes:?}");
    };

    let known: CommittedPlan = known.clone();
    let mut stamp = known.stamp.clone();
    stamp.seq += 1;
    let b = all.get_mut(&"b".parse::<RegionName>().unwrap()).unwrap();
    b.accepted = Some((stamp, found));

    let mut next = Proposer::new(ProposerSettings::default());
    next.learn(&known);
    let asked = Acceptors::Known(members("a b c"));
    let effects = next.prepare(ballot(2), asked, 0).unwrap();

    let mut offers = Vec::new();
    for effect in effects {
        let Effect::Send { to, request } = effect else {
            panic!("{effect:?}");
        };
        let state = all.get_mut(&to).unwrap();
        let (reply, changed) = state.apply(&request);
        *state = changed.unwrap_or(state.clone());
        let answer = AcceptorAnswer {
            incarnation: state.incarnation,
            reply,
            acceptance: None,
        };
        let effects = next.answered(&to, answer, 0);
        offers.extend(effects.into_iter().filter(|effect| {
            let is_sent = matches!(effect, Effect::Send { .. });
            !is_sent
        }));
    }

    (next, offers.pop())
}

/// How the acceptors were asked to accept plans: their numbers and reasons.
fn asked(effects: &[Effect]) -> BTreeSet<(u64, String)> {
    let accepts = effects.iter().filter_map(|effect| match effect {
        Effect::Send {
            request: AcceptorRequest::Accept(stamp, plan),
            ..
        } => Some((stamp.seq, plan.reason.clone())),
        _ => None,
    });
    accepts.collect()
}

#[test]
fn one_round_commits_the_value_found_and_its_successor() {
    let mut all = acceptors("a b c");
    let (mut next, offer) = candidate(&mut all, value("a b c", "found"));
    assert!(
        matches!(&offer, Some(Effect::Found(stamp, plan))
            if stamp.seq == 2 && plan.reason == "found"),
        "{offer:?}"
    );
    assert!(!next.is_ready());

    // Members that a plan does not name stay.
    let successor = Plan {
        members: Members::default(),
        ..value("a b c", "both")
    };
    let effects = next.succeed(Some(successor), 0);
    assert_eq!(asked(&effects), [(3, "both".to_owned())].into());

    let outcomes = converge(&mut next, &mut all, effects, 0);
    let stamp = Stamp {
        ballot: ballot(2),
        seq: 3,
    };
    let plan = value("a b c", "both");
    assert_eq!(
        outcomes,
        [
            Effect::Elected(ballot(2)),
            Effect::Committed(committed(stamp, plan))
        ]
    );
    assert!(next.is_ready());
}

#[test]
fn a_successor_that_agents_object_to_gives_way_to_the_value_found() {
    let mut all = acceptors("a b c");
    let (mut next, _) = candidate(&mut all, value("a b c", "found"));
    let effects = next.succeed(Some(value("a b c", "bad")), 0);
    let outcomes = objections::converge_judged(&mut next, &mut all, effects, "a", 0);

    let dropped = outcomes
        .iter()
        .any(|effect| matches!(effect, Effect::Dropped(stamp) if stamp.seq == 3));
    assert!(dropped, "{outcomes:?}");
    assert!(
        matches!(
            &outcomes[outcomes.len() - 2..],
            [Effect::Elected(_), Effect::Committed(CommittedPlan { stamp, plan, .. })]
                if stamp.seq == 4 && plan.reason == "found"
        ),
        "{outcomes:?}"
    );
}

#[test]
fn a_stamp_that_was_sent_with_the_value_found_carries_no_successor() {
    let mut all = acceptors("a b c");
    let (mut next, _) = candidate(&mut all, value("a b c", "found"));
    let found = [(3, "found".to_owned())].into();
    assert_eq!(asked(&next.succeed(None, 0)), found);

    assert_eq!(next.succeed(Some(value("a b c", "late")), 0), []);
    assert_eq!(asked(&next.tick(600)), found);
}

#[test]
fn a_value_that_changes_the_members_is_committed_alone() {
    let mut all = acceptors("a b c d");
    let (next, offer) = candidate(&mut all, value("a b c d", "found"));
    assert_eq!(offer, None);
    assert!(next.leading().is_none() && next.ballot().is_some());
}
