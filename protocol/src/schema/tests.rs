use super::*;
use crate::{models::manifest::check_file_path, text::unprintable};
use proptest::{prelude::*, string::string_regex};

/// Texts that a schema admits.
fn admitted(schema: fn(&mut SchemaGenerator) -> Schema) -> BoxedStrategy<String> {
    let schema = schema(&mut SchemaGenerator::default());
    let longest = schema.get("maxLength").unwrap().as_u64().unwrap() as usize;
    let pattern = schema.get("pattern").unwrap().as_str().unwrap();
    let pattern = pattern.trim_start_matches('^').trim_end_matches('$');

    string_regex(pattern)
        .unwrap()
        .prop_filter("longer than allowed", move |text| text.len() <= longest)
        .boxed()
}

proptest! {
    #[test]
    fn what_a_schema_admits_is_taken(
        region in admitted(RegionName::json_schema),
        model in admitted(ModelName::json_schema),
        version in admitted(VersionName::json_schema),
        new in admitted(new_version),
        path in admitted(file_path),
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
    }

    #[test]
    fn texts_that_a_schema_admits_are_printable(
        text in string_regex(&format!("[^{UNPRINTABLE_CLASS}]{{0,40}}")).unwrap(),
    ) {
        prop_assert_eq!(unprintable(&text), None);
    }
}
