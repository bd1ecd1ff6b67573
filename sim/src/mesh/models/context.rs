//! What the work of one process shares, and how it waits: each piece of work is an `async`
//! function, polled when what it waits for has happened.

use super::objects::{Bytes, Listed, Operation, Outcome};
use crate::mesh::{
    node::{Answer, CallError, Peer, Question, Ticket},
    sometimes::Sometimes,
};
use regionmesh_protocol::{
    clock::HybridTime,
    identity::{AgentId, RegionName},
    models::{catalogue::Catalogue, digest::Digest, manifest::VersionSummary},
};
use std::{
    cell::RefCell,
    collections::BTreeMap,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Poll, Waker},
};

/// Tickets of work: those of cores are lower, those of a thief higher.
const WORK_TICKETS: Ticket = 1 << 61;
const WORK_TICKETS_END: Ticket = 1 << 62;

/// Whether some work waits for the answer with this ticket.
pub(crate) fn is_works(ticket: Ticket) -> bool {
    (WORK_TICKETS..WORK_TICKETS_END).contains(&ticket)
}

/// What work waits for.
#[derive(Debug)]
pub(crate) enum Request {
    /// An operation of the region's store.
    Store(Operation),
    Ask {
        to: Peer,
        question: Question,
        timeout_ms: u64,
    },
    Sleep(u64),
    /// The connected agents of other regions.
    Linked,
}

/// What happened.
#[derive(Debug)]
pub(crate) enum Response {
    Store(Outcome),
    Answer(Result<Answer, CallError>),
    Slept,
    Linked(Vec<AgentId>),
}

/// Why work failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WorkError {
    /// The store failed or timed out.
    Store,
    NotFound,
    /// The store acknowledged an object that it did not keep.
    NotStored(String),
    /// The version exists with other content.
    Exists,
    /// Another writer holds the version's claim.
    Claimed,
    /// No source delivered.
    Peer(String),
    /// A document that can't be read.
    Unreadable(String),
}

pub(crate) type Worked<T> = Result<T, WorkError>;

/// What the pieces of work of one process share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) id: AgentId,
    /// Differs in each process of the agent.
    pub(super) boot: u32,
    pub(super) now_ms: u64,
    unix_ms: u64,
    clock: HybridTime,
    /// Publications in progress.
    pub(super) announced: Vec<VersionSummary>,
    /// The claims that writers of this process hold.
    pub(super) active: BTreeMap<String, usize>,
    pub(super) has_leftovers: bool,
    /// Whether this process wrote to the store since the core was told.
    pub(super) has_changed: bool,
    /// The manifests, aliases and deletions that were read, with the tags of their objects.
    pub(super) seen: BTreeMap<String, (u64, Bytes)>,
    /// What other regions hold, as last read.
    pub(super) peers: BTreeMap<RegionName, (Digest, Arc<Catalogue>)>,
    /// The own region's catalogue, encoded, as peers read it.
    pub(super) pages: Option<(Digest, Vec<u8>)>,
    /// Files of interrupted fetches by content.
    pub(super) staging: BTreeMap<Digest, BTreeMap<usize, Bytes>>,
    pub(super) reached: Vec<Sometimes>,
    pub(super) notes: Vec<String>,
    requests: Vec<(Ticket, Request)>,
    responses: BTreeMap<Ticket, Response>,
    /// Which piece of work waits for what.
    waiting: BTreeMap<Ticket, u64>,
    next_ticket: Ticket,
    /// The piece of work that is being polled.
    current: u64,
    /// Counts what has to differ: tokens of claims.
    drawn: u64,
}

/// The shared part of one process's work.
#[derive(Debug, Clone)]
pub(crate) struct Context(Rc<RefCell<Shared>>);

/// Waits for the response to one request.
#[must_use]
pub(super) struct Call {
    context: Context,
    ticket: Ticket,
}

impl Future for Call {
    type Output = Response;

    fn poll(self: Pin<&mut Self>, _: &mut std::task::Context<'_>) -> Poll<Response> {
        let response = self.context.with(|it| it.responses.remove(&self.ticket));
        response.map_or(Poll::Pending, Poll::Ready)
    }
}

/// A write in progress: the core learns of it at its end, even of a failed one.
#[must_use]
pub(super) struct Write(Context);

impl Drop for Write {
    fn drop(&mut self) {
        self.0.with(|it| it.has_changed = true);
    }
}

impl Context {
    pub(super) fn new(
        id: AgentId,
        boot: u32,
        staging: BTreeMap<Digest, BTreeMap<usize, Bytes>>,
    ) -> Self {
        Self(Rc::new(RefCell::new(Shared {
            id,
            boot,
            now_ms: 0,
            unix_ms: 0,
            clock: HybridTime::default(),
            announced: Vec::new(),
            active: BTreeMap::new(),
            has_leftovers: false,
            has_changed: false,
            seen: BTreeMap::new(),
            peers: BTreeMap::new(),
            pages: None,
            staging,
            reached: Vec::new(),
            notes: Vec::new(),
            requests: Vec::new(),
            responses: BTreeMap::new(),
            waiting: BTreeMap::new(),
            next_ticket: WORK_TICKETS,
            current: 0,
            drawn: 0,
        })))
    }

    /// Reads or changes the shared part. Never held across a wait.
    pub(super) fn with<T>(&self, take: impl FnOnce(&mut Shared) -> T) -> T {
        take(&mut self.0.borrow_mut())
    }

    /// Polls a piece of work.
    pub(super) fn poll<T>(
        &self,
        number: u64,
        work: &mut Pin<Box<dyn Future<Output = T>>>,
        now_ms: u64,
        unix_ms: u64,
    ) -> Poll<T> {
        self.with(|it| {
            it.current = number;
            it.now_ms = now_ms;
            it.unix_ms = unix_ms;
        });

        let mut context = std::task::Context::from_waker(Waker::noop());
        work.as_mut().poll(&mut context)
    }

    /// Keeps a response; returns the piece of work that waits for it.
    pub(super) fn respond(&self, ticket: Ticket, response: Response) -> Option<u64> {
        self.with(|it| {
            let number = it.waiting.remove(&ticket)?;
            it.responses.insert(ticket, response);
            Some(number)
        })
    }

    pub(super) fn take_requests(&self) -> Vec<(Ticket, Request)> {
        self.with(|it| std::mem::take(&mut it.requests))
    }

    pub(super) fn ask(&self, request: Request) -> Call {
        let ticket = self.with(|it| {
            it.next_ticket += 1;
            it.waiting.insert(it.next_ticket, it.current);
            it.requests.push((it.next_ticket, request));
            it.next_ticket
        });
        let context = self.clone();
        Call { context, ticket }
    }

    pub(super) fn write(&self) -> Write {
        Write(self.clone())
    }

    pub(super) fn count(&self, state: Sometimes) {
        self.with(|it| it.reached.push(state));
    }

    pub(super) fn note(&self, line: String) {
        self.with(|it| it.notes.push(line));
    }

    pub(super) fn region(&self) -> RegionName {
        self.with(|it| it.id.region.clone())
    }

    /// A token that no other process draws.
    pub(super) fn token(&self, what: &str) -> String {
        self.with(|it| {
            it.drawn += 1;
            format!("{what} {} {} {}", it.id, it.boot, it.drawn)
        })
    }

    /// A time later than every time given or observed before.
    pub(super) fn next_time(&self) -> HybridTime {
        self.with(|it| {
            it.clock = it.clock.next(it.unix_ms);
            it.clock
        })
    }

    pub(super) fn advance_to(&self, time: HybridTime) {
        self.with(|it| it.clock = it.clock.observe(time, it.unix_ms));
    }

    /// Advances the clock past every time in a catalogue.
    pub(super) fn observe(&self, catalogue: &Catalogue) {
        let versions = catalogue.versions.iter().map(|version| version.published);
        let aliases = catalogue.aliases.iter().map(|alias| alias.set);
        let deletions = catalogue.tombstones.iter().map(|stone| stone.deleted);
        for time in versions.chain(aliases).chain(deletions) {
            self.advance_to(time);
        }
    }

    pub(super) async fn sleep(&self, ms: u64) {
        self.ask(Request::Sleep(ms)).await;
    }

    async fn operate(&self, operation: Operation) -> Worked<Outcome> {
        match self.ask(Request::Store(operation)).await {
            Response::Store(Outcome::Failed) => Err(WorkError::Store),
            Response::Store(outcome) => Ok(outcome),
            _ => Err(WorkError::Store),
        }
    }

    /// The objects with this prefix, and the store's time.
    pub(super) async fn list(&self, prefix: &str) -> Worked<(Vec<Listed>, u64)> {
        self.list_all(vec![prefix.to_owned()]).await
    }

    pub(super) async fn list_all(&self, prefixes: Vec<String>) -> Worked<(Vec<Listed>, u64)> {
        match self.operate(Operation::List(prefixes)).await? {
            Outcome::Listed(objects, now_ms) => Ok((objects, now_ms)),
            _ => Err(WorkError::Store),
        }
    }

    pub(super) async fn get_all(&self, paths: Vec<String>) -> Worked<Vec<Option<Bytes>>> {
        if paths.is_empty() {
            return Ok(Vec::new());
        }
        match self.operate(Operation::Get(paths)).await? {
            Outcome::Got(bytes) => Ok(bytes),
            _ => Err(WorkError::Store),
        }
    }

    pub(super) async fn get(&self, path: &str) -> Worked<Option<Bytes>> {
        let got = self.get_all(vec![path.to_owned()]).await?;
        Ok(got.into_iter().flatten().next())
    }

    pub(super) async fn put(&self, path: String, bytes: Bytes) -> Worked<()> {
        self.operate(Operation::Put(path, bytes)).await.map(drop)
    }

    /// Puts an object if it is absent; returns whether it was, as far as the store says.
    pub(super) async fn put_if_absent(&self, path: String, bytes: Bytes) -> Worked<bool> {
        let outcome = self.operate(Operation::Create(path, bytes)).await?;
        Ok(!matches!(outcome, Outcome::Exists))
    }

    pub(super) async fn copy(&self, from: String, to: String) -> Worked<()> {
        match self.operate(Operation::Copy { from, to }).await? {
            Outcome::NotFound => Err(WorkError::NotFound),
            _ => Ok(()),
        }
    }

    pub(super) async fn delete(&self, path: &str) -> Worked<()> {
        let operation = Operation::Delete(path.to_owned());
        self.operate(operation).await.map(drop)
    }

    /// Creates an object unless it exists, and always reads it back.
    pub(super) async fn create(&self, path: String, bytes: Bytes) -> Worked<Bytes> {
        let put = self.put_if_absent(path.clone(), bytes).await;
        match (self.get(&path).await, put) {
            (Ok(Some(stored)), _) => Ok(stored),
            (_, Err(error)) => Err(error),
            (Ok(None), Ok(_)) => Err(WorkError::NotStored(path)),
            (Err(error), Ok(_)) => Err(error),
        }
    }
}
