//! The table of docs/reference/events.md. Pure.

use regionmesh_core::notify::changes::EVENT_ROWS;

/// One row for each form of event.
pub(super) fn table() -> String {
    let code = |words: &[&str]| {
        let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
        words.join(", ")
    };

    let mut text =
        String::from("| kind | when | severity | id | fields |\n|---|---|---|---|---|\n");
    for row in &EVENT_ROWS {
        text += &format!(
            "| `{}` | {} | {} | {} | {} |\n",
            row.kind,
            row.when,
            row.severity,
            code(row.ids),
            code(row.fields)
        );
    }

    text
}
