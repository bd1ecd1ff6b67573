//! The board itself: what is held, what is accepted, what is told.

use super::{
    Signer, Verifier,
    delta::Delta,
    digest::{Digest, Lack, OwnerDigest},
};
use regionmesh_protocol::{
    codec::{self, CodecError},
    identity::{AgentId, MeshName},
    status::{
        Fact, FactKind,
        entry::{Entry, EntryVersion},
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

/// How much a board holds, whatever arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BoardLimits {
    /// Most owners; at the limit the one that is dead longest makes room.
    pub agents: usize,
    /// Largest payload, bytes: a committed plan or 256 versions of holdings take less than half of
    /// it.
    pub entry_bytes: usize,
    /// Most bytes of all entries together; 1,024 agents with 64 KiB each.
    pub total_bytes: usize,
    /// Most entries in one delta. Checking a signature takes about 0.1 ms, so this bounds how long
    /// one `apply` takes.
    pub delta_entries: usize,
    /// Bad signatures in one delta after which the rest of it is not looked at.
    pub delta_forgeries: usize,
    /// Most owners remembered as forgotten.
    pub tombstones: usize,
    /// A held chain is checked again after this long, so that an expired certificate can't go on
    /// signing.
    pub recheck_chain_after: Duration,
}

impl Default for BoardLimits {
    fn default() -> Self {
        Self {
            agents: 1024,
            entry_bytes: 256 << 10,
            total_bytes: 64 << 20,
            delta_entries: 1024,
            delta_forgeries: 16,
            tombstones: 2048,
            recheck_chain_after: Duration::from_secs(300),
        }
    }
}

/// Why an entry was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rejection {
    /// Not newer than what is held.
    Stale,
    /// Of an owner that was forgotten, and not newer than what was forgotten.
    Forgotten,
    /// Its owner's certificate is not on the board.
    NoCertificate,
    /// The certificate is not the owner's, not of this mesh, or not valid now.
    BadCertificate,
    /// The signature is not the owner's.
    BadSignature,
    /// The payload is no fact, or not of the entry's kind.
    Malformed,
    /// Larger than an entry may be.
    TooLarge,
    /// No room for another agent or for more bytes.
    Full,
    /// Beyond what one delta may hold, or after too many forgeries in it.
    NotLookedAt,
}

impl Rejection {
    /// For a metric label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stale => "stale",
            Self::Forgotten => "forgotten",
            Self::NoCertificate => "no_certificate",
            Self::BadCertificate => "bad_certificate",
            Self::BadSignature => "bad_signature",
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::Full => "full",
            Self::NotLookedAt => "not_looked_at",
        }
    }
}

/// Why our own fact could not be put on the board.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The key could not sign; the entry stays as it was.
    #[error("could not sign our {kind:?} entry: {why}; check the agent's key file")]
    Sign {
        /// The entry.
        kind: FactKind,
        /// What the signer said.
        why: String,
    },
    /// The fact is larger than an entry may be.
    #[error("our {kind:?} entry has {size} bytes, the limit is {limit}")]
    TooLarge {
        /// The entry.
        kind: FactKind,
        /// Size of the fact, bytes.
        size: usize,
        /// The limit, bytes.
        limit: usize,
    },
    /// The fact can't be encoded.
    #[error("could not encode our {kind:?} entry: {source}")]
    Encode {
        /// The entry.
        kind: FactKind,
        /// What the codec said.
        source: CodecError,
    },
}

/// An entry that changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// Whose.
    pub owner: AgentId,
    /// Which.
    pub kind: FactKind,
}

/// What became of a delta.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// Entries that are new or newer.
    pub changes: Vec<Change>,
    /// How many entries were refused, by reason. Exact duplicates are not counted: peers overlap.
    pub rejected: BTreeMap<Rejection, u64>,
    /// Entries of our own came back that outrank ours (our clock was set back between two lives):
    /// call [`Board::sign_anew`].
    pub is_outranked: bool,
}

/// What decides about entries that arrive.
#[derive(Clone, Copy)]
pub struct Judge<'a> {
    /// Checks certificates and signatures.
    pub verifier: &'a dyn Verifier,
    /// Agents known to be alive: never dropped to make room.
    pub alive: &'a BTreeSet<AgentId>,
    /// Now.
    pub now: Instant,
}

/// A held entry, decoded.
#[derive(Debug, Clone)]
pub struct SeenEntry {
    /// The signed entry.
    pub entry: Arc<Entry>,
    /// Its payload.
    pub fact: Arc<Fact>,
    /// When it reached us.
    pub seen_at: Instant,
}

#[derive(Debug, Clone)]
struct Owner {
    entries: BTreeMap<FactKind, SeenEntry>,
    chain: Vec<Vec<u8>>,
    certified: EntryVersion,
    chain_checked_at: Instant,
    last_seen_at: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Tombstone {
    newest: EntryVersion,
    forgotten_at: Instant,
}

/// The board of one agent.
#[derive(Debug, Clone)]
pub struct Board {
    mesh: MeshName,
    own: AgentId,
    limits: BoardLimits,
    /// Own versions are always above this.
    floor: EntryVersion,
    owners: BTreeMap<AgentId, Owner>,
    tombstones: BTreeMap<AgentId, Tombstone>,
    bytes: usize,
}

impl Board {
    /// An empty board of agent `own`, whose process started at `started_ms` (Unix milliseconds).
    pub fn new(mesh: MeshName, own: AgentId, started_ms: u64, limits: BoardLimits) -> Self {
        let floor = EntryVersion {
            started_ms,
            counter: 0,
        };

        Self {
            mesh,
            own,
            limits,
            floor,
            owners: BTreeMap::new(),
            tombstones: BTreeMap::new(),
            bytes: 0,
        }
    }

    /// All owners with entries.
    pub fn owners(&self) -> impl Iterator<Item = &AgentId> {
        self.owners.keys()
    }

    /// An owner's entries; empty if nothing is known of it.
    pub fn entries(&self, owner: &AgentId) -> impl Iterator<Item = &SeenEntry> {
        self.owners
            .get(owner)
            .into_iter()
            .flat_map(|held| held.entries.values())
    }

    /// One entry.
    pub fn get(&self, owner: &AgentId, kind: FactKind) -> Option<&SeenEntry> {
        self.owners.get(owner)?.entries.get(&kind)
    }

    /// How many owners have entries.
    pub fn agent_count(&self) -> usize {
        self.owners.len()
    }

    /// How many entries are held.
    pub fn entry_count(&self) -> usize {
        self.owners.values().map(|owner| owner.entries.len()).sum()
    }

    /// How many bytes the entries take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Puts `fact` on our own entry of its kind; says whether the board changed. A fact equal to
    /// the one held changes nothing, but for observations: their age says whether the observer
    /// still looks. Our certificate is published first, and all is signed anew, when the signer's
    /// chain is not the one on the board.
    pub fn publish(
        &mut self,
        fact: Fact,
        signer: &dyn Signer,
        now: Instant,
    ) -> Result<bool, PublishError> {
        let is_recertified = self.certify(signer, now)?;
        let kind = fact.kind();
        if kind == FactKind::Certificate {
            return Ok(is_recertified);
        }

        let is_equal = self
            .get(&self.own, kind)
            .is_some_and(|held| *held.fact == fact);
        if is_equal && kind != FactKind::Observations {
            return Ok(is_recertified);
        }
        self.sign_and_hold(fact, signer, now)?;
        Ok(true)
    }

    /// Makes our certificate entry name the signer's chain, and signs all our entries anew if it
    /// did not; says whether.
    pub fn certify(&mut self, signer: &dyn Signer, now: Instant) -> Result<bool, PublishError> {
        let chain = signer.chain();
        if self
            .owners
            .get(&self.own)
            .is_some_and(|owner| owner.chain == chain)
        {
            return Ok(false);
        }

        self.sign_anew(signer, now)?;
        Ok(true)
    }

    /// Signs all our entries with newer versions, the certificate first: after a rotation, or when
    /// outranked.
    pub fn sign_anew(&mut self, signer: &dyn Signer, now: Instant) -> Result<(), PublishError> {
        let facts: Vec<Fact> = self
            .entries(&self.own)
            .filter(|held| held.entry.kind != FactKind::Certificate)
            .map(|held| (*held.fact).clone())
            .collect();

        self.sign_and_hold(Fact::Certificate(signer.chain()), signer, now)?;
        facts
            .into_iter()
            .try_for_each(|fact| self.sign_and_hold(fact, signer, now))
    }

    fn sign_and_hold(
        &mut self,
        fact: Fact,
        signer: &dyn Signer,
        now: Instant,
    ) -> Result<(), PublishError> {
        let kind = fact.kind();
        let payload =
            codec::encode(&fact).map_err(|source| PublishError::Encode { kind, source })?;

        if payload.len() > self.limits.entry_bytes {
            return Err(PublishError::TooLarge {
                kind,
                size: payload.len(),
                limit: self.limits.entry_bytes,
            });
        }

        let version = self.floor.next();
        let message = Entry::signed_bytes(&self.mesh, &self.own, kind, version, &payload)
            .map_err(|source| PublishError::Encode { kind, source })?;
        let signature = signer
            .sign(&message)
            .map_err(|why| PublishError::Sign { kind, why })?;

        self.floor = version;
        self.hold(
            Entry {
                owner: self.own.clone(),
                kind,
                version,
                payload,
                signature,
            },
            fact,
            now,
        );

        Ok(())
    }

    /// What we hold, in brief.
    pub fn digest(&self) -> Digest {
        let forgotten = self.tombstones.iter().map(|(owner, stone)| {
            (
                owner.clone(),
                OwnerDigest {
                    newest: stone.newest,
                    contents: None,
                },
            )
        });

        let held = self
            .owners
            .iter()
            .map(|(owner, held)| (owner.clone(), held.digest()));

        Digest {
            owners: forgotten.chain(held).collect(),
        }
    }

    /// What a board with `theirs` lacks, about `max_bytes` of it. Whole owners as long as they fit,
    /// so that a peer sees a rotated certificate together with the entries signed anew; if one
    /// owner alone does not fit, its oldest entries.
    pub fn delta_for(&self, theirs: &Digest, max_bytes: usize) -> Delta {
        let mut delta = Delta::default();
        let mut bytes = 0;
        let own = self.owners.get_key_value(&self.own);

        for (name, owner) in own
            .into_iter()
            .chain(self.owners.iter().filter(|(name, _)| **name != self.own))
        {
            let entries = owner.lacked(OwnerDigest::lack(&owner.digest(), theirs.owners.get(name)));
            let size: usize = entries.iter().map(|entry| entry.size()).sum();
            let fits = bytes + size <= max_bytes
                && delta.entries.len() + entries.len() <= self.limits.delta_entries;

            if fits {
                bytes += size;
                delta.entries.extend(entries.into_iter().cloned());
                continue;
            }

            delta.has_more = true;
            if delta.is_empty() {
                for (index, entry) in entries.into_iter().enumerate() {
                    bytes += entry.size();
                    // One entry at least, or a limit set too small would stop all progress.
                    if index > 0 && bytes > max_bytes {
                        break;
                    }
                    delta.entries.push(entry.clone());
                }
            }

            break;
        }

        delta
    }

    /// Whether a board with `theirs` lacks anything that we hold.
    pub fn has_news_for(&self, theirs: &Digest) -> bool {
        self.owners.iter().any(|(name, owner)| {
            OwnerDigest::lack(&owner.digest(), theirs.owners.get(name)) != Lack::Nothing
        })
    }

    /// Takes what is good of `delta`; never fails as a whole.
    pub fn apply(&mut self, delta: Delta, judge: Judge<'_>) -> Applied {
        let mut applied = Applied::default();
        let mut forgeries = 0;
        let mut ghost = None;

        for (index, entry) in delta.entries.into_iter().enumerate() {
            let change = Change {
                owner: entry.owner.clone(),
                kind: entry.kind,
            };
            let outcome =
                if index >= self.limits.delta_entries || forgeries >= self.limits.delta_forgeries {
                    Err(Rejection::NotLookedAt)
                } else if entry.owner == self.own {
                    self.hear_of_ourselves(&entry, &mut ghost, judge)
                        .map(|is_outranked| {
                            applied.is_outranked |= is_outranked;
                            false
                        })
                } else {
                    self.take(entry, judge)
                };

            match outcome {
                Ok(true) => applied.changes.push(change),
                Ok(false) => {}
                Err(reason) => {
                    forgeries += usize::from(matches!(
                        reason,
                        Rejection::BadSignature | Rejection::BadCertificate
                    ));
                    *applied.rejected.entry(reason).or_default() += 1;
                }
            }
        }

        applied
    }

    /// Drops all entries of `owner` and remembers their version for a while, so that a relay that
    /// has not forgotten it yet does not bring it back. The owner itself comes back with its next
    /// newer entry.
    pub fn forget(&mut self, owner: &AgentId, now: Instant) {
        let Some(held) = self.owners.remove(owner) else {
            return;
        };
        self.bytes -= held.bytes();
        self.tombstones.insert(
            owner.clone(),
            Tombstone {
                newest: held.newest(),
                forgotten_at: now,
            },
        );

        while self.tombstones.len() > self.limits.tombstones {
            let oldest = self
                .tombstones
                .iter()
                .min_by_key(|(_, stone)| stone.forgotten_at);
            let Some(oldest) = oldest.map(|(owner, _)| owner.clone()) else {
                break;
            };

            self.tombstones.remove(&oldest);
        }
    }

    /// An entry of our own from somebody else: ours come back all the time, but one that is newer
    /// than any we made, and truly signed by us, is of an earlier life with a later clock. Says
    /// whether it is. `ghost` is that life's certificate, which comes before what it vouches for.
    fn hear_of_ourselves(
        &mut self,
        entry: &Entry,
        ghost: &mut Option<Vec<Vec<u8>>>,
        judge: Judge<'_>,
    ) -> Result<bool, Rejection> {
        if entry.version <= self.floor {
            return Ok(false);
        }
        self.check_size(entry)?;
        if let Fact::Certificate(chain) = decode_fact(entry)? {
            self.check(entry, &chain, true, judge)?;
            *ghost = Some(chain);
        } else {
            let ours = self.owners.get(&self.own).map(|owner| &owner.chain);
            self.check(
                entry,
                ghost.as_ref().or(ours).ok_or(Rejection::NoCertificate)?,
                false,
                judge,
            )?;
        }

        self.floor = entry.version;
        Ok(true)
    }

    fn take(&mut self, entry: Entry, judge: Judge<'_>) -> Result<bool, Rejection> {
        self.check_size(&entry)?;
        if self
            .tombstones
            .get(&entry.owner)
            .is_some_and(|stone| entry.version <= stone.newest)
        {
            return Err(Rejection::Forgotten);
        }

        let held = self.owners.get(&entry.owner);
        if let Some(held) = held {
            match held.entries.get(&entry.kind) {
                Some(older) if entry.version == older.entry.version => return Ok(false),
                Some(older) if entry.version < older.entry.version => return Err(Rejection::Stale),
                _ if entry.version < held.certified => return Err(Rejection::Stale),
                _ => {}
            }
        }

        let fact = decode_fact(&entry)?;
        match (&fact, held) {
            (Fact::Certificate(chain), _) => self.check(&entry, chain, true, judge)?,
            (_, None) => return Err(Rejection::NoCertificate),
            (_, Some(held)) => {
                let is_due = judge.now.saturating_duration_since(held.chain_checked_at)
                    >= self.limits.recheck_chain_after;
                self.check(&entry, &held.chain, is_due, judge)?;
                if is_due && let Some(held) = self.owners.get_mut(&entry.owner) {
                    held.chain_checked_at = judge.now;
                }
            }
        }

        self.make_room(&entry, judge)?;
        self.hold(entry, fact, judge.now);
        Ok(true)
    }

    fn check_size(&self, entry: &Entry) -> Result<(), Rejection> {
        // The longest signature of any key that rustls signs with: RSA with 4,096 bits has 512
        // bytes.
        const SIGNATURE_MAX: usize = 1024;

        let is_small = entry.payload.len() <= self.limits.entry_bytes
            && entry.signature.len() <= SIGNATURE_MAX;
        if is_small {
            Ok(())
        } else {
            Err(Rejection::TooLarge)
        }
    }

    fn check(
        &self,
        entry: &Entry,
        chain: &[Vec<u8>],
        with_chain: bool,
        judge: Judge<'_>,
    ) -> Result<(), Rejection> {
        if with_chain {
            judge
                .verifier
                .check_chain(&entry.owner, chain)
                .map_err(|_| Rejection::BadCertificate)?;
        }

        let message = Entry::signed_bytes(
            &self.mesh,
            &entry.owner,
            entry.kind,
            entry.version,
            &entry.payload,
        )
        .map_err(|_| Rejection::Malformed)?;

        judge
            .verifier
            .check_signature(chain, &message, &entry.signature)
            .map_err(|_| Rejection::BadSignature)
    }

    fn make_room(&mut self, entry: &Entry, judge: Judge<'_>) -> Result<(), Rejection> {
        loop {
            let replaced = self
                .get(&entry.owner, entry.kind)
                .map_or(0, |held| held.entry.size());
            let has_seat =
                self.owners.contains_key(&entry.owner) || self.owners.len() < self.limits.agents;

            if has_seat && self.bytes - replaced + entry.size() <= self.limits.total_bytes {
                return Ok(());
            }

            let dead_longest = self
                .owners
                .iter()
                .filter(|(name, _)| {
                    **name != self.own && **name != entry.owner && !judge.alive.contains(*name)
                })
                .min_by_key(|(_, held)| held.last_seen_at)
                .map(|(name, _)| name.clone());

            self.forget(&dead_longest.ok_or(Rejection::Full)?, judge.now);
        }
    }

    fn hold(&mut self, entry: Entry, fact: Fact, now: Instant) {
        self.tombstones.remove(&entry.owner);
        let owner = self
            .owners
            .entry(entry.owner.clone())
            .or_insert_with(|| Owner {
                entries: BTreeMap::new(),
                chain: Vec::new(),
                certified: EntryVersion::default(),
                chain_checked_at: now,
                last_seen_at: now,
            });

        self.bytes -= owner.bytes();
        if let Fact::Certificate(chain) = &fact {
            // What the old key signed can't be proven to a peer any more: the owner signs it anew,
            // or it was an earlier life's and is void.
            owner.entries.clear();
            owner.chain.clone_from(chain);
            owner.certified = entry.version;
            owner.chain_checked_at = now;
        }

        owner.last_seen_at = now;
        let kind = entry.kind;
        owner.entries.insert(
            kind,
            SeenEntry {
                entry: Arc::new(entry),
                fact: Arc::new(fact),
                seen_at: now,
            },
        );

        self.bytes += owner.bytes();
    }
}

impl Owner {
    fn bytes(&self) -> usize {
        self.entries.values().map(|held| held.entry.size()).sum()
    }

    fn newest(&self) -> EntryVersion {
        self.entries
            .values()
            .map(|held| held.entry.version)
            .max()
            .unwrap_or_default()
    }

    fn digest(&self) -> OwnerDigest {
        // FNV-1a: a fingerprint that costs nothing; a collision only delays the repair until the
        // owner's next change.
        const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;

        const PRIME: u64 = 0x0000_0100_0000_01b3;

        let words = self.entries.iter().flat_map(|(kind, held)| {
            let version = held.entry.version;
            [*kind as u64, version.started_ms, version.counter]
        });
        let contents = words.flat_map(u64::to_le_bytes).fold(OFFSET, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(PRIME)
        });

        OwnerDigest {
            newest: self.newest(),
            contents: Some(contents),
        }
    }

    fn lacked(&self, lack: Lack) -> Vec<&Entry> {
        let is_lacked = |entry: &Entry| match lack {
            Lack::Nothing => false,
            Lack::NewerThan(version) => entry.version > version,
            Lack::Something => true,
        };
        let mut entries: Vec<&Entry> = self
            .entries
            .values()
            .map(|held| &*held.entry)
            .filter(|entry| is_lacked(entry))
            .collect();

        entries.sort_by_key(|entry| entry.version);
        entries
    }
}

fn decode_fact(entry: &Entry) -> Result<Fact, Rejection> {
    let fact: Fact = codec::decode(&entry.payload).map_err(|_| Rejection::Malformed)?;
    if fact.kind() == entry.kind {
        Ok(fact.printable())
    } else {
        Err(Rejection::Malformed)
    }
}
