//! The stores of an agent: opened, checked as far as they answer, and watched from then on.

use crate::config::Config;
use anyhow::{Context, Result};
use futures::future::join_all;
use prometheus::Registry;
use regionmesh_runtime::problems::Problems;
use regionmesh_store::{
    CHECK_TIMEOUT, CheckError, MonitorArguments, MonitoredStore, OpenStore, Owner, StoreMetrics,
    check_conditional_writes,
};

/// The open stores.
pub(super) struct Stores {
    /// The region's.
    pub region: OpenStore,
    /// The witness, where there is one.
    pub witness: Option<OpenStore>,
    monitored: Vec<MonitoredStore>,
}

impl Stores {
    /// Opens and checks the stores that `config` names. Fails where waiting would not help: a store
    /// that can't be opened, or that lacks conditional writes. One that does not answer is checked
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

    /// What watches them.
    pub(super) fn monitor(
        &self,
        config: &Config,
        problems: Problems,
        registry: &Registry,
    ) -> Result<MonitorArguments> {
        let stores = self.monitored.clone();
        let agent = config.agent.to_string();
        Ok(MonitorArguments {
            stores,
            agent,
            problems,
            metrics: StoreMetrics::new(registry)?,
        })
    }
}
