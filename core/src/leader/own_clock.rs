//! Whether this agent's clock is right, as far as its peers' clocks show.

use super::{notice::Notice, state::Leader, turn::Turn, types::Effect};
use crate::{
    gossip::{BoardView, skew::OwnClock},
    problem_change::ProblemChange,
};
use regionmesh_protocol::{identity::AgentId, status::problem::ProblemKind};
use std::{collections::BTreeSet, time::Duration};

/// How often this agent publishes the state of its clock.
const JUDGE_EVERY: Duration = Duration::from_secs(1);
/// Subject of the problem.
const SUBJECT: &str = "clock";

impl Leader {
    /// Detects a clock that was set, or that differs from the others'.
    pub(super) fn check_clocks(&mut self, board: &BoardView, turn: &mut Turn<'_>) {
        let members = self.member_names();
        let is_alive = |peer: &AgentId| board.agents.get(peer).is_some_and(|view| view.is_alive);
        let may_lead = |peer: &AgentId| members.contains(&peer.region) && is_alive(peer);

        if let Some(by_ms) = self.clocks.evaluate(may_lead, turn.now) {
            turn.notice(Notice::ClockSet(by_ms));
        }

        let now = turn.now.monotonic;
        let last = self.clocks.judged;
        if last.is_some_and(|at| now.saturating_duration_since(at) < JUDGE_EVERY) {
            return;
        }

        self.clocks.judged = Some(now);
        let own = &self.clocks.own;
        let kind = ProblemKind::ClockSkew;
        turn.notice(Notice::ClockAhead(own.ahead_ms));
        if own.is_doubtful() {
            turn.emit(Effect::Problem(ProblemChange::Set {
                kind,
                subject: SUBJECT.to_owned(),
                detail: in_words(own),
            }));
        } else {
            let subjects = BTreeSet::new();
            turn.emit(Effect::Problem(ProblemChange::Retain { kind, subjects }));
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
