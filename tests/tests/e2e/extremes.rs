//! Every operation of the served OpenAPI document, driven with extremes made from its own schemas:
//! valid requests are never answered 400 or 500, invalid ones are answered 400 with an error that
//! explains why. A failure names the seed.

mod generator;
mod operation;

use generator::Generator;
use operation::{Operation, Sent};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use regionmesh_tests::{api::client, mesh::TestMesh};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;

/// Valid requests for each operation.
const VALID: usize = 12;

/// Status and body; of a stream of events none.
async fn answer(request: RequestBuilder) -> (u16, Value) {
    let reply = request
        .send()
        .await
        .unwrap_or_else(|error| panic!("the connection was not answered: {error:?}"));
    let status = reply.status().as_u16();
    let kind = reply
        .headers()
        .get("content-type")
        .map(|kind| kind.to_str().unwrap().to_owned())
        .unwrap_or_default();

    if kind.starts_with("text/event-stream") {
        return (status, Value::Null);
    }

    let text = reply.text().await.unwrap();
    let is_json = kind.starts_with("application/json");
    (
        status,
        if is_json {
            serde_json::from_str(&text).unwrap()
        } else {
            Value::String(text)
        },
    )
}

/// Beginning of a text, for messages.
fn short(value: &impl std::fmt::Debug) -> String {
    format!("{value:?}").chars().take(600).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn valid_requests_are_never_answered_400_and_invalid_ones_always_are() {
    let seed: u64 = std::env::var("REGIONMESH_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(9_016);

    println!("seed {seed}; another one: REGIONMESH_SEED=…");
    let mesh = TestMesh::start().await;
    mesh.converged().await;

    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, seed_bytes(seed).as_slice());
    let regions = (0..3).map(|index| mesh.region(index).to_owned()).collect();
    let mut generator = Generator {
        runner: TestRunner::new_with_rng(Config::default(), rng),
        regions,
    };
    let client = client();
    let (code, document) = mesh.api(0).get("/v1/openapi.json").await.unwrap();

    assert_eq!(code, 200);

    let mut valid = 0;
    let mut invalid = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, about) in item.as_object().unwrap() {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let operation = Operation {
                document: &document,
                method,
                path,
                about,
            };

            let mut driver = Driver {
                mesh: &mesh,
                client: &client,
                generator: &mut generator,
                seed,
            };

            valid += driver.send_valid(&operation).await;
            invalid += driver.send_invalid(&operation).await;
        }
    }

    println!("{valid} requests were valid, {invalid} invalid");
    assert!(valid > 300 && invalid > 500, "{valid} {invalid}");
    mesh.assert_all_run();

    let restarts = mesh
        .api(0)
        .metric("regionmesh_actor_restarts_total", &[])
        .await
        .unwrap();

    assert_eq!(restarts, 0.0, "an actor died");
}

/// A seed of 32 bytes.
fn seed_bytes(seed: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes
}

/// Sends requests to operations.
struct Driver<'a> {
    mesh: &'a TestMesh,
    client: &'a Client,
    generator: &'a mut Generator,
    seed: u64,
}

impl Driver<'_> {
    async fn answer(&self, operation: &Operation<'_>, sent: &Sent) -> (u16, Value) {
        let url = self.mesh.agent(0).api_url();
        answer(operation.request(self.client, &url, self.mesh.token(), sent)).await
    }

    /// Valid requests are accepted; returns their number.
    async fn send_valid(&mut self, operation: &Operation<'_>) -> usize {
        for _ in 0..VALID {
            let sent = operation.valid(self.generator);
            let (status, body) = self.answer(operation, &sent).await;
            let context = format!(
                "seed {}: {} {} {} answered {status} {body}",
                self.seed,
                operation.method,
                operation.path,
                short(&sent)
            );

            // The author may be left out of the body where the token has a name, which no schema
            // can say.
            let asks_who = body["code"] == "by-required";
            assert!(asks_who || !matches!(status, 400 | 422 | 500), "{context}");

            let responses = &operation.about["responses"];
            assert!(
                responses.get(status.to_string()).is_some(),
                "not in the document: {context}"
            );
        }

        VALID
    }

    /// Requests that break a schema are refused with an explanation; returns their number.
    async fn send_invalid(&mut self, operation: &Operation<'_>) -> usize {
        let all = operation.invalid(self.generator);
        for (what, sent) in &all {
            let (status, body) = self.answer(operation, sent).await;
            let context = format!(
                "seed {}: {} {} with {} answered {status} {body}",
                self.seed,
                operation.method,
                operation.path,
                short(what)
            );

            assert_eq!(status, 400, "{context}");
            let says = |field: &str| body[field].as_str().is_some_and(|text| !text.is_empty());
            assert!(says("error") && says("hint"), "{context}");
        }

        all.len()
    }
}
