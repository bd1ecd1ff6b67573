//! Documents about cost in the region's bucket. Each is a version of an internal model, so it is
//! replicated, verified and deleted like any version.
//!
//! A document has a slot, such as the bill of one source for one month. Its versions are named
//! `<kind>.<period>.<hash of the source>.<random>`; the one that was published last fills the slot,
//! and those before it are deleted.

use bytes::Bytes;
use regionmesh_cost::Period;
use regionmesh_protocol::{
    identity::{IdentityError, RegionName},
    models::{
        catalogue::{Catalogue, Tombstone},
        digest::Digest,
        manifest::{ModelName, VersionName, VersionSummary},
    },
};
use regionmesh_replication::{HybridClock, PublishError, Publisher};
use regionmesh_runtime::models::ModelError;
use regionmesh_store::ModelStore;
use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc};
use strum::{EnumString, IntoStaticStr};

/// The internal model that all documents are versions of.
const MODEL: &str = "regionmesh.cost";
/// The one file of a document.
const FILE: &str = "document";

/// The kind of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, EnumString, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Kind {
    /// The day cells of a source's bill for a month.
    Bill,
    /// The use that an agent counted in a month.
    Use,
    /// A price table.
    Prices,
    /// Earlier recommendations.
    Advice,
}

impl Kind {
    fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The subject of a document: the newest document of a slot replaces the others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot {
    /// The kind of its documents.
    pub kind: Kind,
    /// The part of the version's name between the kind and the random end.
    place: String,
}

impl Slot {
    /// The slot of a source's documents for a month.
    pub fn new(kind: Kind, period: Period, source: &str) -> Self {
        Self {
            kind,
            place: format!("{period}.{:.16}", Digest::of(source.as_bytes()).to_string()),
        }
    }

    /// A new slot, for a document that does not replace others of its kind.
    pub fn apart(kind: Kind) -> Self {
        Self {
            kind,
            place: format!("{:016x}", rand::random::<u64>()),
        }
    }

    /// The slot of a kind with a single document.
    pub fn only(kind: Kind) -> Self {
        Self {
            kind,
            place: "all".into(),
        }
    }

    /// The month of its documents, if it has one.
    pub fn period(&self) -> Option<Period> {
        self.place.split_once('.')?.0.parse().ok()
    }

    fn of(version: &VersionName) -> Option<Self> {
        let (rest, _random) = version.base().rsplit_once('.')?;
        let (kind, place) = rest.split_once('.')?;
        let kind = kind.parse().ok()?;

        Some(Self {
            kind,
            place: place.to_owned(),
        })
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.kind.as_str(), self.place)
    }
}

/// Why a document could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It could not be published.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] ModelError),
    /// A name is not valid.
    #[error(transparent)]
    Name(#[from] IdentityError),
    /// A document has unexpected content.
    #[error("{model}@{version} can't be read: {why}")]
    Unreadable {
        model: ModelName,
        version: VersionName,
        why: String,
    },
}

/// The stored documents. Clones share the store.
#[derive(Clone)]
pub struct Archive {
    /// The region's models.
    pub store: Arc<ModelStore>,
    /// Publishes documents.
    pub publisher: Publisher,
    /// The agent's clock.
    pub clock: HybridClock,
    /// Origin of new documents.
    pub region: RegionName,
    /// Folder for files being imported.
    pub staging: PathBuf,
}

/// The current document of each slot, and the superseded ones.
pub(crate) fn sort(
    catalogue: &Catalogue,
) -> (BTreeMap<Slot, &VersionSummary>, Vec<&VersionSummary>) {
    let mut newest: BTreeMap<Slot, &VersionSummary> = BTreeMap::new();
    let mut superseded = Vec::new();
    for held in catalogue
        .versions
        .iter()
        .filter(|held| held.model.as_str() == MODEL)
    {
        let Some(slot) = Slot::of(&held.version) else {
            continue;
        };
        let rank = |held: &VersionSummary| (held.published, held.origin.clone(), held.content);

        match newest.get_mut(&slot) {
            Some(known) if rank(known) >= rank(held) => superseded.push(held),
            Some(known) => superseded.push(std::mem::replace(known, held)),
            None => drop(newest.insert(slot, held)),
        }
    }

    (newest, superseded)
}

impl Archive {
    /// Stores a document, and deletes those that it replaces. `about` becomes the version's
    /// metadata.
    pub async fn put(
        &self,
        slot: &Slot,
        by: &str,
        about: Vec<(String, String)>,
        document: Vec<u8>,
    ) -> Result<VersionSummary, ArchiveError> {
        let model = ModelName::new(MODEL)?;
        let version = VersionName::new(format!("{slot}.{:016x}", rand::random::<u64>()))?;
        let upload = self
            .publisher
            .begin(model, version, by.to_owned(), about)
            .await?;
        let length = document.len() as u64;
        let body = futures::stream::iter([Ok(Bytes::from(document))]);

        if let Err(error) = self.publisher.add_file(&upload, FILE, length, body).await {
            let _ = self.publisher.abort(&upload).await;
            return Err(error.into());
        }

        let committed = self.publisher.commit(&upload).await?;

        let catalogue = self.store.catalogue().await?;
        let superseded = sort(&catalogue).1;
        for held in superseded
            .into_iter()
            .filter(|held| Slot::of(&held.version).as_ref() == Some(slot))
        {
            self.remove(held).await?;
        }

        Ok(committed)
    }

    /// Deletes a document in every region.
    pub async fn remove(&self, held: &VersionSummary) -> Result<(), ArchiveError> {
        let stone = Tombstone {
            model: held.model.clone(),
            version: held.version.clone(),
            deleted: self.clock.next(),
            origin: self.region.clone(),
            content: Some(held.content),
        };

        self.store.record_deletion(&stone).await?;
        Ok(())
    }

    /// The bytes of a document.
    pub async fn read(&self, held: &VersionSummary) -> Result<Bytes, ArchiveError> {
        Ok(self.store.read(&held.model, &held.version, FILE).await?)
    }
}

#[cfg(test)]
mod tests;
