use super::*;
use proptest::prelude::*;

fn agent(number: u8) -> AgentId {
    format!("r{}/a{number}", number % 3).parse().unwrap()
}

proptest! {
    #[test]
    fn the_responsible_agent_does_not_depend_on_which_agent_computes_it(
        unheard in prop::collection::vec(any::<bool>(), 1..8),
        leader in prop::option::of(0u8..9),
        ms in 0u64..20_000,
        turn in 0usize..8,
    ) {
        let agents: Vec<_> = (0u8..)
            .zip(&unheard)
            .map(|(number, _)| agent(number))
            .collect();
        let mut alive: Vec<_> = agents
            .iter()
            .zip(&unheard)
            .map(|(agent, &is_unheard)| Candidate { agent, is_unheard })
            .collect();
        let leader = leader.map(agent);
        let is_led = leader
            .as_ref()
            .is_some_and(|leader| agents.contains(leader));
        let found = responsible_agent(&alive, leader.as_ref(), ms).cloned();

        alive.rotate_left(turn % unheard.len());
        prop_assert_eq!(responsible_agent(&alive, leader.as_ref(), ms), found.as_ref());

        // Some agent notifies, unless an election is in progress; and if any is heard, it is one
        // who is.
        prop_assert_eq!(found.is_none(), !is_led && ms < LEADERLESS_MS);
        if let Some(found) = found {
            let speaker = alive
                .iter()
                .find(|speaker| *speaker.agent == found)
                .unwrap();

            prop_assert!(!speaker.is_unheard || unheard.iter().all(|unheard| *unheard));
            prop_assert!(
                !is_led
                    || leader.as_ref() == Some(&found)
                    || alive
                        .iter()
                        .any(|speaker| Some(speaker.agent) == leader.as_ref()
                            && speaker.is_unheard)
            );
        }
    }
}

#[test]
fn the_leader_notifies_or_else_the_first_agent_by_name() {
    let a = agent(0);
    let b = agent(1);
    let alive = |a_unheard, b_unheard| {
        [
            Candidate {
                agent: &b,
                is_unheard: b_unheard,
            },
            Candidate {
                agent: &a,
                is_unheard: a_unheard,
            },
        ]
    };

    assert_eq!(
        responsible_agent(&alive(false, false), Some(&b), 0),
        Some(&b)
    );
    assert_eq!(
        responsible_agent(&alive(false, true), Some(&b), 0),
        Some(&a)
    );
    assert_eq!(responsible_agent(&alive(true, true), Some(&b), 0), Some(&b));
    assert_eq!(responsible_agent(&alive(false, false), None, 9_999), None);
    assert_eq!(
        responsible_agent(&alive(false, false), Some(&agent(7)), 10_000),
        Some(&a)
    );
}
