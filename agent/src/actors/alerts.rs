//! Delivers events and alerts to receivers: one task each, so that a dead receiver does not delay
//! the others.
//!
//! One agent of the mesh is responsible for a receiver (see [`regionmesh_core::notify::notifier`]).
//! It publishes what it delivered on the board, and the others drop those events. It also publishes
//! that a receiver fails, and another agent takes over. Alerts that only this agent can know are
//! sent by this agent, responsible or not.

mod arguments;
mod delivery;
mod receiver_task;

use crate::{
    actors::messages::CoreMessage,
    address::Address,
    alerts::{alertmanager::Alertmanager, webhook::Webhook},
    config::{ReceiverConfig, ReceiverKind},
};
pub use arguments::AlertsArguments;
use delivery::{deliver_alerts, deliver_events};
use receiver_task::ReceiverTask;
use regionmesh_protocol::status::{AlertStatus, ReceiverStatus, StatusEntry};
use std::time::Duration;
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// How often deliveries are published again: the core actor may have restarted.
const REPUBLISH_INTERVAL: Duration = Duration::from_secs(5);

/// Runs until `stop`; restarts the tasks whenever the receivers are reloaded.
pub async fn run(mut arguments: AlertsArguments, stop: CancellationToken) -> Result<(), String> {
    let deliveries = watch::Sender::new(AlertStatus::default());
    loop {
        arguments.config = arguments.live.borrow_and_update().clone();
        let mut tasks = start_receivers(&arguments, &deliveries);
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = reloaded(&mut arguments) => tracing::info!("alert receivers reloaded"),
            Some(ended) = tasks.join_next() => return Err(match ended {
                Ok(()) => "the task of a receiver ended".into(),
                Err(error) => error.to_string(),
            }),
        }
    }
}

/// Waits until other receivers are configured.
async fn reloaded(arguments: &mut AlertsArguments) {
    loop {
        if arguments.live.changed().await.is_err() {
            // The sender is gone: the agent stops.
            std::future::pending::<()>().await;
        }

        let is_other = arguments.live.borrow_and_update().alerts != arguments.config.alerts;
        if is_other {
            return;
        }
    }
}

/// Starts one task for each receiver. Deliveries to receivers that stay are remembered.
fn start_receivers(
    arguments: &AlertsArguments,
    deliveries: &watch::Sender<AlertStatus>,
) -> JoinSet<()> {
    let receivers = &arguments.config.alerts.receivers;
    let had_receivers = !deliveries.borrow().receivers.is_empty();
    deliveries.send_modify(|status| {
        let known = std::mem::take(&mut status.receivers);
        let known_or_new = |receiver: &ReceiverConfig| {
            let known = known
                .iter()
                .find(|known| known.name == receiver.name)
                .cloned();

            known.unwrap_or_else(|| ReceiverStatus {
                name: receiver.name.clone(),
                ..ReceiverStatus::default()
            })
        };

        status.receivers = receivers.iter().map(known_or_new).collect();
    });

    let mut tasks = JoinSet::new();
    for receiver in receivers {
        let receiver_task = ReceiverTask::new(arguments, receiver, deliveries.clone());
        let config = receiver.clone();
        match receiver.kind {
            ReceiverKind::Webhook => {
                let mesh = arguments.config.mesh.to_string();
                tasks.spawn(deliver_events(receiver_task, move || {
                    Webhook::new(&config, mesh.clone())
                }));
            }
            ReceiverKind::Alertmanager => {
                let own = || format!("http://{}/v1/failover/status", arguments.config.listen.api);
                let generator_url = arguments
                    .config
                    .alerts
                    .generator_url
                    .clone()
                    .unwrap_or_else(own);

                tasks.spawn(deliver_alerts(receiver_task, move || {
                    Alertmanager::new(&config, generator_url.clone())
                }));
            }
        }
    }

    if had_receivers || !receivers.is_empty() {
        tasks.spawn(publish(deliveries.subscribe(), arguments.core.clone()));
    }
    tasks
}

/// Publishes deliveries on the board.
async fn publish(mut deliveries: watch::Receiver<AlertStatus>, core: Address<CoreMessage>) {
    loop {
        let status = deliveries.borrow_and_update().clone();
        // If the core actor is being restarted, they are published again soon.
        let _ = core.cast(CoreMessage::publish(StatusEntry::Alerts(status)));

        tokio::select! {
            Ok(()) = deliveries.changed() => {}
            () = tokio::time::sleep(REPUBLISH_INTERVAL) => {}
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
