//! Detects publications of one name in several regions at the same time, before their publishers
//! are answered.
//!
//! An agent announces a publication, with its timestamp, inside its own process before anything of
//! it is visible. Once the version is visible, the agent asks every connected agent of the other
//! regions for a conflicting version, visible or announced, and sends its own timestamp along. Of
//! two agents that can reach each other, one of two things is true: the agent that is asked has
//! already announced, and both compare the same two timestamps; or it takes its timestamp later,
//! after receiving ours, and finds our version when it asks in turn. Regions that cannot reach each
//! other detect the conflict by replication.

use crate::{Transport, clock::HybridClock};
use futures::future::join_all;
use parking_lot::Mutex;
use regionmesh_core::replication::name_winner;
use regionmesh_protocol::{
    identity::RegionName,
    models::manifest::{Manifest, VersionSummary},
    wire::{PeerReply, PeerRequest},
};
use std::{sync::Arc, time::Duration};

/// How long a publisher waits for the answers of other regions.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The publications in progress. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Publications {
    transport: Option<Arc<dyn Transport>>,
    announced: Arc<Mutex<Vec<VersionSummary>>>,
}

/// Withdraws the announcement when dropped.
pub(super) struct Announced {
    summary: VersionSummary,
    all: Arc<Mutex<Vec<VersionSummary>>>,
}

impl Drop for Announced {
    fn drop(&mut self) {
        let mut all = self.all.lock();
        if let Some(place) = all.iter().position(|known| *known == self.summary) {
            all.swap_remove(place);
        }
    }
}

impl Publications {
    /// Without publications. Other regions are asked over `transport`, if any.
    pub(super) fn new(transport: Option<Arc<dyn Transport>>) -> Self {
        Self {
            transport,
            ..Self::default()
        }
    }

    /// Timestamps a publication and announces it under the same lock.
    pub(super) fn announce(&self, manifest: &mut Manifest, clock: &HybridClock) -> Announced {
        let mut all = self.announced.lock();

        manifest.published = clock.next();
        let summary = manifest.summary();
        all.push(summary.clone());
        Announced {
            summary,
            all: self.announced.clone(),
        }
    }

    /// The earliest announced publication of the same name with other content.
    pub(super) fn announced(&self, published: &VersionSummary) -> Option<VersionSummary> {
        let all = self.announced.lock();

        all.iter()
            .filter(|known| is_conflicting(known, published))
            .reduce(|a, b| name_winner(a, b))
            .cloned()
    }

    /// The earliest conflicting version known to a connected agent of another region.
    pub(super) async fn find_elsewhere(
        &self,
        own: &RegionName,
        published: &VersionSummary,
    ) -> Option<VersionSummary> {
        let transport = self.transport.as_ref()?;
        let connected = transport.connected().into_iter();
        let others = connected.filter(|agent| agent.region != *own);
        let asked = others.map(|agent| async move {
            let request = PeerRequest::Publication(published.clone());
            match transport.call(&agent, request, TIMEOUT).await {
                Ok(PeerReply::Rival(conflicting)) => {
                    conflicting.filter(|conflicting| is_conflicting(conflicting, published))
                }
                Ok(other) => {
                    tracing::debug!(%agent, ?other, "an agent sent an unexpected reply");
                    None
                }
                Err(error) => {
                    tracing::debug!(%agent, %error, "cannot ask an agent for conflicting versions");
                    None
                }
            }
        });

        let found = join_all(asked).await;
        found
            .into_iter()
            .flatten()
            .reduce(|a, b| name_winner(&a, &b).clone())
    }
}

fn is_conflicting(known: &VersionSummary, published: &VersionSummary) -> bool {
    (&known.model, &known.version) == (&published.model, &published.version)
        && known.content != published.content
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use regionmesh_protocol::{clock::HybridTime, models::manifest::ManifestFile};

    fn manifest(path: &str) -> Manifest {
        let digest = regionmesh_protocol::models::digest::Digest::of(path.as_bytes());
        Manifest {
            model: "m".parse().unwrap(),
            version: "1".parse().unwrap(),
            files: vec![ManifestFile {
                path: path.into(),
                size: 0,
                digest,
                chunks: vec![],
            }],
            origin: "a".parse().unwrap(),
            publisher: String::new(),
            published: HybridTime::default(),
            metadata: vec![],
        }
    }

    #[test]
    fn a_publication_in_progress_conflicts_until_it_ends() {
        let publications = Publications::default();
        let clock = HybridClock::default();
        let mut ours = manifest("x");
        let theirs = manifest("y").summary();
        let announced = publications.announce(&mut ours, &clock);

        assert!(ours.published > HybridTime::default());
        assert_eq!(publications.announced(&theirs), Some(ours.summary()));
        assert_eq!(
            publications.announced(&ours.summary()),
            None,
            "the same content does not conflict"
        );

        drop(announced);
        assert_eq!(publications.announced(&theirs), None);
    }
}
