//! Models and versions as text. Pure.

use crate::cli::text::{Paint, Table, Tone, ago, bytes, count, moment, plain};
use regionmesh_client::{ModelStatus, VersionDetail, VersionStatus};
use regionmesh_protocol::identity::RegionName;

/// Characters of a digest in tables: enough to distinguish versions.
const DIGEST_LENGTH: usize = 12;
/// Longest name or text that is shown, characters.
const TEXT_MAX: usize = 160;

/// Models, versions, and which regions hold them; `all` are the regions of the mesh, where they are
/// known.
pub(in crate::cli) fn versions(
    models: &[ModelStatus],
    all: Option<&[&RegionName]>,
    paint: Paint,
) -> String {
    let mut table =
        Table::new("MODEL, VERSION, ALIASES, SIZE, CONTENT, REGIONS, SERVABLE").heading(paint);

    for model in models {
        for version in &model.versions {
            let aliases = model
                .aliases
                .iter()
                .filter(|alias| alias.version == version.version);

            table.row(vec![
                plain(&model.model, TEXT_MAX),
                plain(&version.version, TEXT_MAX),
                plain(
                    &aliases
                        .map(|alias| alias.alias.as_str())
                        .collect::<Vec<_>>()
                        .join(" "),
                    TEXT_MAX,
                ),
                version.size.map_or_else(|| "-".into(), bytes),
                version.content.chars().take(DIGEST_LENGTH).collect(),
                places(version, all),
                servable(version, paint),
            ]);
        }
    }

    table.render()
}

fn places(version: &VersionStatus, all: Option<&[&RegionName]>) -> String {
    let names = || {
        version
            .regions
            .iter()
            .map(RegionName::as_str)
            .collect::<Vec<_>>()
            .join(" ")
    };

    match all.map(<[_]>::len) {
        None => names(),
        Some(total) if version.regions.len() >= total => format!("all {total}"),
        Some(total) => plain(
            &format!("{} of {total}: {}", version.regions.len(), names()),
            40,
        ),
    }
}

/// Whether the regions that hold a version can serve it.
fn servable(version: &VersionStatus, paint: Paint) -> String {
    let VersionStatus {
        servable,
        unservable,
        untested,
        ..
    } = version;

    if !unservable.is_empty() {
        let regions: Vec<_> = unservable
            .iter()
            .map(|failed| failed.region.as_str())
            .collect();

        return paint.tone(
            Tone::Bad,
            plain(&format!("FAILED in {}", regions.join(" ")), 60),
        );
    }

    match (servable.len(), untested.len()) {
        // Something else serves the models, or no agent has reported yet.
        (0, 0) => "-".into(),
        (_, 0) => paint.tone(Tone::Good, "yes"),
        (good, untested) => paint.tone(
            Tone::Uneasy,
            format!("tested in {good} of {}", good + untested),
        ),
    }
}

/// Why versions can't be served, a line each.
fn failures(model: &ModelStatus) -> String {
    let mut text = String::new();
    for version in &model.versions {
        for failed in &version.unservable {
            let line = format!(
                "{} can't be served in {}: {}",
                version.version, failed.region, failed.reason
            );
            text += &(plain(&line, 500) + "\n");
        }
    }

    text
}

/// One model: its versions, then its aliases and who set them.
pub(super) fn model(model: &ModelStatus, paint: Paint) -> String {
    let mut text = versions(std::slice::from_ref(model), None, paint);
    let failures = failures(model);
    if !failures.is_empty() {
        text += &format!("\n{failures}");
    }
    if model.aliases.is_empty() {
        return text;
    }

    let mut table = Table::new("ALIAS, VERSION, SET, BY").heading(paint);
    let now_ms = regionmesh_runtime::time::unix_ms();
    for alias in &model.aliases {
        table.row(vec![
            plain(&alias.alias, TEXT_MAX),
            plain(&alias.version, TEXT_MAX),
            format!("{} ago", ago(now_ms.saturating_sub(alias.set_ms))),
            plain(&alias.by, TEXT_MAX),
        ]);
    }

    text.push('\n');
    text + &table.render()
}

/// One version with its files.
pub(super) fn detail(detail: &VersionDetail, paint: Paint) -> String {
    let brief = &detail.brief;
    let mut text = String::new();
    let mut line = |what: &str, value: String| text += &format!("{what:<10} {value}\n");

    line(
        "version",
        plain(&format!("{}@{}", brief.model, brief.version), 2 * TEXT_MAX),
    );

    line("content", plain(&brief.content, TEXT_MAX));
    line(
        "size",
        format!(
            "{} in {}",
            bytes(brief.size),
            count(detail.files.len(), "file", "files")
        ),
    );

    let by = plain(&detail.publisher, TEXT_MAX);
    line(
        "published",
        format!(
            "{} in {} by {by}",
            moment(brief.published_ms),
            plain(&brief.origin, TEXT_MAX)
        ),
    );

    for (key, value) in &detail.metadata {
        line("note", plain(&format!("{key}={value}"), 2 * TEXT_MAX));
    }

    let mut table = Table::new("FILE, SIZE, CHUNKS, BLAKE3").heading(paint);
    for file in &detail.files {
        table.row(vec![
            plain(&file.path, 2 * TEXT_MAX),
            bytes(file.size),
            file.chunks.to_string(),
            plain(&file.digest, TEXT_MAX),
        ]);
    }

    text.push('\n');
    text + &table.render()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
