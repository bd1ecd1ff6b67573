use super::*;
use proptest::prelude::*;

fn read(text: &str) -> Option<Vec<String>> {
    let mut sets = TagSets::new(vec!["env".into(), "team".into()]);
    let set = sets.set(text.as_bytes())?;
    assert_eq!(sets.set(text.as_bytes()), Some(set), "remembered");
    Some(sets.values(set).to_vec())
}

#[test]
fn the_forms_of_the_exports_are_read() {
    let both = Some(vec!["prod".to_owned(), "a\"b".to_owned()]);
    assert_eq!(
        read(r#"{"env": "prod", "other": {"team": 1}, "team": "a\"b"}"#),
        both
    );

    assert_eq!(
        read(r#"[{"key":"team","value":"a\"b"},{"value":"prod","key":"env","x":[]}]"#),
        both
    );

    assert_eq!(read(r#""env": "prod","team": "a\"b""#), both);
    assert_eq!(
        read(r#"{"env": true, "team": null}"#),
        Some(vec!["true".into(), String::new()])
    );

    assert_eq!(
        read(r#"{"env": "a", "env": "b"}"#),
        Some(vec!["b".into(), String::new()])
    );

    for bad in ["{", "{\"env\": }", "env=prod", "{} {}", "[1]", "5"] {
        assert_eq!(read(bad), None, "{bad}");
    }
}

proptest! {
    #[test]
    fn values_come_back_as_they_were(env: String, team: String, other: String) {
        let text = serde_json::json!({"team": team, "env": env, "x": other}).to_string();
        prop_assert_eq!(read(&text), Some(vec![env, team]));
    }

    #[test]
    fn arbitrary_bytes_never_panic(text: Vec<u8>) {
        TagSets::new(vec!["env".into()]).set(&text);
    }
}
