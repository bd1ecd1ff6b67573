//! What `regionmesh dns` prints for people.

use crate::cli::text::{self, Paint, Tone};
use regionmesh_dns::{Difference, Preview, Propagation, Published};

/// Longest displayed content of a record set, characters.
const CONTENT_MAX: usize = 160;

/// The changes that would be made.
pub(super) fn preview(preview: &Preview, paint: Paint) -> String {
    let mut text = head(preview.provider, &preview.zone, &preview.plan, paint);
    let written = preview
        .written_from
        .as_deref()
        .map_or("never written by RegionMesh".into(), |fence| {
            text::plain(fence, 200)
        });

    text += &text::wrap("written from  ", &written);
    if preview.is_drift && !preview.differences.is_empty() {
        let drift =
            "these records differ from the plan (changed by hand, or configuration changed):";
        text += &format!("{}\n", paint.tone(Tone::Uneasy, drift));
    }

    text += &differences(&preview.differences, paint);
    for check in &preview.new_checks {
        text += &format!(
            "  {} health check of {check}\n",
            paint.tone(Tone::Good, "+")
        );
    }

    for check in &preview.obsolete_checks {
        text += &format!(
            "  {} health check {}\n",
            paint.tone(Tone::Bad, "-"),
            text::plain(check, 64)
        );
    }

    text += &notes(&preview.notes, paint);
    let summary = if preview.is_done() {
        "nothing to do".into()
    } else {
        let records = text::count(preview.differences.len(), "record set", "record sets");
        let batches = text::count(preview.batches, "fenced batch", "fenced batches");
        let checks = text::count(preview.new_checks.len(), "health check", "health checks");
        format!("{records} in {batches} to change, {checks} to create; run `regionmesh dns apply`")
    };

    text + &format!("{summary}\n")
}

/// The changes that were made.
pub(super) fn done(published: &Published, settled: Option<&Propagation>, paint: Paint) -> String {
    let mut text = head(published.provider, &published.zone, &published.plan, paint);
    text += &differences(&published.differences, paint);
    for check in &published.new_checks {
        text += &format!(
            "  {} health check of {check}\n",
            paint.tone(Tone::Good, "+")
        );
    }

    for check in settled.iter().flat_map(|settled| &settled.deleted_checks) {
        text += &format!(
            "  {} health check {}\n",
            paint.tone(Tone::Bad, "-"),
            text::plain(check, 64)
        );
    }

    text += &notes(&published.notes, paint);
    text += if published.batches == 0 {
        "no changes\n"
    } else {
        "written\n"
    };

    if let Some(settled) = settled {
        if let Some(ms) = settled.in_sync_ms {
            text += &format!(
                "on all of the provider's name servers after {}\n",
                text::ago(ms)
            );
        }

        if !settled.verified.is_empty() {
            text += &text::wrap("answered by ", &settled.verified.join(", "));
        }
        text += &notes(&settled.notes, paint);
    }

    text
}

fn head(provider: &str, zone: &str, plan: &str, paint: Paint) -> String {
    format!(
        "{}  plan {plan}\n",
        paint.tone(Tone::Strong, format!("{provider} {zone}"))
    )
}

fn differences(differences: &[Difference], paint: Paint) -> String {
    let line = |difference: &Difference| {
        let content =
            |text: &Option<String>| text.as_deref().map(|text| text::plain(text, CONTENT_MAX));
        let (sign, tone, content) = match (content(&difference.wanted), content(&difference.found))
        {
            (Some(wanted), None) => ("+", Tone::Good, wanted),
            (Some(wanted), Some(found)) => {
                ("~", Tone::Uneasy, format!("{wanted}\n      was {found}"))
            }
            (None, found) => ("-", Tone::Bad, found.unwrap_or_default()),
        };

        format!(
            "  {} {}\n      {content}\n",
            paint.tone(tone, sign),
            text::plain(&difference.record, CONTENT_MAX)
        )
    };

    differences.iter().map(line).collect()
}

fn notes(notes: &[String], paint: Paint) -> String {
    notes
        .iter()
        .map(|note| text::wrap(&paint.tone(Tone::Uneasy, "note: "), &text::plain(note, 400)))
        .collect()
}
