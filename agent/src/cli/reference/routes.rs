//! The table of the API's routes, as Markdown. Pure.

use regionmesh::api::ROUTES;

/// One row for each route.
pub(super) fn table() -> String {
    let mut text = String::from("| route | what it does | token |\n|---|---|---|\n");
    for route in ROUTES {
        let method = route.method.to_uppercase();
        let token = if route.needs_token { "yes" } else { "" };
        text += &format!(
            "| {method} `{}` | {} | {token} |\n",
            route.path, route.summary
        );
    }

    text
}
