//! Who tells a receiver of events and alerts: one agent of all, so that nobody is told twice.
//!
//! The leader does, since every agent knows who that is. Where its word does not arrive (it says so
//! on the board), or where nobody has led for a while, the first of the other living agents does,
//! in the order of their names. Two agents that see the mesh differently, as in a partition, may
//! both be on duty: what they send has the same identity, so a receiver that looks at it takes it
//! once.

use regionmesh_protocol::identity::AgentId;

/// How long the mesh may be without a leader until somebody else speaks, milliseconds: an election
/// takes less.
pub const LEADERLESS_MS: u64 = 10_000;

/// An agent that may speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Speaker<'a> {
    /// Who.
    pub agent: &'a AgentId,
    /// Whether it does not reach the receiver, as it says itself.
    pub is_unheard: bool,
}

/// The agent that tells the receiver now; none while an election is likely to be under way.
///
/// - `alive`: the agents that are alive, in any order.
/// - `leader`: who leads, as far as known.
/// - `leaderless_ms`: how long no leader has been known that is alive, milliseconds.
pub fn on_duty<'a>(
    alive: &[Speaker<'a>],
    leader: Option<&AgentId>,
    leaderless_ms: u64,
) -> Option<&'a AgentId> {
    let leading = leader.and_then(|leader| alive.iter().find(|speaker| speaker.agent == leader));
    if leading.is_none() && leaderless_ms < LEADERLESS_MS {
        return None;
    }

    let heard = alive
        .iter()
        .filter(|speaker| !speaker.is_unheard)
        .map(|speaker| speaker.agent)
        .min();

    match leading {
        Some(leading) if !leading.is_unheard => Some(leading.agent),
        // If nobody is heard, the leader goes on trying.
        Some(leading) => Some(heard.unwrap_or(leading.agent)),
        None => heard.or_else(|| alive.iter().map(|speaker| speaker.agent).min()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn agent(number: u8) -> AgentId {
        format!("r{}/a{number}", number % 3).parse().unwrap()
    }

    proptest! {
        #[test]
        fn who_is_on_duty_depends_on_what_is_known_and_not_on_who_asks(
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
                .map(|(agent, &is_unheard)| Speaker { agent, is_unheard })
                .collect();
            let leader = leader.map(agent);
            let is_led = leader
                .as_ref()
                .is_some_and(|leader| agents.contains(leader));
            let found = on_duty(&alive, leader.as_ref(), ms).cloned();

            alive.rotate_left(turn % unheard.len());
            prop_assert_eq!(on_duty(&alive, leader.as_ref(), ms), found.as_ref());

            // Somebody speaks, unless an election is under way; and if anybody is heard, it is one
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
    fn the_leader_speaks_then_the_first_by_name() {
        let a = agent(0);
        let b = agent(1);
        let alive = |a_unheard, b_unheard| {
            [
                Speaker {
                    agent: &b,
                    is_unheard: b_unheard,
                },
                Speaker {
                    agent: &a,
                    is_unheard: a_unheard,
                },
            ]
        };

        assert_eq!(on_duty(&alive(false, false), Some(&b), 0), Some(&b));
        assert_eq!(on_duty(&alive(false, true), Some(&b), 0), Some(&a));
        assert_eq!(on_duty(&alive(true, true), Some(&b), 0), Some(&b));
        assert_eq!(on_duty(&alive(false, false), None, 9_999), None);
        assert_eq!(
            on_duty(&alive(false, false), Some(&agent(7)), 10_000),
            Some(&a)
        );
    }
}
