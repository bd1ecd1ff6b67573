//! Answers to other agents' questions about models: catalogues, rivals, manifests and chunks.

use super::{
    commit::{decode_manifest, file_path, manifest_path},
    context::Context,
};
use crate::mesh::node::{Answer, Question};
use rand::{Rng, RngExt};
use regionmesh_protocol::{
    codec,
    models::{catalogue::Catalogue, digest::Digest, manifest::Manifest},
    wire::{BulkReply, BulkRequest, PeerReply, PeerRequest},
};

/// Whether a question is about models.
pub(crate) fn is_about_models(question: &Question) -> bool {
    match question {
        Question::Bulk(_) => true,
        Question::Request(request) => matches!(
            **request,
            PeerRequest::CataloguePage { .. } | PeerRequest::Publication(_)
        ),
        Question::Exchange(_) => false,
    }
}

fn reply(reply: PeerReply) -> Answer {
    Answer::Reply(Box::new(reply))
}

fn refused(why: BulkReply) -> Answer {
    Answer::Bulk(why, Vec::new())
}

fn bytes(bytes: Vec<u8>) -> Answer {
    Answer::Bulk(BulkReply::Bytes(bytes.len() as u64), bytes)
}

impl Context {
    pub(super) async fn serve(&self, question: Question) -> Answer {
        match question {
            Question::Bulk(request) => self.serve_bulk(*request).await,
            Question::Request(request) => match *request {
                PeerRequest::CataloguePage { digest, .. } => self.page(digest),
                PeerRequest::Publication(published) => {
                    let rival = self.conflicting_version(&published).await;
                    reply(match rival {
                        Ok(rival) => PeerReply::Rival(rival),
                        Err(error) => PeerReply::Failed(format!("{error:?}")),
                    })
                }
                _ => reply(PeerReply::Failed("not about models".into())),
            },
            Question::Exchange(_) => reply(PeerReply::Failed("not about models".into())),
        }
    }

    /// The catalogue with the requested digest, if it is known; else the region's own.
    fn page(&self, asked: Option<Digest>) -> Answer {
        let pages = self.with(|it| {
            let own = it.pages.clone()?;
            let mut others = it.peers.values();
            let other = others.find(|(known, _)| asked == Some(*known));
            let other = other.and_then(|(_, known)| codec::encode_document(&**known).ok());
            Some(other.map_or(own, |document| (Digest::of(&document), document)))
        });
        reply(match pages {
            Some((digest, document)) => PeerReply::CataloguePage {
                digest,
                total: document.len() as u64,
                bytes: document,
            },
            None => PeerReply::Failed("the store has not been read yet".into()),
        })
    }

    async fn serve_bulk(&self, request: BulkRequest) -> Answer {
        match request {
            BulkRequest::Manifest { model, version } => {
                match self.get(&manifest_path(&model, &version)).await {
                    Ok(Some(manifest)) => bytes(manifest.to_vec()),
                    Ok(None) => refused(BulkReply::NotHeld),
                    Err(error) => refused(BulkReply::Failed(format!("{error:?}"))),
                }
            }
            BulkRequest::Ranges {
                model,
                version,
                content,
                path,
                ranges,
            } => {
                let paths = vec![
                    manifest_path(&model, &version),
                    file_path(&model, &version, &path),
                ];
                let read = match self.get_all(paths).await {
                    Ok(read) => read,
                    Err(error) => return refused(BulkReply::Failed(format!("{error:?}"))),
                };
                let [Some(manifest), Some(file)] = &read[..] else {
                    return refused(BulkReply::NotHeld);
                };
                let is_content = |manifest: Manifest| manifest.content() == content;
                if !decode_manifest(manifest).is_ok_and(is_content) {
                    return refused(BulkReply::NotHeld);
                }

                let range = |(offset, length): &(u64, u32)| {
                    let begin = *offset as usize;
                    file.get(begin..begin + *length as usize)
                };
                match ranges.iter().map(range).collect::<Option<Vec<_>>>() {
                    Some(ranges) => bytes(ranges.concat()),
                    None => refused(BulkReply::Failed("a truncated file".into())),
                }
            }
        }
    }

    /// What a thief answers: other bytes, other manifests, and catalogues that nothing stands
    /// behind. It forges no deletion and no rival of a version: the protocol believes those.
    pub(super) fn lie(&self, question: &Question, rng: &mut impl Rng) -> Option<Answer> {
        let garbage = rng.random::<[u8; 16]>();
        match question {
            Question::Bulk(request) => match &**request {
                BulkRequest::Manifest { .. } => Some(bytes(garbage.to_vec())),
                BulkRequest::Ranges { ranges, .. } => {
                    let length: u32 = ranges.iter().map(|(_, length)| length).sum();
                    Some(bytes(vec![garbage[0]; length as usize]))
                }
            },
            Question::Request(request) => match &**request {
                PeerRequest::CataloguePage { .. } => self.forged_page(rng),
                _ => None,
            },
            Question::Exchange(_) => None,
        }
    }

    fn forged_page(&self, rng: &mut impl Rng) -> Option<Answer> {
        let (_, document) = self.with(|it| it.pages.clone())?;
        let mut catalogue: Catalogue = codec::decode_document(&document).ok()?;
        let mut phantom = catalogue.versions.first()?.clone();
        phantom.version = format!("phantom-{}", rng.random_range(0..3)).parse().ok()?;
        phantom.content = Digest(rng.random());
        catalogue.versions.push(phantom);
        catalogue.normalise();

        let document = codec::encode_document(&catalogue).ok()?;
        // Half of the time the digest does not match either.
        let digest = match rng.random_bool(0.5) {
            true => Digest::of(&document),
            false => Digest(rng.random()),
        };
        Some(reply(PeerReply::CataloguePage {
            digest,
            total: document.len() as u64,
            bytes: document,
        }))
    }
}
