use super::*;
use serde_json::json;

const PLAIN: Paint = Paint { is_on: false };

fn iris() -> ModelStatus {
    serde_json::from_value(json!({
        "model": "iris", "versions": [
            {"version": "1", "content": "abcdef0123456789", "size": 2_000_000, "published_ms": 1,
                "origin": "a", "regions": ["a", "b"], "servable": ["a", "b"]},
            {"version": "1+conflict.b", "content": "b".repeat(64), "size": null,
                "published_ms": null, "origin": null, "regions": ["b"]}],
        "aliases": [{"alias": "production", "version": "1", "set_ms": 1, "by": "ann\u{1b}[2J"}]
    }))
    .unwrap()
}

#[test]
fn a_list_names_the_regions_and_marks_what_is_unknown() {
    let expected = "\
MODEL  VERSION       ALIASES     SIZE    CONTENT       REGIONS  SERVABLE
iris   1             production  2.0 MB  abcdef012345  a b      yes
iris   1+conflict.b              -       bbbbbbbbbbbb  b        -
";

    assert_eq!(versions(&[iris()], None, PLAIN), expected);
}

#[test]
fn a_model_is_listed_with_the_authors_of_its_aliases() {
    let text = model(&iris(), PLAIN);
    assert!(text.contains("ALIAS       VERSION  SET"), "{text}");
    assert!(text.contains("ann [2J") && !text.contains('\x1b'), "{text}");
}

#[test]
fn an_unservable_version_is_listed_with_the_reason() {
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
fn a_version_lists_its_files_and_notes() {
    let version: VersionDetail = serde_json::from_value(json!({
        "model": "iris", "version": "1", "content": "c".repeat(64), "size": 1_500,
            "published_ms": 1_700_000_000_000u64,
        "origin": "us-west-2", "publisher": "ann", "metadata": {"git": "abc"},
        "files": [{"path": "model.onnx", "size": 1_500, "digest": "d".repeat(64), "chunks": 1}],
    }))
    .unwrap();
    let text = detail(&version, PLAIN);

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
