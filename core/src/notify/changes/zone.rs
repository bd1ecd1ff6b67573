//! The zones that DNS providers serve.

use super::{ChangeDetector, quoted};
use crate::notify::alert::MeshAlert;
use regionmesh_protocol::event::{Event, EventKind, Severity};

/// The state of a DNS provider's zone, as the agent that writes it sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ZoneState {
    /// The plan that was last written, or to be written.
    pub plan: String,
    /// Why it was refused, if the zone has a later plan.
    pub fenced: Option<String>,
    /// Record sets that were changed outside the mesh since it was written.
    pub drift: Vec<String>,
}

impl ChangeDetector {
    /// Takes in the state of a provider's zone, changed or not. Only the agent that writes it
    /// knows.
    pub fn zone(&mut self, provider: &str, state: &ZoneState, now_ms: u64) -> Vec<Event> {
        let before = self.zones.insert(provider.into(), state.clone());
        let before = before.unwrap_or_default();
        let drift = (!state.drift.is_empty()).then(|| state.drift.join("; "));

        let mut events = Vec::new();
        if let Some(why) = &state.fenced
            && (before.fenced.is_none() || before.plan != state.plan)
        {
            let text = format!("{} was fenced off from {provider}: {why}", self.own);
            let id = format!("fence-lost:{provider}:{}", state.plan);
            events.push(self.zone_event(EventKind::FenceLost, id, provider, state, &text, now_ms));
        }

        if let Some(drift) = &drift
            && before.drift != state.drift
        {
            let text = format!("{provider} differs from the plan: {drift}");
            let mark = blake3::hash(state.drift.join("\n").as_bytes()).to_hex();
            let id = format!("drift:{provider}:{}:{mark:.16}", state.plan);
            events.push(self.zone_event(EventKind::Drift, id, provider, state, &text, now_ms));
        }

        let fenced = state.fenced.as_deref();
        let summary = format!("the leader is fenced off from {provider}");
        self.zone_alert(MeshAlert::FenceLost, provider, summary, fenced, now_ms);

        let summary = format!("records in {provider} were changed outside the mesh");
        self.zone_alert(
            MeshAlert::ZoneDrift,
            provider,
            summary,
            drift.as_deref(),
            now_ms,
        );

        events
    }

    fn zone_event(
        &self,
        kind: EventKind,
        id: String,
        provider: &str,
        state: &ZoneState,
        text: &str,
        now_ms: u64,
    ) -> Event {
        Event {
            id: format!("{id}:{}", self.own),
            kind,
            severity: Severity::Warning,
            time_ms: now_ms,
            region: None,
            fields: [
                ("provider", provider.to_owned()),
                ("plan", state.plan.clone()),
            ]
            .into(),
            text: quoted(text),
            reported_by: Some(self.own.clone()),
        }
    }

    /// Raises the alert if there is something to report, else ends it.
    fn zone_alert(
        &mut self,
        alert: MeshAlert,
        provider: &str,
        summary: String,
        description: Option<&str>,
        now_ms: u64,
    ) {
        let Some(description) = description else {
            return self.book.end(alert.name(), now_ms, |labels| {
                labels["provider"] == provider
            });
        };
        let kind = match alert {
            MeshAlert::FenceLost => EventKind::FenceLost,
            _ => EventKind::Drift,
        };

        let own = self.own.to_string();
        let about = [("provider", provider), ("agent", &*own)];
        self.raise(kind, alert, &about, summary, description, now_ms);
    }
}
