//! `regionmesh front-door`: the front door of `up` in a process of its own, for clients that can't
//! resolve the mesh's names themselves (a compose file, a laptop, a legacy host).

use super::{
    common::{ignore_hangups, serve_metrics},
    duration,
};
use regionmesh::front_door::{self, FrontDoorArguments, FrontDoorMetrics};
use regionmesh_runtime::logging::{self, LogConfig};
use regionmesh_runtime::metrics::Registry;
use std::{net::SocketAddr, process::ExitCode, time::Duration};
use tokio::signal::unix;
use tokio_util::sync::CancellationToken;

/// Forward HTTP requests to the region that the mesh's DNS names.
#[derive(Debug, clap::Args)]
pub(super) struct FrontDoorCommand {
    /// Where to listen; several may be given.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: Vec<SocketAddr>,
    /// The name to resolve for each request: `serving.<zone>`.
    #[arg(long, value_name = "NAME")]
    service: String,
    /// A name server of the mesh, an agent's `listen.dns`; give all of them; three are queried in
    /// parallel.
    #[arg(long = "name-server", value_name = "ADDRESS", required = true)]
    name_servers: Vec<SocketAddr>,
    /// The port that every region serves on.
    #[arg(
        long,
        value_name = "PORT",
        default_value_t = 8080,
        value_parser = clap::value_parser!(u16).range(1..)
    )]
    port: u16,
    /// How long a request waits while no region answers, 1s to 5m.
    #[arg(long, value_name = "DURATION", value_parser = hold, default_value = "10s")]
    hold: Duration,
    /// Address for /metrics [default: disabled]
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,
}

fn hold(text: &str) -> Result<Duration, String> {
    let hold = duration::parse(text)?;
    let shortest = Duration::from_secs(1);
    let longest = Duration::from_secs(300);

    if (shortest..=longest).contains(&hold) {
        Ok(hold)
    } else {
        Err(format!("{text} is not within 1s to 5m"))
    }
}

impl FrontDoorCommand {
    /// Runs until SIGTERM or SIGINT; then requests in progress get five seconds to end.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        logging::init(&LogConfig::default())?;
        let _hangups = ignore_hangups()?;
        let registry = Registry::new();
        let metrics = FrontDoorMetrics::new(&registry)?;
        let _metrics_server = match self.metrics {
            Some(address) => Some(serve_metrics(address, registry).await?),
            None => None,
        };
        let mut terminate = unix::signal(unix::SignalKind::terminate())?;
        let mut interrupt = unix::signal(unix::SignalKind::interrupt())?;
        let stop = CancellationToken::new();

        tracing::info!(listen = ?self.listen, service = %self.service, "the front door is open");
        let arguments = FrontDoorArguments {
            listen: self.listen,
            service: self.service,
            name_servers: self.name_servers,
            port: self.port,
            hold: self.hold,
            metrics,
        };

        let mut running = std::pin::pin!(front_door::run(arguments, stop.clone()));
        tokio::select! {
            ended = running.as_mut() => {
                ended?;
                return Ok(ExitCode::SUCCESS);
            }
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }

        stop.cancel();
        running.await?;
        Ok(ExitCode::SUCCESS)
    }
}
