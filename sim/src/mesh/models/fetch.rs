//! Reading other regions' catalogues and fetching versions from them, as regionmesh-replication
//! does: each chunk is verified on arrival, and the version is committed at the end.

use super::{
    commit::Source,
    context::{Context, Request, Response, WorkError, Worked},
    objects::Bytes,
};
use crate::mesh::{
    node::{Answer, Peer, Question},
    sometimes::Sometimes,
};
use regionmesh_protocol::{
    codec,
    identity::{AgentId, RegionName},
    models::{
        catalogue::Catalogue,
        digest::Digest,
        manifest::{Manifest, ManifestFile, VersionSummary},
    },
    wire::{BulkReply, BulkRequest, PeerReply, PeerRequest},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// How long a peer may take for a part of a catalogue, or for some chunks.
const ANSWER_MS: u64 = 10_000;
/// Failures after which an agent is not asked again during a fetch.
const FAILURES_MAX: u32 = 3;

/// Why an agent did not deliver.
enum SourceError {
    Failed(String),
    Corrupt,
}

impl Context {
    async fn question(&self, to: Peer, question: Question, timeout_ms: u64) -> Worked<Answer> {
        let request = Request::Ask {
            to,
            question,
            timeout_ms,
        };
        match self.ask(request).await {
            Response::Answer(Ok(answer)) => Ok(answer),
            Response::Answer(Err(error)) => Err(WorkError::Peer(format!("{error:?}"))),
            _ => Err(WorkError::Peer("unexpected".into())),
        }
    }

    /// A region's catalogue: through agents of our own region that know it, else from the agent
    /// that published it, else from any of its region.
    pub(super) async fn read_catalogue(
        &self,
        region: &RegionName,
        digest: Digest,
        through: Vec<AgentId>,
        from: Option<AgentId>,
    ) -> Worked<(Digest, Arc<Catalogue>)> {
        let mut learnt = Err(WorkError::Peer("no agent could be asked".into()));
        for gateway in through {
            if learnt.is_err() {
                learnt = self.learn(Peer::Agent(gateway), Some(digest)).await;
            }
        }
        if let Some(from) = from.filter(|_| learnt.is_err()) {
            learnt = self.learn(Peer::Agent(from), None).await;
            if learnt.is_err() {
                learnt = self.learn(Peer::Region(region.clone()), None).await;
            }
        }

        let (digest, catalogue) = learnt?;
        self.observe(&catalogue);
        Ok((digest, Arc::new(catalogue)))
    }

    /// The catalogue of a peer's region, or the one with a digest.
    async fn learn(&self, from: Peer, only: Option<Digest>) -> Worked<(Digest, Catalogue)> {
        let request = PeerRequest::CataloguePage {
            digest: only,
            offset: 0,
        };
        let question = Question::Request(Box::new(request));
        let reply = match self.question(from, question, ANSWER_MS).await? {
            Answer::Reply(reply) => *reply,
            _ => return Err(WorkError::Peer("unexpected".into())),
        };
        // Catalogues are small here: one page holds all of one.
        let (digest, document) = match reply {
            PeerReply::CataloguePage { digest, bytes, .. } => (digest, bytes),
            other => return Err(WorkError::Peer(format!("{other:?}"))),
        };
        if only.is_some_and(|only| only != digest) {
            return Err(WorkError::Peer("the catalogue is not known".into()));
        }
        if Digest::of(&document) != digest {
            self.count(Sometimes::WrongBytes);
            return Err(WorkError::Peer("not the announced catalogue".into()));
        }

        let unreadable = |error: codec::CodecError| WorkError::Unreadable(error.to_string());
        let mut catalogue: Catalogue = codec::decode_document(&document).map_err(unreadable)?;
        catalogue.normalise();
        Ok((catalogue.digest().unwrap_or(digest), catalogue))
    }

    async fn bulk(&self, source: &AgentId, request: BulkRequest) -> Result<Vec<u8>, SourceError> {
        let question = Question::Bulk(Box::new(request));
        let answer = self
            .question(Peer::Agent(source.clone()), question, ANSWER_MS)
            .await;
        match answer {
            Ok(Answer::Bulk(BulkReply::Bytes(length), bytes)) if length == bytes.len() as u64 => {
                Ok(bytes)
            }
            Ok(Answer::Bulk(BulkReply::Bytes(_), _)) => Err(SourceError::Corrupt),
            Ok(answer) => Err(SourceError::Failed(format!("{answer:?}"))),
            Err(error) => Err(SourceError::Failed(format!("{error:?}"))),
        }
    }

    /// Fetches, verifies and commits `wanted` from `sources`, the best first.
    pub(super) async fn fetch(
        &self,
        wanted: &VersionSummary,
        sources: &[Vec<AgentId>],
    ) -> Worked<()> {
        let _write = self.write();
        let manifest = self.manifest_of(wanted, sources).await?;
        self.download(&manifest, sources).await?;

        let staged = self.with(|it| it.staging.get(&wanted.content).cloned());
        let staged: Vec<Bytes> = staged.unwrap_or_default().into_values().collect();
        let wholes = manifest.files.iter().zip(&staged);
        let are_whole = wholes
            .clone()
            .all(|(file, bytes)| Digest::of(bytes) == file.digest);
        if !are_whole || wholes.len() != manifest.files.len() {
            self.with(|it| it.staging.remove(&wanted.content));
            return Err(WorkError::Peer("the files have wrong digests".into()));
        }

        let VersionSummary { model, version, .. } = wanted;
        self.commit(&manifest, Source::Staged(&staged)).await?;
        self.with(|it| it.staging.remove(&wanted.content));
        self.count(Sometimes::VersionFetched);
        self.note(format!("has fetched {model}@{version}"));
        Ok(())
    }

    async fn manifest_of(
        &self,
        wanted: &VersionSummary,
        sources: &[Vec<AgentId>],
    ) -> Worked<Manifest> {
        for source in sources.iter().flatten() {
            let request = BulkRequest::Manifest {
                model: wanted.model.clone(),
                version: wanted.version.clone(),
            };
            let Ok(bytes) = self.bulk(source, request).await else {
                continue;
            };

            let manifest: Option<Manifest> = codec::decode_document(&bytes).ok();
            let is_right = |it: &Manifest| it.check().is_ok() && it.summary() == *wanted;
            match manifest.filter(is_right) {
                Some(manifest) => return Ok(manifest),
                None => self.count(Sometimes::WrongBytes),
            }
        }

        Err(WorkError::Peer("no source has the manifest".into()))
    }

    /// Fetches the files that no earlier attempt left, from one source after the other.
    async fn download(&self, manifest: &Manifest, sources: &[Vec<AgentId>]) -> Worked<()> {
        let content = manifest.content();
        let mut failures: BTreeMap<AgentId, u32> = BTreeMap::new();
        let mut delivered: BTreeSet<AgentId> = BTreeSet::new();
        let mut last = "no connected agent holds it".to_owned();

        for (index, file) in manifest.files.iter().enumerate() {
            if self.is_staged(content, index, file) {
                self.count(Sometimes::FetchResumed);
                continue;
            }

            loop {
                let usable = usable(sources, &failures);
                let Some(source) = usable.get(index % usable.len().max(1)).copied() else {
                    return Err(WorkError::Peer(last));
                };
                match self.chunk_from(manifest, file, source).await {
                    Ok(bytes) => {
                        delivered.insert(source.clone());
                        self.with(|it| {
                            let staged = it.staging.entry(content).or_default();
                            staged.insert(index, bytes);
                        });
                        break;
                    }
                    Err(error) => {
                        let (why, weight) = match error {
                            SourceError::Failed(why) => (why, 1),
                            SourceError::Corrupt => ("wrong bytes".into(), FAILURES_MAX),
                        };
                        last = format!("{source}: {why}");
                        *failures.entry(source.clone()).or_default() += weight;
                        self.count(Sometimes::ChunkRefused);
                    }
                }
            }
        }

        if delivered.len() > 1 {
            self.count(Sometimes::FetchedFromTwo);
        }
        Ok(())
    }

    fn is_staged(&self, content: Digest, index: usize, file: &ManifestFile) -> bool {
        self.with(|it| {
            let staged = it.staging.get(&content).and_then(|files| files.get(&index));
            staged.is_some_and(|bytes| Digest::of(bytes) == file.digest)
        })
    }

    /// The only chunk of a file.
    async fn chunk_from(
        &self,
        manifest: &Manifest,
        file: &ManifestFile,
        source: &AgentId,
    ) -> Result<Bytes, SourceError> {
        let chunk = file.chunks.first().ok_or(SourceError::Corrupt)?;
        let request = BulkRequest::Ranges {
            model: manifest.model.clone(),
            version: manifest.version.clone(),
            content: manifest.content(),
            path: file.path.clone(),
            ranges: vec![(0, chunk.length)],
        };

        let bytes = self.bulk(source, request).await?;
        if bytes.len() != chunk.length as usize || Digest::of(&bytes) != chunk.digest {
            self.count(Sometimes::WrongBytes);
            return Err(SourceError::Corrupt);
        }
        Ok(bytes.into())
    }
}

/// The agents of the first list that has any left.
fn usable<'a>(sources: &'a [Vec<AgentId>], failures: &BTreeMap<AgentId, u32>) -> Vec<&'a AgentId> {
    let is_left = |source: &&AgentId| {
        let failures = failures.get(*source);
        failures.is_none_or(|failures| *failures < FAILURES_MAX)
    };
    let left = |list: &'a Vec<AgentId>| list.iter().filter(is_left).collect::<Vec<_>>();
    let mut lists = sources.iter().map(left);
    lists.find(|list| !list.is_empty()).unwrap_or_default()
}
