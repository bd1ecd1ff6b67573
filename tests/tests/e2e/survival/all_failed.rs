//! Every region failed.

use super::{ALL, active_passive, address, converged, get, until_alert, words_of};
use regionmesh::config::Config;
use regionmesh_protocol::status::condition::Condition;
use regionmesh_tests::{
    mesh::{Setup, TestMesh},
    wait::{claim, seconds, until},
};
use serde_json::Value;
use std::{
    net::SocketAddr,
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
async fn when_every_region_fails_the_last_answer_stays_unless_configured_empty() {
    let setup = Setup {
        adjust: Some(served_by_others),
        ..Setup::default()
    };
    let mesh = TestMesh::prepare(setup).await;

    assert_eq!(mesh.region(2), "ap-south-1");
    let up = serve_all(&mesh).await;
    mesh.start().await.unwrap_or_else(|error| panic!("{error}"));
    converged(&mesh).await;

    fail_all(&mesh, &up).await;

    until_all_say_that_all_failed(&mesh).await;

    assert_last_answer_stays(&mesh).await;

    // The first that returns is answered everywhere, and no agent contradicts itself on the way.
    up[1].store(true, Ordering::Relaxed);
    until_the_returning_region_is_answered(&mesh).await;

    until_alert(&mesh, 0, "RegionMeshAllRegionsFailed", false).await;
}

/// Answers for all regions; whether each is up can be changed.
async fn serve_all(mesh: &TestMesh) -> Vec<Arc<AtomicBool>> {
    let up: Vec<Arc<AtomicBool>> = ALL
        .iter()
        .map(|_| Arc::new(AtomicBool::new(true)))
        .collect();

    for index in ALL {
        serve(mesh.agent(index).serving(), up[index].clone()).await;
    }

    up
}

/// One after the other, so that a share is left on a region that had failed before.
async fn fail_all(mesh: &TestMesh, up: &[Arc<AtomicBool>]) {
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
}

async fn until_all_say_that_all_failed(mesh: &TestMesh) {
    for asked in ALL {
        until("the plan says that all failed", seconds(30), async || {
            let status = get(mesh, asked, "/v1/failover/status").await?;
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

    let output = mesh.cli(&["failover", "status"]).await;
    assert!(
        words_of(&output.stdout).contains("every region is failed"),
        "{}",
        output.stdout
    );

    until_alert(mesh, 0, "RegionMeshAllRegionsFailed", true).await;
}

/// Regions that keep the last answer all give the same one.
async fn assert_last_answer_stays(mesh: &TestMesh) {
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
}

async fn until_the_returning_region_is_answered(mesh: &TestMesh) {
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
        claim(named == [address(mesh, 1)], || format!("{named:?}"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovered_survivor_answers_itself_although_the_frozen_plan_is_empty() {
    let setup = Setup {
        adjust: Some(served_by_others),
        ..Setup::default()
    };
    let mesh = TestMesh::prepare(setup).await;
    let up = serve_all(&mesh).await;
    mesh.start().await.unwrap_or_else(|error| panic!("{error}"));
    converged(&mesh).await;
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
