//! What the documentation shows works: configurations are accepted, commands print what the pages say, and the parts that are
//! generated from the code are as generated.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use regionmesh_tests::{
    mesh::binary,
    pages::{self, Block, is_as_shown, root},
    skip::has_program,
    wait::{claim, seconds, until},
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Stdio,
};
use tokio::process::{Child, Command};

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
name = "us-east-1"
endpoint = "127.0.0.22:7443"
serving_url = "http://127.0.0.22:8080"
"#;

/// The addresses that pages show, and those that a test uses.
struct Addresses {
    front_door: String,
    base: String,
}

impl Addresses {
    /// Of test `number`.
    fn new(number: u8) -> Self {
        // The pid keeps programs apart that run at the same time.
        let network = format!("127.{}.{}", 80 + number, std::process::id() % 200);
        Self { front_door: format!("{network}.1:8080"), base: network }
    }

    /// A command of a page, for the test's own mesh.
    fn localize(&self, command: &str) -> String {
        command.replace("localhost:8080", &self.front_door).replace("127.0.0.", &format!("{}.", self.base))
    }

    /// What it printed, as on a page.
    fn generalize(&self, output: &str) -> String {
        let output = output.replace(&self.front_door, "localhost:8080").replace(&format!("{}.", self.base), "127.0.0.");
        // Whatever a terminal would not show.
        output.replace('\r', "")
    }
}

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
        for block in pages::blocks(&page).iter().filter(|block| block.language == "toml") {
            let shown: toml::Table = block.text.parse().unwrap_or_else(|error| panic!("{}: {error}", block.place));
            let mut whole: toml::Table =
                if shown.contains_key("mesh") { toml::Table::new() } else { WHOLE.parse().unwrap() };
            whole.extend(shown);
            let file = directory.path().join("agent.toml");
            std::fs::write(&file, toml::to_string(&whole).unwrap()).unwrap();
            let output = run(&binary(), &["agent", "--config", "agent.toml", "--check"], directory.path());
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(0), "{}: {said}", block.place);
            checked += 1;
        }
    }
    assert!(checked >= 4, "only {checked} configurations were found");
}

#[test]
fn every_link_inside_the_documentation_leads_somewhere() {
    for page in pages::all() {
        let text = std::fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") {
                continue;
            }
            let target = page.parent().unwrap().join(file);
            assert!(target.exists(), "{}: {link} leads nowhere", page.display());
        }
    }
}

#[test]
fn what_is_generated_is_as_generated_and_a_difference_is_found() {
    if !has_program("python3", "python3") {
        return;
    }
    let copy = tempfile::tempdir().unwrap();
    let parts = [
        ("docs/API.md", "| `regionmesh models publish", "| `regionmesh models send"),
        ("docs/ALERTS.md", "| critical |", "| warning |"),
        ("monitoring/prometheus/rules/raised.yml", "severity: warning", "severity: critical"),
        ("monitoring/prometheus/tests/raised.yml", "eval_time: 10m", "eval_time: 11m"),
    ];
    for (name, ..) in parts {
        let place = copy.path().join(name);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::copy(root().join(name), place).unwrap();
    }
    let (script, program) = (root().join("scripts/generate"), binary());
    let check = || {
        let arguments = ["--check", "--root", copy.path().to_str().unwrap(), program.to_str().unwrap()];
        let output = run(&script, &arguments, copy.path());
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
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
        run(Path::new("python3"), &[root.join("scripts/monitoring_static.py").to_str().unwrap(), "runbooks"], root)
    };
    let output = check(&root());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    // A rule of Prometheus' own for a condition that agents raise.
    let copy = tempfile::tempdir().unwrap();
    for folder in ["docs", "scripts", "monitoring"] {
        let copied = run(Path::new("cp"), &["-R", root().join(folder).to_str().unwrap(), "."], copy.path());
        assert!(copied.status.success());
    }
    let file = copy.path().join("monitoring/prometheus/rules/alerts.yml");
    let rules = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, rules.replacen("RegionMeshRegionSuspect", "RegionMeshRegionFailed", 1)).unwrap();
    let output = check(copy.path());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("RegionMeshRegionFailed has two rules"), "{said}");
}

/// A working directory in which the commands of pages are run.
struct Place {
    directory: tempfile::TempDir,
    addresses: Addresses,
    path: String,
}

impl Place {
    fn new(number: u8) -> Self {
        let directory = tempfile::tempdir().unwrap();
        // `regionmesh` is found by its name.
        let programs = directory.path().join("programs");
        std::fs::create_dir(&programs).unwrap();
        std::os::unix::fs::symlink(binary(), programs.join("regionmesh")).unwrap();
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
        Self { directory, addresses: Addresses::new(number), path }
    }

    fn shell(&self, command: &str) -> Command {
        let mut shell = Command::new("bash");
        shell.args(["-c", command]).current_dir(self.directory.path()).env("PATH", &self.path).env("USER", "anna");
        shell.stdin(Stdio::null()).kill_on_drop(true);
        shell
    }

    /// Runs what a page shows and compares; what takes a while to become so is tried again.
    async fn follow(&self, block: &Block) {
        for step in block.steps() {
            let command = self.addresses.localize(&step.command);
            let changes = ["publish", "promote", "delete", "ca ", " > "].iter().any(|word| command.contains(word));
            let patience = if changes { seconds(0) } else { seconds(60) };
            until(&format!("{}: $ {}", block.place, step.command), patience, async || {
                let mut shell = self.shell(&format!("{{ {command}\n}} 2>&1"));
                let output =
                    tokio::time::timeout(seconds(60), shell.output()).await.expect("it ends").expect("it runs");
                let seen = self.addresses.generalize(&String::from_utf8_lossy(&output.stdout));
                let is_right = step.output.is_empty() && block.language == "sh" && output.status.success()
                    || block.language != "sh" && is_as_shown(&step.output, &seen);
                claim(is_right, || format!("{}\n{seen}\ninstead of\n{}", output.status, step.output))
            })
            .await;
        }
    }
}

/// The marked blocks of all pages by group, in their order.
fn groups() -> BTreeMap<String, Vec<Block>> {
    let mut groups: BTreeMap<String, Vec<Block>> = BTreeMap::new();
    for block in pages::all().iter().flat_map(|page| pages::blocks(page)) {
        if let Some(group) = block.marked("run") {
            groups.entry(group.to_owned()).or_default().push(block.clone());
        }
    }
    groups
}

#[test]
fn every_marked_block_is_run_by_a_test() {
    let groups: Vec<String> = groups().into_keys().collect();
    assert_eq!(groups, ["ca", "check", "readme", "up"]);
}

/// A mesh of `up`, as a page starts it.
async fn up(place: &Place) -> Child {
    let Addresses { front_door, base } = &place.addresses;
    let command = format!("exec regionmesh up --base {base}.11 --front-door {front_door} > up.log 2>&1");
    let mesh = place.shell(&command).spawn().expect("up starts");
    let log = place.directory.path().join("up.log");
    until("the mesh is up", seconds(90), async || {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        claim(text.contains("Ctrl-C stops it"), || text)
    })
    .await;
    mesh
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_step_by_step_print_what_it_shows() {
    if !has_program("dig", "bind9-dnsutils") || !has_program("curl", "curl") {
        return;
    }
    let place = Place::new(0);
    let _mesh = up(&place).await;
    for block in &groups()["up"] {
        place.follow(block).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_readme_work_as_they_stand() {
    if !has_program("dig", "bind9-dnsutils") || !has_program("curl", "curl") {
        return;
    }
    let place = Place::new(1);
    let _mesh = up(&place).await;
    for block in &groups()["readme"] {
        place.follow(block).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_and_configurations_are_made_and_checked_as_shown() {
    let place = Place::new(2);
    let page = root().join("docs/STEP_BY_STEP.md");
    for block in pages::blocks(&page) {
        if let Some(name) = block.marked("file") {
            let file: PathBuf = place.directory.path().join(name);
            std::fs::write(file, &block.text).unwrap();
        }
    }
    for group in ["ca", "check"] {
        for block in &groups()[group] {
            place.follow(block).await;
        }
    }
}
