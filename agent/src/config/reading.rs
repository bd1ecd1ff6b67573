//! Reads a document and finds everything that is wrong with its form, not only the first fault.
//!
//! serde stops at the first fault. So each fault is noted and set right with a stand-in, and the
//! document is read again until it has a form that can be read; what then follows from stand-ins
//! alone is not told.

use serde::de::DeserializeOwned;
use toml::{Table, Value};

/// More faults than anybody mends at once; the rest shows in the next reading.
const FAULTS_MAX: usize = 50;
/// The text of stand-ins: a name in every grammar that we have.
const STAND_IN: &str = "stand-in";
/// How serde's messages begin (serde::de::Error::missing_field and unknown_field).
const MISSING: &str = "missing field `";
const UNKNOWN: &str = "unknown field `";

/// A document read as far as possible.
#[derive(Debug)]
pub(super) struct Reading<T> {
    /// What it says, stand-ins included; none if no stand-in could be found for something.
    pub(super) value: Option<T>,
    /// What is wrong, with its place: `health.interval_ms: invalid type: string "fast", expected
    /// u64`.
    pub(super) faults: Vec<String>,
    /// Where stand-ins are.
    stand_ins: Vec<String>,
}

impl<T> Reading<T> {
    /// Whether what is said of the value may come from a stand-in rather than from the document.
    pub(super) fn is_in_doubt(&self, fault: &str) -> bool {
        let root = |path: &String| path.split(['.', '[']).next().unwrap_or_default().to_owned();
        fault.contains(STAND_IN)
            || self
                .stand_ins
                .iter()
                .any(|path| fault.starts_with(&root(path)))
    }
}

/// One fault of form.
struct Fault {
    /// The keys to what is at fault; for a missing or an unknown field to the table that it belongs
    /// into.
    path: Vec<Key>,
    message: String,
}

#[derive(Clone, PartialEq)]
enum Key {
    Field(String),
    Index(usize),
}

/// Reads a document.
pub(super) fn read<T: DeserializeOwned>(document: Table) -> Reading<T> {
    let mut document = Value::Table(document);
    let mut faults = Vec::<String>::new();
    let mut stand_ins = Vec::<Vec<Key>>::new();
    let value = loop {
        let fault = match attempt::<T>(&document) {
            Ok(value) => break Some(value),
            Err(fault) => fault,
        };
        let mut at = fault.path.clone();
        let missing = quoted(&fault.message, MISSING);

        at.extend(missing.map(|name| Key::Field(name.into())));
        // What a stand-in lacks the document does not lack.
        if !stand_ins.iter().any(|stand_in| at.starts_with(stand_in)) {
            faults.push(format!("{}{}", prefix(&fault.path), fault.message));
        }
        if faults.len() >= FAULTS_MAX {
            break None;
        }

        if let Some(unknown) = quoted(&fault.message, UNKNOWN) {
            let parent = find(&mut document, &fault.path).and_then(Value::as_table_mut);
            if parent.and_then(|parent| parent.remove(unknown)).is_none() {
                break None;
            }
            continue;
        }

        if !put_stand_in::<T>(&mut document, &at) {
            break None;
        }
        stand_ins.push(at);
    };

    Reading {
        value,
        faults,
        stand_ins: stand_ins.iter().map(|path| show(path)).collect(),
    }
}

fn attempt<T: DeserializeOwned>(document: &Value) -> Result<T, Fault> {
    serde_path_to_error::deserialize(document.clone()).map_err(|error| {
        let path = error.path().iter().filter_map(|segment| match segment {
            serde_path_to_error::Segment::Map { key } => Some(Key::Field(key.clone())),
            serde_path_to_error::Segment::Seq { index } => Some(Key::Index(*index)),
            _ => None,
        });
        let path = path.collect::<Vec<_>>();
        let message = error.inner().message().to_owned();

        Fault {
            path: without(path, quoted(&message, UNKNOWN)),
            message,
        }
    })
}

/// The path to an unknown field ends with the field or with its table.
fn without(mut path: Vec<Key>, unknown: Option<&str>) -> Vec<Key> {
    if unknown.is_some_and(|name| matches!(path.last(), Some(Key::Field(last)) if last == name)) {
        path.pop();
    }
    path
}

/// The name after `before` and up to the next backtick.
fn quoted<'a>(message: &'a str, before: &str) -> Option<&'a str> {
    message.strip_prefix(before)?.split('`').next()
}

/// Puts something at `path` that can be read there; tells whether anything could.
fn put_stand_in<T: DeserializeOwned>(document: &mut Value, path: &[Key]) -> bool {
    let Some((last, parents)) = path.split_last() else {
        return false;
    };
    // A field that may be left out says nothing when it is.
    if let (Key::Field(name), Some(Value::Table(parent))) = (last, find(document, parents)) {
        parent.remove(name);
        if is_readable::<T>(document, path) {
            return true;
        }
    }

    let text = |text: &str| Value::String(text.into());
    let candidates = [
        text(STAND_IN),
        text("127.0.0.1:1"),
        text("127.0.0.1"),
        Value::Integer(1),
        Value::Boolean(true),
        Value::Array(Vec::new()),
        Value::Table(Table::new()),
    ];

    candidates.into_iter().any(|candidate| {
        match (last, find(document, parents)) {
            (Key::Field(name), Some(Value::Table(parent))) => {
                drop(parent.insert(name.clone(), candidate))
            }
            (Key::Index(index), Some(Value::Array(parent))) if *index < parent.len() => {
                parent[*index] = candidate
            }
            _ => return false,
        }

        is_readable::<T>(document, path)
    })
}

/// Whether the next reading gets past what is at `path`. A table that lacks fields is good enough.
fn is_readable<T: DeserializeOwned>(document: &Value, path: &[Key]) -> bool {
    let Err(mut fault) = attempt::<T>(document) else {
        return true;
    };
    fault
        .path
        .extend(quoted(&fault.message, MISSING).map(|name| Key::Field(name.into())));
    fault.path != path
}

/// What is at `path`; the document itself is at the empty path.
fn find<'a>(document: &'a mut Value, path: &[Key]) -> Option<&'a mut Value> {
    path.iter().try_fold(document, |found, key| match key {
        Key::Field(name) => found.get_mut(name.as_str()),
        Key::Index(index) => found.get_mut(*index),
    })
}

fn prefix(path: &[Key]) -> String {
    if path.is_empty() {
        String::new()
    } else {
        format!("{}: ", show(path))
    }
}

fn show(path: &[Key]) -> String {
    let mut text = String::new();
    for key in path {
        match key {
            Key::Field(name) if text.is_empty() => text += name,
            Key::Field(name) => text += &format!(".{name}"),
            Key::Index(index) => text += &format!("[{index}]"),
        }
    }

    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use std::net::SocketAddr;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Document {
        name: String,
        listen: Listen,
        #[serde(default)]
        limits: Limits,
        parts: Vec<Part>,
    }
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Listen {
        api: SocketAddr,
        dns: SocketAddr,
    }
    #[derive(Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    #[allow(dead_code)]
    struct Limits {
        most: u16,
        is_on: bool,
    }
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Part {
        weight: u8,
        at: String,
    }

    fn faults(text: &str) -> Vec<String> {
        read::<Document>(text.parse().unwrap()).faults
    }

    const GOOD: &str = r#"
        name = "n"
        listen = { api = "127.0.0.1:1", dns = "127.0.0.1:2" }
        parts = [{ weight = 1, at = "a" }]
    "#;

    #[test]
    fn a_good_document_has_no_faults() {
        let reading = read::<Document>(GOOD.parse().unwrap());
        assert_eq!(
            (reading.value.unwrap().name.as_str(), reading.faults.len()),
            ("n", 0)
        );
    }

    #[test]
    fn every_fault_is_told_with_its_place() {
        let found = faults(
            r#"
            nam = "n"
            parts = [{ weight = 1000, at = "a" }, { weight = 1, at = 7, colour = "red" }, { weight = 2 }]
            [listen]
            api = "here"
            port = 1
            [limits]
            most = "many"
            is_on = 3
            "#,
        );

        for part in [
            "unknown field `nam`, expected one of",
            "missing field `name`",
            "listen.api: invalid socket address",
            "listen: unknown field `port`",
            "listen: missing field `dns`",
            "limits.most: invalid type: string \"many\", expected u16",
            "limits.is_on: invalid type: integer `3`, expected a boolean",
            "parts[0].weight: invalid value: integer `1000`, expected u8",
            "parts[1].at: invalid type: integer `7`, expected a string",
            "parts[1]: unknown field `colour`",
            "parts[2]: missing field `at`",
        ] {
            assert_eq!(
                found.iter().filter(|fault| fault.starts_with(part)).count(),
                1,
                "{part}\n{found:#?}"
            );
        }

        assert_eq!(found.len(), 11, "{found:#?}");
    }

    #[test]
    fn what_follows_from_a_fault_is_not_told_again() {
        assert_eq!(
            faults("name = \"n\"\nparts = []"),
            ["missing field `listen`"]
        );

        assert_eq!(
            faults("name = \"n\"\nparts = 7\nlisten = \"x\""),
            [
                "listen: invalid type: string \"x\", expected struct Listen",
                "parts: invalid type: integer `7`, expected a sequence"
            ]
        );

        let reading = read::<Document>(
            "name = \"n\"\nparts = [{ weight = 1, at = 1 }]"
                .parse()
                .unwrap(),
        );

        assert!(
            reading.is_in_doubt("parts[0]: too light")
                && reading.is_in_doubt("listen: the same port twice")
        );

        assert!(!reading.is_in_doubt("name: too short"));
    }

    #[test]
    fn endless_faults_end() {
        let text: String = (0..1_000)
            .map(|number| format!("x{number} = 1\n"))
            .collect();
        assert_eq!(faults(&text).len(), FAULTS_MAX);
    }
}
