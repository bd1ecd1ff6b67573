//! Reads a document: faults of form, then faults of meaning of every table that is sound.

use super::{
    Config, ConfigError, environment,
    form::{self, Fault},
    schema::{self, Node},
};
use std::{collections::BTreeSet, path::Path};
use toml::{Table, Value};

/// The required settings, with valid values. They complete the sound tables of a faulty document,
/// so that those can be checked.
const SAMPLE: &str = r#"
mesh = "m"
region = "r"
agent = "a"
data_dir = "/nowhere"
tls = { ca = "ca.pem", certificate = "agent.pem", key = "agent.key" }
listen.mesh = "127.0.0.1:0"
listen.dns = "127.0.0.1:0"
listen.api = "127.0.0.1:0"
listen.serving = "127.0.0.1:0"
store = { url = "file:///nowhere" }
regions = [{ name = "r", endpoint = "r:1", serving_url = "http://127.0.0.1:1" }]
"#;

impl Config {
    /// Reads and checks a file; `${NAME}` in strings is replaced by an environment variable.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError::Unreadable {
            path: path.into(),
            error,
        })?;
        let mut document = text.parse().map_err(|error| ConfigError::Malformed {
            path: path.into(),
            error: Box::new(error),
        })?;
        let unfilled = environment::fill(&mut document, &|name| std::env::var(name).ok());

        read(document, unfilled).map_err(|faults| ConfigError::Faulty {
            path: path.into(),
            faults,
        })
    }
}

/// Reads a document; `unfilled` are the faults of its variables.
fn read(document: Table, unfilled: Vec<Fault>) -> Result<Config, Vec<String>> {
    let schema = schema::of::<Config>();
    let mut unsound: BTreeSet<String> = unfilled.iter().map(Fault::table).collect();
    let mut faults = form::faults(&document, Node(&schema));
    faults.retain(|fault| !unfilled.iter().any(|cause| cause.path == fault.path));
    faults.splice(0..0, unfilled);

    let config = match deserialize(document.clone()) {
        Ok(config) if unsound.is_empty() => Some(config),
        _ => {
            let mut known = document;
            known.retain(|name, _| Node(&schema).property(name).is_some());
            sound_part(known, &mut unsound, &mut faults)
        }
    };

    let mut texts: Vec<String> = faults.iter().map(Fault::to_string).collect();
    if let Some(config) = &config {
        texts.extend(config.faults(|table| !unsound.contains(table)));
    }

    match config {
        Some(config) if texts.is_empty() => Ok(config),
        _ => Err(texts),
    }
}

/// The sound tables of a document, completed with the sample. The others are added to `unsound`;
/// one whose form is right is added to `faults`.
fn sound_part(
    document: Table,
    unsound: &mut BTreeSet<String>,
    faults: &mut Vec<Fault>,
) -> Option<Config> {
    let sample: Table = SAMPLE.parse().ok()?;
    let missing = sample.keys().filter(|name| !document.contains_key(*name));
    unsound.extend(missing.cloned());

    let mut sound = sample.clone();
    for (name, value) in document {
        let mut alone = sample.clone();
        alone.insert(name.clone(), value.clone());
        let read = deserialize(alone);

        if read.is_ok() && !unsound.contains(&name) {
            sound.insert(name, value);
            continue;
        }

        if faults.iter().all(|fault| fault.table() != name) {
            faults.extend(read.err());
        }
        unsound.insert(name);
    }

    deserialize(sound).ok()
}

fn deserialize(document: Table) -> Result<Config, Fault> {
    serde_path_to_error::deserialize(Value::Table(document)).map_err(|error| Fault {
        path: error.path().to_string(),
        message: error.inner().message().to_owned(),
    })
}

#[cfg(test)]
mod tests;
