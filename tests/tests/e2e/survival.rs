//! Users are not left on a dead region while another lives: whatever operators ordered, without a
//! majority, and when all failed.

use super::membership::no_witness;
use regionmesh::{cli::up::children::ChildState, config::Config};
use regionmesh_core::planning::Strategy;
use regionmesh_protocol::status::condition::Condition;
use regionmesh_tests::{
    mesh::{Setup, TestMesh},
    wait::{claim, seconds, until},
};
use serde_json::{Value, json};
use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::{Instant, timeout_at},
};

const ALL: [usize; 3] = [0, 1, 2];

fn active_passive(config: &mut Config) {
    config.traffic.strategy = Strategy::ActivePassive;
}

fn address(mesh: &TestMesh, index: usize) -> IpAddr {
    IpAddr::V4(mesh.agent(index).ip)
}

async fn get(mesh: &TestMesh, asked: usize, path: &str) -> Result<Value, String> {
    let (code, body) = mesh.api(asked).get(path).await?;
    claim(code == 200, || format!("{path} answered {code}: {body}"))?;
    Ok(body)
}

/// Text without its line breaks and columns.
fn words_of(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether an alert of this name is active.
fn is_active(alerts: &Value, name: &str) -> bool {
    let alerts = alerts["alerts"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();

    alerts
        .iter()
        .any(|alert| alert["labels"]["alertname"] == name && alert["ended_ms"].is_null())
}

async fn until_alert(mesh: &TestMesh, asked: usize, name: &str, wanted: bool) {
    until(
        &format!("{name} is active: {wanted}"),
        seconds(30),
        async || {
            let alerts = get(mesh, asked, "/v1/alerts").await?;
            claim(is_active(&alerts, name) == wanted, || alerts.to_string())
        },
    )
    .await;
}

/// Gives an order once the way to the leader is open.
async fn order(mesh: &TestMesh, asked: usize, what: &str, body: Value) {
    let (code, answer) = until(
        &format!("{what} reaches the leader"),
        seconds(20),
        async || {
            let (code, answer) = mesh
                .api(asked)
                .post(&format!("/v1/failover/{what}"), &body)
                .await?;

            claim(code != 503, || answer.to_string())?;
            Ok((code, answer))
        },
    )
    .await;

    assert_eq!(code, 200, "{what}: {answer}");
}

/// All serve and one leads.
async fn settled(mesh: &TestMesh) {
    for asked in ALL {
        until(
            &format!("all serve, seen from {}", mesh.region(asked)),
            seconds(60),
            async || {
                let status = mesh.api(asked).status().await?;
                claim(status.leader.is_some(), || "no leader".into())?;
                for region in &status.regions {
                    let is_well =
                        region.traffic_state == "serving" && region.verdict == Condition::Healthy;
                    claim(is_well, || {
                        format!(
                            "{} is {}, {}",
                            region.region, region.traffic_state, region.verdict
                        )
                    })?;
                }

                Ok(())
            },
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_region_serves_when_the_others_have_failed_and_is_drained_again_afterwards() {
    let setup = Setup {
        adjust: Some(active_passive),
        ..Setup::default()
    };
    let mesh = TestMesh::start_with(setup).await;

    settled(&mesh).await;
    for drained in [1, 2] {
        let body = json!({ "region": mesh.region(drained), "by": "ann", "why": "disks", "for_ms": 600_000, "force": true });
        let old = json!({ "region": mesh.region(drained), "by": "ann", "why": "disks", "for_ms": 600_000 });
        let (code, _) = mesh.api(0).post("/v1/failover/drain", &body).await.unwrap();

        if code != 200 {
            order(&mesh, 0, "drain", old).await;
        }
    }

    mesh.kill_region(0).await;
    for survivor in [1, 2] {
        until(
            &format!("{} names no dead region", mesh.region(survivor)),
            seconds(30),
            async || {
                let named = mesh.resolve(survivor).await?;
                claim(
                    !named.is_empty() && !named.contains(&address(&mesh, 0)),
                    || format!("{named:?}"),
                )
            },
        )
        .await;
    }

    // The orders still exist, and everything says that they have no effect.
    let status = get(&mesh, 1, "/v1/failover/status").await.unwrap();
    assert_eq!(
        status["plan"]["overrides"].as_array().map(Vec::len),
        Some(2),
        "{status}"
    );

    let yielded = status["plan"]["yielded"].to_string();
    assert!(
        yielded.contains("drain of") && yielded.contains("by ann (disks)"),
        "{status}"
    );

    // One of them is enough: the mesh is active-passive.
    assert_eq!(
        status["plan"]["yielded"].as_array().map(Vec::len),
        Some(1),
        "{status}"
    );

    for survivor in [1, 2] {
        until(
            "the first of the drained regions serves alone",
            seconds(30),
            async || {
                let share = mesh.api(survivor).region(mesh.region(1)).await?.share;
                claim(share == 1.0, || format!("{share}"))
            },
        )
        .await;
    }

    until_alert(&mesh, 1, "RegionMeshOrderYielded", true).await;
    let metric = mesh
        .api(1)
        .metric("regionmesh_plan_yielded_orders", &[])
        .await
        .unwrap();

    assert!(metric >= 1.0, "{metric}");
    for words in [&["status"][..], &["failover", "status"]] {
        let shown = mesh.cli(words).await;
        assert_eq!(shown.code, Some(0), "{shown:?}");

        let text = words_of(&shown.stdout);
        assert!(
            text.contains("has had no effect") && text.contains("failed"),
            "{text}"
        );
    }

    let explained = mesh.cli(&["failover", "explain", mesh.region(0)]).await;
    assert_eq!(explained.code, Some(0), "{explained:?}");
    assert!(
        !words_of(&explained.stdout).contains("every region looks down"),
        "{}",
        explained.stdout
    );

    let events = get(&mesh, 1, "/v1/events").await.unwrap().to_string();
    assert!(events.contains("order-yields:drain"), "{events}");

    // As soon as another region can serve, the drains take effect again.
    mesh.revive(0).await;
    until("the drains take effect again", seconds(60), async || {
        for asked in ALL {
            let status = mesh.api(asked).status().await?;
            for (index, wanted) in [(0, 1.0), (1, 0.0), (2, 0.0)] {
                let region = &status
                    .regions
                    .iter()
                    .find(|region| region.region.as_str() == mesh.region(index));
                let share = region.ok_or("a region is missing")?.share;

                claim(share == wanted, || {
                    format!("{} has {share}", mesh.region(index))
                })?;
            }
        }

        Ok(())
    })
    .await;

    until_alert(&mesh, 1, "RegionMeshOrderYielded", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_survivor_without_a_majority_answers_itself_and_says_that_the_plan_is_frozen() {
    let setup = Setup {
        adjust: Some(active_passive),
        ..Setup::default()
    };
    let mesh = TestMesh::start_with(setup).await;

    settled(&mesh).await;
    mesh.kill_region(0).await;
    until("the second region serves", seconds(30), async || {
        let named = mesh.resolve(2).await?;
        claim(named == [address(&mesh, 1)], || format!("{named:?}"))
    })
    .await;

    mesh.kill_region(1).await;
    until(
        "the survivor answers itself alone",
        seconds(30),
        async || {
            let named = mesh.resolve(2).await?;
            claim(named == [address(&mesh, 2)], || format!("{named:?}"))
        },
    )
    .await;

    let (code, ready) = mesh.api(2).get("/readyz").await.unwrap();
    let detail = ready["checks"]["plan"].as_str().unwrap_or_default();
    assert!(
        code == 200 && detail.contains("plan frozen since"),
        "{code}: {ready}"
    );

    let status = get(&mesh, 2, "/v1/status").await.unwrap();
    assert_eq!(
        status["frozen"]["left_out"],
        json!([mesh.region(1)]),
        "{status}"
    );

    assert_eq!(
        (&status["frozen"]["reachable"], &status["frozen"]["members"]),
        (&json!(1), &json!(3)),
        "{status}"
    );

    let agent = mesh.agent(2).api_url();
    for words in [&["status"][..], &["failover", "status"]] {
        let shown = mesh.cli(&[words, &["--agent", &agent]].concat()).await;
        let text = words_of(&shown.stdout);
        assert!(
            text.contains("no majority") && text.contains("failed"),
            "{text}"
        );
    }

    until_alert(&mesh, 2, "RegionMeshNoLeader", true).await;
    assert_eq!(
        mesh.api(2).metric("regionmesh_plan_frozen", &[]).await,
        Ok(1.0)
    );

    // Off by a setting: the plan is answered as it is.
    let survivor = mesh.agent(2).clone();
    mesh.kill_region(2).await;

    let mut config = Config::load(&survivor.config_file()).unwrap();
    config.dns.filter_when_frozen = false;
    std::fs::write(survivor.config_file(), toml::to_string(&config).unwrap()).unwrap();
    mesh.start_agent(&survivor.id).await.unwrap();
    until(
        "the plan is frozen, and answered",
        seconds(60),
        async || {
            let status = get(&mesh, 2, "/v1/status").await?;
            claim(status["frozen"]["left_out"] == json!([]), || {
                status["frozen"].to_string()
            })?;

            let seen = status["regions"].as_array().ok_or("no regions")?.iter();
            let is_refused = |region: &Value| {
                region["region"] == mesh.region(1)
                    && region["observations"]
                        .to_string()
                        .contains("connection refused")
            };

            claim(seen.clone().any(is_refused), || {
                "the dead region is not seen to refuse yet".into()
            })?;

            let named = mesh.resolve(2).await?;
            claim(named == [address(&mesh, 1)], || format!("{named:?}"))
        },
    )
    .await;

    // With a majority the plan counts again.
    mesh.revive(0).await;
    until("the plan is not frozen", seconds(60), async || {
        let status = get(&mesh, 2, "/v1/status").await?;
        claim(
            status["frozen"].is_null() && !status["leader"].is_null(),
            || status["frozen"].to_string(),
        )
    })
    .await;

    until_alert(&mesh, 2, "RegionMeshNoLeader", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_automatic_failover_is_refused_dns_leaves_out_a_region_that_refuses() {
    let regions = ["us-west-2", "eu-west-1", "ap-south-1", "sa-east-1"];
    let setup = Setup {
        adjust: Some(no_witness),
        regions: &regions,
        ..Setup::default()
    };
    let mesh = TestMesh::start_with(setup).await;

    settled(&mesh).await;
    mesh.kill_region(3).await;
    for asked in ALL {
        until("the dead region is left out", seconds(30), async || {
            let status = get(&mesh, asked, "/v1/status").await?;
            claim(
                status["frozen"]["left_out"] == json!([mesh.region(3)]),
                || status["frozen"].to_string(),
            )?;

            let detail = status["frozen"]["detail"].as_str().unwrap_or_default();
            let is_said =
                !status["leader"].is_null() && detail.contains("automatic failover is refused");

            claim(is_said, || status.to_string())
        })
        .await;

        // An answer names one region, by weight.
        for _ in 0..40 {
            let named = mesh.resolve(asked).await.unwrap();
            assert!(
                !named.is_empty() && !named.contains(&address(&mesh, 3)),
                "{named:?}"
            );
        }
    }

    mesh.revive(3).await;
    until("it is answered again", seconds(60), async || {
        let named = mesh.resolve(0).await?;
        claim(named.contains(&address(&mesh, 3)), || format!("{named:?}"))
    })
    .await;
}

/// Answers readiness at `listen` with 200 while `is_up`, else 503, until dropped with its runtime.
async fn serve(listen: SocketAddr, is_up: Arc<AtomicBool>) {
    let listener = TcpListener::bind(listen)
        .await
        .expect("the serving address is free");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let is_up = is_up.clone();
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let deadline = Instant::now() + seconds(5);
                let Ok(Ok(1..)) = timeout_at(deadline, stream.read(&mut request)).await else {
                    return;
                };
                let status = if is_up.load(Ordering::Relaxed) {
                    "200 OK"
                } else {
                    "503 Service Unavailable"
                };
                let reply = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"
                );
                let _ = timeout_at(deadline, stream.write_all(reply.as_bytes())).await;
            });
        }
    });
}

fn served_by_others(config: &mut Config) {
    active_passive(config);
    config.serving.embedded = false;
    if config.region.as_str() == "ap-south-1" {
        // Not through the type: it is newer than the claim about the others.
        let mut value = serde_json::to_value(&*config).unwrap();
        value["traffic"]["when_all_down"] = "empty".into();
        *config = serde_json::from_value(value).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_every_region_fails_all_say_so_and_the_last_answer_stays_unless_it_is_to_be_empty() {
    let setup = Setup {
        adjust: Some(served_by_others),
        ..Setup::default()
    };
    let mesh = TestMesh::prepare(setup).await;

    assert_eq!(mesh.region(2), "ap-south-1");
    let up: Vec<Arc<AtomicBool>> = ALL
        .iter()
        .map(|_| Arc::new(AtomicBool::new(true)))
        .collect();

    for index in ALL {
        serve(mesh.agent(index).serving(), up[index].clone()).await;
    }
    mesh.start().await.unwrap_or_else(|error| panic!("{error}"));
    settled(&mesh).await;

    // One after the other, so that a share is left on a region that had failed before.
    for index in ALL {
        up[index].store(false, Ordering::Relaxed);
        for asked in ALL {
            until(
                &format!("{} is seen to fail", mesh.region(index)),
                seconds(30),
                async || {
                    let region = mesh.api(asked).region(mesh.region(index)).await?;
                    claim(region.verdict == Condition::Failed, || {
                        region.verdict_reason.clone()
                    })
                },
            )
            .await;
        }
    }

    for asked in ALL {
        until("the plan says that all failed", seconds(30), async || {
            let status = get(&mesh, asked, "/v1/failover/status").await?;
            claim(status["plan"]["all_failed_ms"].is_u64(), || {
                status["plan"]["reason"].to_string()
            })?;

            let verdicts = status["verdicts"].as_array().ok_or("no verdicts")?;
            let says = |verdict: &Value| {
                let reason = verdict["reason"].as_str().unwrap_or_default();
                verdict["verdict"] == "failed" && reason.contains("times in a row")
            };

            claim(verdicts.len() == 3 && verdicts.iter().all(says), || {
                status["verdicts"].to_string()
            })
        })
        .await;
    }

    let shown = mesh.cli(&["failover", "status"]).await;
    assert!(
        words_of(&shown.stdout).contains("every region is failed"),
        "{}",
        shown.stdout
    );

    until_alert(&mesh, 0, "RegionMeshAllRegionsFailed", true).await;

    // Those that keep the last answer give one and the same.
    let first = mesh.resolve(0).await.unwrap();
    assert_eq!(first.len(), 1, "{first:?}");
    for asked in [0, 1] {
        for _ in 0..20 {
            assert_eq!(
                mesh.resolve(asked).await.as_ref(),
                Ok(&first),
                "asked {}",
                mesh.region(asked)
            );
        }
    }

    until(
        "no address is answered where it is to be empty",
        seconds(10),
        async || {
            let named = mesh.resolve(2).await?;
            claim(named.is_empty(), || format!("{named:?}"))
        },
    )
    .await;

    // The first that returns is answered everywhere, and on its way nobody contradicts himself.
    up[1].store(true, Ordering::Relaxed);
    until(
        "the region that returns has nearly all",
        seconds(30),
        async || {
            for asked in ALL {
                let region = mesh.api(asked).region(mesh.region(1)).await?;
                let contradicts = region.verdict == Condition::Failed
                    && region.verdict_reason.contains("failed: 200");
                assert!(!contradicts, "{}", region.verdict_reason);
                claim(region.share > 0.85, || format!("{}", region.share))?;
            }

            Ok(())
        },
    )
    .await;

    until("it is answered", seconds(30), async || {
        let named = mesh.resolve(2).await?;
        claim(named == [address(&mesh, 1)], || format!("{named:?}"))
    })
    .await;

    until_alert(&mesh, 0, "RegionMeshAllRegionsFailed", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_survivor_that_is_well_again_answers_itself_from_a_frozen_plan_that_answers_nothing() {
    let setup = Setup {
        adjust: Some(served_by_others),
        ..Setup::default()
    };
    let mesh = TestMesh::prepare(setup).await;
    let up: Vec<Arc<AtomicBool>> = ALL
        .iter()
        .map(|_| Arc::new(AtomicBool::new(true)))
        .collect();

    for index in ALL {
        serve(mesh.agent(index).serving(), up[index].clone()).await;
    }
    mesh.start().await.unwrap_or_else(|error| panic!("{error}"));
    settled(&mesh).await;
    up.iter().for_each(|up| up.store(false, Ordering::Relaxed));
    until(
        "no address is answered where it is to be empty",
        seconds(40),
        async || {
            let status = get(&mesh, 2, "/v1/failover/status").await?;
            claim(status["plan"]["all_failed_ms"].is_u64(), || {
                status["plan"]["reason"].to_string()
            })?;

            let named = mesh.resolve(2).await?;
            claim(named.is_empty(), || format!("{named:?}"))
        },
    )
    .await;

    mesh.kill_region(0).await;
    mesh.kill_region(1).await;
    until("the plan is frozen", seconds(40), async || {
        let status = get(&mesh, 2, "/v1/status").await?;
        claim(!status["frozen"].is_null(), || status["leader"].to_string())
    })
    .await;

    assert_eq!(mesh.resolve(2).await, Ok(Vec::new()), "nothing is healthy");
    up[2].store(true, Ordering::Relaxed);
    until("the survivor answers itself", seconds(30), async || {
        let named = mesh.resolve(2).await?;
        claim(named == [address(&mesh, 2)], || format!("{named:?}"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_death_of_a_region_with_two_agents_makes_no_plan_for_its_addresses() {
    let mesh = TestMesh::start_with(Setup {
        agents_per_region: 2,
        ..Setup::default()
    })
    .await;

    settled(&mesh).await;
    let leader = mesh.leader(seconds(30)).await.0;
    let victim = ALL
        .into_iter()
        .find(|index| *index != mesh.region_of(&leader))
        .unwrap();
    let asked = mesh.others(victim)[0];
    let before = mesh.api(asked).plan_seq().await.unwrap();
    let dying = mesh
        .agents()
        .iter()
        .filter(|agent| agent.id.region.as_str() == mesh.region(victim));

    for agent in dying {
        mesh.kill(&agent.id).await.unwrap();
    }
    until("its users are moved", seconds(30), async || {
        let share = mesh.api(asked).region(mesh.region(victim)).await?.share;
        claim(share == 0.0, || format!("{share}"))
    })
    .await;

    // The verdicts on both addresses follow within a probe; whatever plan they make is made by
    // then.
    until("both addresses are judged down", seconds(30), async || {
        let region = mesh.api(asked).region(mesh.region(victim)).await?;
        let is_down = region
            .address_verdicts
            .iter()
            .all(|judged| judged.verdict == Condition::Failed);

        claim(is_down, || format!("{:?}", region.address_verdicts))
    })
    .await;

    // The history is written behind the plan.
    let made: Vec<String> = until(
        "the history has the plan that took it out",
        seconds(20),
        async || {
            let history = get(&mesh, asked, "/v1/failover/history").await?;
            let plans = history["plans"]
                .as_array()
                .ok_or("no plans")?
                .iter()
                .map(|past| &past["plan"]);
            let since = plans.filter(|plan| plan["seq"].as_u64().is_some_and(|seq| seq > before));
            let made: Vec<String> = since.map(|plan| plan["reason"].to_string()).collect();

            claim(
                made.iter()
                    .any(|reason| reason.contains("observing regions say failed")),
                || format!("{made:?}"),
            )?;

            Ok(made)
        },
    )
    .await;

    // At most one before the verdict on the region, where its addresses die far apart; none after
    // it.
    assert!((1..=2).contains(&made.len()), "{made:?}");

    let is_put_back = |reason: &String| {
        reason
            .replace("is answered no more", "")
            .contains("is answered")
    };

    assert!(!made.iter().any(is_put_back), "{made:?}");
    assert!(
        made.last()
            .unwrap()
            .contains("observing regions say failed"),
        "{made:?}"
    );
}

/// Sends a signal to the first agent of a region.
fn signal(mesh: &TestMesh, index: usize, name: &str) {
    let state = mesh.state(&mesh.agent(index).id).unwrap();
    let ChildState::Running { pid } = state else {
        panic!("{state:?}")
    };
    let sent = std::process::Command::new("kill")
        .args([name, &pid.to_string()])
        .status()
        .unwrap();

    assert!(sent.success(), "kill {name} {pid}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_stood_still_answers_nothing_from_the_plan_of_before() {
    let setup = Setup {
        adjust: Some(active_passive),
        ..Setup::default()
    };
    let mesh = TestMesh::start_with(setup).await;

    settled(&mesh).await;
    signal(&mesh, 0, "-STOP");
    until("its users are moved", seconds(40), async || {
        let share = mesh.api(1).region(mesh.region(0)).await?.share;
        claim(share == 0.0, || format!("{share}"))
    })
    .await;

    // It wakes; whatever it answers while the mesh gives it no share is not itself.
    signal(&mesh, 0, "-CONT");

    let woke = std::time::Instant::now();
    let mut answers = 0;
    until("it answers the mesh's plan", seconds(30), async || {
        let named = mesh.resolve(0).await?;
        let share = mesh.api(1).region(mesh.region(0)).await?.share;
        let is_stale = named.contains(&address(&mesh, 0)) && share == 0.0;

        assert!(
            !is_stale,
            "answered {named:?} {:?} after it woke",
            woke.elapsed()
        );

        answers += 1;
        claim(answers >= 5, || format!("{answers} answers"))
    })
    .await;

    let stalls = mesh
        .api(0)
        .metric("regionmesh_dns_stalls_total", &[])
        .await
        .unwrap();

    assert!(stalls >= 1.0, "{stalls}");
}
