//! The output of `regionmesh up`: the mesh and what to try next. Pure.

use crate::cli::text::{Table, ago};
use regionmesh::local_mesh::{
    layout::{Layout, LocalAgent},
    publish::SAMPLE,
};
use std::{fmt::Write, net::SocketAddr, path::Path};

/// A request for the sample model: row 101 of the data set, a virginica.
const SAMPLE_REQUEST: &str = concat!(
    r#"{"inputs":[{"name":"measurements","shape":[1,4],"datatype":"FP32","#,
    r#""data":[6.3,3.3,6.0,2.5]}]}"#
);

/// A table of all agents. `pids` are theirs, in the same order.
pub(super) fn agents(agents: &[LocalAgent], pids: &[Option<u32>]) -> String {
    let mut table = Table::new("REGION, AGENT, PID, MESH (QUIC), DNS, API, SERVING");

    for (index, agent) in agents.iter().enumerate() {
        let pid = pids
            .get(index)
            .copied()
            .flatten()
            .map_or_else(|| "-".into(), |pid| pid.to_string());

        table.row(vec![
            agent.id.region.to_string(),
            agent.id.agent.to_string(),
            pid,
            agent.mesh().to_string(),
            agent.dns().to_string(),
            agent.api().to_string(),
            agent.serving().to_string(),
        ]);
    }

    table
        .render()
        .lines()
        .map(|line| format!("  {line}\n"))
        .collect()
}

/// What to try next, with this mesh's addresses.
#[derive(Debug)]
pub(super) struct NextSteps<'a> {
    pub layout: &'a Layout,
    pub agents: &'a [LocalAgent],
    /// Pid of each of `agents`, if it runs.
    pub pids: &'a [Option<u32>],
    /// Where the front door listens.
    pub front_door: &'a [SocketAddr],
    /// Where the command line reads how to reach this mesh.
    pub client_file: &'a Path,
    /// The program's name, as it was called.
    pub program: &'a str,
    /// The options that make the command line find this mesh, with a space before them; empty if
    /// none are needed.
    pub options: &'a str,
    /// Whether the sample model is served.
    pub has_sample: bool,
}

impl NextSteps<'_> {
    /// The commands, then what to know about this mesh.
    pub(super) fn render(&self) -> String {
        let mut text = String::from("Try, in another terminal:\n");
        for (command, what) in self.commands() {
            let _ = writeln!(text, "  {command:<64}  # {what}");
        }

        let _ = writeln!(
            text,
            "A killed agent is started again after 5 s. Its region has all its traffic again {} \
                later: after a cool-down, step by step.",
            ago(self.recovery_ms())
        );

        let _ = writeln!(
            text,
            "The command line finds this mesh through {}. Ctrl-C stops it.",
            self.client_file.display()
        );

        text
    }

    /// Each command, and what it is for.
    fn commands(&self) -> Vec<(String, &'static str)> {
        let Self {
            program, options, ..
        } = self;

        let mut commands = self.requests();
        commands.push((
            format!("{program} status --watch{options}"),
            "the mesh as any agent sees it",
        ));
        commands.extend(self.dns_queries());
        commands.push((
            format!("{program} models publish my-model 1 ./my-model{options}"),
            "replicates to every region",
        ));

        if let Some(Some(pid)) = self.pids.first() {
            commands.push((
                format!("kill -9 {pid}"),
                "kill a region; the front door keeps answering",
            ));
        }

        commands
    }

    /// Requests through the front door.
    fn requests(&self) -> Vec<(String, &'static str)> {
        let Some(address) = self.front_door.first() else {
            return Vec::new();
        };
        let mut requests = vec![(
            format!("curl -i http://{address}/v2/health/ready"),
            "through the front door, to the region DNS names",
        )];

        if self.has_sample {
            requests.push((
                format!("curl http://{address}/v2/models/{SAMPLE}/infer -d '{SAMPLE_REQUEST}'"),
                "an inference",
            ));
        }

        requests
    }

    fn dns_queries(&self) -> Vec<(String, &'static str)> {
        let Some(agent) = self.agents.first() else {
            return Vec::new();
        };
        let dns = agent.dns();
        let dig = format!("dig @{} -p {}", dns.ip(), dns.port());

        vec![
            (
                format!("{dig} {} A", self.layout.service()),
                "the addresses that clients get",
            ),
            (
                format!("{dig} +short _plan.{} TXT", self.layout.domain),
                "the plan behind them",
            ),
        ]
    }

    /// Time until a region that failed once has all its traffic again, milliseconds.
    fn recovery_ms(&self) -> u64 {
        let recovery = &self.layout.recovery;
        recovery.cool_down_for(1) + recovery.steps.iter().map(|step| step.hold_ms).sum::<u64>()
    }
}
