//! Real models from PyPI wheels: the embedded server answers what onnxruntime answers.
//!
//! `scripts/golden-models` makes models and cases (cached in target/golden). Seen with tract 0.23.9
//! against onnxruntime 1.23.2, with the shapes of each request filled in:
//!
//! | model                                   | runs | largest difference |
//! |-----------------------------------------|------|--------------------|
//! | magika standard_v3_3                    | yes  | 2.8e-6             |
//! | PP-OCRv4 detection                      | yes  | 4.5e-7             |
//! | PP-OCRv4 recognition                    | yes  | 1.1e-6             |
//! | PP-OCR mobile v2.0 orientation          | yes  | 2.8e-7             |
//! | silero_vad_16k_sequence                 | yes  | 8.0e-7             |
//! | silero_vad_op18_ifless (input, state, sr)| yes | 6.4e-7             |
//! | silero_vad, _16k_op15, _half            | no   |                    |
//!
//! The last three choose by `If` between branches whose results have different ranks (a `Squeeze`
//! that only one branch may do), which tract refuses before it knows the condition. They must be
//! refused with a reason, and nothing more.

use regionmesh_runtime::metrics::Registry;
use regionmesh_serving::{
    Directory, Quarantine, Server, ServingArguments, ServingConfig, ServingMetrics, poll_catalogue,
};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_util::sync::CancellationToken;

/// Models that tract can't run; see above.
const REFUSED: [&str; 3] = ["silero-vad", "silero-vad-half", "silero-vad-op15"];

/// Largest |got - expected| / (1 + |expected|): absolute near 0, relative for large values. FP32
/// sums of some thousand terms, added in another order, differ by about 1e-6; a wrong weight, axis
/// or rounding mode by 1e-3 and more.
const TOLERANCE: f64 = 1e-4;

fn golden() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let out = std::env::var_os("REGIONMESH_GOLDEN")
        .map_or_else(|| root.join("target/golden"), PathBuf::from);
    let script = root.join("scripts/golden-models");
    let made = Command::new("python3").arg(&script).arg(&out).output();
    let made =
        made.expect("python3 is needed to fetch the models: install python3 and python3-venv");
    let said = String::from_utf8_lossy(&made.stderr);

    assert!(
        made.status.success(),
        "{} failed; run it by hand to see why:\n{said}",
        script.display()
    );

    out
}

async fn call(address: std::net::SocketAddr, method: &str, path: &str, body: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: golden\r\nconnection: close\r\ncontent-length: \
            {length}\r\n\r\n"
    );

    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();

    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();

    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (
        status,
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}")),
    )
}

fn compare(case: &str, got: &Value, expected: &Value) -> f64 {
    for field in ["name", "datatype", "shape"] {
        assert_eq!(got[field], expected[field], "{case}: {field}");
    }

    let numbers = |tensor: &Value| {
        let data = tensor["data"].as_array().unwrap().iter();
        data.map(|value| value.as_f64().unwrap_or(f64::NAN))
            .collect::<Vec<_>>()
    };
    let got = numbers(got);
    let expected = numbers(expected);

    assert_eq!(got.len(), expected.len(), "{case}");
    let differences = got
        .iter()
        .zip(&expected)
        .map(|(got, expected)| (got - expected).abs() / (1.0 + expected.abs()));
    let worst = differences.fold(0.0, |worst: f64, difference| {
        if difference > worst || difference.is_nan() {
            difference
        } else {
            worst
        }
    });

    assert!(worst <= TOLERANCE, "{case}: differs by {worst:e}");
    worst
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_models_answer_as_onnxruntime_does() {
    let golden = golden();
    let directory = Arc::new(Directory::new(
        golden.join("models"),
        "golden".parse().unwrap(),
    ));
    let (announce, catalogue) = watch::channel(Arc::default());
    let (_drain, draining) = watch::channel(false);
    let stop = CancellationToken::new();
    let server = Server::new(ServingArguments {
        region: "golden".parse().unwrap(),
        config: ServingConfig::default(),
        source: directory.clone(),
        catalogue,
        peers: watch::channel(Arc::default()).1,
        tests_versions: false,
        state_dir: None,
        quarantine: Quarantine::open(None),
        draining,
        meter: Default::default(),
        metrics: ServingMetrics::new(&Registry::new()).unwrap(),
    });

    tokio::spawn(poll_catalogue(
        directory,
        announce,
        Duration::from_secs(2),
        stop.clone(),
    ));

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let running = tokio::spawn(server.run(listener, stop.clone()));

    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let (status, body) = call(address, "GET", "/v2/health/ready", "").await;
        if status == 200 {
            break;
        }
        assert!(Instant::now() < deadline, "not ready: {body}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    assert_cases(address, &golden).await;
    stop.cancel();
    running.await.unwrap().unwrap();
}

async fn assert_cases(address: std::net::SocketAddr, golden: &Path) {
    let mut answered = std::collections::BTreeSet::new();
    let mut cases: Vec<_> = std::fs::read_dir(golden.join("cases"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();

    cases.sort();
    for path in cases {
        let case: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let model = case["model"].as_str().unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let infer = format!("/v2/models/{model}/infer");
        let (status, answer) = call(address, "POST", &infer, &case["request"].to_string()).await;

        if REFUSED.contains(&model) {
            let error = answer["error"].as_str().unwrap();
            assert!(
                status == 400 && error.contains("can't be run with inputs of these shapes"),
                "{name}: {error}"
            );

            continue;
        }

        assert_eq!(status, 200, "{name}: {}", answer["error"]);
        assert_eq!(answer["id"], case["request"]["id"]);

        let got = answer["outputs"].as_array().unwrap();
        let expected = case["outputs"].as_array().unwrap();
        assert_eq!(got.len(), expected.len(), "{name}");
        for (got, expected) in got.iter().zip(expected) {
            let worst = compare(name, got, expected);
            println!(
                "{name} {}: differs by at most {worst:.1e}",
                expected["name"]
            );
        }

        answered.insert(model.to_owned());
    }

    assert_eq!(answered.len(), 6, "{answered:?}");
}
