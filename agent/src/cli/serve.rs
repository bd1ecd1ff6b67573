//! `regionmesh serve`: the model server alone, in a process of its own.
//!
//! For regions that run agents and serving separately: agents may restart or fail while users are
//! served. It reads the region's bucket, or a plain directory of models, and follows changes by
//! polling.

use super::{
    common::{ignore_hangups, serve_metrics},
    duration,
};
use anyhow::Context;
use regionmesh::{config::Config, serving::BucketModels};
use regionmesh_protocol::identity::RegionName;
use regionmesh_runtime::metrics::Registry;
use regionmesh_runtime::{
    logging::{self, LogConfig},
    meter::Meter,
};
use regionmesh_serving::{
    CatalogueSource, Directory, ModelSource, Quarantine, Server, ServingArguments, ServingConfig,
    ServingMetrics, poll_catalogue,
};
use regionmesh_store::{ModelStore, Settings};
use std::{net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};
use tokio::{net::TcpListener, signal::unix, sync::watch};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// Time between two reads of the catalogue.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Serve models without an agent: from the region's bucket, or from a directory.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("from").required(true).args(["config", "models"])))]
pub(super) struct ServeCommand {
    /// An agent's configuration: serve what its region's store holds, on its `listen.serving`.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A directory of models in Triton's layout: `DIR/<model>/<version>/model.onnx`.
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// Where to listen, instead of what the configuration says.
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8080",
        default_value_if("config", clap::builder::ArgPredicate::IsPresent, None)
    )]
    listen: Option<SocketAddr>,
    /// The region named in answers, with --models.
    #[arg(long, default_value = "local", conflicts_with = "config")]
    region: RegionName,
    /// Where to remember versions that crashed the server, so that they are not loaded again
    /// [default: `serve` in the configuration's data_dir, or DIR/.regionmesh]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Address for /metrics [default: disabled]
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,
    /// On SIGTERM, report not ready for this long before refusing connections, so that traffic can
    /// move away.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, default_value = "5s")]
    drain: Duration,
}

/// The source of the models, and that of their list.
type Sources = (Arc<dyn ModelSource>, Arc<dyn CatalogueSource>);

/// All that the server needs.
struct Setup {
    log: LogConfig,
    region: RegionName,
    serving: ServingConfig,
    listen: SocketAddr,
    state_dir: PathBuf,
    sources: Sources,
}

/// The region's bucket.
fn open_store(store: &Settings) -> anyhow::Result<Sources> {
    let models = Arc::new(ModelStore::new(regionmesh_store::open(store)?));
    let models = Arc::new(BucketModels(models));
    Ok((models.clone(), models))
}

impl ServeCommand {
    fn setup(&self) -> anyhow::Result<Setup> {
        if let Some(path) = &self.config {
            let config = Config::load(path)?;
            return Ok(Setup {
                listen: self.listen.unwrap_or(config.listen.serving),
                sources: open_store(&config.store)?,
                // An agent with the same configuration has its own state in data_dir.
                state_dir: self
                    .state_dir
                    .clone()
                    .unwrap_or_else(|| config.data_dir.join("serve")),
                log: config.log,
                region: config.region,
                serving: config.serving,
            });
        }

        let root = self
            .models
            .as_ref()
            .context("give --config FILE or --models DIR")?;

        std::fs::read_dir(root)
            .with_context(|| format!("cannot read the directory of models {}", root.display()))?;

        let directory = Arc::new(Directory::new(root, self.region.clone()));
        Ok(Setup {
            listen: self.listen.context("give --listen ADDRESS")?,
            sources: (directory.clone(), directory),
            state_dir: self
                .state_dir
                .clone()
                .unwrap_or_else(|| root.join(".regionmesh")),
            log: LogConfig::default(),
            region: self.region.clone(),
            serving: ServingConfig::default(),
        })
    }

    /// Runs until SIGTERM or SIGINT.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let Setup {
            log,
            region,
            serving: config,
            listen,
            state_dir,
            sources: (source, lister),
        } = self.setup()?;

        logging::init(&log)?;
        let _hangups = ignore_hangups()?;
        let listener = TcpListener::bind(listen)
            .await
            .with_context(|| format!("cannot listen on {listen}"))?;
        let registry = Registry::new();
        let metrics = ServingMetrics::new(&registry)?;
        let stop = CancellationToken::new();
        let _metrics_server = match self.metrics {
            Some(address) => Some(serve_metrics(address, registry).await?),
            None => None,
        };
        let (announce, catalogue) = watch::channel(Arc::default());
        let (drain, draining) = watch::channel(false);

        let server = Server::new(ServingArguments {
            region,
            config,
            source,
            catalogue,
            // No mesh: no other regions, and no promotion of tested versions.
            peers: watch::channel(Arc::default()).1,
            tests_versions: false,
            quarantine: Quarantine::open(Some(&state_dir)),
            state_dir: Some(state_dir),
            draining,
            metrics,
            meter: Meter::default(),
        });

        let _poll = AbortOnDropHandle::new(tokio::spawn(poll_catalogue(
            lister,
            announce,
            POLL_INTERVAL,
            stop.clone(),
        )));
        run_until_stopped(server, listener, self.drain, &drain, stop).await?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Serves until SIGTERM or SIGINT, then reports not ready for `wait` and ends requests in progress.
async fn run_until_stopped(
    server: Server,
    listener: TcpListener,
    wait: Duration,
    drain: &watch::Sender<bool>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut terminate = unix::signal(unix::SignalKind::terminate())?;
    let mut interrupt = unix::signal(unix::SignalKind::interrupt())?;

    tracing::info!(address = %listener.local_addr()?, "serving models");
    let mut running = std::pin::pin!(server.run(listener, stop.clone()));
    let wait = tokio::select! {
        ended = running.as_mut() => return Ok(ended?),
        // A person at a terminal doesn't want to wait for traffic to move.
        _ = interrupt.recv() => Duration::ZERO,
        _ = terminate.recv() => wait,
    };

    tracing::info!(
        seconds = wait.as_secs(),
        "shutting down: reporting not ready, then finishing requests in progress"
    );

    drain.send_replace(true);
    tokio::select! {
        ended = running.as_mut() => return Ok(ended?),
        _ = interrupt.recv() => {}
        () = tokio::time::sleep(wait) => {}
    }

    stop.cancel();
    Ok(running.await?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests;
