//! `--settings`: additions to the configuration of every agent.

use super::error::LocalMeshError;
use std::path::Path;
use toml::{Table, Value};

/// Settings that only `up` sets.
const OWN: [&str; 8] = [
    "mesh", "region", "agent", "data_dir", "tls", "listen", "store", "witness",
];

/// Reads the file.
pub fn read(path: &Path) -> Result<Table, LocalMeshError> {
    let fail =
        |why: String| LocalMeshError::Options(format!("--settings {}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
    let settings: Table = text
        .parse()
        .map_err(|error: toml::de::Error| fail(error.to_string()))?;

    match OWN.iter().find(|name| settings.contains_key(**name)) {
        Some(name) => Err(fail(format!(
            "`{name}` is set by `regionmesh up` itself; leave it out"
        ))),
        None => Ok(settings),
    }
}

/// Adds settings to a configuration: tables are merged, regions by their name, everything else is
/// replaced. Fails with the name of a region that is not there.
pub(super) fn apply(config: &mut Table, settings: &Table) -> Result<(), String> {
    for (name, value) in settings {
        match (name.as_str(), config.get_mut(name), value) {
            ("regions", Some(Value::Array(known)), Value::Array(added)) => {
                apply_regions(known, added)?
            }
            (_, Some(Value::Table(known)), Value::Table(added)) => apply(known, added)?,
            _ => drop(config.insert(name.clone(), value.clone())),
        }
    }

    Ok(())
}

fn apply_regions(known: &mut [Value], added: &[Value]) -> Result<(), String> {
    for region in added {
        let name = region
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let target = known
            .iter_mut()
            .find(|known| known.get("name").and_then(Value::as_str) == Some(name));

        match (target, region) {
            (Some(Value::Table(known)), Value::Table(added)) => apply(known, added)?,
            _ => {
                return Err(format!(
                    "--settings: regions: {name:?} is not a region of this mesh"
                ));
            }
        }
    }

    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
