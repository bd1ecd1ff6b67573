//! Which agents do a task, computed by each agent alone (rendezvous hashing, Thaler and
//! Ravishankar 1998): all who know the same agents agree, and if one leaves, only its tasks move.

use regionmesh_protocol::identity::AgentId;
use std::cmp::Reverse;

/// The `count` agents of a region that rank highest for `key`, highest first.
pub fn top<'a>(
    count: usize,
    key: &[u8],
    agents: impl IntoIterator<Item = &'a AgentId>,
) -> Vec<&'a AgentId> {
    let mut ranked: Vec<_> = agents.into_iter().collect();
    ranked.sort_by_cached_key(|agent| Reverse(score(agent, key)));
    ranked.truncate(count);
    ranked
}

/// Whether `own` ranks higher for `key` than each of `others`, agents of the same region.
pub fn is_first<'a>(
    own: &AgentId,
    key: &[u8],
    others: impl IntoIterator<Item = &'a AgentId>,
) -> bool {
    let ours = score(own, key);
    !others
        .into_iter()
        .any(|agent| agent != own && score(agent, key) > ours)
}

fn score(agent: &AgentId, key: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher
        .update(agent.agent.as_str().as_bytes())
        .update(&[0])
        .update(key);

    *hasher.finalize().as_bytes()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::{collection::btree_set, prelude::*};

    fn agents() -> impl Strategy<Value = Vec<AgentId>> {
        let to_agents = |names: std::collections::BTreeSet<u8>| {
            let id = |name: u8| format!("r/n{name}").parse().unwrap();
            names.into_iter().map(id).collect()
        };
        btree_set(any::<u8>(), 1..12).prop_map(to_agents)
    }

    proptest! {
        #[test]
        fn one_agent_is_first_and_it_leads_the_top(agents in agents(), key in any::<[u8; 4]>()) {
            let first: Vec<_> = agents
                .iter()
                .filter(|own| is_first(own, &key, &agents))
                .collect();

            prop_assert_eq!(first, top(1, &key, &agents));
            prop_assert_eq!(top(3, &key, &agents).len(), agents.len().min(3));
        }

        #[test]
        fn the_top_keeps_its_members_if_another_agent_leaves(
            agents in agents(),
            key in any::<[u8; 4]>(),
        ) {
            let before: Vec<_> = top(3, &key, &agents).into_iter().cloned().collect();

            for gone in &agents {
                let left = agents.iter().filter(|agent| *agent != gone);
                let after = top(3, &key, left);
                let mut kept = before.iter().filter(|agent| *agent != gone);

                prop_assert!(kept.all(|agent| after.contains(&agent)));
            }
        }
    }
}
