//! Sends our region's catalogue to peers, and those of other regions to agents of our own, in
//! pages: a message is bounded, a catalogue is not.

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use regionmesh_protocol::{
    codec,
    identity::RegionName,
    models::{catalogue::Catalogue, digest::Digest},
    wire::{PAGE_MAX, PeerReply},
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

/// Catalogues that are kept encoded: a peer that is reading one can finish after it changes.
const DOCUMENTS_MAX: usize = 4;

/// An encoded catalogue.
type Document = (Digest, Arc<Vec<u8>>);

/// The catalogue of another region.
type Known = (Digest, Arc<Catalogue>);

/// The region's catalogue, encoded for peers. Cheap to clone; clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct CataloguePages {
    own: Arc<ArcSwapOption<Own>>,
    others: Arc<Mutex<BTreeMap<RegionName, Known>>>,
    newest_last: Arc<Mutex<VecDeque<Document>>>,
}

#[derive(Debug)]
struct Own {
    catalogue: Arc<Catalogue>,
    /// None if it is too large to be published.
    digest: Option<Digest>,
}

impl CataloguePages {
    /// The region holds this. `digest`: none if it is too large to be published.
    pub(crate) fn set(&self, catalogue: Arc<Catalogue>, digest: Option<Digest>) {
        self.own.store(Some(Arc::new(Own { catalogue, digest })));
    }

    /// Another region holds this.
    pub(crate) fn learn(&self, region: RegionName, digest: Digest, catalogue: Arc<Catalogue>) {
        self.others.lock().insert(region, (digest, catalogue));
    }

    /// The page from `offset` on of the catalogue with the requested digest, if it is known; else
    /// of the region's own.
    pub(crate) fn page(&self, asked: Option<Digest>, offset: u64) -> PeerReply {
        let Some(own) = self.own.load_full() else {
            return PeerReply::Failed("this region's store has not been read yet".into());
        };
        let document = match self.find(asked).or_else(|| self.other(asked)) {
            Some(document) => Ok(document),
            None => self.newest(&own),
        };
        let (digest, document) = match document {
            Ok(document) => document,
            Err(why) => return PeerReply::Failed(why),
        };

        // A page of another catalogue than requested starts at offset 0.
        let is_same = asked.is_none_or(|asked| asked == digest);
        let start = usize::try_from(offset)
            .ok()
            .filter(|_| is_same)
            .unwrap_or(0)
            .min(document.len());
        let end = (start + PAGE_MAX).min(document.len());

        PeerReply::CataloguePage {
            digest,
            total: document.len() as u64,
            bytes: document[start..end].to_vec(),
        }
    }

    fn find(&self, digest: Option<Digest>) -> Option<Document> {
        let newest_last = self.newest_last.lock();
        let found = newest_last
            .iter()
            .find(|(known, _)| digest == Some(*known))?;
        Some(found.clone())
    }

    /// The catalogue of another region.
    fn other(&self, digest: Option<Digest>) -> Option<Document> {
        let catalogue = {
            let others = self.others.lock();
            let mut known = others.values();
            let (_, catalogue) = known.find(|(known, _)| digest == Some(*known))?;
            catalogue.clone()
        };

        self.encode(&catalogue).ok()
    }

    fn newest(&self, own: &Own) -> Result<Document, String> {
        match self.find(own.digest) {
            Some(known) => Ok(known),
            None => self.encode(&own.catalogue).map_err(|error| {
                format!(
                    "this region's catalogue can't be published: {error}; delete versions that \
                        are not used"
                )
            }),
        }
    }

    fn encode(&self, catalogue: &Catalogue) -> Result<Document, codec::CodecError> {
        let document = codec::encode_document(catalogue)?;
        let digest = Digest::of(&document);

        let known = (digest, Arc::new(document));
        let mut newest_last = self.newest_last.lock();
        // Two peers may have asked at the same time.
        newest_last.retain(|(other, _)| *other != digest);
        if newest_last.len() >= DOCUMENTS_MAX {
            newest_last.pop_front();
        }
        newest_last.push_back(known.clone());
        Ok(known)
    }
}
