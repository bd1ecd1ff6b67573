use super::*;
use serde_json::json;

#[test]
fn names_are_those_of_the_listed_items() {
    let iris = json!({ "model": "iris", "versions": [{ "version": "1" }, { "version": "2" }],
        "aliases": [] });
    let status =
        json!({ "mesh": "m", "regions": [{ "region": "a" }, { "region": "b" }], "models": [iris] });
    for (value, expected) in [
        (json!({ "models": [iris] }), vec!["iris@1", "iris@2"]),
        (
            json!({ "model": "iris", "version": "1", "files": [] }),
            vec!["iris@1"],
        ),
        (status, vec!["a", "b"]),
        (json!([{ "region": "a", "verified": true }]), vec!["a"]),
        (
            json!({ "members": [{ "member": "witness" }] }),
            vec!["witness"],
        ),
        (
            json!({ "done": "x", "plan": { "regions": [{ "region": "a" }] } }),
            vec!["a"],
        ),
        (json!({}), vec![]),
    ] {
        assert_eq!(names(&value), expected, "{value}");
    }
}

#[test]
fn an_error_is_json_with_its_hint() {
    let refused = ClientError::Refused {
        error: "no such model".into(),
        hint: "see `regionmesh models list`".into(),
        status: http::StatusCode::NOT_FOUND,
        code: String::new(),
    };
    let printed: Value = serde_json::from_str(&error_as_json(&refused.into())).unwrap();

    assert_eq!(
        (&printed["error"], &printed["hint"]),
        (
            &json!("no such model"),
            &json!("see `regionmesh models list`")
        )
    );
}

#[test]
fn yaml_has_the_content_of_json() {
    let value = json!({ "a": [1, 2], "text": "x: y" });
    let yaml = serialize(Format::Yaml, &value).unwrap().unwrap();
    assert_eq!(serde_norway::from_str::<Value>(&yaml).unwrap(), value);
}
