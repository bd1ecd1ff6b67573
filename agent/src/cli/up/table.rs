//! What `regionmesh up` prints: the mesh and what to try next. Pure.

use super::layout::{Layout, LocalAgent};
use crate::cli::text::Table;
use std::{fmt::Write, net::SocketAddr, path::Path};

/// A table of all agents. `pids` goes with `agents`.
pub fn agents(agents: &[LocalAgent], pids: &[Option<u32>]) -> String {
    let mut table = Table::new(&["REGION", "AGENT", "PID", "MESH (QUIC)", "DNS", "API", "SERVING"]);
    for (index, agent) in agents.iter().enumerate() {
        let pid = pids.get(index).copied().flatten().map_or_else(|| "-".into(), |pid| pid.to_string());
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
    table.render().lines().map(|line| format!("  {line}\n")).collect()
}

/// Commands to try next, with this mesh's addresses. `options` is what the command line needs to find this mesh, with a
/// space before it; empty where it finds it by itself.
pub fn next_steps(
    layout: &Layout,
    agents: &[LocalAgent],
    pids: &[Option<u32>],
    front_door: &[SocketAddr],
    client_file: &Path,
    program: &str,
    options: &str,
) -> String {
    let mut text = String::from("Try, in another terminal:\n");
    let mut line = |command: String, what: &str| _ = writeln!(text, "  {command:<64}  # {what}");
    if let Some(address) = front_door.first() {
        line(format!("curl -i http://{address}/v2/health/ready"), "through the front door, to the region DNS names");
    }
    line(format!("{program} status --watch{options}"), "the mesh as any agent sees it");
    if let Some(agent) = agents.first() {
        let dns = agent.dns();
        line(format!("dig @{} -p {} {} A", dns.ip(), dns.port(), layout.service()), "what clients are told");
        line(
            format!("dig @{} -p {} +short _plan.{} TXT", dns.ip(), dns.port(), layout.domain),
            "which plan that comes from",
        );
    }
    line(format!("{program} models publish my-model 1 ./my-model{options}"), "in every region within moments");
    if let Some(Some(pid)) = pids.first() {
        line(format!("kill -9 {pid}"), "lose a region; the front door goes on answering");
    }
    let _ = writeln!(text, "The command line finds this mesh through {}. Ctrl-C stops it.", client_file.display());
    text
}
