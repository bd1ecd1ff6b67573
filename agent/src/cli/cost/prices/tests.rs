use super::*;
use serde_json::json;

#[test]
fn unused_parts_of_a_price_table_are_reported() {
    let summary = json!({ "added": 2, "unchanged": 1, "replaced": 0, "refused": [],
        "rejected": ["line 3: not a price"],
        "rejected_count": 1, "ignored": ["pricng"] });
    let text = render(&summary);

    assert!(
        text.contains("2 prices are new, 1 were there") && text.contains("not taken: line 3"),
        "{text}"
    );

    assert!(
        text.contains("the field pricng means nothing here"),
        "{text}"
    );
}
