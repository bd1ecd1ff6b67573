#![allow(clippy::unwrap_used)]

use super::*;
use proptest::{prelude::*, string::string_regex};

proptest! {
    #[test]
    fn a_cursor_that_the_schema_admits_is_taken(text in {
        let schema = cursor(&mut SchemaGenerator::default());
        let pattern = schema.get("pattern").unwrap().as_str().unwrap().to_owned();
        string_regex(pattern.trim_matches(['^', '$'])).unwrap()
    }) {
        prop_assert!(text.parse::<crate::events::Cursor>().is_ok(), "{text}");
    }
}
