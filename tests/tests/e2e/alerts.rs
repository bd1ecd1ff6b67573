//! Events and alerts of a real mesh: a real Alertmanager, a webhook that refuses, is slow or dead,
//! a stream that resumes.

use regionmesh::config::AlertsConfig;
use regionmesh_tests::{
    alertmanager::{self, Alertmanager},
    api::Api,
    command::regionmesh,
    mesh::TestMesh,
    receiver::{Receiver, Treatment, counts_by_key},
    serve::{Serve, mesh_apart},
    skip::has_program,
    wait::{claim, seconds, until},
};
use serde_json::Value;
use std::{process::Stdio, time::Duration};
use tempfile::NamedTempFile;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout},
};

const FAILED: &str = "RegionMeshRegionFailed";

fn alerts(text: &str) -> AlertsConfig {
    toml::from_str(text).unwrap()
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
async fn a_failed_region_is_one_alert_until_it_returns_even_if_the_leader_dies() {
    if !has_program(alertmanager::PROGRAM.0, alertmanager::PROGRAM.1) {
        return;
    }

    let notified = Receiver::start([]).await;
    let hook = unreliable_webhook().await;

    let manager = Alertmanager::start(&notified.url()).await;
    let secret = NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "the-secret\n").unwrap();

    let section = receivers(&manager, &hook, &secret);

    let (mesh, servings) = mesh_apart(|config| config.alerts = alerts(&section)).await;
    let mut servings: Vec<_> = servings.into_iter().map(Some).collect();
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
    let fired = until_fired(&manager, &name).await;

    until_webhook_has_failure(&mesh, &hook, &wanted[0]).await;

    mesh.kill_region(led_from).await;
    mesh.leader_after(&leader, seconds(30)).await;

    until_successor_resends(&mesh, &manager, &fired).await;

    servings[out] = Some(Serve::start(mesh.agent(out)).await);
    until_resolved_with_one_notification_each(&manager, &notified, &name).await;

    until_each_event_arrived_once(&mesh, &hook, &wanted).await;

    let apis = mesh.running_apis();
    assert_unreachable_shows_in_metrics_alone(&apis).await;

    // The region is ramping: an event may be about to come.
    until("nothing waits for the webhook", seconds(30), async || {
        let queued = sum(&apis, "regionmesh_alerts_queued", &["receiver=\"hook\""]).await;
        claim(queued == 0.0, || format!("{queued} wait"))
    })
    .await;
}

/// A webhook that refuses two messages, takes the third slowly, and all others immediately.
async fn unreliable_webhook() -> Receiver {
    let refusing = Treatment {
        answer: 503,
        pause: Duration::ZERO,
    };
    let slow = Treatment {
        answer: 200,
        pause: Duration::from_millis(800),
    };

    Receiver::start([refusing, refusing, slow]).await
}

/// The receivers of the test as configuration; the last one listens nowhere.
fn receivers(manager: &Alertmanager, hook: &Receiver, secret: &NamedTempFile) -> String {
    format!(
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
        name = "unreachable"
        kind = "webhook"
        url = "http://127.0.0.1:9/"
        "#,
        manager.url(),
        hook.url(),
        secret.path().display()
    )
}

async fn until_fired(manager: &Alertmanager, name: &str) -> Value {
    let fired = until("Alertmanager fires", seconds(30), async || {
        let firing = manager.firing(FAILED).await?;
        claim(firing.len() == 1, || format!("{firing:?}"))?;
        Ok(firing[0].clone())
    })
    .await;

    assert_eq!(
        (&fired["labels"]["region"], &fired["labels"]["severity"]),
        (&name.into(), &"critical".into())
    );

    assert!(
        fired["annotations"]["description"]
            .as_str()
            .unwrap()
            .contains("refused"),
        "{fired}"
    );

    fired
}

/// What the leader is about to deliver when it dies may be delivered twice, with the same key; so
/// it must be idle.
async fn until_webhook_has_failure(mesh: &TestMesh, hook: &Receiver, failed: &str) {
    until(
        "the webhook knows what happened so far",
        seconds(30),
        async || {
            let apis = mesh.running_apis();
            let taken = counts_by_key(&hook.taken());
            let queued = sum(&apis, "regionmesh_alerts_queued", &["receiver=\"hook\""]).await;
            let is_known = taken.keys().any(|id| id.starts_with(failed));

            claim(is_known && queued == 0.0, || {
                format!("{queued} wait, {taken:?}")
            })
        },
    )
    .await;
}

/// Sent again by another agent: the same alert, with the same beginning. Its end moves on.
async fn until_successor_resends(mesh: &TestMesh, manager: &Alertmanager, fired: &Value) {
    let ends = |alert: &Value| alert["endsAt"].as_str().unwrap().to_owned();
    until("the successor resends the alert", seconds(40), async || {
        let firing = manager.firing(FAILED).await?;
        assert!(firing.len() == 1, "{firing:?}");
        assert_eq!(
            (&firing[0]["fingerprint"], &firing[0]["startsAt"]),
            (&fired["fingerprint"], &fired["startsAt"])
        );

        let apis = mesh.running_apis();
        let sent = sum(
            &apis,
            "regionmesh_alerts_sent_total",
            &["receiver=\"manager\""],
        )
        .await;

        claim(sent >= 2.0 && ends(&firing[0]) > ends(fired), || {
            format!("{sent} sent, ends {}", ends(&firing[0]))
        })
    })
    .await;
}

async fn until_resolved_with_one_notification_each(
    manager: &Alertmanager,
    notified: &Receiver,
    name: &str,
) {
    // By a message of the mesh: without one, an alert would last for 30 to 40 s after the last.
    until("Alertmanager resolves", seconds(25), async || {
        let firing = manager.firing(FAILED).await?;
        claim(firing.is_empty(), || format!("{firing:?}"))
    })
    .await;

    until("one notification each", seconds(20), async || {
        let (firing, resolved) = notifications(notified, name);
        assert!(
            firing <= 1 && resolved <= 1,
            "{firing} firing, {resolved} resolved"
        );

        claim((firing, resolved) == (1, 1), || {
            format!("{firing} firing, {resolved} resolved")
        })
    })
    .await;
}

/// The webhook got each event, in spite of its refusals and of the leader's death, and none twice.
async fn until_each_event_arrived_once(mesh: &TestMesh, hook: &Receiver, wanted: &[String]) {
    until("the webhook knows all", seconds(30), async || {
        let taken = counts_by_key(&hook.taken());
        let lacks = wanted
            .iter()
            .find(|start| !taken.keys().any(|id| id.starts_with(*start)));
        claim(lacks.is_none(), || format!("no {lacks:?} in {taken:?}"))
    })
    .await;

    let taken = hook.taken();
    for (id, count) in counts_by_key(&taken) {
        assert_eq!(count, 1, "{id} was sent {count} times");
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
}

/// A receiver that never accepts anything delays no other, and is visible only in the metrics.
async fn assert_unreachable_shows_in_metrics_alone(apis: &[Api]) {
    assert!(
        sum(
            apis,
            "regionmesh_alerts_failed_total",
            &["receiver=\"unreachable\""]
        )
        .await
            > 0.0
    );

    assert!(
        sum(
            apis,
            "regionmesh_alerts_queued",
            &["receiver=\"unreachable\""]
        )
        .await
            > 0.0
    );
    assert_eq!(
        sum(
            apis,
            "regionmesh_alerts_sent_total",
            &["receiver=\"unreachable\""]
        )
        .await,
        0.0
    );
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
async fn an_event_stream_resumes_after_a_failure_where_it_broke_off() {
    let mesh = TestMesh::start().await;
    mesh.converged().await;

    let api = mesh.api(0);
    let out = 2;
    let name = mesh.region(out).to_owned();
    let is_verdict = |condition: &str, event: &Value| is_verdict(&name, condition, event);
    let (_, before) = api.get("/v1/events").await.unwrap();
    let next = before["next"].as_str().unwrap().to_owned();

    // Meanwhile the command line streams from another agent.
    let (_stream, mut lines) = start_streaming(&mesh, &name);

    mesh.kill_region(out).await;
    let first = read_stream(&api, Some(&next), |event| is_verdict("failed", event)).await;
    let broken_off = first[0].0.clone();

    mesh.revive(out).await;
    let second = read_stream(&api, Some(&broken_off), |event| {
        is_verdict("healthy", event)
    })
    .await;

    assert!(
        ids(&second).starts_with(&ids(&first[1..])),
        "{:?} and {:?}",
        ids(&first),
        ids(&second)
    );

    let whole = [&ids(&first)[..1], &ids(&second)[..]].concat();
    assert_listed(&api, &next, &whole).await;

    // Another agent has the same verdict under the same id.
    let failed = |events: &[(String, Value)]| {
        let (_, event) = events
            .iter()
            .find(|(_, event)| is_verdict("failed", event))
            .unwrap();
        event["id"].as_str().unwrap().to_owned()
    };
    let streamed = read_two_verdicts(&mut lines, &name).await;

    assert_eq!(streamed[0], failed(&first));

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

/// Whether an event is the verdict `condition` on `region`.
fn is_verdict(region: &str, condition: &str, event: &Value) -> bool {
    event["kind"] == "verdict"
        && event["region"] == region
        && event["fields"]["condition"] == condition
}

/// `regionmesh events --follow` of verdicts on `region`, and the lines that it prints.
fn start_streaming(mesh: &TestMesh, region: &str) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut stream = regionmesh(&["events", "--follow", "--json", "--kind", "verdict"])
        .args(["--region", region])
        .args(["--agent", &mesh.agent(1).api_url()])
        .env_remove("REGIONMESH_AGENT")
        .current_dir(std::env::temp_dir())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(stream.stdout.take().unwrap()).lines();

    (stream, lines)
}

fn ids(events: &[(String, Value)]) -> Vec<String> {
    events
        .iter()
        .map(|(_, event)| event["id"].as_str().unwrap().to_owned())
        .collect::<Vec<_>>()
}

/// The list has every event that the stream had. The list is ordered by time of the event, the
/// stream by time of detection.
async fn assert_listed(api: &Api, next: &str, whole: &[String]) {
    let (_, all) = api.get(&format!("/v1/events?since={next}")).await.unwrap();
    let all: Vec<_> = all["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["id"].as_str().unwrap().to_owned())
        .collect();

    assert!(
        whole.iter().all(|id| all.contains(id)),
        "{whole:?} and {all:?}"
    );
}

/// The ids of the next two verdicts on `region` that the command line prints.
async fn read_two_verdicts(lines: &mut Lines<BufReader<ChildStdout>>, region: &str) -> Vec<String> {
    let mut streamed = Vec::new();

    while streamed.len() < 2 {
        let line = tokio::time::timeout(seconds(30), lines.next_line())
            .await
            .expect("silence")
            .unwrap()
            .expect("an end");
        let event: Value = serde_json::from_str(&line).unwrap();

        if is_verdict(region, "failed", &event) || is_verdict(region, "healthy", &event) {
            streamed.push(event["id"].as_str().unwrap().to_owned());
        }
    }

    streamed
}
