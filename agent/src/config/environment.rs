//! `${NAME}` in a configuration's texts: what only the place knows where an agent runs, such as a
//! pod's name and address.
//!
//! One file then does for every agent of a region. Only texts are looked at, and only variables
//! that are set: a name that silently became empty would be somebody else's. `$${` stands for `${`
//! itself.

use toml::{Table, Value};

const OPEN: &str = "${";

/// Puts the variables' values into every text of the document. What could not be put in, as `place:
/// why`.
pub(super) fn fill(
    document: &mut Table,
    lookup: &impl Fn(&str) -> Option<String>,
) -> Vec<Unfilled> {
    let mut faults = Vec::new();
    for (key, value) in document.iter_mut() {
        visit(value, key.clone(), lookup, &mut faults);
    }
    faults
}

/// A text that names what the environment does not have.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unfilled {
    place: String,
    why: String,
}

impl Unfilled {
    /// The fault, in the form of all others.
    pub(super) fn fault(&self) -> String {
        format!("{}: {}", self.place, self.why)
    }

    /// Whether another fault only follows from this one.
    pub(super) fn explains(&self, fault: &str) -> bool {
        fault
            .strip_prefix(&self.place)
            .is_some_and(|rest| rest.starts_with(':'))
    }
}

fn visit(
    value: &mut Value,
    place: String,
    lookup: &impl Fn(&str) -> Option<String>,
    faults: &mut Vec<Unfilled>,
) {
    match value {
        Value::String(text) => match expand(text, lookup) {
            Ok(expanded) => *text = expanded,
            Err(why) => faults.push(Unfilled { place, why }),
        },
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                visit(item, format!("{place}[{index}]"), lookup, faults);
            }
        }
        Value::Table(table) => {
            for (key, item) in table.iter_mut() {
                visit(item, format!("{place}.{key}"), lookup, faults);
            }
        }
        _ => {}
    }
}

/// The text with each `${NAME}` replaced. Values are not looked into again.
fn expand(text: &str, lookup: &impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(OPEN) {
        let before = &rest[..at];
        let after = &rest[at + OPEN.len()..];
        if let Some(before) = before.strip_suffix('$') {
            expanded += before;
            expanded += OPEN;
            rest = after;
            continue;
        }

        let (name, after) = after
            .split_once('}')
            .ok_or_else(|| format!("{text:?} has a ${{ without its }}"))?;
        let is_name = !name.is_empty()
            && !name.starts_with(|first: char| first.is_ascii_digit())
            && name
                .chars()
                .all(|letter| letter.is_ascii_alphanumeric() || letter == '_');

        if !is_name {
            return Err(format!(
                "${{{name}}} is not the name of a variable; write $${{ where ${{ itself is meant"
            ));
        }

        let value = lookup(name).filter(|value| !value.is_empty());
        expanded += before;
        expanded += &value
            .ok_or_else(|| format!("the environment has no variable {name}, or an empty one"))?;
        rest = after;
    }

    expanded += rest;
    Ok(expanded)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
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
        let mut document: Table =
            "a = '${NOPE}'\nb = ['x', '${EMPTY}']\n[c]\nd = '${1X}'\ne = '${POD'"
                .parse()
                .unwrap();
        let faults = fill(&mut document, &pod);
        let said: Vec<_> = faults.iter().map(Unfilled::fault).collect();

        assert_eq!(
            said,
            [
                "a: the environment has no variable NOPE, or an empty one",
                "b[1]: the environment has no variable EMPTY, or an empty one",
                "c.d: ${1X} is not the name of a variable; write $${ where ${ itself is meant",
                "c.e: \"${POD\" has a ${ without its }",
            ]
        );

        assert!(faults[0].explains("a: invalid socket address") && !faults[0].explains("agent: x"));
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
}
