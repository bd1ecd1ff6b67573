//! The identity of one process of an agent, as foca distinguishes members.

use foca::Identity;
use regionmesh_protocol::identity::AgentId;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// One process of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MemberId {
    #[serde(with = "shared")]
    pub(super) agent: Arc<AgentId>,
    /// Start of the process, Unix milliseconds; the later one wins.
    pub(super) generation: u64,
    /// How often this process was declared dead and came back.
    pub(super) renewals: u8,
}

mod shared {
    use regionmesh_protocol::identity::AgentId;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::sync::Arc;

    pub(super) fn serialize<S: Serializer>(agent: &Arc<AgentId>, to: S) -> Result<S::Ok, S::Error> {
        AgentId::serialize(agent, to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Arc<AgentId>, D::Error> {
        AgentId::deserialize(from).map(Arc::new)
    }
}

impl Identity for MemberId {
    type Addr = Arc<AgentId>;

    /// Each renewal moves the generation twice as far ahead: an agent whose clock was set back
    /// between two starts overtakes its earlier process within a few round trips.
    fn renew(&self) -> Option<Self> {
        const MAX_SHIFT: u8 = 24;

        let generation = self
            .generation
            .saturating_add(1 << self.renewals.min(MAX_SHIFT));
        Some(Self {
            agent: self.agent.clone(),
            generation,
            renewals: self.renewals.saturating_add(1),
        })
    }

    fn addr(&self) -> Self::Addr {
        self.agent.clone()
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        (self.generation, self.renewals) > (adversary.generation, adversary.renewals)
    }
}
