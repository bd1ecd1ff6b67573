//! From where a region's endpoint is reached, as requests really ended, whatever agents conclude.

use std::collections::VecDeque;

/// How far back requests count: an endpoint that answers nothing for 8 s counts as failed.
pub(crate) const REACHED_WITHIN_MS: u64 = 8_000;
/// How long it takes until a leader can know of an answer: it travels back, and is published.
const KNOWN_AFTER_MS: u64 = 1_000;

/// The recent requests from each region to each other.
#[derive(Debug)]
pub(crate) struct Reach {
    regions: usize,
    /// When each request was sent, and whether it was answered.
    requests: Vec<VecDeque<(u64, bool)>>,
}

impl Reach {
    pub(crate) fn new(regions: usize) -> Self {
        Self {
            regions,
            requests: vec![VecDeque::new(); regions * regions],
        }
    }

    pub(crate) fn record(&mut self, from: usize, to: usize, now_ms: u64, is_answered: bool) {
        let requests = &mut self.requests[from * self.regions + to];
        requests.push_back((now_ms, is_answered));
        while requests
            .front()
            .is_some_and(|(at_ms, _)| at_ms + REACHED_WITHIN_MS + KNOWN_AFTER_MS < now_ms)
        {
            requests.pop_front();
        }
    }

    /// How many requests of a region were sent lately, and how many of them were answered, as far
    /// as a leader can know.
    pub(crate) fn answered(&self, from: usize, to: usize, now_ms: u64) -> (usize, usize) {
        let requests = &self.requests[from * self.regions + to];
        let until_ms = now_ms.saturating_sub(KNOWN_AFTER_MS);
        let lately = requests
            .iter()
            .filter(|(at_ms, _)| *at_ms <= until_ms && at_ms + REACHED_WITHIN_MS >= until_ms);
        let answered = lately.clone().filter(|(_, is_answered)| *is_answered);

        (lately.count(), answered.count())
    }

    /// Whether at least half of the other regions that sent requests to `to` lately got an answer.
    pub(crate) fn is_reached(&self, to: usize, now_ms: u64) -> bool {
        let others = (0..self.regions).filter(|from| *from != to);
        let asked: Vec<(usize, usize)> = others
            .map(|from| self.answered(from, to, now_ms))
            .filter(|(asked, _)| *asked > 0)
            .collect();
        let reached = asked.iter().filter(|(_, answered)| *answered > 0).count();

        reached > 0 && reached * 2 >= asked.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_reached_if_half_of_the_others_get_answers() {
        let mut reach = Reach::new(4);
        assert!(!reach.is_reached(0, 0));

        reach.record(0, 0, 0, true);
        reach.record(1, 0, 0, false);
        reach.record(2, 0, 0, false);
        assert!(!reach.is_reached(0, 1_000));

        reach.record(2, 0, 500, true);
        assert!(!reach.is_reached(0, 1_000), "no agent can know of it yet");
        assert!(reach.is_reached(0, 1_500));

        reach.record(3, 0, 1_000, false);
        assert!(!reach.is_reached(0, 2_000));
    }

    #[test]
    fn old_requests_do_not_count() {
        let mut reach = Reach::new(2);
        reach.record(1, 0, 0, true);
        let last_ms = REACHED_WITHIN_MS + KNOWN_AFTER_MS;
        assert!(reach.is_reached(0, last_ms));
        assert!(!reach.is_reached(0, last_ms + 1));
    }
}
