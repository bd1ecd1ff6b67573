//! The stores of an agent: opened, checked if they answer, and monitored.

use crate::config::Config;
use anyhow::{Context, Result};
use futures::future::join_all;
use regionmesh_runtime::problems::Problems;
use regionmesh_store::{
    CHECK_TIMEOUT, CheckError, Judge, MonitorArguments, MonitoredStore, OpenStore, Owner,
    SlotMetrics, SlotStore, StoreMetrics, check_conditional_writes,
};
use std::{sync::Arc, time::Duration};

/// Timeout of one operation on a store that holds the register.
const REGISTER_TIMEOUT: Duration = Duration::from_secs(5);

/// The open stores.
pub(super) struct Stores {
    pub(super) region: OpenStore,
    witness: Option<OpenStore>,
    monitored: Vec<MonitoredStore>,
}

/// The register's acceptors that this agent has access to.
pub(super) struct Slots {
    /// The region's acceptor.
    pub(super) own: Arc<SlotStore>,
    /// None if no witness is configured.
    pub(super) witness: Option<Arc<SlotStore>>,
}

impl Stores {
    /// Opens and checks the stores in `config`. Fails where waiting would not help: a store that
    /// can't be opened, or that lacks conditional writes. A store that does not answer is checked
    /// later, and not written to before.
    pub(super) async fn open(config: &Config, boot: u64) -> Result<Self> {
        let owner = Owner {
            agent: config.agent.to_string(),
            boot,
        };
        let region = regionmesh_store::open(&config.store)?.owned_by(owner);
        let witness = config
            .witness
            .as_ref()
            .map(regionmesh_store::open)
            .transpose()
            .context("witness")?;

        let mut monitored = vec![MonitoredStore {
            label: "region",
            subject: config.region.to_string(),
            what: "region's store",
            store: region.clone(),
            consequence: "models can't be published or replicated there, and the region's register \
                acceptor has no vote",
        }];

        monitored.extend(witness.clone().map(|store| MonitoredStore {
            label: "witness",
            subject: "witness".into(),
            what: "witness",
            store,
            consequence: "the witness has no vote in the register",
        }));

        let stores = Self {
            region,
            witness,
            monitored,
        };

        stores.check().await?;
        Ok(stores)
    }

    async fn check(&self) -> Result<()> {
        let checks = self
            .monitored
            .iter()
            .map(|MonitoredStore { what, store, .. }| async move {
                store.health.require_check();
                (
                    *what,
                    check_conditional_writes(store, what, CHECK_TIMEOUT).await,
                )
            });

        for (what, outcome) in join_all(checks).await {
            match outcome {
                Ok(()) => {}
                Err(CheckError::Away(fault)) => tracing::warn!(
                    %fault,
                    "the {what} does not answer; the agent starts without it and writes nothing to \
                        it before it was checked"
                ),
                Err(unfit) => return Err(unfit.into()),
            }
        }

        Ok(())
    }

    /// The acceptors in the stores. `judge` judges what the region's is to accept.
    pub(super) fn slots(&self, metrics: SlotMetrics, judge: Arc<dyn Judge>) -> Slots {
        let slots = |opened: &OpenStore, acceptor| {
            SlotStore::new(
                opened.objects.clone(),
                &object_store::path::Path::default(),
                acceptor,
                REGISTER_TIMEOUT,
                metrics.clone(),
            )
        };
        let witness = self.witness.as_ref();

        Slots {
            own: Arc::new(slots(&self.region, "region").with_judge(judge)),
            witness: witness.map(|opened| Arc::new(slots(opened, "witness"))),
        }
    }

    /// The arguments of the monitor.
    pub(super) fn monitor(
        &self,
        config: &Config,
        problems: Problems,
        metrics: StoreMetrics,
    ) -> MonitorArguments {
        MonitorArguments {
            stores: self.monitored.clone(),
            agent: config.agent.to_string(),
            problems,
            metrics,
        }
    }
}
