//! Events and alerts about the problems that agents publish.

use super::{ChangeDetector, ProblemKey, quoted};
use regionmesh_protocol::{
    event::{Event, EventKind, Severity},
    identity::AgentId,
    status::problem::{PROBLEMS_MAX, Problem},
};
use std::collections::{BTreeMap, BTreeSet};

impl ChangeDetector {
    /// Takes in the problems of all living agents, changed or not. The problems of an agent that is
    /// gone end.
    pub fn problems(
        &mut self,
        published: &BTreeMap<AgentId, Vec<Problem>>,
        now_ms: u64,
    ) -> Vec<Event> {
        let mut active = BTreeSet::new();
        let mut events = Vec::new();
        for (agent, problems) in published {
            for problem in problems.iter().take(PROBLEMS_MAX) {
                let key = (agent.clone(), problem.kind, quoted(&problem.subject));
                if !self.problems.contains_key(&key) {
                    events.push(problem_event(&key, problem, None));
                }
                self.raise_problem(&key, problem);
                self.problems.insert(key.clone(), problem.clone());
                active.insert(key);
            }
        }

        let ended: Vec<ProblemKey> = self
            .problems
            .keys()
            .filter(|key| !active.contains(*key))
            .cloned()
            .collect();

        for key in ended {
            if let Some(problem) = self.problems.remove(&key) {
                events.push(problem_event(&key, &problem, Some(now_ms)));
                let (agent, kind, subject) = &key;
                let agent = agent.to_string();

                self.book.end(kind.alert_name(), now_ms, |labels| {
                    labels.get("agent") == Some(&agent) && labels.get("subject") == Some(subject)
                });
            }
        }

        events
    }

    fn raise_problem(&mut self, key: &ProblemKey, problem: &Problem) {
        let (agent, kind, subject) = key;
        let name = agent.to_string();
        let about = [
            ("region", agent.region.as_str()),
            ("agent", &*name),
            ("subject", &**subject),
        ];
        let summary = format!("{agent}: {}: {subject}", kind.summary());

        self.raise(
            EventKind::Problem,
            *kind,
            &about,
            summary,
            &problem.detail,
            problem.since_ms,
        );
    }
}

/// The event of a problem's beginning, or of its end at `ended_ms`.
fn problem_event(key: &ProblemKey, problem: &Problem, ended_ms: Option<u64>) -> Event {
    let (agent, kind, subject) = key;
    let (suffix, severity, text) = match ended_ms {
        None => (
            "",
            kind.severity(),
            format!("{agent}: {}: {subject}: {}", kind.summary(), problem.detail),
        ),
        Some(_) => (
            ":ended",
            Severity::Info,
            format!("{agent}: over: {}: {subject}", kind.summary()),
        ),
    };

    Event {
        id: format!(
            "problem:{agent}:{kind}:{subject}:{}{suffix}",
            problem.since_ms
        ),
        kind: EventKind::Problem,
        severity,
        time_ms: ended_ms.unwrap_or(problem.since_ms),
        region: Some(agent.region.clone()),
        fields: [
            ("agent", agent.to_string()),
            ("problem", kind.to_string()),
            ("subject", subject.clone()),
        ]
        .into(),
        text: quoted(&text),
        reported_by: None,
    }
}
