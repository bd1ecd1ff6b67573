//! Reads the catalogues of peers, in pages: a message is bounded, a catalogue is not.

use regionmesh_mesh::{Peer, Peers};
use regionmesh_protocol::{
    codec::{self, DOCUMENT_LIMIT},
    models::{catalogue::Catalogue, digest::Digest},
    wire::{PeerReply, PeerRequest},
};
use std::time::Duration;

/// How long a peer may take for one page.
const PAGE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long all pages may take.
const CATALOGUE_TIMEOUT: Duration = Duration::from_secs(120);

/// The catalogue of a peer's region, or the one with a digest, and its digest.
pub(super) async fn learn(
    peers: &dyn Peers,
    from: &Peer,
    only: Option<Digest>,
) -> Result<(Digest, Catalogue), String> {
    match tokio::time::timeout(CATALOGUE_TIMEOUT, collect(peers, from, only)).await {
        Ok(learnt) => learnt,
        Err(_) => Err(format!(
            "{from} did not send a whole catalogue within {CATALOGUE_TIMEOUT:?}"
        )),
    }
}

async fn collect(
    peers: &dyn Peers,
    from: &Peer,
    only: Option<Digest>,
) -> Result<(Digest, Catalogue), String> {
    let mut reading = only;
    let mut document = Vec::new();
    loop {
        let request = PeerRequest::CataloguePage {
            digest: reading,
            offset: document.len() as u64,
        };
        let (digest, total, bytes) = match peers.call(from, request, PAGE_TIMEOUT).await {
            Ok(PeerReply::CataloguePage {
                digest,
                total,
                bytes,
            }) => (digest, total, bytes),
            Ok(PeerReply::Failed(why)) => return Err(why),
            Ok(other) => return Err(format!("an unexpected answer: {other:?}")),
            Err(error) => return Err(error.to_string()),
        };

        if only.is_some_and(|only| only != digest) {
            return Err(format!("{from} does not know that catalogue"));
        }
        // It changed while it was read, and the peer no longer keeps the earlier one.
        if reading.is_some_and(|reading| reading != digest) {
            document.clear();
        }
        reading = Some(digest);
        if total > DOCUMENT_LIMIT as u64 {
            return Err(format!(
                "a catalogue of {total} bytes, the limit is {DOCUMENT_LIMIT}"
            ));
        }

        let is_over = (document.len() + bytes.len()) as u64 > total;
        if is_over || (bytes.is_empty() && (document.len() as u64) < total) {
            return Err(format!(
                "a page of {} bytes after {} of {total}",
                bytes.len(),
                document.len()
            ));
        }

        document.extend(bytes);
        if document.len() as u64 == total {
            break;
        }
    }

    let digest = Digest::of(&document);
    if reading != Some(digest) {
        return Err("its pages don't make up the catalogue that it announced".into());
    }

    let mut catalogue: Catalogue =
        codec::decode_document(&document).map_err(|error| error.to_string())?;
    catalogue.normalise();
    Ok((catalogue.digest().unwrap_or(digest), catalogue))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::catalogue_pages::CataloguePages;
    use parking_lot::Mutex;
    use regionmesh_mesh::PeerError;
    use regionmesh_protocol::{
        clock::HybridTime, models::manifest::VersionSummary, wire::PAGE_MAX,
    };
    use std::sync::Arc;

    fn catalogue(count: usize, size: u64) -> Catalogue {
        let version = |number: usize| VersionSummary {
            model: format!("m-{}", "x".repeat(120)).parse().unwrap(),
            version: format!("{number:06}-{}", "y".repeat(50)).parse().unwrap(),
            content: Digest::of(&number.to_le_bytes()),
            size,
            published: HybridTime::default(),
            origin: "r".parse().unwrap(),
        };

        Catalogue {
            versions: (0..count).map(version).collect(),
            ..Catalogue::default()
        }
    }

    /// A peer whose catalogue changes once, after this many pages.
    struct ChangingPeer(CataloguePages, Mutex<u32>, Vec<Catalogue>);

    #[async_trait::async_trait]
    impl Peers for ChangingPeer {
        async fn call(
            &self,
            _: &Peer,
            request: PeerRequest,
            _: Duration,
        ) -> Result<PeerReply, PeerError> {
            let PeerRequest::CataloguePage { digest, offset } = request else {
                panic!("{request:?}")
            };
            let Self(pages, asked, catalogues) = self;
            let mut asked = asked.lock();

            *asked += 1;
            set(
                pages,
                &catalogues[usize::from(*asked > 2).min(catalogues.len() - 1)],
            );
            let reply = pages.page(digest, offset);
            let PeerReply::CataloguePage { bytes, .. } = &reply else {
                panic!("{reply:?}")
            };

            assert!(bytes.len() <= PAGE_MAX && codec::encode(&reply).is_ok());
            Ok(reply)
        }
    }

    fn set(pages: &CataloguePages, catalogue: &Catalogue) {
        pages.set(Arc::new(catalogue.clone()), catalogue.digest().ok());
    }

    async fn learnt(catalogues: Vec<Catalogue>) -> Catalogue {
        let peer = ChangingPeer(CataloguePages::default(), Mutex::default(), catalogues);
        learn(&peer, &Peer::Region("r".parse().unwrap()), None)
            .await
            .unwrap()
            .1
    }

    #[tokio::test]
    async fn a_catalogue_of_any_size_is_sent_and_can_be_read_to_its_end_after_it_changed() {
        for count in [0, 1, 20_000] {
            assert_eq!(learnt(vec![catalogue(count, 1)]).await, catalogue(count, 1));
        }
        assert_eq!(
            learnt(vec![catalogue(20_000, 1), catalogue(20_000, 2)]).await,
            catalogue(20_000, 1)
        );
    }

    #[tokio::test]
    async fn reading_starts_over_if_the_peer_dropped_the_catalogue_being_read() {
        let one = catalogue(6_000, 1);
        let two = catalogue(6_000, 2);
        let pages = CataloguePages::default();
        set(&pages, &one);
        let first = pages.page(None, 0);
        let PeerReply::CataloguePage { digest, bytes, .. } = first else {
            panic!("{first:?}")
        };
        let restarted = CataloguePages::default();
        set(&restarted, &two);
        let next = restarted.page(Some(digest), bytes.len() as u64);

        let PeerReply::CataloguePage {
            digest: other,
            bytes,
            ..
        } = next
        else {
            panic!("{next:?}")
        };

        assert_ne!(digest, other);
        assert_eq!(
            &codec::encode_document(&two).unwrap()[..bytes.len()],
            &bytes[..]
        );
    }
}
