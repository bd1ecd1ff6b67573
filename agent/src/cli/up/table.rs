//! What `regionmesh up` prints: the mesh and what to try next. Pure.

use super::{
    layout::{Layout, LocalAgent},
    publish::SAMPLE,
};
use crate::cli::text::{Table, ago};
use std::{fmt::Write, net::SocketAddr, path::Path};

/// What the sample model is asked: row 101 of the data set, a virginica.
const SAMPLE_REQUEST: &str = r#"{"inputs":[{"name":"measurements","shape":[1,4],"datatype":"FP32","data":[6.3,3.3,6.0,2.5]}]}"#;

/// A table of all agents. `pids` goes with `agents`.
pub(super) fn agents(agents: &[LocalAgent], pids: &[Option<u32>]) -> String {
    let mut table = Table::new(&[
        "REGION",
        "AGENT",
        "PID",
        "MESH (QUIC)",
        "DNS",
        "API",
        "SERVING",
    ]);

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
    /// The mesh.
    pub layout: &'a Layout,
    /// Its agents.
    pub agents: &'a [LocalAgent],
    /// Their processes; goes with `agents`.
    pub pids: &'a [Option<u32>],
    /// Where the front door listens.
    pub front_door: &'a [SocketAddr],
    /// Where the command line reads how to reach this mesh.
    pub client_file: &'a Path,
    /// The program, as it was called.
    pub program: &'a str,
    /// What the command line needs to find this mesh, with a space before it; empty where it finds
    /// it by itself.
    pub options: &'a str,
    /// Whether the sample model is served.
    pub has_sample: bool,
}

impl NextSteps<'_> {
    /// The commands, and what to know of this mesh.
    pub(super) fn render(&self) -> String {
        let Self {
            layout,
            agents,
            pids,
            front_door,
            client_file,
            program,
            options,
            has_sample,
        } = self;

        let mut text = String::from("Try, in another terminal:\n");
        let mut line =
            |command: String, what: &str| _ = writeln!(text, "  {command:<64}  # {what}");

        if let Some(address) = front_door.first() {
            line(
                format!("curl -i http://{address}/v2/health/ready"),
                "through the front door, to the region DNS names",
            );

            if *has_sample {
                line(
                    format!("curl http://{address}/v2/models/{SAMPLE}/infer -d '{SAMPLE_REQUEST}'"),
                    "an inference",
                );
            }
        }

        line(
            format!("{program} status --watch{options}"),
            "the mesh as any agent sees it",
        );

        if let Some(agent) = agents.first() {
            let dns = agent.dns();
            line(
                format!("dig @{} -p {} {} A", dns.ip(), dns.port(), layout.service()),
                "what clients are told",
            );

            line(
                format!(
                    "dig @{} -p {} +short _plan.{} TXT",
                    dns.ip(),
                    dns.port(),
                    layout.domain
                ),
                "which plan that comes from",
            );
        }

        line(
            format!("{program} models publish my-model 1 ./my-model{options}"),
            "in every region within moments",
        );

        if let Some(Some(pid)) = pids.first() {
            line(
                format!("kill -9 {pid}"),
                "lose a region; the front door goes on answering",
            );
        }

        let back_ms = layout.recovery.cool_down_for(1)
            + layout
                .recovery
                .steps
                .iter()
                .map(|step| step.hold_ms)
                .sum::<u64>();

        let _ = writeln!(
            text,
            "A killed agent is started again after 5 s. Its region has all its traffic again {} \
                later: after a cool-down, step by step.",
            ago(back_ms)
        );

        let _ = writeln!(
            text,
            "The command line finds this mesh through {}. Ctrl-C stops it.",
            client_file.display()
        );

        text
    }
}
