//! What the documentation shows works: configurations are accepted, commands exist and print what
//! the pages say, and the parts that are generated from the code are as generated. No block is
//! without a check.

use regionmesh_tests::{
    loopback::Loopback,
    mesh::binary,
    models::iris_one,
    pages::{self, Block, Check, Step, is_as_shown, root},
    skip::has_program,
    wait::{claim, seconds, until},
};
use std::{
    collections::BTreeMap,
    io::Write as _,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Mutex,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

/// A configuration that a fragment of one is completed with.
const WHOLE: &str = r#"
mesh = "prod.example.org"
region = "eu-west-1"
agent = "node-0"
data_dir = "/srv/regionmesh/data"
tls = { ca = "/ca.pem", certificate = "/c.pem", key = "/c.key" }
listen = { mesh = "127.0.0.21:7443", dns = "127.0.0.21:5300", api = "127.0.0.21:9080", serving = "127.0.0.21:8080" }
store = { url = "file:///srv/regionmesh/store" }
dns = { zone = "prod.example.org" }

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
            let shown: toml::Table =
                parsed.unwrap_or_else(|error| panic!("{}: {error}", block.place));
            let mut whole: toml::Table = if shown.contains_key("mesh") {
                toml::Table::new()
            } else {
                WHOLE.parse().unwrap()
            };

            whole.extend(shown);
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
fn every_link_inside_the_documentation_leads_somewhere() {
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
fn a_link_to_a_missing_page_or_heading_is_found() {
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

#[test]
fn what_is_generated_is_as_generated_and_a_difference_is_found() {
    if !has_program("python3", "python3") {
        return;
    }

    let copy = tempfile::tempdir().unwrap();
    let parts = [
        (
            "docs/reference/commands.md",
            "| `regionmesh models publish",
            "| `regionmesh models send",
        ),
        ("docs/reference/alerts.md", "| critical |", "| warning |"),
        (
            "docs/reference/alerts.md",
            "| critical | 5m |",
            "| critical | 6m |",
        ),
        (
            "monitoring/prometheus/rules/raised.yml",
            "severity: warning",
            "severity: critical",
        ),
        (
            "monitoring/prometheus/tests/raised.yml",
            "eval_time: 10m",
            "eval_time: 11m",
        ),
    ];

    for (name, ..) in parts {
        let place = copy.path().join(name);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::copy(root().join(name), place).unwrap();
    }

    let script = root().join("scripts/generate");
    let program = binary();
    let check = || {
        let arguments = [
            "--check",
            "--root",
            copy.path().to_str().unwrap(),
            program.to_str().unwrap(),
        ];
        let output = run(&script, &arguments, copy.path());

        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };

    let (code, said) = check();
    assert_eq!(code, Some(0), "{said}");

    for (name, right, wrong) in parts {
        let file = copy.path().join(name);
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(right), "{name} does not say {right:?}");
        std::fs::write(&file, text.replacen(right, wrong, 1)).unwrap();

        let (code, said) = check();
        assert_eq!(code, Some(1), "{name}: {wrong:?} went unnoticed");
        assert!(said.contains(name), "{said}");
        std::fs::write(&file, text).unwrap();
    }
}

#[test]
fn an_alert_has_one_source() {
    if !has_program("python3", "python3") {
        return;
    }

    let check = |root: &Path| {
        let script = root.join("scripts/monitoring_static.py");
        run(
            Path::new("python3"),
            &[script.to_str().unwrap(), "runbooks"],
            root,
        )
    };
    let output = check(&root());

    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );

    // A rule of Prometheus' own for a condition that agents raise.
    let copy = tempfile::tempdir().unwrap();
    for folder in ["docs", "scripts", "monitoring"] {
        let copied = run(
            Path::new("cp"),
            &["-R", root().join(folder).to_str().unwrap(), "."],
            copy.path(),
        );

        assert!(copied.status.success());
    }

    let file = copy.path().join("monitoring/prometheus/rules/alerts.yml");
    let rules = std::fs::read_to_string(&file).unwrap();
    std::fs::write(
        &file,
        rules.replacen("RegionMeshRegionSuspect", "RegionMeshRegionFailed", 1),
    )
    .unwrap();

    let output = check(copy.path());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("RegionMeshRegionFailed has two rules"),
        "{said}"
    );
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
        "hcl" if has("terraform") => refusal("terraform", &["fmt", "-check", "-"], &block.text),
        "sh" => refusal("bash", &["-n"], &block.text),
        _ => None,
    }
}

fn has(program: &str) -> bool {
    let directories = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&directories).any(|directory| directory.join(program).is_file())
}

#[test]
fn every_block_is_checked() {
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
                    fault(format!(
                        "{word:?} does not stand in a check {}",
                        file.display()
                    ));
                }

                for word in words.iter().filter(|word| !block.text.contains(*word)) {
                    fault(format!("{word:?} does not stand in the block"));
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

/// The command line as `--help` tells of it.
#[derive(Default)]
struct CommandLine(Mutex<BTreeMap<String, Option<String>>>);

impl CommandLine {
    /// The help for a command, if there is one.
    fn help(&self, path: &[&str]) -> Option<String> {
        let mut known = self.0.lock().unwrap();
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
                // Commands are also called by what follows the program's name: `up --demo`.
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

    // Changes tell of what was there before.
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

            // An option that is named alone is one of some command, or of a script that the page is
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

/// What stands for a line that the shell has carried out.
const DONE: &str = "-- done with";
/// Commands that are not tried again when they print something else: they change something.
const CHANGES: &str = "publish,promote,delete,ca ,> ,drain,restore,hold,--kill,members add,members remove,\
    POST,sed -i,mv ";
/// Whether a mesh of `up` is up, and what it printed.
const UP: &str = "grep -q 'Ctrl-C stops it' up.log && cat up.log";
/// Commands that go on until they are interrupted.
const ENDLESS: [&str; 3] = [" --follow", " --watch", "curl -N"];

/// A working directory and a shell in it, in which the commands of pages are run on addresses of
/// their own.
struct Terminal {
    /// The first three bytes of its addresses.
    network: String,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    steps: usize,
    directory: tempfile::TempDir,
    _shell: Child,
}

impl Terminal {
    fn open() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // `regionmesh` is found by its name.
        let programs = directory.path().join("programs");

        std::fs::create_dir(&programs).unwrap();
        std::os::unix::fs::symlink(binary(), programs.join("regionmesh")).unwrap();

        let path = format!(
            "{}:{}",
            programs.display(),
            std::env::var("PATH").unwrap_or_default()
        );
        let mut shell = Command::new("bash");

        shell
            .arg("-s")
            .current_dir(directory.path())
            .env("PATH", path)
            .env("USER", "anna")
            .env("TZ", "UTC");

        shell
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);

        let mut shell = shell.spawn().expect("bash starts");
        let input = shell.stdin.take().unwrap();
        let output = shell.stdout.take().unwrap();
        let output = BufReader::new(output).lines();
        let network = Loopback::reserve()
            .at(0)
            .to_string()
            .trim_end_matches('0')
            .to_owned();

        Self {
            network,
            input,
            output,
            steps: 0,
            directory,
            _shell: shell,
        }
    }

    /// What a page says, for this terminal's own mesh.
    fn localize(&self, text: &str) -> String {
        let directory = self.directory.path().to_str().unwrap();
        let text = text.replace("@192.0.2.10", "@127.0.0.11 -p 5300");
        let text = text.replace("mesh.example.org", "regionmesh.test");
        let text = text
            .replace("localhost:8080", "127.0.0.1:8080")
            .replace("127.0.0.", &self.network);

        // Not the network of this machine as a whole.
        let text = text.replace(&format!("{}0/8", self.network), "127.0.0.0/8");
        text.replace("/srv/regionmesh", directory)
    }

    /// What was printed, as on a page; without what a terminal would not show.
    fn generalize(&self, text: &str) -> String {
        let directory = self.directory.path().to_str().unwrap();
        text.replace(&self.network, "127.0.0.")
            .replace(directory, "/srv/regionmesh")
            .replace('\r', "")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Types a command; its exit code and what it printed.
    async fn typed(&mut self, command: &str) -> (i32, String) {
        self.steps += 1;
        let printed = self.file("programs/printed");
        let file = printed.display();
        let step = self.steps;
        let script =
            format!("{{ {command}\n}} > {file} 2>&1 < /dev/null; echo \"{DONE} {step} $?\"\n");

        self.input
            .write_all(script.as_bytes())
            .await
            .expect("the shell reads");

        let mark = format!("{DONE} {} ", self.steps);
        let done = tokio::time::timeout(seconds(60), async {
            loop {
                let line = self.output.next_line().await.expect("the shell answers");
                let line = line.expect("the shell goes on");
                if let Some(code) = line.strip_prefix(&mark) {
                    return code.parse().expect("an exit code");
                }
            }
        });

        let code = done
            .await
            .unwrap_or_else(|_| panic!("$ {command}: it does not end"));
        (
            code,
            String::from_utf8_lossy(&std::fs::read(printed).unwrap()).into_owned(),
        )
    }

    /// The command of a step as it is typed here.
    fn command(&self, step: &Step) -> String {
        let command = self
            .localize(&step.command)
            .replace("cargo run --release -- ", "regionmesh ");
        let command = command.split("  #").next().unwrap().trim_end().to_owned();
        let network = &self.network;

        if command.starts_with("regionmesh up") {
            return format!(
                "{command} --base {network}11 --front-door {network}1:8080 > up.log 2>&1 &"
            );
        }

        if ENDLESS.iter().any(|endless| command.contains(endless)) {
            return format!("timeout 2 {command}; [ $? = 124 ]");
        }
        command
    }

    /// Runs what a page shows and compares; what takes a while to become so is tried again.
    async fn follow(&mut self, block: &Block) {
        for step in block.steps() {
            let command = self.command(&step);
            let is_mesh = command.starts_with("regionmesh up");
            if is_mesh {
                self.typed(&command).await;
            }

            let is_refused = step.output.starts_with("error:");
            let is_change = CHANGES.split(',').any(|word| command.contains(word)) && !is_refused;
            let patience = if is_change && !is_mesh {
                seconds(0)
            } else {
                seconds(90)
            };
            let command = if is_mesh { UP.to_owned() } else { command };

            until(
                &format!("{}: $ {}", block.place, step.command),
                patience,
                async || {
                    let (code, printed) = self.typed(&command).await;
                    let seen = self.generalize(&printed);
                    let is_right = match block.language.as_str() {
                        "sh" => code == 0,
                        _ if is_mesh && code != 0 => false,
                        _ => is_as_shown(&self.generalize(&self.localize(&step.output)), &seen),
                    };

                    claim(is_right, || {
                        format!("exit code {code}\n{seen}\ninstead of\n{}", step.output)
                    })
                },
            )
            .await;
        }
    }

    /// Runs a group, in the order of the pages.
    async fn follow_group(&mut self, group: &str) {
        for block in blocks() {
            if let Ok(Check::File(name)) = block.check() {
                std::fs::write(self.file(&name), self.localize(&block.text)).unwrap();
            }
        }

        for block in &groups()[group] {
            self.follow(block).await;
        }
    }
}

impl Drop for Terminal {
    /// Ends whatever was started from the directory.
    fn drop(&mut self) {
        let directory = self.directory.path();
        for process in std::fs::read_dir("/proc")
            .unwrap()
            .map(|entry| entry.unwrap().path())
        {
            let is_ours =
                std::fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd.starts_with(directory));
            if is_ours {
                let pid = process.file_name().unwrap();
                drop(
                    std::process::Command::new("kill")
                        .arg("-9")
                        .arg(pid)
                        .stderr(Stdio::null())
                        .status(),
                );
            }
        }
    }
}

/// The blocks that tests run, by group, in the order of the pages.
fn groups() -> BTreeMap<String, Vec<Block>> {
    let mut groups: BTreeMap<String, Vec<Block>> = BTreeMap::new();
    for block in blocks() {
        if let Ok(Check::Run(group)) = block.check() {
            groups.entry(group).or_default().push(block);
        }
    }

    groups
}

#[test]
fn every_group_of_blocks_is_run_by_a_test() {
    let groups: Vec<String> = groups().into_keys().collect();
    assert_eq!(groups, ["by-hand", "members", "orders", "readme", "up"]);
}

/// Whether everything is installed that the pages use.
fn has_tools() -> bool {
    [
        ("dig", "bind9-dnsutils"),
        ("curl", "curl"),
        ("jq", "jq"),
        ("openssl", "openssl"),
    ]
    .iter()
    .all(|(program, package)| has_program(program, package))
}

/// Runs a group in a terminal of its own.
async fn follow(group: &str) {
    if has_tools() {
        Terminal::open().follow_group(group).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_for_a_mesh_of_up_print_what_the_pages_show() {
    follow("up").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_readme_work_as_they_stand() {
    follow("readme").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mesh_of_ones_own_configuration_works_as_shown() {
    if has_tools() {
        let mut terminal = Terminal::open();
        // What the mesh of `up` left behind, one section earlier.
        let sample = terminal.file(".regionmesh/sample");

        std::fs::create_dir_all(&sample).unwrap();
        std::fs::write(sample.join("iris.onnx"), iris_one()).unwrap();
        terminal.follow_group("by-hand").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_and_a_lost_region_are_as_shown() {
    follow("orders").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_are_added_and_removed_as_shown() {
    follow("members").await;
}
