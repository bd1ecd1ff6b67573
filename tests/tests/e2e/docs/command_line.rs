//! Commands, options and paths that pages name exist.

use super::run;
use parking_lot::Mutex;
use regionmesh_tests::{
    command::binary,
    pages::{self, root},
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// The command line as `--help` documents it.
#[derive(Default)]
struct CommandLine(Mutex<BTreeMap<String, Option<String>>>);

impl CommandLine {
    /// The help for a command, if there is one.
    fn help(&self, path: &[&str]) -> Option<String> {
        let mut known = self.0.lock();
        let help = known.entry(path.join(" ")).or_insert_with(|| {
            let output = run(&binary(), &[path, &["--help"]].concat(), &root());
            output
                .status
                .success()
                .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
        });

        help.clone()
    }

    /// The help for all commands.
    fn options(&self) -> String {
        let listed = run(&binary(), &["docs", "commands"], &root());
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        let mut texts = String::new();

        for command in pages::inline(&listed)
            .iter()
            .filter_map(|code| code.strip_prefix("regionmesh "))
        {
            let is_name = |word: &&str| {
                word.chars()
                    .all(|letter| letter.is_lowercase() || letter == '-')
            };
            let path: Vec<&str> = command.split(' ').take_while(is_name).collect();

            texts += &self.help(&path).unwrap_or_default();
        }

        texts
    }

    /// What is wrong with a command as a page writes it, its words without the program's name.
    fn fault(&self, words: &[String]) -> Option<String> {
        let plain = words.iter().map(|word| word.trim_matches(['[', ']', '…']));
        let words: Vec<&str> = plain.filter(|word| !word.is_empty()).collect();
        let mut path: Vec<&str> = Vec::new();
        let mut help = self.help(&[])?;

        for word in &words {
            let is_name =
                !word.starts_with('-') && !word.contains(char::is_uppercase) && *word != "...";
            if !is_name || !help.contains("\nCommands:\n") {
                break;
            }
            path.push(word);

            match self.help(&path) {
                Some(text) => help = text,
                None => {
                    return Some(format!(
                        "there is no command `regionmesh {}`",
                        path.join(" ")
                    ));
                }
            }
        }

        let options = words
            .iter()
            .filter(|word| word.starts_with('-') && word.len() > 1);
        for option in options.map(|word| word.split('=').next().unwrap().trim_end_matches(',')) {
            let ends = [" ", ",", "\n", "."].map(|end| format!("{option}{end}"));
            let lines = help.lines().map(|line| format!(" {}\n", line.trim()));
            let mut lines = lines.filter(|line| line.starts_with(" -"));
            let is_there =
                lines.any(|line| ends.iter().any(|end| line.contains(&format!(" {end}"))));

            if !is_there {
                return Some(format!(
                    "`regionmesh {}` has no option {option}",
                    path.join(" ")
                ));
            }
        }

        None
    }

    /// What is wrong with a command of any program.
    fn fault_of(&self, command: &[String]) -> Option<String> {
        let (program, arguments) = command.split_first()?;
        if ["regionmesh", "target/release/regionmesh"].contains(&program.as_str()) {
            return self.fault(arguments);
        }
        if program == "cargo" && arguments.first().is_some_and(|word| word == "run") {
            let at = arguments.iter().position(|word| word == "--")?;
            return self.fault(&arguments[at + 1..]);
        }

        let script = program.strip_prefix("./").unwrap_or(program);
        let text = std::fs::read_to_string(root().join(script)).ok();
        let text = text.filter(|_| script.starts_with("scripts/"))?;
        let library = std::fs::read_to_string(root().join("scripts/lib/common.sh")).unwrap();
        let text = text + &library;
        let is_unknown = |word: &&String| word.starts_with("--") && !text.contains(*word);

        arguments
            .iter()
            .find(is_unknown)
            .map(|word| format!("{script} has no {word}"))
    }
}

/// The text of the scripts that a page names.
fn scripts_of(page: &Path) -> String {
    let text = std::fs::read_to_string(page).unwrap();
    let scripts = std::fs::read_dir(root().join("scripts"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let name = |path: &PathBuf| path.strip_prefix(root()).unwrap().display().to_string();
    let named = scripts.filter(|path| text.contains(&name(path)));

    named
        .map(|path| std::fs::read_to_string(path).unwrap_or_default())
        .collect()
}

/// What is wrong with a command on a page: with its name, its options, and the paths that it names.
fn faults_of(program: &CommandLine, command: &[String]) -> Vec<String> {
    let mut faults: Vec<String> = program.fault_of(command).into_iter().collect();
    let paths = command
        .iter()
        .filter_map(|word| pages::missing_path(word))
        .chain(pages::missing_test(command));

    faults.extend(paths.map(|path| format!("there is no {path}")));
    if command[0] == "terraform" {
        let outputs = std::fs::read_to_string(root().join("terraform/outputs.tf")).unwrap();
        let mut names = command.iter().skip_while(|word| *word != "output").skip(1);
        let name = names.find(|word| !word.starts_with('-'));
        let unknown = name.filter(|name| !outputs.contains(&format!("output \"{name}\"")));
        faults.extend(unknown.map(|name| format!("terraform has no output {name}")));
    }

    faults
}

/// The commands within the lines of a page, as they would be typed, with their places.
fn named_commands(page: &Path, program: &CommandLine) -> Vec<(String, Vec<String>)> {
    let help = program.help(&[]).expect("help");
    let is_command = |word: &str| help.contains(&format!("\n  {word} "));
    let mut named = Vec::new();

    for span in pages::spans(page) {
        for mut command in pages::commands(&span.text) {
            if let Some(about) = &span.about {
                command.splice(0..0, about.split(' ').map(str::to_owned));
            } else if command.len() > 1 && is_command(&command[0]) && command[1] != "=" {
                // Commands are also called without the program's name: `up --demo`.
                command.insert(0, "regionmesh".to_owned());
            }

            named.push((span.place.clone(), command));
        }
    }

    named
}

#[test]
fn every_command_option_and_path_of_the_documentation_exists() {
    let program = CommandLine::default();
    let options = program.options();
    let mut faults = Vec::new();
    let mut checked = 0;

    // The changelog names commands that were removed.
    for page in pages::all()
        .into_iter()
        .filter(|page| !page.ends_with("CHANGELOG.md"))
    {
        let mut commands = named_commands(&page, &program);
        for block in pages::blocks(&page) {
            for line in block.text.replace("\\\n", " ").lines() {
                let texts = [line.to_owned()].into_iter().chain(pages::inline(line));
                let typed = texts.flat_map(|text| pages::commands(&text));
                commands.extend(typed.map(|command| (block.place.clone(), command)));
            }
        }

        let known = options.clone() + &scripts_of(&page);
        for (place, command) in commands {
            checked += usize::from(command[0] == "regionmesh");
            faults.extend(
                faults_of(&program, &command)
                    .iter()
                    .map(|fault| format!("{place}: {fault}")),
            );

            // An option without a command is one of any command, or of a script that the page is
            // about.
            let option = command[0].split(['=', ']']).next().unwrap();
            if option.starts_with("--") && !known.contains(option) {
                faults.push(format!("{place}: nothing has the option {option}"));
            }
        }
    }

    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(checked >= 100, "only {checked} commands were found");
}
