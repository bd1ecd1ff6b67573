//! Times of a plan, read by our own clock, which may be off or may be set.

use super::driver::Driver;
use regionmesh_core::gossip::{BoardView, skew::OwnClock};
use regionmesh_protocol::{identity::AgentId, plan::Plan, status::problem::ProblemKind};
use std::{
    borrow::Cow,
    time::{Duration, Instant},
};

/// How often this agent publishes the state of its clock.
const JUDGE_EVERY: Duration = Duration::from_secs(1);
/// Subject of the problem.
const SUBJECT: &str = "clock";

impl Driver {
    /// The last plan that the proposer knows to be decided, with its times by our own clock.
    pub(super) fn decided_by_own_clock(&self) -> Option<Cow<'_, Plan>> {
        let (_, plan) = self.proposer.decided()?;
        Some(self.arguments.snapshots.clocks.by_own_clock(plan))
    }

    /// Detects a clock that was set, or that differs from the others'.
    pub(super) fn check_clocks(&mut self, board: &BoardView) {
        let members = self.member_names();
        let is_alive = |peer: &AgentId| board.agents.get(peer).is_some_and(|view| view.is_alive);
        let snapshots = &self.arguments.snapshots;
        let seen = snapshots
            .clocks
            .evaluate(|peer| members.contains(&peer.region) && is_alive(peer));
        let metrics = &self.arguments.metrics;

        if let Some(by_ms) = seen.set_by_ms {
            metrics.clock.steps.inc();
            tracing::warn!(
                by_ms,
                "this machine's clock was set; orders, cool-downs and ramps continue by the \
                    monotonic clock"
            );
        }

        if self
            .clock_judged
            .is_some_and(|at| at.elapsed() < JUDGE_EVERY)
        {
            return;
        }

        self.clock_judged = Some(Instant::now());
        metrics.clock.ahead.set(seen.own.ahead_ms as f64 / 1e3);
        if seen.own.is_doubtful() {
            snapshots
                .problems
                .set(ProblemKind::ClockSkew, SUBJECT, in_words(&seen.own));
        } else {
            snapshots.problems.clear(ProblemKind::ClockSkew, SUBJECT);
        }
    }
}

fn in_words(own: &OwnClock) -> String {
    let seconds = |ms: i64| ms.unsigned_abs().div_ceil(1_000);
    let direction = |ms: i64| if ms > 0 { "ahead of" } else { "behind" };
    let advice = "check its time service (NTP)";
    let text = match (own.ahead_ms, &own.furthest) {
        (0, Some((peer, ahead_ms))) => {
            let which =
                "no majority of agents shows which clock is right; check both time services (NTP)";
            return format!(
                "this clock is {} s {} that of {peer}; {which}",
                seconds(*ahead_ms),
                direction(-*ahead_ms)
            );
        }
        (ahead_ms, _) => format!(
            "this clock is {} s {} the majority's",
            seconds(ahead_ms),
            direction(ahead_ms)
        ),
    };

    let leads = if own.is_off {
        "; until then this agent does not campaign for leadership"
    } else {
        ""
    };

    format!(
        "{text} ({} of {} clocks agree with it){leads}; {advice}",
        own.agreeing, own.known
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_clock_is_reported_with_its_direction() {
        let own = OwnClock {
            known: 3,
            agreeing: 1,
            ahead_ms: -3_600_000,
            furthest: None,
            is_off: true,
        };
        let text = in_words(&own);

        assert!(
            text.starts_with(
                "this clock is 3600 s behind the majority's (1 of 3 clocks agree with it)"
            ),
            "{text}"
        );

        assert!(text.contains("does not campaign for leadership"), "{text}");
    }
}
