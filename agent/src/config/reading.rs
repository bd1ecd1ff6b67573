//! Reads a document and finds all faults of its form, not only the first one.
//!
//! serde stops at the first fault. So each fault is recorded and repaired with a placeholder, and
//! the document is read again until it can be read. Faults that only follow from placeholders are
//! not reported.

use serde::de::DeserializeOwned;
use toml::{Table, Value};

/// Limit on reported faults; further ones appear in the next reading.
const FAULTS_MAX: usize = 50;
/// The text of placeholders: a valid name in every grammar in use.
const STAND_IN: &str = "stand-in";
/// How serde's messages begin (serde::de::Error::missing_field and unknown_field).
const MISSING: &str = "missing field `";
const UNKNOWN: &str = "unknown field `";

/// A document read as far as possible.
#[derive(Debug)]
pub(super) struct Reading<T> {
    /// The value, placeholders included; none if a fault could not be repaired.
    pub(super) value: Option<T>,
    /// Every fault, with its place: `health.interval_ms: invalid type: string "fast", expected
    /// u64`.
    pub(super) faults: Vec<String>,
    /// Paths of placeholders.
    stand_ins: Vec<String>,
}

impl<T> Reading<T> {
    /// Whether a fault of the value may come from a placeholder.
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
    /// The path of the faulty value; for a missing or unknown field, that of its table.
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
        // Fields missing in a placeholder are not missing in the document.
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
        stand_ins: stand_ins.iter().map(|path| display(path)).collect(),
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

/// Puts a readable value at `path`; false if there is none.
fn put_stand_in<T: DeserializeOwned>(document: &mut Value, path: &[Key]) -> bool {
    let Some((last, parents)) = path.split_last() else {
        return false;
    };
    // An optional field can be removed.
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

/// Whether the next reading gets past `path`. A table with missing fields is sufficient.
fn is_readable<T: DeserializeOwned>(document: &Value, path: &[Key]) -> bool {
    let Err(mut fault) = attempt::<T>(document) else {
        return true;
    };
    fault
        .path
        .extend(quoted(&fault.message, MISSING).map(|name| Key::Field(name.into())));
    fault.path != path
}

/// The value at `path`; the empty path is the document itself.
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
        format!("{}: ", display(path))
    }
}

fn display(path: &[Key]) -> String {
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
mod tests;
