//! How answers are printed: as a table, JSON, YAML, or names alone; and how errors are.

use super::text::ColourChoice;
use anyhow::Result;
use clap::{
    Args, ValueEnum,
    builder::{EnumValueParser, TypedValueParser},
};
use regionmesh_client::ClientError;
use serde_json::Value;
use std::path::PathBuf;

/// A format of answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people
    #[default]
    Table,
    /// JSON, as the API answers
    Json,
    /// YAML, with the fields of the JSON
    Yaml,
    /// Names alone, one a line
    Name,
}

/// What `--output` says: the format, and of a command that writes a file, in place of that, the
/// file.
#[derive(Debug, Clone)]
pub(super) enum Output {
    Format(Format),
    File(PathBuf),
}

/// Output options, common to all commands.
#[derive(Debug, Clone, Args)]
pub(super) struct OutputOptions {
    /// Output format
    #[arg(
        long,
        short = 'o',
        value_parser = EnumValueParser::<Format>::new().map(Output::Format),
        value_name = "FORMAT",
        default_value = "table",
        env = "REGIONMESH_OUTPUT",
        global = true,
        help_heading = "Global options"
    )]
    output: Output,
    /// As --output json
    #[arg(long, hide = true, global = true)]
    json: bool,
    /// Colours of tables
    #[arg(
        long,
        value_enum,
        value_name = "WHEN",
        default_value_t,
        env = "REGIONMESH_COLOR",
        global = true,
        help_heading = "Global options"
    )]
    pub(super) color: ColourChoice,
    /// Print each request to an agent, and the system's error numbers
    #[arg(long, short, global = true, help_heading = "Global options")]
    pub(super) verbose: bool,
}

impl OutputOptions {
    /// The format asked for.
    pub(super) fn format(&self) -> Format {
        match self.output {
            _ if self.json => Format::Json,
            Output::Format(format) => format,
            Output::File(_) => Format::Table,
        }
    }
}

/// A value in a format for programs; none for a table, which every command draws itself.
pub(super) fn serialize(format: Format, value: &impl serde::Serialize) -> Result<Option<String>> {
    Ok(match format {
        Format::Table => None,
        Format::Json => Some(serde_json::to_string_pretty(value)? + "\n"),
        Format::Yaml => Some(serde_norway::to_string(value)?),
        Format::Name => {
            let names = names(&serde_json::to_value(value)?);
            Some(names.iter().map(|name| format!("{name}\n")).collect())
        }
    })
}

/// [`serialize`] on one line, for streams.
pub(super) fn serialize_line(
    format: Format,
    value: &impl serde::Serialize,
) -> Result<Option<String>> {
    Ok(match format {
        Format::Json => Some(serde_json::to_string(value)? + "\n"),
        Format::Yaml => Some(format!("---\n{}", serde_norway::to_string(value)?)),
        other => serialize(other, value)?,
    })
}

/// The names of what an answer lists: `model@version`, regions, members, agents, or events.
fn names(value: &Value) -> Vec<String> {
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    if let Value::Array(values) = value {
        return values.iter().flat_map(names).collect();
    }

    if let (Some(model), Some(Value::Array(versions))) = (text("model"), value.get("versions")) {
        let versions = versions
            .iter()
            .filter_map(|version| version.get("version")?.as_str());
        return versions
            .map(|version| format!("{model}@{version}"))
            .collect();
    }

    if let (Some(model), Some(version)) = (text("model"), text("version")) {
        return vec![format!("{model}@{version}")];
    }

    for list in ["models", "regions", "members", "events", "plans", "plan"] {
        if let Some(listed) = value
            .get(list)
            .filter(|listed| listed.is_array() || listed.is_object())
        {
            // A status lists regions and models; its names are those of the regions.
            let listed = if list == "models" {
                value.get("regions").unwrap_or(listed)
            } else {
                listed
            };

            return names(listed);
        }
    }

    ["id", "region", "member", "agent", "done"]
        .iter()
        .find_map(|key| text(key))
        .map(str::to_owned)
        .into_iter()
        .collect()
}

/// An error as one JSON object.
pub(super) fn error_as_json(error: &anyhow::Error) -> String {
    let (message, hint) = match error.downcast_ref::<ClientError>() {
        Some(ClientError::Refused { error, hint, .. }) => (error.clone(), hint.clone()),
        _ => (error.to_string(), String::new()),
    };
    let causes: Vec<String> = error.chain().skip(1).map(ToString::to_string).collect();

    serde_json::json!({ "error": message, "hint": hint, "causes": causes }).to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
