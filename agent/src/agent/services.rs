//! The agent's supervised tasks, in the order in which they start.

use super::{
    parts::Parts,
    serving::run_serving,
    status::{OwnStatus, REPEAT_INTERVAL},
};
use crate::{
    actors::{
        alerts::{self, AlertsArguments},
        events::{self, EventsArguments},
        provider::{self, ProviderArguments},
    },
    api::{self, Api},
    snapshots::Snapshots,
    supervisor::{Child, Health},
};
use anyhow::Result;
use regionmesh_dns::{DnsArguments, DnsChannels};
use regionmesh_runtime::describe::io_error;
use regionmesh_store::MonitorArguments;
use std::sync::Arc;
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;

/// The agent's supervised tasks, in the order in which they start; the API is last.
pub(super) async fn services(
    parts: &Parts,
    monitor: MonitorArguments,
    draining: watch::Receiver<bool>,
    health: Health,
) -> Result<Vec<Child>> {
    let base = &parts.base;
    let publisher = parts.replication.publisher.clone();
    let dns_config = Arc::new(base.config.for_dns());
    let mut services = vec![
        status(parts),
        events(parts),
        dns(parts, dns_config.clone()),
        base.service("store-monitor", move |stop| {
            regionmesh_store::run_monitor(monitor.clone(), stop)
        }),
        base.service("uploads", move |stop| publisher.clone().expire(stop)),
        alerts(parts),
    ];

    if base.config.serving.embedded {
        services.push(serving(parts));
    }

    for provider in regionmesh_dns::configured(&dns_config, &base.registry).await? {
        let name = provider.name();
        let arguments =
            ProviderArguments::new(dns_config.clone(), provider, base.snapshots.clone());
        services.push(base.service(name, move |stop| provider::run(arguments.clone(), stop)));
    }

    services.push(api(parts, draining, health));
    Ok(services)
}

/// Publishes the agent's own status and its connections.
fn status(parts: &Parts) -> Child {
    let base = &parts.base;
    let mesh = parts.network.mesh.clone();
    let core = base.core.clone();
    let own = OwnStatus::new(
        base,
        parts.serving.status.clone(),
        parts.serving.servability.clone(),
    );

    base.service("status-publisher", move |stop| {
        let mesh = mesh.clone();
        let publish = own.clone().publish(core.clone(), stop);
        async move {
            tokio::select! {
                ended = publish => ended,
                never = mesh.publish_links(REPEAT_INTERVAL) => match never {},
            }
        }
    })
}

fn events(parts: &Parts) -> Child {
    let base = &parts.base;
    let arguments = EventsArguments {
        config: base.config.clone(),
        snapshots: base.snapshots.clone(),
        metrics: base.metrics.events.clone(),
    };

    base.service("events", move |stop| events::run(arguments.clone(), stop))
}

fn alerts(parts: &Parts) -> Child {
    let base = &parts.base;
    let arguments = AlertsArguments {
        config: base.config.clone(),
        live: base.live.clone(),
        snapshots: base.snapshots.clone(),
        core: base.core.clone(),
        metrics: base.metrics.receivers.clone(),
    };

    base.service("alerts", move |stop| alerts::run(arguments.clone(), stop))
}

fn serving(parts: &Parts) -> Child {
    let arguments = parts.serving.arguments.clone();
    let relay = parts.serving.relay.clone();
    let address = parts.base.config.listen.serving;

    parts.base.service("serving", move |stop| {
        run_serving(arguments.clone(), address, relay.clone(), stop)
    })
}

fn dns(parts: &Parts, config: Arc<regionmesh_dns::Config>) -> Child {
    let snapshots = parts.base.snapshots.clone();
    let arguments = DnsArguments {
        config,
        plan: snapshots.plan.subscribe(),
        board: snapshots.board.subscribe(),
        metrics: parts.base.metrics.dns.clone(),
    };

    parts.base.service("dns", move |stop| {
        run_dns(arguments.clone(), snapshots.clone(), stop)
    })
}

/// Answers DNS once the plan can be acted on: until then resolvers ask another of the mesh's name
/// servers.
async fn run_dns(
    arguments: DnsArguments,
    snapshots: Snapshots,
    stop: CancellationToken,
) -> Result<(), String> {
    let mut is_current = snapshots.is_current.subscribe();
    // The sender lives in the snapshots, so only `stop` ends the wait early.
    let Some(_) = stop
        .run_until_cancelled(is_current.wait_for(|&is_current| is_current))
        .await
    else {
        return Ok(());
    };

    let channels = DnsChannels {
        freeze: snapshots.freeze.subscribe(),
        resumed: snapshots.resumed.clone(),
        is_current: snapshots.is_current.clone(),
    };

    regionmesh_dns::run(arguments, channels, stop)
        .await
        .map_err(|error| error.to_string())
}

fn api(parts: &Parts, draining: watch::Receiver<bool>, health: Health) -> Child {
    let base = &parts.base;
    let api = Api {
        config: base.config.clone(),
        live: base.live.clone(),
        snapshots: base.snapshots.clone(),
        registry: base.registry.clone(),
        metrics: base.metrics.api.clone(),
        health,
        store: parts.replication.models.clone(),
        publisher: parts.replication.publisher.clone(),
        clock: base.clock.clone(),
        orders: parts.orders.clone(),
        cost: parts.cost.handler.clone(),
        quarantine: parts.serving.quarantine.clone(),
        streams: base.metrics.streams.clone(),
        draining,
    };

    base.service("api", move |stop| run_api(api.clone(), stop))
}

async fn run_api(api: Api, stop: CancellationToken) -> Result<(), String> {
    let address = api.config.listen.api;
    let listener = TcpListener::bind(address).await.map_err(|error| {
        format!(
            "the API can't listen on {address}: {}; free the port or change listen.api",
            io_error(&error)
        )
    })?;

    api::run(api, listener, stop).await
}
