//! What the notifier tasks are started with.

use crate::{
    actors::messages::CoreMessage, address::Address, alerts::ReceiverMetrics, config::Config,
    snapshots::Snapshots,
};
use std::sync::Arc;
use tokio::sync::watch;

/// What the tasks are started with.
#[derive(Clone)]
pub struct AlertsArguments {
    pub config: Arc<Config>,
    /// The configuration in force, with reloaded receivers.
    pub live: watch::Receiver<Arc<Config>>,
    /// Only read.
    pub snapshots: Snapshots,
    /// Where deliveries are published.
    pub core: Address<CoreMessage>,
    pub metrics: ReceiverMetrics,
}
