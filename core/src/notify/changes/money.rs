//! Events and alerts about money, from the notices that agents publish.

use super::{ChangeDetector, quoted};
use crate::notify::alert::MeshAlert;
use regionmesh_protocol::{
    event::{Event, EventKind, Severity},
    status::money::{CostNotice, NoticeKind},
};

impl ChangeDetector {
    /// Takes in the notices of all living agents, changed or not.
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
        reported_by: None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
