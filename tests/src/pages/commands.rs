//! Commands, paths and test programs that pages name.

use super::root;

/// The commands of a line, each as its words: what the shell would take for separate commands,
/// without the assignments before it and without comments. Not a shell: a `$(…)` within quotes
/// stays one word.
pub fn commands(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let mut word = String::new();
    let mut quote = None::<char>;
    let mut letters = line.chars().peekable();

    while let Some(letter) = letters.next() {
        let ends_word = quote.is_none() && (letter.is_whitespace() || ";|&(){}".contains(letter));
        match letter {
            _ if ends_word => {
                if !word.is_empty() {
                    commands
                        .last_mut()
                        .expect("one at least")
                        .push(std::mem::take(&mut word));
                }

                if !letter.is_whitespace() {
                    commands.push(Vec::new());
                }
                if letters.peek() == Some(&'#') {
                    break;
                }
            }
            '\'' | '"' if quote == Some(letter) => quote = None,
            '\'' | '"' if quote.is_none() => quote = Some(letter),
            _ => word.push(letter),
        }
    }

    if !word.is_empty() {
        commands.last_mut().expect("one at least").push(word);
    }

    for command in &mut commands {
        let is_assignment = |word: &String| word.contains('=') && !word.starts_with(['-', '=']);
        let skipped = command
            .iter()
            .take_while(|word| is_assignment(word) || *word == "$")
            .count();

        command.drain(..skipped);
    }

    commands.retain(|command| !command.is_empty());
    commands
}

/// Files that the reader creates.
const MADE: [&str; 3] = ["environments/prod", "environments/NAME", "fuzz/corpus"];

/// The folders of the repository whose files pages name.
const FOLDERS: &str = ".github agent docker docs environments fuzz kubernetes monitoring protocol \
    scripts sim terraform tests";

/// A path of the repository that `word` names and that does not exist.
pub fn missing_path(word: &str) -> Option<String> {
    let path = word
        .trim_start_matches("./")
        .trim_end_matches(['.', ',', ';', ':', ')', '/']);
    let (first, rest) = path.split_once('/')?;
    let is_ours = FOLDERS.split(' ').any(|folder| folder == first);
    let is_pattern =
        rest.contains(|letter: char| letter.is_uppercase() || "*{<…$\"'`".contains(letter));
    let is_made = MADE.iter().any(|made| path.starts_with(made));

    if !is_ours || is_pattern || is_made || rest.is_empty() || root().join(path).exists() {
        return None;
    }
    Some(path.to_owned())
}

/// The test program that `cargo test … --test NAME` names and that does not exist.
pub fn missing_test(command: &[String]) -> Option<String> {
    let name = command.iter().skip_while(|word| *word != "--test").nth(1)?;
    let is_there = ["tests/tests", "sim/tests"].iter().any(|folder| {
        let folder = root().join(folder);
        folder.join(format!("{name}.rs")).exists() || folder.join(name).join("main.rs").exists()
    });

    (command[0] == "cargo" && !is_there).then(|| format!("--test {name}"))
}
