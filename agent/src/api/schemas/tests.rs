use super::*;

#[test]
fn every_kind_of_a_field_is_known() {
    for (name, _, fields) in objects() {
        for (field, kind, _) in *fields {
            let schema = of(kind.trim_end_matches(['?', '~']));
            assert!(
                schema != json!({}),
                "{name}.{field} is of the kind {kind}, which there is not"
            );
        }
    }
}

#[test]
fn every_reference_leads_to_an_object() {
    let all = schemas();
    for (_, _, fields) in objects() {
        for (field, kind, _) in *fields {
            let kind = kind.trim_matches(['[', ']', '{', '}', '?', '~']);
            if kind.starts_with(char::is_uppercase) {
                assert!(
                    all[kind].is_object(),
                    "{field} is of type {kind}, which there is not"
                );
            }
        }
    }
}
