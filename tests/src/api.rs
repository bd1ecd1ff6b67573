//! One agent over HTTP: its API with the token, its metrics, its model server.

use regionmesh::local_mesh::layout::LocalAgent;
use regionmesh_client::{PlanDetail, RegionStatus, Status};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use std::time::Duration;

/// Timeout of any answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// An agent, accessed over HTTP.
#[derive(Debug, Clone)]
pub struct Api {
    http: Client,
    url: String,
    serving_url: String,
    token: Option<String>,
}

/// An HTTP client without a pool of connections: each request finds the server that is there now.
pub fn client() -> Client {
    // Refused if another test of this program was first: the same provider then.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    Client::builder()
        .pool_max_idle_per_host(0)
        .timeout(REQUEST_TIMEOUT)
        .build()
        .expect("an HTTP client")
}

impl Api {
    /// Of `agent`, with `token` for changes.
    pub fn new(agent: &LocalAgent, token: Option<String>) -> Self {
        let serving_url = format!("http://{}", agent.serving());
        Self {
            http: client(),
            url: agent.api_url(),
            serving_url,
            token,
        }
    }

    /// The same agent, with another token or none.
    pub fn with_token(&self, token: Option<&str>) -> Self {
        Self {
            token: token.map(str::to_owned),
            ..self.clone()
        }
    }

    /// Where the API is.
    pub fn url(&self) -> &str {
        &self.url
    }

    async fn ask(&self, request: RequestBuilder) -> Result<(u16, Value), String> {
        let request = match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        answer(request)
            .await
            .map_err(|error| format!("{}: {error}", self.url))
    }

    /// GET of the API: status and JSON, or text as a JSON string.
    pub async fn get(&self, path: &str) -> Result<(u16, Value), String> {
        self.ask(
            self.http
                .request(Method::GET, format!("{}{path}", self.url)),
        )
        .await
    }

    /// POST to the API.
    pub async fn post(&self, path: &str, body: &Value) -> Result<(u16, Value), String> {
        self.ask(self.http.post(format!("{}{path}", self.url)).json(body))
            .await
    }

    /// The answer to a change, which must succeed.
    pub async fn done(&self, path: &str, body: &Value) -> Value {
        let (code, answer) = self.post(path, body).await.unwrap();
        assert_eq!(code, 200, "{answer}");
        answer
    }

    /// The mesh as this agent knows it.
    pub async fn status(&self) -> Result<Status, String> {
        let (code, body) = self.get("/v1/status").await?;
        if code != 200 {
            return Err(format!("{} answered {code}: {body}", self.url));
        }
        serde_json::from_value(body).map_err(|error| error.to_string())
    }

    /// One region as this agent knows it.
    pub async fn region(&self, name: &str) -> Result<RegionStatus, String> {
        let status = self.status().await?;
        status
            .regions
            .into_iter()
            .find(|region| region.region.as_str() == name)
            .ok_or_else(|| format!("no {name}"))
    }

    /// The committed plan, whole.
    pub async fn plan(&self) -> Result<PlanDetail, String> {
        let (code, body) = self.get("/v1/plan").await?;
        if code != 200 {
            return Err(format!("{} answered {code}: {body}", self.url));
        }
        serde_json::from_value(body).map_err(|error| error.to_string())
    }

    /// The committed plan's number.
    pub async fn plan_seq(&self) -> Result<u64, String> {
        Ok(self.status().await?.plan.ok_or("no plan")?.seq)
    }

    /// Publishes files as a version; the answer to the commit, or to what was refused before.
    pub async fn publish(
        &self,
        model: &str,
        version: &str,
        files: &[(&str, Vec<u8>)],
    ) -> Result<(u16, Value), String> {
        let begun = self
            .post(
                &format!("/v1/models/{model}/versions/{version}/uploads"),
                &json!({}),
            )
            .await?;
        let Some(upload) = begun.1["upload"].as_str() else {
            return Ok(begun);
        };

        for (path, bytes) in files {
            let url = format!("{}/v1/uploads/{upload}/files?path={path}", self.url);
            let added = self
                .ask(
                    self.http
                        .post(url)
                        .header("content-length", bytes.len())
                        .body(bytes.clone()),
                )
                .await?;

            if added.0 != 201 {
                return Ok(added);
            }
        }

        self.post(&format!("/v1/uploads/{upload}/commit"), &json!({}))
            .await
    }

    /// Names a version by an alias, as soon as a majority of regions can serve it.
    pub async fn promote(
        &self,
        model: &str,
        version: &str,
        alias: &str,
    ) -> Result<(u16, Value), String> {
        let body = json!({ "alias": alias, "wait_ms": 20_000 });
        self.post(
            &format!("/v1/models/{model}/versions/{version}/promote"),
            &body,
        )
        .await
    }

    /// Regions that hold a version, verified, as this agent knows.
    pub async fn holders(&self, model: &str, version: &str) -> Result<Vec<String>, String> {
        let models = self.status().await?.models;
        let versions = models
            .into_iter()
            .filter(|known| known.model == model)
            .flat_map(|known| known.versions);
        let held = versions
            .filter(|known| known.version == version)
            .flat_map(|known| known.regions);

        Ok(held.map(|region| region.to_string()).collect())
    }

    /// One inference in this region: the version that answered, and its first output.
    pub async fn infer(&self, path: &str, body: &Value) -> Result<(String, Vec<f64>), String> {
        let (code, answer) = self
            .ask(
                self.http
                    .post(format!("{}{path}", self.serving_url))
                    .json(body),
            )
            .await?;

        if code != 200 {
            return Err(format!(
                "{}{path} answered {code}: {answer}",
                self.serving_url
            ));
        }

        let data = answer["outputs"][0]["data"]
            .as_array()
            .ok_or_else(|| answer.to_string())?;
        let version = answer["model_version"]
            .as_str()
            .ok_or_else(|| answer.to_string())?
            .to_owned();

        Ok((version, data.iter().filter_map(Value::as_f64).collect()))
    }

    /// The sum of a metric's samples whose labels contain all of `labels`, written as in the text
    /// format.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> Result<f64, String> {
        let (code, text) = self.get("/metrics").await?;
        if code != 200 {
            return Err(format!("/metrics answered {code}"));
        }

        let text = text.as_str().ok_or("metrics are not text")?;
        Ok(sum_of_samples(text, name, labels))
    }

    /// The problems of one kind that the agent's status names.
    pub async fn problems(&self, kind: &str) -> Result<Vec<Value>, String> {
        let (_, status) = self.get("/v1/status").await?;
        let all = status["problems"].as_array().cloned().unwrap_or_default();
        Ok(all
            .into_iter()
            .filter(|problem| problem["kind"] == kind)
            .collect())
    }
}

/// Sends a request: status and JSON, or text as a JSON string.
pub(crate) async fn answer(request: RequestBuilder) -> Result<(u16, Value), String> {
    let reply = request.send().await.map_err(|error| format!("{error:?}"))?;
    let status = reply.status().as_u16();
    let text = reply.text().await.map_err(|error| format!("{error:?}"))?;
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));

    Ok((status, body))
}

/// The sum of a metric's samples whose labels contain all of `labels`, in a text of metrics.
pub(crate) fn sum_of_samples(text: &str, name: &str, labels: &[&str]) -> f64 {
    text.lines()
        .filter_map(|line| sample(line, name, labels))
        .sum()
}

/// Asserts that an answer has this code and holds these words.
#[track_caller]
pub fn assert_refused((code, answer): (u16, Value), expected: u16, words: &str) {
    assert!(
        code == expected && answer.to_string().contains(words),
        "{code}: {answer}"
    );
}

/// A line's value, if it is one of the metric `name` with all of `labels`.
fn sample(line: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let rest = line.strip_prefix(name)?;
    if !rest.starts_with(['{', ' ']) || !labels.iter().all(|label| rest.contains(label)) {
        return None;
    }
    rest.rsplit_once(' ')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_found_by_its_whole_name_and_its_labels() {
        let line = "x_total{a=\"1\",b=\"2\"} 7";
        assert_eq!(sample(line, "x_total", &["a=\"1\""]), Some(7.0));
        assert_eq!(sample(line, "x_total", &["a=\"2\""]), None);
        assert_eq!(sample(line, "x", &[]), None);
        assert_eq!(sample("x_total 3", "x_total", &[]), Some(3.0));
    }
}
