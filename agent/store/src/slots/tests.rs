//! Laws of the slot store: over stores that lose requests and replies, and with rivals that write
//! and compact.

use super::*;
use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    PutMultipartOptions, PutOptions, PutResult, local::LocalFileSystem, memory::InMemory,
};
use prometheus::Registry;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use regionmesh_protocol::{
    plan::Plan,
    register::{
        acceptor::AcceptorReply,
        ballot::{Ballot, Stamp},
        members::{Incarnation, Members},
    },
};
use std::{collections::BTreeMap, fmt};

/// Loses puts and the replies to puts, one in `odds` each, and lets others in between any two
/// operations.
#[derive(Debug)]
struct Faulty {
    inner: Arc<dyn ObjectStore>,
    random: std::sync::Mutex<StdRng>,
    odds: u32,
}

impl Faulty {
    async fn dice(&self) -> u32 {
        let (dice, pause) = {
            let mut random = self.random.lock().unwrap();
            (
                random.random_range(0..self.odds.max(2)),
                random.random_range(0..4),
            )
        };

        for _ in 0..pause {
            tokio::task::yield_now().await;
        }
        if self.odds == 0 { u32::MAX } else { dice }
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty")
    }
}

fn lost() -> object_store::Error {
    object_store::Error::Generic {
        store: "faulty",
        source: "the reply was lost".into(),
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(
        &self,
        at: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        match self.dice().await {
            0 => Err(lost()),
            1 => {
                self.inner.put_opts(at, payload, options).await?;
                self.dice().await;
                Err(lost())
            }
            _ => self.inner.put_opts(at, payload, options).await,
        }
    }
    async fn put_multipart_opts(
        &self,
        at: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, options).await
    }
    async fn get_opts(&self, at: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        self.dice().await;
        self.inner.get_opts(at, options).await
    }
    fn delete_stream(
        &self,
        paths: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.inner.delete_stream(paths)
    }
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.inner.list(prefix)
    }
    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }
    async fn copy_opts(
        &self,
        from: &Path,
        to: &Path,
        options: CopyOptions,
    ) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

fn faulty(inner: &Arc<dyn ObjectStore>, seed: u64, odds: u32) -> Arc<dyn ObjectStore> {
    Arc::new(Faulty {
        inner: inner.clone(),
        random: StdRng::seed_from_u64(seed).into(),
        odds,
    })
}

fn slots(store: &Arc<dyn ObjectStore>) -> SlotStore {
    let metrics = SlotMetrics::new(&Registry::new()).unwrap();
    SlotStore::new(
        store.clone(),
        &Path::from("mesh"),
        "region",
        Duration::from_secs(5),
        metrics,
    )
}

fn memory() -> Arc<dyn ObjectStore> {
    Arc::new(InMemory::new())
}

fn ballot(number: u64) -> Ballot {
    Ballot {
        number,
        agent: "r/a".parse().unwrap(),
        boot: 1,
    }
}

fn accept(number: u64, seq: u64, reason: &str) -> AcceptorRequest {
    let acceptors = [("r".parse().unwrap(), Some(Incarnation(1)))].into();
    let members = Members {
        register: 7,
        acceptors,
    };
    let plan = Plan {
        reason: reason.into(),
        members,
        ..Plan::default()
    };

    AcceptorRequest::Accept(
        Stamp {
            ballot: ballot(number),
            seq,
        },
        plan,
    )
}

async fn apply(slots: &SlotStore, request: &AcceptorRequest) -> Result<AcceptorReply, SlotError> {
    slots.apply(request).await.map(|answer| answer.reply)
}

async fn state(slots: &SlotStore) -> AcceptorState {
    match apply(slots, &AcceptorRequest::Read).await.unwrap() {
        AcceptorReply::State(state) => state,
        other => panic!("{other:?}"),
    }
}

async fn numbers(store: &Arc<dyn ObjectStore>) -> Vec<u64> {
    let listed: Vec<_> = store.list(None).try_collect().await.unwrap();
    let mut numbers: Vec<_> = listed
        .iter()
        .filter_map(|meta| slot_number(&meta.location))
        .collect();

    numbers.sort_unstable();
    numbers
}

#[tokio::test]
async fn what_was_promised_and_accepted_is_there_for_another_process_and_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let on_disk: Arc<dyn ObjectStore> = Arc::new(
        LocalFileSystem::new_with_prefix(dir.path())
            .unwrap()
            .with_fsync(true),
    );

    for store in [memory(), on_disk] {
        let first = slots(&store);
        let promise = apply(&first, &AcceptorRequest::Prepare(ballot(2)))
            .await
            .unwrap();

        assert_eq!(
            promise,
            AcceptorReply::Promised {
                ballot: ballot(2),
                accepted: None
            }
        );

        for seq in 1..40 {
            apply(&first, &accept(2, seq, "x")).await.unwrap();
        }

        let second = slots(&store);
        let refused = apply(&second, &AcceptorRequest::Prepare(ballot(1)))
            .await
            .unwrap();

        assert_eq!(
            refused,
            AcceptorReply::Refused {
                promised: ballot(2)
            }
        );

        assert_eq!(state(&second).await.accepted.unwrap().0.seq, 39);
        let deadline = std::time::Instant::now() + Duration::from_secs(5);
        // An empty slot, the beginning, a promise and 39 values.
        while numbers(&store).await != [41, 42] {
            assert!(
                std::time::Instant::now() < deadline,
                "{:?}",
                numbers(&store).await
            );

            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_lost_put_reply_is_resolved_by_reading_the_slot() {
    for seed in 0..300 {
        let store = memory();
        let unreliable = slots(&faulty(&store, seed, 4));
        let mut accepted = 0;

        for seq in 1..20 {
            match apply(&unreliable, &accept(1, seq, &format!("{seq}"))).await {
                Ok(AcceptorReply::Accepted(stamp)) => accepted = stamp.seq,
                Ok(other) => panic!("seed {seed}: {other:?}"),
                Err(error) => assert!(
                    matches!(error, SlotError::Store { .. }),
                    "seed {seed}: {error}"
                ),
            }
        }

        let found = state(&slots(&store))
            .await
            .accepted
            .map_or(0, |(stamp, _)| stamp.seq);

        assert!(
            found >= accepted,
            "seed {seed}: {accepted} was confirmed, {found} is there"
        );
    }
}

#[tokio::test]
async fn a_stale_writer_whose_slot_number_was_compacted_away_does_not_succeed() {
    let store = memory();
    let stale = slots(&store);
    apply(&stale, &accept(1, 1, "old")).await.unwrap();

    let busy = slots(&store);
    apply(&busy, &AcceptorRequest::Prepare(ballot(9)))
        .await
        .unwrap();
    for seq in 1..40 {
        apply(&busy, &accept(9, seq, "new")).await.unwrap();
    }

    // The stale writer's next slot is free again.
    for number in 1..20 {
        let _ = store.delete(&stale.path(number)).await;
    }

    let answer = apply(&stale, &accept(1, 2, "stale")).await.unwrap();
    assert_eq!(
        answer,
        AcceptorReply::Refused {
            promised: ballot(9)
        }
    );

    let now = state(&slots(&store)).await;
    assert_eq!(
        now.accepted.unwrap().0,
        Stamp {
            ballot: ballot(9),
            seq: 39
        }
    );
}

#[tokio::test]
async fn a_read_sees_what_another_process_wrote() {
    let store = memory();
    let reader = slots(&store);
    let writer = slots(&store);

    for number in 1..40 {
        apply(&writer, &AcceptorRequest::Prepare(ballot(number)))
            .await
            .unwrap();
        assert_eq!(state(&reader).await.promised, Some(ballot(number)));
    }
}

/// Rivals on one store: for one stamp at most one value is ever confirmed, and nothing below a
/// confirmed promise is confirmed after it.
#[tokio::test]
async fn rivals_on_one_store_are_one_acceptor() {
    for seed in 0..150 {
        let store = memory();
        let log = Arc::new(std::sync::Mutex::new(Vec::new()));
        let rivals = (0..4u64).map(|rival| {
            let slots = slots(&faulty(&store, seed * 10 + rival, 10));
            let log = log.clone();
            let mut random = StdRng::seed_from_u64(seed ^ (rival << 32));

            async move {
                for _ in 0..40 {
                    let number = random.random_range(1..60);
                    let request = if random.random_bool(0.3) {
                        AcceptorRequest::Prepare(ballot(number))
                    } else {
                        accept(number, random.random_range(1..3), &format!("by {rival}"))
                    };
                    let asked_at = log.lock().unwrap().len();

                    if let Ok(reply) = apply(&slots, &request).await {
                        log.lock().unwrap().push((asked_at, request, reply));
                    }
                }
            }
        });

        futures::future::join_all(rivals).await;
        let log = log.lock().unwrap();
        let mut values = BTreeMap::new();

        for (at, (asked_at, request, reply)) in log.iter().enumerate() {
            if let (AcceptorRequest::Accept(stamp, value), AcceptorReply::Accepted(_)) =
                (request, reply)
            {
                let first = values.entry(stamp.clone()).or_insert_with(|| value.clone());
                assert_eq!(first, value, "seed {seed}: two values for {stamp}");
            }

            let AcceptorReply::Promised {
                ballot: promised,
                accepted,
            } = reply
            else {
                continue;
            };

            for (later_asked, later_request, later_reply) in &log[at..] {
                let AcceptorReply::Accepted(stamp) = later_reply else {
                    continue;
                };
                let is_repeat = matches!((accepted, later_request),
                    (Some((old, _)), AcceptorRequest::Accept(new, _)) if old >= new);

                assert!(
                    *later_asked <= at || stamp.ballot >= *promised || is_repeat,
                    "seed {seed}: {stamp} was accepted after {promised} was promised (asked at \
                        {asked_at})"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_slot_that_is_not_one_silences_the_acceptor_and_other_files_do_not() {
    let store = memory();
    store
        .put(&Path::from("mesh/register/acc/readme.txt"), "x".into())
        .await
        .unwrap();

    let slots = slots(&store);
    apply(&slots, &AcceptorRequest::Prepare(ballot(1)))
        .await
        .unwrap();
    store
        .put(&Path::from("mesh/register/acc/0000000004"), "x".into())
        .await
        .unwrap();

    assert!(matches!(
        apply(&slots, &AcceptorRequest::Read).await,
        Err(SlotError::Corrupt { .. })
    ));
}

/// Waits until compaction has left two slots.
async fn compacted(store: &Arc<dyn ObjectStore>) -> Vec<u64> {
    let deadline = std::time::Instant::now() + Duration::from_secs(5);
    loop {
        let left = numbers(store).await;
        if left.len() == 2 {
            return left;
        }
        assert!(std::time::Instant::now() < deadline, "{left:?}");
        tokio::task::yield_now().await;
    }
}

/// Whichever slots are deleted, each agent of the region, whatever it remembers, answers as another
/// acceptor from then on, all as the same one, and nothing of the old state is left.
#[tokio::test]
async fn an_acceptor_that_lost_slots_never_goes_on_as_the_one_that_it_was() {
    for seed in 0..200 {
        let store = memory();
        let mut random = StdRng::seed_from_u64(seed);
        let agents: Vec<_> = (0..3).map(|_| slots(&store)).collect();

        for seq in 1..random.random_range(2..12) {
            // Some sleep over many writes.
            let agent = &agents[random.random_range(0..3)];
            agent.apply(&accept(5, seq, "old")).await.unwrap();
        }

        let before = slots(&store)
            .apply(&AcceptorRequest::Read)
            .await
            .unwrap()
            .incarnation;
        let left = compacted(&store).await;
        let lost: &[u64] = match random.random_range(0..3) {
            0 => &left,
            1 => &left[1..],
            _ => &left[..1],
        };

        for number in lost {
            store.delete(&agents[0].path(*number)).await.unwrap();
        }

        let late = slots(&store);
        let request = AcceptorRequest::Prepare(ballot(1));
        let answers = agents
            .iter()
            .chain([&late])
            .map(|agent| agent.apply(&request));
        let answers: Vec<_> = futures::future::join_all(answers)
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();

        for answer in &answers {
            assert_ne!(
                answer.incarnation, before,
                "seed {seed}: lost {lost:?} of {left:?}"
            );

            assert_eq!(
                answer.reply,
                AcceptorReply::Promised {
                    ballot: ballot(1),
                    accepted: None
                },
                "seed {seed}"
            );
        }

        // One that remembers a higher slot begins once more; then they are one acceptor again.
        let mut now = Vec::new();
        for agent in agents.iter().chain([&late]) {
            now.push(
                agent
                    .apply(&AcceptorRequest::Read)
                    .await
                    .unwrap()
                    .incarnation,
            );
        }

        assert!(
            now.iter().all(|incarnation| *incarnation == now[0]),
            "seed {seed}: {now:?}"
        );
    }
}

#[tokio::test]
async fn a_slot_of_another_version_is_named_as_such() {
    let store = memory();
    store
        .put(
            &Path::from("mesh/register/acc/0000000001"),
            vec![0; 40].into(),
        )
        .await
        .unwrap();

    let refused = apply(&slots(&store), &AcceptorRequest::Read)
        .await
        .unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("another version of regionmesh"),
        "{refused}"
    );
}

/// A store that refuses every write (full), or answers nothing, for as long as it is told to.
#[derive(Debug)]
struct Troubled {
    inner: Arc<dyn ObjectStore>,
    is_full: std::sync::atomic::AtomicBool,
    is_silent: std::sync::atomic::AtomicBool,
}

impl fmt::Display for Troubled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("troubled")
    }
}

#[async_trait]
impl ObjectStore for Troubled {
    async fn put_opts(
        &self,
        at: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        if self.is_full.load(Ordering::Relaxed) {
            let source = "no space left on device (os error 28)".into();
            return Err(object_store::Error::Generic {
                store: "troubled",
                source,
            });
        }

        self.inner.put_opts(at, payload, options).await
    }
    async fn put_multipart_opts(
        &self,
        at: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, options).await
    }
    async fn get_opts(&self, at: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        self.inner.get_opts(at, options).await
    }
    fn delete_stream(
        &self,
        paths: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.inner.delete_stream(paths)
    }
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        if self.is_silent.load(Ordering::Relaxed) {
            Box::pin(futures::stream::pending())
        } else {
            self.inner.list(prefix)
        }
    }
    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }
    async fn copy_opts(
        &self,
        from: &Path,
        to: &Path,
        options: CopyOptions,
    ) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[tokio::test]
async fn a_full_or_silent_store_is_told_of_once_and_takes_no_promise_that_it_did_not_keep() {
    let troubled = Arc::new(Troubled {
        inner: memory(),
        is_full: false.into(),
        is_silent: false.into(),
    });
    let store: Arc<dyn ObjectStore> = troubled.clone();
    let metrics = SlotMetrics::new(&Registry::new()).unwrap();
    let slots = SlotStore::new(
        store,
        &Path::from("mesh"),
        "witness",
        Duration::from_millis(20),
        metrics.clone(),
    );

    slots.apply(&accept(3, 1, "kept")).await.unwrap();
    let errors = |reason| metrics.errors.with_label_values(&["witness", reason]).get();

    troubled.is_full.store(true, Ordering::Relaxed);
    for number in 4..7 {
        let error = slots
            .apply(&AcceptorRequest::Prepare(ballot(number)))
            .await
            .unwrap_err()
            .to_string();

        assert!(
            error.contains("witness store") && error.contains("no space left"),
            "{error}"
        );
    }

    assert_eq!(
        (errors("store"), slots.told.lock().unwrap().untold),
        (3, 2),
        "told once, counted each time"
    );

    // What is there can be read meanwhile.
    let AcceptorReply::State(state) = apply(&slots, &AcceptorRequest::Read).await.unwrap() else {
        panic!("no state")
    };
    assert_eq!(state.promised, Some(ballot(3)));
    assert!(
        slots.told.lock().unwrap().failing_since.is_some(),
        "an answer to a read does not end it"
    );

    troubled.is_full.store(false, Ordering::Relaxed);

    troubled.is_silent.store(true, Ordering::Relaxed);
    let error = slots.apply(&AcceptorRequest::Read).await.unwrap_err();
    assert!(
        matches!(
            error,
            SlotError::TimedOut {
                acceptor: "witness",
                action: "list",
                ..
            }
        ),
        "{error}"
    );

    assert_eq!(errors("timeout"), 1);
    troubled.is_silent.store(false, Ordering::Relaxed);

    let promised = apply(&slots, &AcceptorRequest::Prepare(ballot(9)))
        .await
        .unwrap();
    assert!(
        matches!(promised, AcceptorReply::Promised { .. }),
        "{promised:?}"
    );
}
