//! The pages of the documentation as tests read them: fenced blocks, and what is said about each in a comment above it.
//!
//! `<!-- run: NAME -->` marks a block whose commands a test runs, in the order of the page; `NAME` is the group that shares a
//! mesh and a working directory. `<!-- file: NAME -->` marks a block that is written into that directory first.

use std::path::{Path, PathBuf};

/// One fenced block.
#[derive(Debug, Clone)]
pub struct Block {
    /// Page and line, for failures.
    pub place: String,
    /// The first word after the fence: `toml`, `console`, `sh`.
    pub language: String,
    /// What the comment above says, such as `run: up`; empty: nothing.
    pub mark: String,
    /// Its lines.
    pub text: String,
}

/// A command of a `console` block and the output that the page shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What is typed.
    pub command: String,
    /// What follows.
    pub output: String,
}

/// The repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests is in the repository").to_owned()
}

/// Every page: the README and those of docs/.
pub fn all() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join("docs")).expect("docs/");
    let mut pages: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    pages.retain(|page| page.extension().is_some_and(|extension| extension == "md"));
    pages.push(root().join("README.md"));
    pages.sort();
    pages
}

/// The blocks of a page.
pub fn blocks(page: &Path) -> Vec<Block> {
    let text = std::fs::read_to_string(page).expect("a page");
    let name = page.file_name().expect("a name").to_string_lossy().into_owned();
    let mut blocks: Vec<Block> = Vec::new();
    let (mut mark, mut open) = (String::new(), None::<Block>);
    for (number, line) in text.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => block.text += &format!("{line}\n"),
            (None, Some(info)) => {
                let language = info.split_whitespace().next().unwrap_or_default().to_owned();
                let place = format!("{name}:{}", number + 1);
                open = Some(Block { place, language, mark: std::mem::take(&mut mark), text: String::new() });
            }
            (None, None) => match line.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->")) {
                Some(comment) => mark = comment.to_owned(),
                None if line.trim().is_empty() => {}
                None => mark.clear(),
            },
        }
    }
    assert!(open.is_none(), "{name}: a fence is not closed");
    blocks
}

impl Block {
    /// What the mark says of `kind`, such as the name in `run: NAME`.
    pub fn marked(&self, kind: &str) -> Option<&str> {
        self.mark.strip_prefix(kind)?.strip_prefix(": ")
    }

    /// The commands of a block: of `console` the lines after `$ `, with their output; of `sh` every line, without any.
    pub fn steps(&self) -> Vec<Step> {
        let mut steps: Vec<Step> = Vec::new();
        for line in self.text.lines() {
            match line.strip_prefix("$ ").or_else(|| Some(line).filter(|_| self.language == "sh")) {
                Some(command) => steps.push(Step { command: command.to_owned(), output: String::new() }),
                None => match steps.last_mut() {
                    Some(step) => step.output += &format!("{line}\n"),
                    None => panic!("{}: output before any command", self.place),
                },
            }
        }
        steps.retain(|step| !step.command.trim().is_empty());
        steps
    }
}

/// Whether `seen` is what a page shows: `…` stands for any text, a line of `…` alone for any lines. How wide columns are does
/// not matter.
pub fn is_as_shown(shown: &str, seen: &str) -> bool {
    let lines = |text: &str| -> Vec<String> {
        let words = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        words.filter(|line| !line.is_empty()).collect()
    };
    lines_match(&lines(shown), &lines(seen))
}

fn lines_match(shown: &[String], seen: &[String]) -> bool {
    match (shown.split_first(), seen.split_first()) {
        (None, None) => true,
        (Some((line, rest)), _) if line == "…" => (0..=seen.len()).any(|skipped| lines_match(rest, &seen[skipped..])),
        (Some((line, rest)), Some((first, others))) => line_matches(line, first) && lines_match(rest, others),
        _ => false,
    }
}

fn line_matches(shown: &str, seen: &str) -> bool {
    let mut parts = shown.split('…');
    let Some(mut rest) = parts.next().and_then(|first| seen.strip_prefix(first)) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(place) = rest.find(part) else { return false };
        rest = &rest[place + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elisions_stand_for_anything_and_nothing_else_does() {
        for (shown, seen) in [
            ("a  b\n", "a b"),
            ("x …\n", "x 1 2"),
            ("… s  y …", "12 s   y z"),
            ("a\n…\nb\n", "a\n1\n2\nb\n"),
            ("a\n…\n", "a\n"),
            ("#… of …: done", "#3 of 7: done"),
        ] {
            assert!(is_as_shown(shown, seen), "{shown:?} {seen:?}");
        }
        for (shown, seen) in [("a", "b"), ("a …", "b c"), ("a", "a\nb"), ("a\nb", "a"), ("a … c", "a b d")] {
            assert!(!is_as_shown(shown, seen), "{shown:?} {seen:?}");
        }
    }
}
