//! Commands of pages, run in a shell, print what the pages say.

use super::blocks;
use regionmesh_tests::{
    command::binary,
    loopback::Loopback,
    models::iris_one,
    pages::{Block, Check, Step, is_as_documented},
    skip::has_program,
    wait::{claim, seconds, until},
};
use std::{collections::BTreeMap, path::PathBuf, process::Stdio};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

/// Printed after each line that the shell has executed.
const DONE: &str = "-- done with";

/// Commands that are not tried again when they print something else: they change something.
const CHANGES: &str = "publish,promote,delete,ca ,> ,drain,restore,hold,--kill,members add,\
    members remove,POST,sed -i,mv ";

/// Whether a mesh of `up` is up, and what it printed.
const UP: &str = "grep -q 'Ctrl-C stops it' up.log && cat up.log";

/// Commands that run until they are interrupted.
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
                let line = line.expect("the shell still runs");
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

    /// Runs what a page shows and compares; commands whose output takes a while to match are
    /// repeated.
    async fn run(&mut self, block: &Block) {
        for step in block.steps() {
            let command = self.command(&step);
            let is_mesh = command.starts_with("regionmesh up");
            if is_mesh {
                self.typed(&command).await;
            }

            let is_refused = step.output.starts_with("error:");
            let is_change = CHANGES.split(',').any(|word| command.contains(word)) && !is_refused;
            let timeout = if is_change && !is_mesh {
                seconds(0)
            } else {
                seconds(90)
            };
            let command = if is_mesh { UP.to_owned() } else { command };

            until(
                &format!("{}: $ {}", block.place, step.command),
                timeout,
                async || {
                    let (code, printed) = self.typed(&command).await;
                    let seen = self.generalize(&printed);
                    let is_right = match block.language.as_str() {
                        "sh" => code == 0,
                        _ if is_mesh && code != 0 => false,
                        _ => {
                            is_as_documented(&self.generalize(&self.localize(&step.output)), &seen)
                        }
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
    async fn run_group(&mut self, group: &str) {
        for block in blocks() {
            if let Ok(Check::File(name)) = block.check() {
                std::fs::write(self.file(&name), self.localize(&block.text)).unwrap();
            }
        }

        for block in &groups()[group] {
            self.run(block).await;
        }
    }
}

impl Drop for Terminal {
    /// Ends all processes started from the directory.
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
async fn run_in_terminal(group: &str) {
    if has_tools() {
        Terminal::open().run_group(group).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_for_a_mesh_of_up_print_what_is_documented() {
    run_in_terminal("up").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_readme_work() {
    run_in_terminal("readme").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mesh_configured_by_hand_works_as_documented() {
    if has_tools() {
        let mut terminal = Terminal::open();
        // What the mesh of `up` left behind, one section earlier.
        let sample = terminal.file(".regionmesh/sample");

        std::fs::create_dir_all(&sample).unwrap();
        std::fs::write(sample.join("iris.onnx"), iris_one()).unwrap();
        terminal.run_group("by-hand").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_and_a_lost_region_look_as_documented() {
    run_in_terminal("orders").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_are_added_and_removed_as_documented() {
    run_in_terminal("members").await;
}
