//! The models' part of a region's object store: files, manifests, claims, aliases and deletions.

use crate::mesh::store::Store;
use rand::{Rng, rngs::StdRng};
use std::{collections::BTreeMap, sync::Arc};

pub(crate) type Bytes = Arc<[u8]>;

/// A request that outlives its process reaches the store within this time, before the next process
/// of that agent starts: the next one takes over its claims.
const WAY_MAX_MS: u64 = 100;

/// An operation on objects.
#[derive(Debug, Clone)]
pub(crate) enum Operation {
    /// All objects with these prefixes.
    List(Vec<String>),
    /// Several at once.
    Get(Vec<String>),
    Put(String, Bytes),
    /// Put if absent.
    Create(String, Bytes),
    Copy {
        from: String,
        to: String,
    },
    Delete(String),
}

/// How an operation on objects ended.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// The objects, and the store's time.
    Listed(Vec<Listed>, u64),
    Got(Vec<Option<Bytes>>),
    Done,
    /// There is such an object (412).
    Exists,
    NotFound,
    /// An error (503) or no reply.
    Failed,
}

impl Outcome {
    /// For the trace.
    pub(crate) fn kind(&self) -> u8 {
        match self {
            Self::Listed(..) => 0,
            Self::Got(_) => 1,
            Self::Done => 2,
            Self::Exists => 3,
            Self::NotFound => 4,
            Self::Failed => 5,
        }
    }
}

/// An object in a listing.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub(crate) path: String,
    /// Differs for each write.
    pub(crate) tag: u64,
    pub(crate) size: u64,
    pub(crate) modified_ms: u64,
}

/// An object that an operation wrote or deleted.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) path: String,
    pub(crate) before: Option<Bytes>,
}

#[derive(Debug)]
struct Object {
    bytes: Bytes,
    tag: u64,
    modified_ms: u64,
}

/// The objects of one store.
#[derive(Debug)]
pub(crate) struct Objects {
    objects: BTreeMap<String, Object>,
    rng: StdRng,
    writes: u64,
}

impl Objects {
    pub(crate) fn new(rng: StdRng) -> Self {
        Self {
            objects: BTreeMap::new(),
            rng,
            writes: 0,
        }
    }

    pub(crate) fn get(&self, path: &str) -> Option<&Bytes> {
        self.objects.get(path).map(|object| &object.bytes)
    }

    /// The paths with this prefix, and what is there.
    pub(crate) fn below<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a Bytes)> {
        self.range(prefix)
            .map(|(path, object)| (path.as_str(), &object.bytes))
    }

    fn range<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a String, &'a Object)> {
        self.objects
            .range(prefix.to_owned()..)
            .take_while(move |(path, _)| path.starts_with(prefix))
    }

    /// Deletes an object behind the agents' backs.
    pub(crate) fn lose(&mut self, path: &str) {
        self.objects.remove(path);
    }

    fn put(&mut self, path: &str, bytes: Bytes, now_ms: u64) -> Change {
        self.writes += 1;
        let object = Object {
            bytes,
            tag: self.writes,
            modified_ms: now_ms,
        };
        let before = self.objects.insert(path.to_owned(), object);

        Change {
            path: path.to_owned(),
            before: before.map(|before| before.bytes),
        }
    }

    fn delete(&mut self, path: &str) -> Option<Change> {
        let before = self.objects.remove(path)?;
        Some(Change {
            path: path.to_owned(),
            before: Some(before.bytes),
        })
    }

    fn list(&self, prefix: &str) -> Vec<Listed> {
        let listed = self.range(prefix).map(|(path, object)| Listed {
            path: path.clone(),
            tag: object.tag,
            size: object.bytes.len() as u64,
            modified_ms: object.modified_ms,
        });
        listed.collect()
    }
}

impl Store {
    /// The time from a client to the store.
    pub(crate) fn way_ms(&mut self) -> u64 {
        self.way_back_ms().min(WAY_MAX_MS)
    }

    /// The time from the store to a client.
    pub(crate) fn way_back_ms(&mut self) -> u64 {
        (1 + self.objects.rng.next_u64() % 12) * self.slowness()
    }

    /// Runs an operation on objects. Returns its outcome, and what it changed.
    pub(crate) fn run_on_objects(
        &mut self,
        operation: &Operation,
        now_ms: u64,
    ) -> (Outcome, Option<Change>) {
        let draw = self.objects.rng.next_u64();
        let fate = self.fate(draw);
        if fate.is_refused {
            return (Outcome::Failed, None);
        }

        let objects = &mut self.objects;
        let (outcome, change) = match operation {
            Operation::List(prefixes) => {
                let listed = prefixes.iter().flat_map(|prefix| objects.list(prefix));
                (Outcome::Listed(listed.collect(), now_ms), None)
            }
            Operation::Get(paths) => {
                let got = paths.iter().map(|path| objects.get(path).cloned());
                (Outcome::Got(got.collect()), None)
            }
            Operation::Create(path, _) if objects.get(path).is_some() => (Outcome::Exists, None),
            Operation::Put(..) | Operation::Create(..) if fate.is_forgotten => {
                (Outcome::Done, None)
            }
            Operation::Put(path, bytes) => {
                let change = objects.put(path, bytes.clone(), now_ms);
                (Outcome::Done, Some(change))
            }
            Operation::Create(path, bytes) => {
                let change = objects.put(path, bytes.clone(), now_ms);
                let outcome = match fate.is_repeated {
                    true => Outcome::Exists,
                    false => Outcome::Done,
                };
                (outcome, Some(change))
            }
            Operation::Copy { from, to } => match objects.get(from).cloned() {
                Some(_) if fate.is_forgotten => (Outcome::Done, None),
                Some(bytes) => (Outcome::Done, Some(objects.put(to, bytes, now_ms))),
                None => (Outcome::NotFound, None),
            },
            Operation::Delete(path) => (Outcome::Done, objects.delete(path)),
        };

        match fate.is_reply_lost {
            true => (Outcome::Failed, change),
            false => (outcome, change),
        }
    }
}
