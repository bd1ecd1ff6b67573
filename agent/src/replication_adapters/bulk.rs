//! Serves bulk streams of the mesh.

use async_trait::async_trait;
use regionmesh_mesh::BulkService;
use regionmesh_protocol::identity::AgentId;
use regionmesh_replication::BulkServer;

/// The chunk server as a service of the mesh.
pub(crate) struct BulkAdapter(pub(crate) BulkServer);

#[async_trait]
impl BulkService for BulkAdapter {
    async fn serve(
        &self,
        from: AgentId,
        mut send: quinn::SendStream,
        mut receive: quinn::RecvStream,
    ) -> Result<(), String> {
        self.0
            .answer(&from, &mut send, &mut receive)
            .await
            .map_err(|error| error.to_string())
    }
}
