//! The pages of the documentation as tests read them: fenced blocks, what checks each of them, and
//! the commands in them.
//!
//! What checks a block is said by its language, or by a comment above it; [`Check`] lists all there
//! is.

mod commands;
mod comparison;
#[cfg(test)]
mod tests;

pub use commands::{commands, missing_path, missing_test};
pub use comparison::is_as_documented;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// One fenced block.
#[derive(Debug, Clone)]
pub struct Block {
    /// Page and line, for failures.
    pub place: String,
    /// The first word after the fence: `toml`, `console`, `sh`.
    pub language: String,
    /// What the comment above says, such as `run: up`; empty: nothing.
    pub mark: String,
    pub text: String,
}

/// What checks a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// `<!-- run: GROUP -->`: a test runs the commands, in the order of the pages. The group shares
    /// a mesh, a working directory and a shell. Of `console` blocks the output is compared, of `sh`
    /// blocks every command must succeed.
    Run(String),
    /// `<!-- file: NAME -->`: written into the working directory before any command is run.
    File(String),
    /// `<!-- elsewhere: FILE: WORD, WORD -->`: another check of this repository, which contains
    /// every one of these words as the block does.
    Elsewhere(PathBuf, Vec<String>),
    /// `<!-- cloud -->`: needs an account or a cluster.
    Cloud,
    /// `<!-- by hand: WHY -->`: takes too long, or what a machine of tests does not have.
    ByHand(String),
    /// A whole or partial configuration, in TOML: the agent must accept it.
    Configuration,
    /// Lines of a log: their messages must be those of the source.
    Log,
    /// A drawing, a layout, a transcript: nothing to run.
    Text,
}

/// A command of a `console` block and the output that the page shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The command line.
    pub command: String,
    /// The output after it.
    pub output: String,
}

/// Code within a line, between backticks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Page and line, for failures.
    pub place: String,
    /// The text between the backticks.
    pub text: String,
    /// The command that the section is about, where the span begins a row of a table there, such as
    /// `regionmesh up`.
    pub about: Option<String>,
}

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests is in the repository")
        .to_owned()
}

/// Every page, in the order of reading: the README, the index of docs/, then those that the index
/// lists, in its order.
pub fn all() -> Vec<PathBuf> {
    let index = docs().join("README.md");
    let (_, text) = read(&index);
    let mut pages = vec![root().join("README.md"), index];

    for link in links(&text) {
        let (file, _) = split_anchor(&link);
        let page = docs().join(file);
        let is_ours = file.ends_with(".md") && !file.contains("://") && !file.starts_with("..");

        if is_ours && !pages.contains(&page) {
            pages.push(page);
        }
    }

    pages
}

/// The pages below docs/ that its index does not list.
pub fn unlisted() -> Vec<PathBuf> {
    let listed = all();
    let mut pages = markdown(&docs());

    pages.retain(|page| !listed.contains(page));
    pages
}

fn docs() -> PathBuf {
    root().join("docs")
}

/// The Markdown files of a folder and of those below it.
fn markdown(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut pages = Vec::new();

    for path in entries.map(|entry| entry.expect("an entry").path()) {
        if path.is_dir() {
            pages.extend(markdown(&path));
        } else if path.extension().is_some_and(|extension| extension == "md") {
            pages.push(path);
        }
    }

    pages
}

/// The path of a page from the root of the repository, and its text.
fn read(page: &Path) -> (String, String) {
    let name = page.strip_prefix(root()).unwrap_or(page);
    let text =
        std::fs::read_to_string(page).unwrap_or_else(|error| panic!("{}: {error}", name.display()));

    (name.display().to_string(), text)
}

/// The targets of a page's links.
pub fn links(text: &str) -> Vec<String> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .map(str::to_owned)
        .collect()
}

/// The file that a link names, empty for the page itself, and the anchor in it.
pub fn split_anchor(link: &str) -> (&str, Option<&str>) {
    match link.split_once('#') {
        Some((file, anchor)) => (file, Some(anchor)),
        None => (link, None),
    }
}

/// The anchors of a page's headings, as GitHub makes them.
pub fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    let mut is_block = false;

    for line in text.lines() {
        is_block ^= line.trim_start().starts_with("```");
        let title = line.trim_start_matches('#');
        let level = line.len() - title.len();
        if is_block || !(1..=6).contains(&level) || !title.starts_with(' ') {
            continue;
        }

        let first = slug(title);
        let mut anchor = first.clone();
        let mut copies = 0;
        while !anchors.insert(anchor) {
            copies += 1;
            anchor = format!("{first}-{copies}");
        }
    }

    anchors
}

/// A heading in lower case, without its links' targets and punctuation, with hyphens for spaces.
fn slug(title: &str) -> String {
    let mut text = String::new();
    let mut rest = title.trim();
    while let Some((before, after)) = rest.split_once("](") {
        text += before;
        rest = after.split_once(')').map_or("", |(_, rest)| rest);
    }
    text += rest;

    text.to_lowercase()
        .chars()
        .filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter))
        .map(|letter| if letter == ' ' { '-' } else { letter })
        .collect()
}

/// The blocks of a page, those within lists included.
pub fn blocks(page: &Path) -> Vec<Block> {
    let (name, text) = read(page);
    let mut blocks: Vec<Block> = Vec::new();
    let mut mark = String::new();
    let mut open = None::<(Block, usize)>;

    for (number, line) in text.lines().enumerate() {
        let fence = line.trim_start().strip_prefix("```");
        match (&mut open, fence) {
            (Some(_), Some(_)) => blocks.extend(open.take().map(|(block, _)| block)),
            (Some((block, indent)), None) => {
                block.text += line.get(*indent..).unwrap_or_default();
                block.text.push('\n');
            }
            (None, Some(info)) => {
                let language = info
                    .split_whitespace()
                    .next()
                    .unwrap_or_default()
                    .to_owned();
                let place = format!("{name}:{}", number + 1);
                let indent = line.len() - line.trim_start().len();
                let mark = std::mem::take(&mut mark);

                open = Some((
                    Block {
                        place,
                        language,
                        mark,
                        text: String::new(),
                    },
                    indent,
                ));
            }
            (None, None) => match line.trim().strip_prefix("<!-- ") {
                Some(comment) => mark = comment.trim_end_matches(" -->").to_owned(),
                None if line.trim().is_empty() => {}
                None => mark.clear(),
            },
        }
    }

    assert!(open.is_none(), "{name}: a fence is not closed");
    blocks
}

impl Block {
    /// The check of this block, or why it has none.
    pub fn check(&self) -> Result<Check, String> {
        let (kind, rest) = self.mark.split_once(": ").unwrap_or((&self.mark, ""));
        let is_typed = matches!(self.language.as_str(), "console" | "sh");
        match (kind, self.language.as_str()) {
            ("run", _) if is_typed && !rest.is_empty() => Ok(Check::Run(rest.to_owned())),
            ("file", _) if !is_typed && !rest.is_empty() => Ok(Check::File(rest.to_owned())),
            ("elsewhere", _) => {
                let (file, words) = rest
                    .split_once(": ")
                    .ok_or("it does not say which words are there")?;
                Ok(Check::Elsewhere(
                    file.into(),
                    words.split(", ").map(str::to_owned).collect(),
                ))
            }
            ("cloud", _) if rest.is_empty() => Ok(Check::Cloud),
            ("by hand", _) if is_typed && !rest.is_empty() => Ok(Check::ByHand(rest.to_owned())),
            ("", "toml") => Ok(Check::Configuration),
            ("", "log") => Ok(Check::Log),
            ("", "text")
                if self
                    .text
                    .lines()
                    .any(|line| line.trim_start().starts_with("$ ")) =>
            {
                Err("commands do not belong into a block of text".to_owned())
            }
            ("", "text") => Ok(Check::Text),
            _ => Err(format!(
                "{:?} is no mark for a block of {:?}",
                self.mark, self.language
            )),
        }
    }

    /// The commands of a block: of `console` the lines after `$ `, with their output; of `sh` every
    /// line, without any. A backslash at its end continues a line.
    pub fn steps(&self) -> Vec<Step> {
        let mut steps: Vec<Step> = Vec::new();
        let text = self.text.replace("\\\n", " ");
        for line in text.lines() {
            match line
                .strip_prefix("$ ")
                .or_else(|| Some(line).filter(|_| self.language == "sh"))
            {
                Some(command) => steps.push(Step {
                    command: command.to_owned(),
                    output: String::new(),
                }),
                None => match steps.last_mut() {
                    Some(step) => step.output += &format!("{line}\n"),
                    None => panic!("{}: output before any command", self.place),
                },
            }
        }

        steps.retain(|step| !step.command.trim().is_empty() && !step.command.starts_with('#'));
        steps
    }
}

/// Everything between backticks outside of blocks.
pub fn spans(page: &Path) -> Vec<Span> {
    let (name, text) = read(page);
    let mut spans: Vec<Span> = Vec::new();
    let mut paragraph = String::new();
    let mut first = 0;
    let mut about = None;
    let mut is_block = false;

    for (number, line) in text.lines().chain([""]).enumerate() {
        let is_fence = line.trim_start().starts_with("```");
        let is_item = line.trim_start().starts_with("* ");
        if line.trim().is_empty() || line.starts_with(['|', '#']) || is_item || is_fence {
            let place = format!("{name}:{first}");
            let row = paragraph.starts_with('|').then(|| about.clone()).flatten();
            let cell = paragraph
                .get(1..)
                .and_then(|rest| rest.split(" | ").next())
                .unwrap_or_default();
            let spans_of_first = cell.matches('`').count() / 2;

            for (index, span) in inline(&paragraph).into_iter().enumerate() {
                let about = row.clone().filter(|_| index < spans_of_first);
                spans.push(Span {
                    place: place.clone(),
                    text: span,
                    about,
                });
            }

            paragraph.clear();
            first = number + 1;
        }

        is_block ^= is_fence;
        if let Some(heading) = line.strip_prefix('#').filter(|_| !is_block) {
            about = inline(heading)
                .into_iter()
                .find(|code| code.starts_with("regionmesh "));
        }

        if !is_block && !is_fence {
            paragraph += &format!("{line}\n");
        }
    }

    spans
}

/// The texts between backticks.
pub fn inline(text: &str) -> Vec<String> {
    let codes = text
        .split('`')
        .skip(1)
        .step_by(2)
        .map(|code| code.replace('\n', " "));

    codes.filter(|code| !code.is_empty()).collect()
}

/// The sources that log lines come from.
pub fn sources(directory: &Path) -> String {
    let entries = std::fs::read_dir(directory).expect("a folder");
    let texts = entries
        .map(|entry| entry.expect("an entry").path())
        .map(|path| match path.extension() {
            _ if path.is_dir() => sources(&path),
            Some(extension) if extension == "rs" => {
                std::fs::read_to_string(path).expect("a source")
            }
            _ => String::new(),
        });

    texts.collect()
}

/// The message of a line of a log: after the level and the target, up to the fields.
pub fn message(line: &str) -> String {
    if let Ok(line) = serde_json::from_str::<serde_json::Value>(line) {
        return line["message"].as_str().expect("a message").to_owned();
    }

    let after = ["INFO ", "WARN ", "ERROR "]
        .iter()
        .find_map(|level| Some(line.split_once(level)?.1));
    let message = after.and_then(|rest| Some(rest.split_once(": ")?.1));
    let message = message.unwrap_or_else(|| panic!("not a line of a log: {line}"));
    let words = message.split(' ').take_while(|word| !word.contains('='));

    words.collect::<Vec<_>>().join(" ")
}
