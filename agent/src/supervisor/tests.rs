#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;

struct Fragile;
enum FragileMessage {
    Panic,
    Ask(ractor::RpcReplyPort<u32>),
}
impl ractor::Message for FragileMessage {}
impl Actor for Fragile {
    type Msg = FragileMessage;
    type State = ();
    type Arguments = ();
    async fn pre_start(
        &self,
        _: ActorRef<FragileMessage>,
        (): (),
    ) -> Result<(), ActorProcessingErr> {
        Ok(())
    }
    async fn handle(
        &self,
        _: ActorRef<FragileMessage>,
        message: FragileMessage,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        match message {
            FragileMessage::Panic => panic!("as asked"),
            FragileMessage::Ask(reply) => reply.send(7).map_err(Into::into),
        }
    }
}

async fn eventually(
    health: &mut Health,
    claim: impl Fn(&BTreeMap<&'static str, ChildHealth>) -> bool,
) {
    tokio::time::timeout(Duration::from_secs(20), health.wait_for(|all| claim(all)))
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_child_that_panics_or_is_killed_is_restarted_without_affecting_its_sibling() {
    let first = Address::vacant("first");
    let second = Address::vacant("second");
    let (health, mut seen) = watch::channel(Arc::default());
    let children = vec![
        Child::new("first", || Fragile, (), first.clone()),
        Child::new("second", || Fragile, (), second.clone()),
    ];
    let metrics = SupervisorMetrics::new(&Registry::new()).unwrap();
    let (supervisor, _) = Actor::spawn(
        None,
        Supervisor,
        SupervisorArguments {
            children,
            metrics,
            health,
        },
    )
    .await
    .unwrap();

    eventually(&mut seen, |all| {
        all.values().filter(|child| child.is_running).count() == 2
    })
    .await;

    let sibling = second.actor().unwrap().get_id();

    first.cast(FragileMessage::Panic).unwrap();
    eventually(&mut seen, |all| {
        all["first"].restarts == 1 && all["first"].is_running
    })
    .await;

    assert!(seen.borrow()["first"].last_error.contains("as asked"));
    supervisor.cast(SupervisorMessage::Kill("first")).unwrap();
    eventually(&mut seen, |all| {
        all["first"].restarts == 2 && all["first"].is_running
    })
    .await;

    assert_eq!(
        first
            .call(FragileMessage::Ask, Duration::from_secs(1))
            .await,
        Ok(7)
    );

    assert_eq!(second.actor().unwrap().get_id(), sibling);
    assert_eq!(seen.borrow()["second"].restarts, 0);
    supervisor.stop(None);
}
