//! The network between regions: delay, loss, duplicates, late packets, cuts.

use super::{
    shape::Shape,
    streams::{Purpose, hits, stream},
};
use rand::{Rng, rngs::StdRng};

/// Delay within a region.
const LOCAL_MS: u64 = 1;

/// Which directions between regions a cut covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    OneWay(usize, usize),
    Both(usize, usize),
    /// Everything to and from one region.
    Around(usize),
    /// Everything that leaves one region.
    From(usize),
}

impl Scope {
    fn covers(self, from: usize, to: usize) -> bool {
        match self {
            Self::OneWay(a, b) => (a, b) == (from, to),
            Self::Both(a, b) => (a, b) == (from, to) || (b, a) == (from, to),
            Self::Around(a) => from != to && (a == from || a == to),
            Self::From(a) => from != to && a == from,
        }
    }
}

/// A cut that comes and goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Phases {
    pub(crate) since_ms: u64,
    pub(crate) on_ms: u64,
    pub(crate) off_ms: u64,
}

impl Phases {
    fn is_on(self, now_ms: u64) -> bool {
        let period_ms = (self.on_ms + self.off_ms).max(1);
        now_ms.saturating_sub(self.since_ms) % period_ms < self.on_ms
    }
}

/// What is wrong with the network at present.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Trouble {
    Cut(Scope, Option<Phases>),
    Loss { ppm: u64 },
    Duplicates { ppm: u64 },
    Late { ppm: u64, most_ms: u64 },
}

/// What becomes of one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fate {
    pub(crate) is_lost: bool,
    pub(crate) delay_ms: u64,
    /// The delay of a second copy.
    pub(crate) again_ms: Option<u64>,
}

/// The network and its present faults, each with the number of its fault.
#[derive(Debug)]
pub(crate) struct Network {
    delays_ms: Vec<Vec<u64>>,
    loss_ppm: u64,
    troubles: Vec<(usize, Trouble)>,
    /// One for each sender.
    streams: Vec<StdRng>,
}

impl Network {
    pub(crate) fn new(shape: &Shape) -> Self {
        let senders = 0..shape.agents() as u64;
        Self {
            delays_ms: shape.delays_ms.clone(),
            loss_ppm: shape.loss_ppm,
            troubles: Vec::new(),
            streams: senders
                .map(|sender| stream(shape.seed, Purpose::Network, sender))
                .collect(),
        }
    }

    pub(crate) fn begin(&mut self, fault: usize, trouble: Trouble) {
        self.troubles.push((fault, trouble));
    }

    pub(crate) fn end(&mut self, fault: usize) {
        self.troubles.retain(|(active, _)| *active != fault);
    }

    /// Ends all faults and all loss.
    pub(crate) fn heal(&mut self) {
        self.troubles.clear();
        self.loss_ppm = 0;
    }

    pub(crate) fn is_cut_anywhere(&self) -> bool {
        self.troubles
            .iter()
            .any(|(_, trouble)| matches!(trouble, Trouble::Cut(..)))
    }

    /// Whether no packet gets from one region to another now.
    pub(crate) fn is_blocked(&self, from: usize, to: usize, now_ms: u64) -> bool {
        self.troubles.iter().any(|(_, trouble)| match trouble {
            Trouble::Cut(scope, phases) => {
                scope.covers(from, to) && phases.is_none_or(|phases| phases.is_on(now_ms))
            }
            _ => false,
        })
    }

    /// A draw from the stream of a sender.
    pub(crate) fn draw(&mut self, sender: usize) -> u64 {
        self.streams[sender].next_u64()
    }

    /// Draws what becomes of a packet. Always draws as many numbers, whatever faults there are.
    pub(crate) fn fate(&mut self, sender: usize, from: usize, to: usize) -> Fate {
        let stream = &mut self.streams[sender];
        let first = stream.next_u64();
        let second = stream.next_u64();
        if from == to {
            return Fate {
                is_lost: false,
                delay_ms: LOCAL_MS,
                again_ms: None,
            };
        }

        let mut loss_ppm = self.loss_ppm;
        let mut duplicates_ppm = 0;
        let mut late = None;
        for (_, trouble) in &self.troubles {
            match trouble {
                Trouble::Loss { ppm } => loss_ppm = loss_ppm.max(*ppm),
                Trouble::Duplicates { ppm } => duplicates_ppm = *ppm,
                Trouble::Late { ppm, most_ms } => late = Some((*ppm, *most_ms)),
                Trouble::Cut(..) => {}
            }
        }

        let base_ms = self.delays_ms[from][to];
        let jitter = first & 0xf;
        let mut delay_ms = base_ms + base_ms * jitter / 64 + LOCAL_MS;
        if let Some((ppm, most_ms)) = late
            && hits(first, 4, ppm)
        {
            delay_ms += ((second & 0xffff) * most_ms) >> 16;
        }

        Fate {
            is_lost: hits(first, 24, loss_ppm),
            delay_ms,
            again_ms: hits(second, 16, duplicates_ppm)
                .then(|| delay_ms + (second >> 36 & 0x3f) + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::shape::Options;

    #[test]
    fn a_fault_that_is_left_out_changes_no_later_draw() {
        let shape = Shape::draw(1, &Options::default());
        let mut with = Network::new(&shape);
        let mut without = Network::new(&shape);

        with.begin(0, Trouble::Loss { ppm: 500_000 });
        with.begin(1, Trouble::Cut(Scope::Around(0), None));
        for _ in 0..100 {
            with.fate(0, 0, 1);
            without.fate(0, 0, 1);
        }
        with.heal();
        without.heal();

        assert_eq!(with.fate(0, 0, 1), without.fate(0, 0, 1));
    }

    #[test]
    fn a_one_way_cut_leaves_the_other_way_open() {
        let shape = Shape::draw(1, &Options::default());
        let mut network = Network::new(&shape);
        network.begin(0, Trouble::Cut(Scope::OneWay(0, 1), None));

        assert!(network.is_blocked(0, 1, 0));
        assert!(!network.is_blocked(1, 0, 0));
    }
}
