//! Connections between agents, as the mesh keeps them.

/// A connection that is silent for this long is lost: QUIC's idle timeout.
pub(crate) const IDLE_MS: u64 = 4_000;

/// The connection of two agents.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Link {
    pub(crate) is_up: bool,
    /// Changes whenever the link is lost.
    pub(crate) epoch: u32,
    /// Since when nothing gets through.
    pub(crate) silent_since_ms: Option<u64>,
    /// When it is dialled next.
    pub(crate) dial_at_ms: u64,
}

/// The connections of all pairs of agents.
#[derive(Debug)]
pub(crate) struct Links {
    agents: usize,
    links: Vec<Link>,
    /// Whether somebody looks after them at present.
    pub(crate) is_watched: bool,
}

impl Links {
    pub(crate) fn new(agents: usize) -> Self {
        Self {
            agents,
            links: vec![Link::default(); agents * agents],
            is_watched: false,
        }
    }

    fn index(&self, one: usize, other: usize) -> usize {
        one.min(other) * self.agents + one.max(other)
    }

    pub(crate) fn get(&self, one: usize, other: usize) -> Link {
        self.links[self.index(one, other)]
    }

    pub(crate) fn get_mut(&mut self, one: usize, other: usize) -> &mut Link {
        let index = self.index(one, other);
        &mut self.links[index]
    }

    pub(crate) fn is_up(&self, one: usize, other: usize) -> bool {
        one != other && self.get(one, other).is_up
    }

    /// Every pair of agents, each once.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let agents = self.agents;
        (0..agents).flat_map(move |one| (one + 1..agents).map(move |other| (one, other)))
    }
}
