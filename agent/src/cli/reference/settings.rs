//! The tables of settings, from their schema: one section per TOML table. Pure.

use regionmesh::config::{
    Config,
    schema::{self, Node},
};
use serde_json::Value;

const HEAD: &str = "| setting | type | default | description |\n|---|---|---|---|\n";

/// The tables of docs/reference/settings.md.
pub(super) fn tables() -> String {
    let schema = schema::of::<Config>();
    let mut text = String::from("## Top level\n\n");
    text += &rows(Node(&schema));
    text += &sections(Node(&schema), "");
    text
}

/// The sections of the tables in a table.
fn sections(parent: Node<'_>, path: &str) -> String {
    let mut text = String::new();
    for (name, node) in parent.properties() {
        let is_list = node.has_type("array");
        let table = node.items().filter(|_| is_list).unwrap_or(node);
        if table.properties().next().is_none() || !node.variants().is_empty() {
            continue;
        }

        let level = if path.is_empty() { "##" } else { "###" };
        let path = format!("{path}{name}");
        let title = if is_list {
            format!("[[{path}]]")
        } else {
            format!("[{path}]")
        };
        let is_required = parent.required().any(|required| required == name);
        let presence = match node.default() {
            _ if is_required => " Required.",
            None | Some(Value::Null) => " Default: none.",
            Some(Value::Array(items)) if items.is_empty() => " Default: none.",
            Some(_) => "",
        };

        text += &format!("\n{level} {title}\n\n{}{presence}\n\n", description(node));
        text += &rows(table);
        text += &sections(table, &format!("{path}."));
    }

    text
}

/// The settings of a table, required ones first, without tables that have a section.
fn rows(table: Node<'_>) -> String {
    let is_required = |name: &str| table.required().any(|required| required == name);
    let mut settings: Vec<_> = table
        .properties()
        .filter(|(_, node)| is_leaf(*node))
        .collect();
    settings.sort_by_key(|(name, _)| !is_required(name));
    if settings.is_empty() {
        return String::new();
    }

    let row = |(name, node): &(&str, Node<'_>)| {
        let default = if is_required(name) {
            "required".to_owned()
        } else {
            default(*node)
        };
        let description = description(*node).replace('|', "\\|");
        format!(
            "| `{name}` | {} | {default} | {description} |\n",
            type_of(*node)
        )
    };

    HEAD.to_owned() + &settings.iter().map(row).collect::<String>()
}

/// Whether a setting has a row: it is no table, or a list of tables with entries by default.
fn is_leaf(node: Node<'_>) -> bool {
    let is_table = |node: Node<'_>| node.properties().next().is_some();
    let entries = node.default().and_then(Value::as_array);
    let has_entries = entries.is_some_and(|entries| !entries.is_empty());

    !node.variants().is_empty()
        || !is_table(node) && (has_entries || !node.items().is_some_and(is_table))
}

/// What is accepted: a type with its range, or the values.
fn type_of(node: Node<'_>) -> String {
    let variants = node.variants();
    if !variants.is_empty() {
        let values: Vec<_> = variants.into_iter().flat_map(values).collect();
        return values.join(", ");
    }

    match (node.items(), node.entries()) {
        (Some(items), _) => list_type(items),
        (_, Some(entries)) if entries.has_type("string") => "table of strings".to_owned(),
        (_, Some(_)) => "table of lists".to_owned(),
        (None, None) => scalar_type(node),
    }
}

fn list_type(items: Node<'_>) -> String {
    match type_of(items) {
        values if !items.variants().is_empty() => format!("list of {values}"),
        _ if items.properties().next().is_some() => "list of tables".to_owned(),
        number if items.has_type("integer") => {
            format!("list of {}", number.replacen("integer", "integers", 1))
        }
        word => format!("{word} list"),
    }
}

fn scalar_type(node: Node<'_>) -> String {
    const TYPES: [&str; 4] = ["string", "boolean", "integer", "number"];

    let word = match node.format() {
        Some("ip") => "IP address",
        Some("network") => "CIDR",
        Some("socket-address") => "`ip:port`",
        _ => TYPES
            .into_iter()
            .find(|name| node.has_type(name))
            .unwrap_or_default(),
    };

    match node.range() {
        (Some(least), Some(most)) => format!("{word}, {least} to {most}"),
        (Some(least), None) if least > 0.0 => format!("{word}, at least {least}"),
        _ => word.to_owned(),
    }
}

/// The values of a variant: texts, or a table with one field.
fn values(variant: Node<'_>) -> Vec<String> {
    let texts = variant.constants().map(|text| format!("`\"{text}\"`"));
    let tables = variant
        .properties()
        .map(|(name, node)| format!("`{{ {name} = {} }}`", placeholder(node)));

    texts.chain(tables).collect()
}

fn placeholder(node: Node<'_>) -> String {
    let fields = node
        .properties()
        .map(|(name, _)| format!("{name} = \"…\""))
        .collect::<Vec<_>>();
    if fields.is_empty() {
        "\"…\"".to_owned()
    } else {
        format!("{{ {} }}", fields.join(", "))
    }
}

fn default(node: Node<'_>) -> String {
    match node.default() {
        Some(value) if !value.is_null() => {
            let written = toml::Value::try_from(value).map(|value| value.to_string());
            format!("`{}`", written.unwrap_or_else(|_| value.to_string()))
        }
        // An optional setting whose default is empty is written without one.
        _ if node.has_type("null") => "none".to_owned(),
        _ if node.has_type("array") => "`[]`".to_owned(),
        _ => "`{}`".to_owned(),
    }
}

/// The doc comment as one line, with those of an enum's variants.
fn description(node: Node<'_>) -> String {
    let one_line = |node: Node<'_>| node.description().unwrap_or_default().replace('\n', " ");
    let mut text = one_line(node);
    for variant in node.variants() {
        let value = variant
            .constants()
            .chain(variant.properties().map(|(name, _)| name))
            .next();
        if let (Some(value), Some(_)) = (value, variant.description()) {
            text += &format!(" `{value}`: {}", one_line(variant));
        }
    }

    text
}

#[cfg(test)]
mod tests;
