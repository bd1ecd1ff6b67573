//! The models' part of a region's object store: files, manifests, claims, aliases and deletions.

use rand::{Rng, rngs::StdRng};
use std::{collections::BTreeMap, sync::Arc};

pub(crate) type Bytes = Arc<[u8]>;

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

    /// A random number of this store.
    pub(super) fn draw(&mut self) -> u64 {
        self.rng.next_u64()
    }

    pub(super) fn put(&mut self, path: &str, bytes: Bytes, now_ms: u64) -> Change {
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

    pub(super) fn delete(&mut self, path: &str) -> Option<Change> {
        let before = self.objects.remove(path)?;
        Some(Change {
            path: path.to_owned(),
            before: Some(before.bytes),
        })
    }

    pub(super) fn list(&self, prefix: &str) -> Vec<Listed> {
        let listed = self.range(prefix).map(|(path, object)| Listed {
            path: path.clone(),
            tag: object.tag,
            size: object.bytes.len() as u64,
            modified_ms: object.modified_ms,
        });
        listed.collect()
    }
}
