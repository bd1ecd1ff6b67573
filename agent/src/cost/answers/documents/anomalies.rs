//! Anomalies.

use super::cells::{column, document, moment, number, table, text};
use regionmesh_cost::{
    Anomaly, AnomalyKind, Plane,
    render::{Document, Value as Cell},
};

/// Open anomalies first, then those that ended.
pub(crate) fn anomalies(found: &[Anomaly]) -> Document {
    let mut columns = ["since", "until", "plane", "kind", "what"]
        .map(column)
        .to_vec();
    columns.extend(["actual", "usual, low", "usual, high", "excess"].map(number));
    columns.extend([column("currency"), column("made of")]);

    let rows = found.iter().map(|anomaly| {
        let scope: Vec<String> = anomaly
            .scope
            .iter()
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        let parts = anomaly.contributors.iter().take(3);
        let parts: Vec<String> = parts
            .map(|part| format!("{} {}", part.part, part.excess.rounded(2)))
            .collect();

        let (plane, unit) = match anomaly.plane {
            Plane::Billed => ("billed", "a day"),
            Plane::Live => ("live", "an hour"),
        };
        let kind = match anomaly.kind {
            AnomalyKind::Spike => "spike",
            AnomalyKind::LevelShift => "level-shift",
            AnomalyKind::New => "new",
            AnomalyKind::Drop => "drop",
        };

        vec![
            text(moment(anomaly.since)),
            text(anomaly.until.map_or_else(|| "open".into(), moment)),
            text(plane),
            text(kind),
            text(scope.join(", ")),
            Cell::Amount(anomaly.actual),
            Cell::Amount(anomaly.expected_low),
            Cell::Amount(anomaly.expected_high),
            Cell::Amount(anomaly.excess.amount),
            text(format!("{} {unit}", anomaly.excess.currency)),
            text(parts.join(", ")),
        ]
    });

    let rows: Vec<_> = rows.collect();
    let title = if rows.is_empty() {
        "No anomalies"
    } else {
        "Anomalies"
    };

    document(
        title.into(),
        Vec::new(),
        vec![table("Open first, then those that ended", columns, rows)],
    )
}
