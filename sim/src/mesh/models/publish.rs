//! Publishing and deleting versions through an agent, by the rules of regionmesh-replication.

use super::{
    commit::Source,
    context::{Context, Request, Response, WorkError, Worked},
    objects::Bytes,
};
use crate::mesh::node::{Answer, Peer, Question};
use regionmesh_core::replication::{conflict_name, name_winner};
use regionmesh_protocol::{
    clock::HybridTime,
    identity::AgentId,
    models::{
        catalogue::{AliasEntry, Tombstone},
        chunking::Chunker,
        manifest::{Manifest, ManifestFile, ModelName, VersionName, VersionSummary},
    },
    wire::{PeerReply, PeerRequest},
};

/// How long a publisher waits for the answers of other regions.
const RIVAL_MS: u64 = 2_000;

/// What a user publishes.
#[derive(Debug, Clone)]
pub(super) struct Upload {
    pub(super) model: ModelName,
    pub(super) version: VersionName,
    pub(super) files: Vec<Bytes>,
}

/// Why a publisher is refused.
#[derive(Debug)]
pub(crate) enum PublishError {
    /// The version is stored under another name.
    NameTaken(VersionName, VersionSummary),
    /// Another region holds other content under that name.
    ExistsElsewhere,
    /// The name belonged to other content.
    NameDeleted,
    Failed(WorkError),
}

impl From<WorkError> for PublishError {
    fn from(error: WorkError) -> Self {
        Self::Failed(error)
    }
}

/// Withdraws the announcement when dropped.
struct Announced(Context, VersionSummary);

impl Drop for Announced {
    fn drop(&mut self) {
        self.0.with(|it| {
            if let Some(place) = it.announced.iter().position(|known| *known == self.1) {
                it.announced.swap_remove(place);
            }
        });
    }
}

fn is_conflicting(known: &VersionSummary, published: &VersionSummary) -> bool {
    (&known.model, &known.version) == (&published.model, &published.version)
        && known.content != published.content
}

impl Context {
    fn cut(&self, upload: &Upload) -> Manifest {
        let files = upload.files.iter().enumerate().map(|(index, bytes)| {
            let mut chunker = Chunker::default();
            chunker.push(bytes);
            let cut = chunker.finish();
            ManifestFile {
                path: format!("part-{index}"),
                size: cut.size,
                digest: cut.digest,
                chunks: cut.chunks,
            }
        });

        Manifest {
            model: upload.model.clone(),
            version: upload.version.clone(),
            files: files.collect(),
            origin: self.region(),
            publisher: String::new(),
            published: HybridTime::default(),
            metadata: Vec::new(),
        }
    }

    /// Makes a version visible, and returns it once that is sure.
    pub(super) async fn publish(&self, upload: &Upload) -> Result<VersionSummary, PublishError> {
        let mut manifest = self.cut(upload);
        self.check_elsewhere(&manifest)?;
        self.list("probe/").await?;
        let deletion = self.deletion_of(&upload.model, &upload.version).await?;
        if deletion.is_some_and(|stone| !stone.allows(manifest.content())) {
            return Err(PublishError::NameDeleted);
        }

        manifest.published = self.next_time();
        let announced = self.announce(manifest.summary());
        let summary = {
            let _write = self.write();
            self.commit(&manifest, Source::Staged(&upload.files))
                .await?
        };
        let rival = self.find_rival(&summary).await;
        drop(announced);

        match rival.filter(|rival| name_winner(rival, &summary) == rival) {
            Some(_) => {
                let name = conflict_name(&summary).unwrap_or_else(|_| summary.version.clone());
                Err(PublishError::NameTaken(name, summary))
            }
            None => Ok(summary),
        }
    }

    fn announce(&self, summary: VersionSummary) -> Announced {
        self.with(|it| it.announced.push(summary.clone()));
        Announced(self.clone(), summary)
    }

    /// Refuses a name that another region is known to hold with different content.
    fn check_elsewhere(&self, manifest: &Manifest) -> Result<(), PublishError> {
        let content = manifest.content();
        let differs = self.with(|it| {
            let mut peers = it.peers.values();
            peers.any(|(_, peer)| {
                let held = peer.version(&manifest.model, &manifest.version);
                held.is_some_and(|held| held.content != content)
            })
        });
        match differs {
            true => Err(PublishError::ExistsElsewhere),
            false => Ok(()),
        }
    }

    /// The earliest conflicting version known to a connected agent of another region.
    async fn find_rival(&self, published: &VersionSummary) -> Option<VersionSummary> {
        let Response::Linked(linked) = self.ask(Request::Linked).await else {
            return None;
        };
        let ask = |agent: AgentId| {
            let request = PeerRequest::Publication(published.clone());
            self.ask(Request::Ask {
                to: Peer::Agent(agent),
                question: Question::Request(Box::new(request)),
                timeout_ms: RIVAL_MS,
            })
        };

        // All are asked at once.
        let calls: Vec<_> = linked.into_iter().map(ask).collect();
        let mut found: Option<VersionSummary> = None;
        for call in calls {
            let Response::Answer(Ok(Answer::Reply(reply))) = call.await else {
                continue;
            };
            let PeerReply::Rival(Some(rival)) = *reply else {
                continue;
            };
            if is_conflicting(&rival, published) {
                let first = found.as_ref().unwrap_or(&rival);
                found = Some(name_winner(first, &rival).clone());
            }
        }
        found
    }

    /// The version of that name with other content that this region holds or is about to commit.
    pub(super) async fn conflicting_version(
        &self,
        published: &VersionSummary,
    ) -> Worked<Option<VersionSummary>> {
        self.advance_to(published.published);
        let announced = self.with(|it| {
            let rivals = it.announced.iter();
            let rivals = rivals.filter(|known| is_conflicting(known, published));
            rivals.reduce(|a, b| name_winner(a, b)).cloned()
        });
        if announced.is_some() {
            return Ok(announced);
        }

        match self.manifest(&published.model, &published.version).await {
            Ok(held) => Ok(Some(held.summary()).filter(|held| is_conflicting(held, published))),
            Err(WorkError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Deletes the version of that name, or one that lost it, if there is one.
    pub(super) async fn delete_version(
        &self,
        model: &ModelName,
        version: &VersionName,
        is_conflict: bool,
    ) -> Worked<Tombstone> {
        let held = self.versions().await?.into_iter().find(|held| {
            held.model == *model
                && held.version.base() == version.as_str()
                && held.version.is_conflict() == is_conflict
        });
        let held = held.ok_or(WorkError::NotFound)?;
        let content = self.manifest(model, &held.version).await?.content();
        let stone = Tombstone {
            model: held.model,
            version: held.version,
            deleted: self.next_time(),
            origin: self.region(),
            content: Some(content),
        };

        self.record_deletion(&stone).await?;
        Ok(stone)
    }

    /// Lets an alias name a version that is held.
    pub(super) async fn name_version(
        &self,
        model: &ModelName,
        version: &VersionName,
        alias: &VersionName,
    ) -> Worked<AliasEntry> {
        self.manifest(model, version).await?;
        let entry = AliasEntry {
            set: self.next_time(),
            origin: self.region(),
            model: model.clone(),
            alias: alias.clone(),
            version: version.clone(),
            by: String::new(),
        };

        self.set_alias(&entry).await?;
        Ok(entry)
    }
}
