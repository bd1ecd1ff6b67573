//! The list of commands, as Markdown. Pure.

/// One row for each command that can be run, with its usage and the first line of its help.
pub(super) fn list(root: &clap::Command) -> String {
    let mut text = String::from("| command | what it does |\n|---|---|\n");
    for (usage, about) in rows(root, "regionmesh") {
        text += &format!("| `{usage}` | {about} |\n");
    }
    text
}

fn rows(command: &clap::Command, path: &str) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    for sub in command
        .get_subcommands()
        .filter(|sub| !sub.is_hide_set() && sub.get_name() != "help")
    {
        let path = format!("{path} {}", sub.get_name());
        if !sub.is_subcommand_required_set() {
            let about = sub.get_about().map(ToString::to_string).unwrap_or_default();
            rows.push((
                format!("{path}{}", positionals(sub)),
                about.replace('|', "\\|"),
            ));
        }

        rows.extend(rows_of(sub, &path));
    }

    rows
}

fn rows_of(command: &clap::Command, path: &str) -> Vec<(String, String)> {
    if command.has_subcommands() {
        rows(command, path)
    } else {
        Vec::new()
    }
}

fn positionals(command: &clap::Command) -> String {
    let name = |argument: &clap::Arg| {
        let names = argument.get_value_names().unwrap_or_default();
        names.first().map_or_else(
            || argument.get_id().as_str().to_uppercase(),
            ToString::to_string,
        )
    };

    let word = |argument: &clap::Arg| match argument.is_required_set() {
        true => format!(" {}", name(argument)),
        false => format!(" [{}]", name(argument)),
    };

    command.get_positionals().map(word).collect()
}
