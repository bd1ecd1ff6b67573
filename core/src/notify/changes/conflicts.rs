//! Versions that two regions published with different content.

use super::{ChangeDetector, quoted};
use crate::notify::alert::MeshAlert;
use regionmesh_protocol::{
    event::{Event, EventKind, Severity},
    models::catalogue::Catalogue,
};
use std::collections::BTreeMap;

impl ChangeDetector {
    /// Takes in what the region holds, changed or not. A conflict found at the start raises an
    /// alert without an event.
    pub fn catalogue(&mut self, catalogue: &Catalogue, now_ms: u64) -> Vec<Event> {
        let conflicts = catalogue
            .versions
            .iter()
            .filter(|version| version.version.is_conflict());
        let all: BTreeMap<_, _> = conflicts
            .map(|loser| ((loser.model.to_string(), loser.version.to_string()), loser))
            .collect();
        let known = self.conflicts.replace(all.keys().cloned().collect());
        let mut events = Vec::new();

        for ((model, version), loser) in &all {
            let about = [("model", model.as_str()), ("version", version.as_str())];
            let summary = format!(
                "two regions published different content as {model}@{}",
                loser.version.base()
            );
            let details = format!(
                "the later one, from {}, is kept as {model}@{version}; delete one of the two",
                loser.origin
            );
            let since_ms = loser.published.wall_ms;

            self.raise(
                EventKind::Conflict,
                MeshAlert::ModelConflict,
                &about,
                summary.clone(),
                &details,
                since_ms,
            );

            if known
                .as_ref()
                .is_none_or(|known| known.contains(&(model.clone(), version.clone())))
            {
                continue;
            }

            events.push(Event {
                id: format!("conflict:{model}:{version}:{}", loser.content),
                kind: EventKind::Conflict,
                severity: Severity::Warning,
                time_ms: since_ms,
                region: Some(loser.origin.clone()),
                fields: [("model", model.clone()), ("version", version.clone())].into(),
                text: quoted(&format!("{summary}: {details}")),
                reported_by: None,
            });
        }

        self.book
            .end(MeshAlert::ModelConflict.name(), now_ms, |labels| {
                !all.contains_key(&(labels["model"].clone(), labels["version"].clone()))
            });

        events
    }
}
