//! Events and alerts of a real mesh: a real Alertmanager, a webhook that is unwilling, slow or
//! dead, a stream that goes on.

use futures::future::join_all;
use regionmesh::config::{AlertsConfig, Config};
use regionmesh_tests::{
    alertmanager::{self, Alertmanager},
    api::Api,
    mesh::{Setup, TestMesh, binary},
    receiver::{Message, Receiver, Treatment},
    serve::{Serve, apart},
    skip::has_program,
    wait::{claim, seconds, until},
};
use serde_json::Value;
use std::{collections::BTreeMap, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

const FAILED: &str = "RegionMeshRegionFailed";

/// A mesh whose regions' models are served by processes of their own: agents may die and nothing
/// else.
async fn mesh_apart(change: impl Fn(&mut Config)) -> (TestMesh, Vec<Option<Serve>>) {
    let mesh = TestMesh::prepare(Setup {
        adjust: Some(apart),
        ..Setup::default()
    })
    .await;

    mesh.configure(change);
    let servings = join_all(mesh.agents().iter().map(Serve::start)).await;
    mesh.start().await.unwrap_or_else(|error| panic!("{error}"));
    mesh.settled().await;
    (mesh, servings.into_iter().map(Some).collect())
}

fn alerts(text: &str) -> AlertsConfig {
    toml::from_str(text).unwrap()
}

/// How often each event was taken.
fn counts(messages: &[Message]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for message in messages {
        *counts
            .entry(message.header("idempotency-key").to_owned())
            .or_default() += 1;
    }

    counts
}

/// Notifications about one region's failure, by status.
fn notifications(receiver: &Receiver, region: &str) -> (usize, usize) {
    let messages = receiver.taken();
    let about = messages.iter().flat_map(|message| {
        message.body["alerts"]
            .as_array()
            .cloned()
            .unwrap_or_default()
    });

    let about: Vec<Value> = about
        .filter(|alert| {
            alert["labels"]["alertname"] == FAILED && alert["labels"]["region"] == region
        })
        .collect();
    let count = |status: &str| {
        about
            .iter()
            .filter(|alert| alert["status"] == status)
            .count()
    };

    (count("firing"), count("resolved"))
}

async fn sum(apis: &[Api], metric: &str, labels: &[&str]) -> f64 {
    let mut sum = 0.0;
    for api in apis {
        sum += api.metric(metric, labels).await.expect("metrics");
    }
    sum
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_region_is_one_alert_until_it_returns_also_when_the_leader_dies_meanwhile() {
    if !has_program(alertmanager::PROGRAM.0, alertmanager::PROGRAM.1) {
        return;
    }

    let notified = Receiver::start([]).await;
    let hook = {
        let unwilling = Treatment {
            answer: 503,
            pause: Duration::ZERO,
        };
        let slow = Treatment {
            answer: 200,
            pause: Duration::from_millis(800),
        };

        Receiver::start([unwilling, unwilling, slow]).await
    };

    let manager = Alertmanager::start(&notified.url()).await;
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "the-secret\n").unwrap();

    let section = format!(
        r#"
        [[receivers]]
        name = "manager"
        kind = "alertmanager"
        url = "{}"
        resend_s = 10
        [[receivers]]
        name = "hook"
        kind = "webhook"
        url = "{}"
        secret_file = "{}"
        [[receivers]]
        name = "nobody"
        kind = "webhook"
        url = "http://127.0.0.1:9/"
        "#,
        manager.url(),
        hook.url(),
        secret.path().display()
    );

    let (mesh, mut servings) = mesh_apart(|config| config.alerts = alerts(&section)).await;
    let (leader, _) = mesh.leader(seconds(20)).await;
    let led_from = mesh.region_of(&leader);
    let out = mesh.others(led_from)[0];
    let name = mesh.region(out).to_owned();
    let wanted = [
        format!("verdict:{name}:failed:"),
        "leader:".to_owned(),
        format!("verdict:{name}:healthy:"),
    ];

    servings[out].take().unwrap().kill().await;
    let fired = until("Alertmanager fires", seconds(30), async || {
        let firing = manager.firing(FAILED).await?;
        claim(firing.len() == 1, || format!("{firing:?}"))?;
        Ok(firing[0].clone())
    })
    .await;

    assert_eq!(
        (&fired["labels"]["region"], &fired["labels"]["severity"]),
        (&name.as_str().into(), &"critical".into())
    );

    assert!(
        fired["annotations"]["description"]
            .as_str()
            .unwrap()
            .contains("refused"),
        "{fired}"
    );

    // What the leader is about to deliver when it dies may be delivered twice, with the same key;
    // so it is idle here.
    until(
        "the webhook knows what happened so far",
        seconds(30),
        async || {
            let apis = mesh.running_apis();
            let taken = counts(&hook.taken());
            let queued = sum(&apis, "regionmesh_alerts_queued", &["receiver=\"hook\""]).await;
            let is_told = taken.keys().any(|id| id.starts_with(&wanted[0]));

            claim(is_told && queued == 0.0, || {
                format!("{queued} wait, {taken:?}")
            })
        },
    )
    .await;

    mesh.kill_region(led_from).await;
    mesh.leader_after(&leader, seconds(30)).await;

    // Told again by another agent: the same alert, with the same beginning. Its end moves on.
    let ends = |alert: &Value| alert["endsAt"].as_str().unwrap().to_owned();
    until("the successor tells it on", seconds(40), async || {
        let firing = manager.firing(FAILED).await?;
        assert!(firing.len() == 1, "{firing:?}");
        assert_eq!(
            (&firing[0]["fingerprint"], &firing[0]["startsAt"]),
            (&fired["fingerprint"], &fired["startsAt"])
        );

        let apis = mesh.running_apis();
        let told = sum(
            &apis,
            "regionmesh_alerts_sent_total",
            &["receiver=\"manager\""],
        )
        .await;

        claim(told >= 2.0 && ends(&firing[0]) > ends(&fired), || {
            format!("{told} told, ends {}", ends(&firing[0]))
        })
    })
    .await;

    servings[out] = Some(Serve::start(mesh.agent(out)).await);
    // Told by the mesh: by itself an alert would last for 30 to 40 s after it was told last.
    until("Alertmanager resolves", seconds(25), async || {
        let firing = manager.firing(FAILED).await?;
        claim(firing.is_empty(), || format!("{firing:?}"))
    })
    .await;

    until("one notification each", seconds(20), async || {
        let (firing, resolved) = notifications(&notified, &name);
        assert!(
            firing <= 1 && resolved <= 1,
            "{firing} firing, {resolved} resolved"
        );

        claim((firing, resolved) == (1, 1), || {
            format!("{firing} firing, {resolved} resolved")
        })
    })
    .await;

    // The webhook was told of each, in spite of its moods and of the leader's death, and of none
    // twice.
    until("the webhook knows all", seconds(30), async || {
        let taken = counts(&hook.taken());
        let lacks = wanted
            .iter()
            .find(|start| !taken.keys().any(|id| id.starts_with(*start)));
        claim(lacks.is_none(), || format!("no {lacks:?} in {taken:?}"))
    })
    .await;

    let taken = hook.taken();
    for (id, count) in counts(&taken) {
        assert_eq!(count, 1, "{id} was told {count} times");
    }
    assert_eq!(
        hook.messages()
            .iter()
            .filter(|message| message.answered == 503)
            .count(),
        2
    );

    for message in &taken {
        let id = message.header("idempotency-key");
        assert_eq!(message.body["id"], id);
        assert_eq!(message.body["mesh"], mesh.layout().domain.as_str());
        assert!(
            message
                .header("x-regionmesh-signature")
                .starts_with("sha256="),
            "{id} is not signed"
        );
    }

    // Who never takes anything delays nobody, and is seen in the metrics alone.
    let apis = mesh.running_apis();
    assert!(
        sum(
            &apis,
            "regionmesh_alerts_failed_total",
            &["receiver=\"nobody\""]
        )
        .await
            > 0.0
    );

    assert!(sum(&apis, "regionmesh_alerts_queued", &["receiver=\"nobody\""]).await > 0.0);
    assert_eq!(
        sum(
            &apis,
            "regionmesh_alerts_sent_total",
            &["receiver=\"nobody\""]
        )
        .await,
        0.0
    );

    // The region is on its ramp: there may be an event just now.
    until("nothing waits for the webhook", seconds(30), async || {
        let queued = sum(&apis, "regionmesh_alerts_queued", &["receiver=\"hook\""]).await;
        claim(queued == 0.0, || format!("{queued} wait"))
    })
    .await;
}

/// The events of a stream until `is_enough`: cursor and event.
async fn read_stream(
    api: &Api,
    last: Option<&str>,
    is_enough: impl Fn(&Value) -> bool,
) -> Vec<(String, Value)> {
    let mut request =
        regionmesh_tests::api::client().get(format!("{}/v1/events/stream", api.url()));
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }

    let mut reply = request.send().await.unwrap();
    assert_eq!(reply.status(), 200);

    let mut text = String::new();
    let mut events = Vec::new();
    loop {
        let piece = tokio::time::timeout(seconds(30), reply.chunk())
            .await
            .expect("silence")
            .unwrap()
            .expect("an end");

        text += std::str::from_utf8(&piece).unwrap();
        while let Some((block, rest)) = text.split_once("\n\n") {
            let block = block.to_owned();
            let rest = rest.to_owned();
            text = rest;

            let field = |name: &str| {
                block
                    .lines()
                    .find_map(|line| line.strip_prefix(name).map(str::to_owned))
            };
            let (Some(id), Some(data)) = (field("id: "), field("data: ")) else {
                continue;
            };
            let event: Value = serde_json::from_str(&data).unwrap();
            let is_last = is_enough(&event);

            events.push((id, event));
            if is_last {
                return events;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_tells_of_a_failure_and_goes_on_where_it_broke_off() {
    let mesh = TestMesh::start().await;
    mesh.settled().await;

    let api = mesh.api(0);
    let out = 2;
    let name = mesh.region(out).to_owned();
    let is_verdict = |condition: &str, event: &Value| {
        event["kind"] == "verdict"
            && event["region"] == name.as_str()
            && event["fields"]["condition"] == condition
    };
    let (_, before) = api.get("/v1/events").await.unwrap();
    let next = before["next"].as_str().unwrap().to_owned();

    // The command line follows meanwhile, whichever agent it asks.
    let mut follower = Command::new(binary());
    follower.args([
        "events", "--follow", "--json", "--kind", "verdict", "--region", &name,
    ]);
    follower
        .args(["--agent", &mesh.agent(1).api_url()])
        .env_remove("REGIONMESH_AGENT")
        .current_dir(std::env::temp_dir());

    let mut follower = follower
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();

    mesh.kill_region(out).await;
    let first = read_stream(&api, Some(&next), |event| is_verdict("failed", event)).await;
    let broken_off = first[0].0.clone();

    mesh.revive(out).await;
    let second = read_stream(&api, Some(&broken_off), |event| {
        is_verdict("healthy", event)
    })
    .await;
    let ids = |events: &[(String, Value)]| {
        events
            .iter()
            .map(|(_, event)| event["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };

    assert!(
        ids(&second).starts_with(&ids(&first[1..])),
        "{:?} and {:?}",
        ids(&first),
        ids(&second)
    );

    let (_, all) = api.get(&format!("/v1/events?since={next}")).await.unwrap();
    let all: Vec<_> = all["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["id"].as_str().unwrap().to_owned())
        .collect();
    let whole = [&ids(&first)[..1], &ids(&second)[..]].concat();

    // The list goes by when things happened, the stream by when they were noticed.
    assert!(
        whole.iter().all(|id| all.contains(id)),
        "{whole:?} and {all:?}"
    );

    // Another agent tells the same verdict by the same id.
    let failed = |events: &[(String, Value)]| {
        let (_, event) = events
            .iter()
            .find(|(_, event)| is_verdict("failed", event))
            .unwrap();
        event["id"].as_str().unwrap().to_owned()
    };
    let mut followed = Vec::new();

    while followed.len() < 2 {
        let line = tokio::time::timeout(seconds(30), lines.next_line())
            .await
            .expect("silence")
            .unwrap()
            .expect("an end");
        let event: Value = serde_json::from_str(&line).unwrap();

        if is_verdict("failed", &event) || is_verdict("healthy", &event) {
            followed.push(event["id"].as_str().unwrap().to_owned());
        }
    }

    assert_eq!(followed[0], failed(&first));

    let total = api
        .metric(
            "regionmesh_events_total",
            &["kind=\"verdict\"", "severity=\"critical\""],
        )
        .await
        .unwrap();

    assert!(total >= 1.0);
    let (code, alerts) = api.get("/v1/alerts?state=all").await.unwrap();
    let is_over =
        |alert: &Value| alert["labels"]["region"] == name.as_str() && alert["ended_ms"].is_u64();

    assert!(
        code == 200 && alerts["alerts"].as_array().unwrap().iter().any(is_over),
        "{alerts}"
    );
}
