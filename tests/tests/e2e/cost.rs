//! Cost in a real mesh: bills are imported once and everywhere, a budget alert is sent once, live
//! cost outlives an agent.

use regionmesh::config::{AlertsConfig, Config, ExportConfig, NodesConfig};
use regionmesh_cost::PricingClass;
use regionmesh_tests::{
    mesh::{Setup, TestMesh},
    receiver::{Receiver, counts_by_key},
    s3::{BUCKET, ENVIRONMENT, S3},
    wait::{claim, seconds, until},
};
use serde_json::Value;
use std::{collections::BTreeMap, path::PathBuf};

const HEAD: &str = "BillingPeriodStart,ChargePeriodStart,ProviderName,BillingAccountId,RegionId,\
                    ServiceName,ServiceCategory,ChargeCategory,BillingCurrency,\
                    EffectiveCost,BilledCost,ListCost,Tags\n";

/// A bill with this many rows on this day of this month, each of `amount`; its tag is the team.
fn bill(mesh: &TestMesh, name: &str, account: &str, rows: &[(&str, &str, &str)]) -> PathBuf {
    let month = today()[..7].to_owned();
    let mut text = HEAD.to_owned();
    for (region, team, amount) in rows {
        text += &format!(
            "{month}-01,{month}-01T05:00:00Z,AWS,{account},{region},Amazon EC2,Compute,\
             Usage,USD,{amount},{amount},2.5,\"{{\"\"team\"\":\"\"{team}\"\"}}\"\n"
        );
    }

    let path = mesh.layout().data_dir.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn today() -> String {
    let now = time::OffsetDateTime::now_utc();
    now.date().to_string()
}

/// The totals that an agent reports for this month, by currency; `query` begins with `&`.
async fn totals(
    mesh: &TestMesh,
    index: usize,
    query: &str,
) -> Result<BTreeMap<String, String>, String> {
    let start = format!("{}-01", &today()[..7]);
    let (code, body) = mesh
        .api(index)
        .get(&format!("/v1/cost/report?start={start}{query}"))
        .await?;

    if code != 200 {
        return Err(format!("{code}: {body}"));
    }
    serde_json::from_value(body["totals"].clone()).map_err(|error| error.to_string())
}

async fn until_all_say(mesh: &TestMesh, query: &str, amount: &str) {
    for index in 0..mesh.layout().regions.len() {
        until("the totals", seconds(40), async || {
            let found = totals(mesh, index, query).await?;
            claim(found.get("USD").map(String::as_str) == Some(amount), || {
                format!("agent {index}: {found:?}")
            })
        })
        .await;
    }
}

fn adjust(config: &mut Config) {
    config.cost.tags = vec!["team".into()];
    for region in &mut config.regions {
        region.cloud = match region.name.as_str() {
            "eu-west-1" => "gcp".into(),
            "ap-south-1" => "azure".into(),
            _ => "aws".into(),
        };
    }

    let nodes = NodesConfig {
        instance: "m5.large".into(),
        pricing: PricingClass::OnDemand,
        count: Some(2),
    };

    config.regions[0].nodes = vec![nodes];
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bill_is_imported_once_replaced_as_a_whole_and_reported_by_every_agent() {
    let mesh = TestMesh::start_with(Setup {
        adjust: Some(adjust),
        ..Setup::default()
    })
    .await;
    let rows = [
        ("us-west-2", "search", "1.5"),
        ("us-west-2", "ads", "0.25"),
        ("us-east-1", "ads", "0.000000000000001"),
    ];
    let file = bill(&mesh, "a.csv", "1", &rows);
    let file = file.to_str().unwrap();

    assert_dry_run_changes_nothing(&mesh, file).await;

    for _ in 0..2 {
        let done = mesh.cli(&["cost", "import", file]).await;
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        assert!(
            done.stdout.contains("3 of 3 rows in 1 file"),
            "{}",
            done.stdout
        );

        until_all_say(&mesh, "", "1.750000000000001").await;
    }

    until_all_say(&mesh, "&filter=region=us-west-2,tag:team=ads", "0.25").await;
    until_all_say(&mesh, "&metric=list", "7.5").await;

    assert_report_from_file(&mesh, file).await;

    import_another_account_and_a_correction(&mesh).await;

    add_prices_at_two_agents(&mesh).await;

    assert_documents_are_no_models(&mesh).await;

    assert_damaged_bills_replace_nothing(&mesh).await;
    let refused = mesh
        .api(0)
        .with_token(None)
        .post("/v1/cost/import", &Value::Null)
        .await
        .unwrap();

    assert_eq!(refused.0, 401);
}

async fn assert_dry_run_changes_nothing(mesh: &TestMesh, file: &str) {
    let dry = mesh
        .cli(&["cost", "import", file, "--dry-run", "-o", "json"])
        .await;
    assert_eq!(dry.code, Some(0), "{}", dry.stderr);

    let summary: Value = serde_json::from_str(&dry.stdout).unwrap();
    assert_eq!(
        (
            &summary["parts"][0]["rows"],
            &summary["parts"][0]["replaced"]
        ),
        (&3.into(), &Value::Null)
    );

    assert!(
        totals(mesh, 0, "").await.unwrap().is_empty(),
        "a dry run changes nothing"
    );
}

/// The mesh reports the same as the file alone does.
async fn assert_report_from_file(mesh: &TestMesh, file: &str) {
    let start = format!("{}-01", &today()[..7]);
    let local = [
        "cost",
        "report",
        "--files",
        file,
        "--start-date",
        &start,
        "--by",
        "tag:team",
        "--format",
        "csv",
    ];

    let local = mesh.cli(&local).await;
    assert!(
        local.stdout.contains("search,USD,1.5,"),
        "{}\n{}",
        local.stdout,
        local.stderr
    );
}

/// Another account adds to the bill; a correction of the first takes its place, whatever its file
/// is called.
async fn import_another_account_and_a_correction(mesh: &TestMesh) {
    let other = bill(mesh, "b.csv", "2", &[("us-west-2", "ads", "10")]);
    let corrected = bill(mesh, "c.csv", "1", &[("us-west-2", "search", "1")]);

    for path in [&other, &corrected] {
        let done = mesh.cli(&["cost", "import", path.to_str().unwrap()]).await;
        assert_eq!(done.code, Some(0), "{}", done.stderr);
    }

    until_all_say(mesh, "", "11").await;
    let sources = mesh.cli(&["cost", "sources", "-o", "json"]).await;
    let sources: Value = serde_json::from_str(&sources.stdout).unwrap();

    assert_eq!(
        (
            &sources["sources"]["AWS 1"]["rows"],
            &sources["sources"]["AWS 2"]["rows"]
        ),
        (&1.into(), &1.into())
    );
}

/// Prices that are added one straight after the other, at one agent and at another, all count.
async fn add_prices_at_two_agents(mesh: &TestMesh) {
    for (index, sku) in [(0, "one.large"), (0, "two.large"), (1, "three.large")] {
        let text = format!(
            "kind,cloud,region,sku,pricing,amount,currency,unit,valid_from,source\n\
             node,aws,us-west-2,{sku},on-demand,0.5,USD,hour,2026-01-01,test\n"
        );
        let body = serde_json::json!({ "name": "prices.csv", "text": text });
        let (code, answer) = mesh
            .api(index)
            .post("/v1/cost/prices", &body)
            .await
            .unwrap();

        assert_eq!((code, &answer["added"]), (200, &1.into()), "{answer}");
    }

    for index in 0..3 {
        until("the prices", seconds(40), async || {
            let (_, body) = mesh.api(index).get("/v1/cost/prices").await?;
            let prices = body.to_string();
            let missing = ["one.large", "two.large", "three.large"]
                .into_iter()
                .find(|sku| !prices.contains(sku));

            claim(missing.is_none(), || {
                format!("agent {index} lacks {missing:?}")
            })
        })
        .await;
    }
}

/// Cost documents are not listed as models.
async fn assert_documents_are_no_models(mesh: &TestMesh) {
    let models = mesh.api(0).status().await.unwrap().models;
    assert!(
        models
            .iter()
            .all(|model| !model.model.starts_with("regionmesh.")),
        "{models:?}"
    );

    let refused = mesh
        .api(0)
        .publish("regionmesh.cost", "1", &[("x", b"y".to_vec())])
        .await
        .unwrap();

    assert_eq!(refused.0, 400, "{}", refused.1);
}

/// An incomplete bill and a file that is not a bill replace nothing.
async fn assert_damaged_bills_replace_nothing(mesh: &TestMesh) {
    let broken = mesh.layout().data_dir.join("broken.csv.gz");
    std::fs::write(&broken, [0x1f, 0x8b, 8, 0]).unwrap();
    for path in [broken.to_str().unwrap(), "/etc/hostname"] {
        let refused = mesh.cli(&["cost", "import", path]).await;
        assert!(
            refused.code == Some(1) && refused.stderr.contains("nothing was imported"),
            "{}",
            refused.stderr
        );
    }

    assert_eq!(totals(mesh, 0, "").await.unwrap()["USD"], "11");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_alert_is_sent_once_and_live_cost_survives_the_leader() {
    let hook = Receiver::start([]).await;
    let mesh = mesh_with_budget(&hook).await;

    let ids = || counts_by_key(&hook.taken());

    until("both thresholds", seconds(60), async || {
        claim(ids().len() == 2, || format!("{:?}", ids()))
    })
    .await;

    let before = mesh
        .api(0)
        .metric("regionmesh_cost_month_to_date", &["us-west-2", "live"])
        .await
        .unwrap();

    assert!(before > 0.0001, "{before}");

    let (leader, _) = mesh.leader(seconds(60)).await;
    let index = mesh.region_of(&leader);
    mesh.kill_region(index).await;

    until_another_leader_has_judged(&mesh, index, &leader).await;

    mesh.revive(index).await;
    until("the live cost", seconds(60), async || {
        let now = mesh
            .api(index)
            .metric("regionmesh_cost_month_to_date", &["us-west-2", "live"])
            .await?;
        claim(now >= before, || format!("{now} after {before}"))
    })
    .await;

    let sent = ids();
    assert!(
        sent.len() == 2 && sent.values().all(|count| *count == 1),
        "{sent:?}"
    );

    let budgets = mesh.cli(&["cost", "budgets"]).await;
    assert!(
        budgets.stdout.contains("tiny") && budgets.stdout.contains("50 %, 100 %"),
        "{}",
        budgets.stdout
    );
}

/// A mesh that sends what happens to a budget to `hook`. Two nodes cost some hundredths of a cent
/// each second: half of the budget is spent immediately.
async fn mesh_with_budget(hook: &Receiver) -> TestMesh {
    let mesh = TestMesh::prepare(Setup {
        adjust: Some(adjust),
        ..Setup::default()
    })
    .await;
    let receivers = format!(
        "[[receivers]]\nname = \"hook\"\nkind = \"webhook\"\nurl = \"{}\"\nkinds = [\"budget\"]",
        hook.url()
    );
    let alerts: AlertsConfig = toml::from_str(&receivers).unwrap();

    let budget = toml::from_str(
        r#"name = "tiny"
        scope = { region = "us-west-2" }
        amount = "0.0001 USD"
        actual_thresholds = [50, 100]
        forecast_thresholds = []"#,
    );
    let budget = [budget.unwrap()];

    mesh.configure(|config| {
        config.alerts = alerts.clone();
        config.cost.budgets = budget.to_vec();
    });

    mesh.start().await.unwrap_or_else(|error| panic!("{error}"));
    mesh.converged().await;

    mesh
}

async fn until_another_leader_has_judged(mesh: &TestMesh, index: usize, leader: &str) {
    let other = mesh.others(index)[0];
    until("another leader", seconds(60), async || {
        let now = mesh
            .api(other)
            .status()
            .await?
            .leader
            .map(|leader| leader.agent);

        claim(now.as_ref().is_some_and(|now| *now != leader), || {
            format!("{now:?} leads")
        })
    })
    .await;

    // The new leader has judged the budget.
    until("the budget judged", seconds(60), async || {
        let spent = mesh
            .api(other)
            .metric("regionmesh_cost_budget_ratio", &["actual"])
            .await?;
        let elsewhere = mesh
            .api(mesh.others(index)[1])
            .metric("regionmesh_cost_budget_ratio", &["actual"])
            .await?;

        claim(spent.max(elsewhere) > 1.0, || {
            format!("{spent} and {elsewhere} of it are spent")
        })
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exported_bills_are_read_from_a_bucket_and_replaced_by_the_next_export() {
    let s3 = S3::start().await;
    let mesh = TestMesh::prepare(Setup {
        adjust: Some(adjust),
        environment: &ENVIRONMENT,
        ..Setup::default()
    })
    .await;

    // As AWS Data Exports lays it out: each execution in a folder, and a manifest that names the
    // files of the last one.
    let month = today()[..7].to_owned();
    let deliver = |run: &str, files: &[(&str, Vec<u8>)]| {
        let key = |name: &str| format!("billing/focus/data/BILLING_PERIOD={month}/{run}/{name}");
        for (name, bytes) in files {
            s3.put(&key(name), bytes.clone());
        }

        let listed: Vec<String> = files
            .iter()
            .map(|(name, _)| format!("s3://{BUCKET}/{}", key(name)))
            .collect();
        let manifest = serde_json::json!({ "dataFiles": listed }).to_string();

        s3.put(
            &format!("billing/focus/metadata/BILLING_PERIOD={month}/focus-Manifest.json"),
            manifest,
        );
    };

    let csv =
        |rows: &[(&str, &str, &str)]| std::fs::read(bill(&mesh, "part.csv", "1", rows)).unwrap();
    let search = csv(&[("us-west-2", "search", "1.5")]);

    deliver(
        "run-1",
        &[
            ("focus-1.csv", search),
            ("focus-2.csv", csv(&[("us-west-2", "ads", "0.25")])),
        ],
    );

    let export = export_of(&s3);

    mesh.configure(|config| config.cost.exports = vec![export.clone()]);
    mesh.start().await.unwrap_or_else(|error| panic!("{error}"));
    mesh.converged().await;
    until_all_say(&mesh, "", "1.75").await;

    // The next execution takes the place of the first. One with a file that breaks off does not:
    // half a bill replaces nothing.
    let corrected = csv(&[("us-west-2", "search", "2")]);
    deliver("run-2", &[("focus-1.csv", corrected.clone())]);
    until_all_say(&mesh, "", "2").await;
    deliver(
        "run-3",
        &[
            ("focus-1.csv", corrected),
            ("focus-2.csv.gz", vec![0x1f, 0x8b, 8, 0]),
        ],
    );

    until_export_failed(&mesh).await;

    until_all_say(&mesh, "", "2").await;
}

fn export_of(s3: &S3) -> ExportConfig {
    ExportConfig {
        url: format!("s3://{BUCKET}/billing"),
        region: None,
        options: s3.options(),
        poll_s: 10,
    }
}

async fn until_export_failed(mesh: &TestMesh) {
    until("the broken export is reported", seconds(60), async || {
        let mut failed = 0.0;
        for index in 0..3 {
            failed += mesh
                .api(index)
                .metric("regionmesh_cost_export_polls_total", &["failed"])
                .await?;
        }

        claim(failed > 0.0, || "no export failed".to_owned())
    })
    .await;
}
