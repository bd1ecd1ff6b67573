//! Events and alerts about money, from the notices that agents publish.

use super::{Journal, quoted};
use crate::notify::alert::MeshAlert;
use regionmesh_protocol::{
    event::{Event, EventKind, Severity},
    status::money::{CostNotice, NoticeKind},
};

impl Journal {
    /// The notices of all living agents, changed or not.
    pub fn notices<'a>(
        &mut self,
        published: impl Iterator<Item = &'a CostNotice>,
        now_ms: u64,
    ) -> Vec<Event> {
        let mut events = Vec::new();
        for notice in published {
            let before = self
                .notices
                .iter()
                .find(|known| known.id == notice.id)
                .cloned();

            self.notices.take(notice, now_ms);
            let Some(known) = self.notices.iter().find(|known| known.id == notice.id) else {
                continue;
            };
            let known = known.clone();

            if before.is_none() {
                events.push(event(&known, None));
            }

            let was_over = before.is_some_and(|before| before.ended_ms.is_some());
            match known.ended_ms {
                None => self.raise_notice(&known),
                Some(ended_ms) if !was_over => {
                    self.end_notice(&known, ended_ms);
                    events.push(event(&known, Some(ended_ms)));
                }
                Some(_) => {}
            }
        }

        self.notices.forget(now_ms);
        events
    }

    fn raise_notice(&mut self, notice: &CostNotice) {
        let region = notice.region.as_ref().map_or("", |region| region.as_str());
        let about = [
            ("region", region),
            ("subject", &*quoted(&notice.subject)),
            ("notice", &*quoted(&notice.id)),
        ];
        let (kind, alert) = kinds(notice.kind);
        let summary = format!("{}: {}", alert.row().summary, quoted(&notice.subject));

        self.raise(kind, alert, &about, summary, &notice.text, notice.since_ms);
    }

    fn end_notice(&mut self, notice: &CostNotice, ended_ms: u64) {
        let id = quoted(&notice.id);
        self.book
            .end(kinds(notice.kind).1.name(), ended_ms, |labels| {
                labels.get("notice") == Some(&id)
            });
    }
}

fn kinds(kind: NoticeKind) -> (EventKind, MeshAlert) {
    match kind {
        NoticeKind::Budget => (EventKind::Budget, MeshAlert::BudgetCrossed),
        NoticeKind::Anomaly => (EventKind::CostAnomaly, MeshAlert::CostAnomaly),
        NoticeKind::Data => (EventKind::CostData, MeshAlert::CostDataLate),
    }
}

/// The event of a notice's beginning, or of its end at `ended_ms`.
fn event(notice: &CostNotice, ended_ms: Option<u64>) -> Event {
    let (suffix, severity, text) = match ended_ms {
        None => ("", notice.severity, notice.text.clone()),
        Some(_) => (":ended", Severity::Info, format!("over: {}", notice.text)),
    };

    Event {
        id: format!("{}{suffix}", notice.id),
        kind: kinds(notice.kind).0,
        severity,
        time_ms: ended_ms.unwrap_or(notice.since_ms),
        region: notice.region.clone(),
        fields: [("subject", notice.subject.clone())].into(),
        text: quoted(&text),
        witness: None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn journal() -> Journal {
        Journal::new(
            "m".parse().unwrap(),
            "a/0".parse().unwrap(),
            crate::recovery::ramp::RecoveryPolicy::default(),
        )
    }

    #[test]
    fn a_notice_is_one_event_and_one_alert_however_many_agents_publish_it() {
        let mut journal = journal();
        let notice = CostNotice {
            kind: NoticeKind::Budget,
            id: "budget:all:2026-11:actual:80".into(),
            severity: Severity::Warning,
            subject: "all".into(),
            region: None,
            text: "80 % of budget all are spent".into(),
            since_ms: 7,
            ended_ms: None,
        };

        let events = journal.notices([&notice, &notice].into_iter(), 10);
        assert_eq!(
            events.iter().map(|event| &*event.id).collect::<Vec<_>>(),
            ["budget:all:2026-11:actual:80"]
        );

        assert_eq!((events[0].kind, events[0].time_ms), (EventKind::Budget, 7));
        // Nobody publishes it for a while, and another leader does again.
        assert!(journal.notices([].into_iter(), 20).is_empty());
        assert!(journal.notices([&notice].into_iter(), 30).is_empty());
        assert!(
            journal
                .alerts()
                .holds("RegionMeshBudgetCrossed", "notice", &notice.id)
        );

        let over = CostNotice {
            ended_ms: Some(40),
            ..notice.clone()
        };
        let events = journal.notices([&over, &notice].into_iter(), 50);

        assert_eq!(
            events.iter().map(|event| &*event.id).collect::<Vec<_>>(),
            ["budget:all:2026-11:actual:80:ended"]
        );

        assert!(
            !journal
                .alerts()
                .holds("RegionMeshBudgetCrossed", "notice", &notice.id)
        );
    }
}
