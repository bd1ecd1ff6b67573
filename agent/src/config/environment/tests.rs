#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

fn pod(name: &str) -> Option<String> {
    let variables = [
        ("POD_NAME", "agent-x7k2p"),
        ("POD_IP", "10.0.3.7"),
        ("EMPTY", ""),
        ("NESTED", "${POD_IP}"),
    ];

    variables
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, value)| (*value).to_owned())
}

#[test]
fn variables_are_put_into_texts_wherever_they_stand() {
    let mut document: Table =
        "agent = '${POD_NAME}'\nn = 1\nlist = ['${POD_IP}:1', 'x']\n[t]\na = \
            '[${POD_IP}]-${POD_NAME}'"
            .parse()
            .unwrap();

    assert_eq!(fill(&mut document, &pod), []);
    let expected = "agent = 'agent-x7k2p'\nn = 1\nlist = ['10.0.3.7:1', 'x']\n[t]\na = \
        '[10.0.3.7]-agent-x7k2p'";
    assert_eq!(document, expected.parse().unwrap());
}

#[test]
fn what_cannot_be_put_in_is_a_fault_with_its_place() {
    let mut document: Table = "a = '${NOPE}'\nb = ['x', '${EMPTY}']\n[c]\nd = '${1X}'\ne = '${POD'"
        .parse()
        .unwrap();
    let faults = fill(&mut document, &pod);
    let said: Vec<_> = faults.iter().map(Fault::to_string).collect();

    assert_eq!(
        said,
        [
            "a: the environment has no variable NOPE, or an empty one",
            "b[1]: the environment has no variable EMPTY, or an empty one",
            "c.d: ${1X} is not the name of a variable; write $${ where ${ itself is meant",
            "c.e: \"${POD\" has a ${ without its }",
        ]
    );

    assert_eq!(faults[1].path, "b[1]");
}

#[test]
fn values_are_not_looked_into_and_an_escape_is_a_text() {
    assert_eq!(
        expand("${NESTED} $${POD_IP} $5 a$", &pod).unwrap(),
        "${POD_IP} ${POD_IP} $5 a$"
    );
}

proptest! {
    #[test]
    fn a_text_without_an_opening_stays_as_it_is(text in "[^{]*") {
        prop_assert_eq!(expand(&text, &pod).unwrap(), text);
    }

    #[test]
    fn no_text_makes_it_panic(text in "[${}A-Z_0-9é]{0,20}") {
        let _ = expand(&text, &pod);
    }
}
