//! Models and versions as text. Pure.

use crate::cli::text::{Paint, Table, Tone, ago, bytes, count, moment, plain};
use regionmesh_client::{ModelStatus, VersionDetail, VersionStatus};
use regionmesh_protocol::identity::RegionName;

/// Characters of a digest that tell versions apart for people.
const DIGEST_SHOWN: usize = 12;
/// Longest name or text that is shown, characters.
const TEXT_MAX: usize = 160;

/// Models, versions, and which regions hold them; `all` are the regions of the mesh, where they are
/// known.
pub(in crate::cli) fn versions(
    models: &[ModelStatus],
    all: Option<&[&RegionName]>,
    paint: Paint,
) -> String {
    let mut table = Table::new(&[
        "MODEL", "VERSION", "ALIASES", "SIZE", "CONTENT", "REGIONS", "SERVABLE",
    ])
    .heading(paint);

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
                version.content.chars().take(DIGEST_SHOWN).collect(),
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
        // Something else serves the models, or nobody has said anything yet.
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

/// One model: its versions, then who named which by what.
pub(super) fn model(model: &ModelStatus, paint: Paint) -> String {
    let mut text = versions(std::slice::from_ref(model), None, paint);
    let failures = failures(model);
    if !failures.is_empty() {
        text += &format!("\n{failures}");
    }
    if model.aliases.is_empty() {
        return text;
    }

    let mut table = Table::new(&["ALIAS", "VERSION", "SET", "BY"]).heading(paint);
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

    let mut table = Table::new(&["FILE", "SIZE", "CHUNKS", "BLAKE3"]).heading(paint);
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
mod tests {
    use super::*;
    use serde_json::json;

    const PLAIN: Paint = Paint { is_on: false };

    fn iris() -> ModelStatus {
        serde_json::from_value(json!({
            "model": "iris", "versions": [
                {"version": "1", "content": "abcdef0123456789", "size": 2_000_000, "published_ms": 1, "origin": "a", "regions": ["a", "b"], "servable": ["a", "b"]},
                {"version": "1+conflict.b", "content": "b".repeat(64), "size": null, "published_ms": null, "origin": null, "regions": ["b"]}],
            "aliases": [{"alias": "production", "version": "1", "set_ms": 1, "by": "ann\u{1b}[2J"}]
        }))
        .unwrap()
    }

    #[test]
    fn a_list_names_the_regions_and_what_is_not_known_here() {
        let expected = "\
MODEL  VERSION       ALIASES     SIZE    CONTENT       REGIONS  SERVABLE
iris   1             production  2.0 MB  abcdef012345  a b      yes
iris   1+conflict.b              -       bbbbbbbbbbbb  b        -
";

        assert_eq!(versions(&[iris()], None, PLAIN), expected);
    }

    #[test]
    fn one_model_tells_who_set_its_aliases() {
        let text = model(&iris(), PLAIN);
        assert!(text.contains("ALIAS       VERSION  SET"), "{text}");
        assert!(text.contains("ann [2J") && !text.contains('\x1b'), "{text}");
    }

    #[test]
    fn a_version_that_can_not_be_served_is_shown_with_the_reason() {
        let mut model = iris();
        let reason = "operator Frobnicate\u{1b}[2J".into();
        let failed = regionmesh_client::UnservableStatus {
            region: "b".parse().unwrap(),
            reason,
        };

        model.versions[0].unservable.push(failed);
        model.versions[1].untested.push("b".parse().unwrap());

        let text = super::model(&model, PLAIN);
        assert!(
            text.contains("FAILED in b") && text.contains("tested in 0 of 1"),
            "{text}"
        );

        assert!(
            text.contains("1 can't be served in b: operator Frobnicate [2J\n"),
            "{text}"
        );
    }

    #[test]
    fn one_version_lists_its_files_and_notes() {
        let shown: VersionDetail = serde_json::from_value(json!({
            "model": "iris", "version": "1", "content": "c".repeat(64), "size": 1_500, "published_ms": 1_700_000_000_000u64,
            "origin": "us-west-2", "publisher": "ann", "metadata": {"git": "abc"},
            "files": [{"path": "model.onnx", "size": 1_500, "digest": "d".repeat(64), "chunks": 1}],
        }))
        .unwrap();
        let text = detail(&shown, PLAIN);

        for part in [
            "version    iris@1\n",
            "size       1.5 kB in 1 file\n",
            "published  2023-11-14 22:13:20 UTC in us-west-2 by ann\n",
            "note       git=abc\n",
            "model.onnx  1.5 kB  1       dddd",
        ] {
            assert!(text.contains(part), "{part:?} is missing in:\n{text}");
        }
    }
}
