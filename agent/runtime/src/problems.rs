//! The problems of this agent: any part can raise and clear one; the board publishes them to the
//! mesh.

use crate::time::unix_ms;
use regionmesh_core::problem_change::ProblemChange;
use regionmesh_protocol::status::problem::{
    DETAIL_MAX, PROBLEMS_MAX, Problem, ProblemKind, SUBJECT_MAX,
};
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::watch;

type ActiveProblems = BTreeMap<(ProblemKind, String), Problem>;

/// The active problems. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Problems {
    problems: Arc<watch::Sender<ActiveProblems>>,
}

impl Problems {
    /// Raises a problem. Raising it again updates its detail but not its start.
    pub fn set(&self, kind: ProblemKind, subject: impl Into<String>, detail: impl Into<String>) {
        let subject = shortened(subject.into(), SUBJECT_MAX);
        let detail = shortened(detail.into(), DETAIL_MAX);
        self.problems.send_if_modified(|problems| {
            let key = (kind, subject.clone());
            if let Some(known) = problems.get_mut(&key) {
                let is_news = known.detail != detail;
                known.detail = detail;
                return is_news;
            }

            tracing::warn!(problem = %kind, subject, detail, "problem: {}", kind.summary());
            problems.insert(
                key,
                Problem {
                    kind,
                    subject,
                    detail,
                    since_ms: unix_ms(),
                },
            );

            true
        });
    }

    /// Carries out what the core decided.
    pub fn apply(&self, change: ProblemChange) {
        match change {
            ProblemChange::Set {
                kind,
                subject,
                detail,
            } => self.set(kind, subject, detail),
            ProblemChange::Retain { kind, subjects } => {
                self.retain(kind, |subject| subjects.contains(subject))
            }
        }
    }

    /// Clears a problem.
    pub fn clear(&self, kind: ProblemKind, subject: &str) {
        let subject = shortened(subject.to_owned(), SUBJECT_MAX);
        self.retain(kind, |known| *known != *subject);
    }

    /// Clears the problems of this kind whose subject `is_current` rejects.
    pub fn retain(&self, kind: ProblemKind, is_current: impl Fn(&str) -> bool) {
        self.problems.send_if_modified(|problems| {
            let before = problems.len();
            problems.retain(|(known, subject), _| {
                let is_active = *known != kind || is_current(subject);
                if !is_active {
                    tracing::info!(problem = %kind, subject, "problem over: {}", kind.summary());
                }
                is_active
            });

            problems.len() != before
        });
    }

    /// The published problems, most urgent first, at most [`PROBLEMS_MAX`].
    pub fn active(&self) -> Vec<Problem> {
        let mut problems: Vec<Problem> = self.problems.borrow().values().cloned().collect();
        problems.sort_by_key(|problem| std::cmp::Reverse(problem.kind.severity()));
        problems.truncate(PROBLEMS_MAX);
        problems
    }

    /// The number of problems of one kind.
    pub fn count(&self, kind: ProblemKind) -> usize {
        self.problems
            .borrow()
            .keys()
            .filter(|(known, _)| *known == kind)
            .count()
    }

    /// Wakes the receiver at each change.
    pub fn subscribe(&self) -> watch::Receiver<ActiveProblems> {
        self.problems.subscribe()
    }
}

fn shortened(mut text: String, limit: usize) -> String {
    if let Some((end, _)) = text.char_indices().nth(limit) {
        text.truncate(end);
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_keeps_its_start_time_until_it_is_cleared() {
        let problems = Problems::default();
        problems.set(ProblemKind::StoreUnavailable, "store", "refused");

        let first = problems.active();
        let mut changes = problems.subscribe();
        problems.set(ProblemKind::StoreUnavailable, "store", "refused");
        assert!(!changes.has_changed().unwrap());
        problems.set(ProblemKind::StoreUnavailable, "store", "disk full");
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();

        let second = problems.active();
        assert_eq!(
            (second[0].since_ms, &*second[0].detail),
            (first[0].since_ms, "disk full")
        );

        problems.clear(ProblemKind::StoreUnavailable, "witness");
        assert!(!changes.has_changed().unwrap());
        problems.clear(ProblemKind::StoreUnavailable, "store");
        assert!(changes.has_changed().unwrap() && problems.active().is_empty());
    }

    #[test]
    fn published_problems_are_bounded_and_most_urgent_first() {
        let problems = Problems::default();
        for number in 0..100 {
            problems.set(
                ProblemKind::PeerRefused,
                format!("{number}{}", "x".repeat(1_000)),
                "é".repeat(1_000),
            );
        }

        problems.set(ProblemKind::StoreUnavailable, "store", "");
        let active = problems.active();
        assert_eq!(
            (active.len(), active[0].kind),
            (PROBLEMS_MAX, ProblemKind::StoreUnavailable)
        );

        assert!(
            active
                .iter()
                .all(|problem| problem.subject.chars().count() <= SUBJECT_MAX)
        );

        assert!(
            active
                .iter()
                .all(|problem| problem.detail.chars().count() <= DETAIL_MAX)
        );

        problems.clear(ProblemKind::PeerRefused, &format!("7{}", "x".repeat(1_000)));
        assert_eq!(problems.count(ProblemKind::PeerRefused), 99);
        problems.retain(ProblemKind::PeerRefused, |_| false);
        assert_eq!(problems.active().len(), 1);
    }
}
