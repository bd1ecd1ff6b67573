//! When the parts act without an input.

use super::intervals::{
    HEALTH_BOARD_PAUSE, HEALTH_TICK, LEADER_IDLE, LEADER_PAUSE, REPLICATION_BOARD_PAUSE,
    REPLICATION_TICK,
};
use std::time::{Duration, Instant};

/// When each part acts next.
#[derive(Debug)]
pub(super) struct Paces {
    pub(super) health: Pace,
    /// Health reads the board.
    pub(super) health_board: Pace,
    pub(super) leader: Pace,
    pub(super) replication: Pace,
    /// Replication reads the board.
    pub(super) replication_board: Pace,
}

impl Paces {
    /// Every tick is due.
    pub(super) fn start(now: Instant) -> Self {
        Self {
            health: Pace::regular(HEALTH_TICK, HEALTH_TICK, now),
            health_board: Pace::on_change(HEALTH_BOARD_PAUSE, now),
            leader: Pace::regular(LEADER_IDLE, LEADER_PAUSE, now),
            replication: Pace::regular(REPLICATION_TICK, REPLICATION_TICK, now),
            replication_board: Pace::on_change(REPLICATION_BOARD_PAUSE, now),
        }
    }

    /// The board changed in a way that may change a decision.
    pub(super) fn board_changed(&mut self) {
        self.health_board.changed();
        self.leader.changed();
        self.replication_board.changed();
    }

    /// The board changed in times, counters and evidence alone: it is read at the next tick.
    pub(super) fn board_refreshed(&mut self) {
        self.health_board.hasten(self.health.due);
        self.replication_board.hasten(self.replication.due);
    }

    /// The earliest time at which something is due.
    pub(super) fn next(&self) -> Option<Instant> {
        let paces = [
            &self.health,
            &self.health_board,
            &self.leader,
            &self.replication,
            &self.replication_board,
        ];

        paces.into_iter().filter_map(|pace| pace.due).min()
    }
}

/// Something that is done regularly, sooner after a change, or both, but never too often.
#[derive(Debug)]
pub(super) struct Pace {
    /// Longest time between two; none: only after a change.
    every: Option<Duration>,
    /// Shortest time between two.
    pause: Duration,
    /// When it is due; none: after the next change.
    due: Option<Instant>,
    /// When a change makes it due.
    ready: Instant,
}

impl Pace {
    /// Due now.
    fn regular(every: Duration, pause: Duration, now: Instant) -> Self {
        Self {
            every: Some(every),
            pause,
            due: Some(now),
            ready: now,
        }
    }

    /// Due with the first change.
    fn on_change(pause: Duration, now: Instant) -> Self {
        Self {
            every: None,
            pause,
            due: None,
            ready: now,
        }
    }

    /// Makes it due as soon as the pause allows.
    pub(super) fn changed(&mut self) {
        self.due = Some(self.due.map_or(self.ready, |due| due.min(self.ready)));
    }

    /// Makes it due at `at` at the latest.
    pub(super) fn hasten(&mut self, at: Option<Instant>) {
        self.due = [self.due, at].into_iter().flatten().min();
    }

    /// Whether it is due. If so, it counts as done.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        if self.due.is_none_or(|due| due > now) {
            return false;
        }

        self.ready = now + self.pause;
        self.due = self.every.map(|every| now + every);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When it is done within 250 ms if something changes every 7 ms, or never.
    fn done_ms(mut pace: Pace, start: Instant, has_changes: bool) -> Vec<u64> {
        let mut done = Vec::new();
        for ms in 0..250 {
            if has_changes && ms % 7 == 0 {
                pace.changed();
            }
            if pace.take(start + Duration::from_millis(ms)) {
                done.push(ms);
            }
        }

        done
    }

    #[test]
    fn an_idle_leader_sleeps_and_ticks_at_most_every_20_ms_after_changes() {
        let start = Instant::now();
        assert_eq!(done_ms(Paces::start(start).leader, start, false), [0]);

        let busy = done_ms(Paces::start(start).leader, start, true);
        assert_eq!(busy[..4], [0, 20, 40, 60]);
    }

    #[test]
    fn a_leader_with_something_under_way_does_not_wait_for_the_idle_tick() {
        let start = Instant::now();
        let ms = |ms| start + Duration::from_millis(ms);
        let mut pace = Paces::start(start).leader;
        assert!(pace.take(start));

        pace.hasten(Some(ms(100)));
        pace.hasten(Some(ms(300)));
        pace.hasten(None);
        assert!(!pace.take(ms(99)));
        assert!(pace.take(ms(100)));
    }

    #[test]
    fn a_board_with_new_times_alone_is_read_with_the_next_tick() {
        let start = Instant::now();
        let ms = |ms| start + Duration::from_millis(ms);
        let mut paces = Paces::start(start);
        assert!(paces.health.take(start));

        paces.board_refreshed();
        assert!(!paces.health_board.take(ms(499)));
        assert!(paces.health_board.take(ms(500)));
    }

    #[test]
    fn a_board_is_read_after_a_change_alone_and_at_most_every_pause() {
        let start = Instant::now();
        let paces = || Paces::start(start);
        assert!(done_ms(paces().health_board, start, false).is_empty());

        assert_eq!(done_ms(paces().health_board, start, true)[..3], [0, 20, 40]);
        assert_eq!(
            done_ms(paces().replication_board, start, true)[..3],
            [0, 50, 100]
        );
    }
}
