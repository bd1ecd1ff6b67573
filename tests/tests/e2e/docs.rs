//! The documentation is accurate: configurations are accepted, commands exist and print what the
//! pages say, and generated parts are current. Every block has a check.

mod command_line;
mod generated;
mod terminal;

use regionmesh_tests::{
    command::binary,
    pages::{self, Block, Check, root},
    skip::is_installed,
};
use std::{io::Write as _, path::Path, process::Stdio};

/// A configuration that a fragment of one is completed with.
const WHOLE: &str = r#"
mesh = "prod.example.org"
region = "eu-west-1"
agent = "node-0"
data_dir = "/srv/regionmesh/data"
tls = { ca = "/ca.pem", certificate = "/c.pem", key = "/c.key" }
store = { url = "file:///srv/regionmesh/store" }
dns = { zone = "prod.example.org" }

[listen]
mesh = "127.0.0.21:7443"
dns = "127.0.0.21:5300"
api = "127.0.0.21:9080"
serving = "127.0.0.21:8080"

[[regions]]
name = "us-west-2"
endpoint = "127.0.0.20:7443"
serving_url = "http://127.0.0.20:8080"

[[regions]]
name = "eu-west-1"
endpoint = "127.0.0.21:7443"
serving_url = "http://127.0.0.21:8080"

[[regions]]
name = "ap-south-1"
endpoint = "127.0.0.22:7443"
serving_url = "http://127.0.0.22:8080"
"#;

fn run(program: &Path, arguments: &[&str], directory: &Path) -> std::process::Output {
    std::process::Command::new(program)
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()))
}

#[test]
fn every_configuration_of_the_documentation_is_accepted() {
    let directory = tempfile::tempdir().unwrap();
    let mut checked = 0;
    for page in pages::all() {
        for block in pages::blocks(&page)
            .iter()
            .filter(|block| block.language == "toml")
        {
            let parsed = block.text.parse();
            let documented: toml::Table =
                parsed.unwrap_or_else(|error| panic!("{}: {error}", block.place));
            let mut whole: toml::Table = if documented.contains_key("mesh") {
                toml::Table::new()
            } else {
                WHOLE.parse().unwrap()
            };

            whole.extend(documented);
            let file = directory.path().join("agent.toml");
            std::fs::write(&file, toml::to_string(&whole).unwrap()).unwrap();

            let output = run(
                &binary(),
                &["agent", "--config", "agent.toml", "--check"],
                directory.path(),
            );
            let said = String::from_utf8_lossy(&output.stderr);

            assert_eq!(output.status.code(), Some(0), "{}: {said}", block.place);
            checked += 1;
        }
    }

    assert!(checked >= 4, "only {checked} configurations were found");
}

#[test]
fn every_page_is_listed_in_the_index() {
    let unlisted = pages::unlisted();
    assert!(unlisted.is_empty(), "docs/README.md lacks {unlisted:?}");
}

/// Why a link leads nowhere, from `page` with its text.
fn fault_of_link(page: &Path, text: &str, link: &str) -> Option<String> {
    let (file, anchor) = pages::split_anchor(link);
    if file.contains("://") {
        return None;
    }

    let target = page.parent().unwrap().join(file);
    if !file.is_empty() && !target.exists() {
        return Some(format!("{}: {link} leads nowhere", page.display()));
    }

    let target_text = match file {
        "" => text.to_owned(),
        _ if file.ends_with(".md") => std::fs::read_to_string(target).unwrap(),
        _ => return None,
    };
    let anchor = anchor?;
    let is_there = pages::anchors(&target_text).contains(anchor);

    (!is_there).then(|| format!("{}: {link} names no heading", page.display()))
}

#[test]
fn every_link_inside_the_documentation_has_a_target() {
    let mut faults = Vec::new();
    let mut checked = 0;
    for page in pages::all() {
        let text = std::fs::read_to_string(&page).unwrap();
        for link in pages::links(&text) {
            checked += 1;
            faults.extend(fault_of_link(&page, &text, &link));
        }
    }

    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(checked >= 150, "only {checked} links were found");
}

#[test]
fn a_link_to_a_missing_page_or_heading_is_reported() {
    let page = root().join("docs/README.md");
    let fault = |link: &str| fault_of_link(&page, "# Here\n", link);

    for link in [
        "#here",
        "CHANGELOG.md",
        "how-to/troubleshoot.md#certificates",
    ] {
        assert_eq!(fault(link), None);
    }
    for link in ["#there", "nowhere.md", "how-to/troubleshoot.md#certificate"] {
        assert!(fault(link).is_some(), "{link}");
    }
}

/// What text names of the documentation: `docs/….md`, with an anchor or without.
fn named_pages(text: &str) -> Vec<&str> {
    let is_part = |letter: char| letter.is_alphanumeric() || "/-_.#".contains(letter);
    let names = text.match_indices("docs/").map(|(at, _)| {
        let rest = &text[at..];
        let end = rest
            .find(|letter: char| !is_part(letter))
            .unwrap_or(rest.len());
        rest[..end].trim_end_matches(['.', '#'])
    });

    names
        .filter(|name| name.ends_with(".md") || name.contains(".md#"))
        .collect()
}

#[test]
fn every_page_that_the_code_names_exists() {
    let mut faults = Vec::new();
    let mut checked = 0;
    for folder in std::fs::read_dir(root()).unwrap() {
        let folder = folder.unwrap().path();
        if !folder.join("Cargo.toml").is_file() {
            continue;
        }

        for name in named_pages(&pages::sources(&folder)) {
            checked += 1;
            faults.extend(fault_of_link(&root().join("README.md"), "", name));
        }
    }

    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(checked >= 10, "only {checked} pages are named");
}

/// Every block of every page.
fn blocks() -> Vec<Block> {
    pages::all()
        .iter()
        .flat_map(|page| pages::blocks(page))
        .collect()
}

/// Feeds `text` to a program; what it says if it refuses it.
fn refusal(program: &str, arguments: &[&str], text: &str) -> Option<String> {
    let mut command = std::process::Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());

    let mut child = command
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();

    let output = child.wait_with_output().unwrap();
    (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Why the text of a block is not of its language.
fn syntax_fault(block: &Block) -> Option<String> {
    match block.language.as_str() {
        "json" => serde_json::from_str::<serde_json::Value>(&block.text)
            .err()
            .map(|error| error.to_string()),
        "yaml" => serde_norway::from_str::<serde_json::Value>(&block.text)
            .err()
            .map(|error| error.to_string()),
        // Terraform is in no distribution: as in scripts/test-terraform, nothing fails without it.
        "hcl" if is_installed("terraform") => {
            refusal("terraform", &["fmt", "-check", "-"], &block.text)
        }
        "sh" => refusal("bash", &["-n"], &block.text),
        _ => None,
    }
}

#[test]
fn every_code_block_is_checked() {
    let sources = pages::sources(&root().join("agent"));
    let mut faults = Vec::new();
    for block in blocks() {
        let mut fault = |what: String| faults.push(format!("{}: {what}", block.place));
        if let Some(what) = syntax_fault(&block) {
            fault(format!("not {}: {what}", block.language));
        }

        match block.check() {
            Err(why) => fault(why),
            Ok(Check::Elsewhere(file, words)) => {
                let text = std::fs::read_to_string(root().join(&file)).unwrap_or_default();
                let is_check = file.starts_with("scripts") || file.starts_with("tests/tests");
                for word in words
                    .iter()
                    .filter(|word| !is_check || !text.contains(*word))
                {
                    fault(format!("{word:?} is not in a check {}", file.display()));
                }

                for word in words.iter().filter(|word| !block.text.contains(*word)) {
                    fault(format!("{word:?} is not in the block"));
                }
            }
            Ok(Check::Log) => {
                for line in block.text.lines().filter(|line| *line != "…") {
                    let message = pages::message(line);
                    if !sources.contains(&message) {
                        fault(format!("nothing logs {message:?}"));
                    }
                }
            }
            Ok(_) => {}
        }
    }

    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
