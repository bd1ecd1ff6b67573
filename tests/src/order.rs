//! Operators' orders over the API.

use crate::{
    mesh::TestMesh,
    wait::{claim, seconds, until},
};
use serde_json::Value;

impl TestMesh {
    /// Gives an order, such as `drain`, by way of region `asked`. Right after a start the leader
    /// may be out of reach yet: then the order is refused for now, and nothing has happened.
    pub async fn order(&self, asked: usize, what: &str, body: Value) -> Value {
        let api = self.api(asked);
        let path = format!("/v1/failover/{what}");
        let (code, answer) = until(
            &format!("{what} reaches the leader"),
            seconds(20),
            async || {
                let (code, answer) = api.post(&path, &body).await?;
                claim(code != 503, || answer.to_string())?;
                Ok((code, answer))
            },
        )
        .await;

        assert_eq!(code, 200, "{what}: {answer}");
        answer
    }
}
