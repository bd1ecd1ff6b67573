//! Operations on a store's objects, and the faults of them.

use super::objects::{Change, Operation, Outcome};
use crate::mesh::store::Store;

/// A request that outlives its process reaches the store within this time, before the next process
/// of that agent starts: the next one takes over its claims.
const WAY_MAX_MS: u64 = 100;

impl Store {
    /// The time from a client to the store.
    pub(crate) fn way_ms(&mut self) -> u64 {
        self.way_back_ms().min(WAY_MAX_MS)
    }

    /// The time from the store to a client.
    pub(crate) fn way_back_ms(&mut self) -> u64 {
        (1 + self.objects.draw() % 12) * self.slowness()
    }

    /// Runs an operation on objects. Returns its outcome, and what it changed.
    pub(crate) fn run_on_objects(
        &mut self,
        operation: &Operation,
        now_ms: u64,
    ) -> (Outcome, Option<Change>) {
        let draw = self.objects.draw();
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
