#![allow(clippy::unwrap_used)]

use super::*;
use proptest::{prelude::*, string::string_regex};
use regionmesh_protocol::{
    identity::RegionName,
    models::manifest::{ModelName, VersionName, check_file_path},
};

/// Texts that a rule admits.
fn admitted(rule: &str) -> BoxedStrategy<String> {
    let schema = of(rule);
    let longest = schema["maxLength"].as_u64().unwrap() as usize;
    let pattern = schema["pattern"]
        .as_str()
        .unwrap()
        .trim_start_matches('^')
        .trim_end_matches('$')
        .to_owned();

    string_regex(&pattern)
        .unwrap()
        .prop_filter("longer than allowed", move |text| text.len() <= longest)
        .boxed()
}

proptest! {
    #[test]
    fn what_a_rule_admits_is_taken(
        region in admitted("region"),
        model in admitted("model"),
        version in admitted("version"),
        new in admitted("new-version"),
        path in admitted("file-path"),
        cursor in admitted("cursor"),
    ) {
        prop_assert!(region.parse::<RegionName>().is_ok(), "{region}");
        prop_assert!(model.parse::<ModelName>().is_ok(), "{model}");
        prop_assert!(version.parse::<VersionName>().is_ok(), "{version}");
        prop_assert!(
            new.parse::<VersionName>()
                .is_ok_and(|name| !name.is_conflict()),
            "{new}"
        );

        prop_assert!(
            check_file_path(&path).is_ok(),
            "{path:?}: {:?}",
            check_file_path(&path)
        );

        prop_assert!(cursor.parse::<crate::events::Cursor>().is_ok(), "{cursor}");
    }

    #[test]
    fn texts_that_a_rule_admits_are_printable(
        text in string_regex(&format!("[^{UNPRINTABLE_CLASS}]{{0,40}}")).unwrap(),
    ) {
        prop_assert_eq!(regionmesh_protocol::text::unprintable(&text), None);
    }
}
