//! Regions of more agents than hold links to other regions.

use regionmesh::local_mesh::layout::LocalAgent;
use regionmesh_tests::{
    mesh::{Setup, TestMesh},
    models::iris_one,
    wait::{claim, seconds, until},
};
use serde_json::json;
use std::{collections::BTreeSet, time::Duration};

const PER_REGION: u8 = 4;
/// At most so many agents of a region hold links to other regions.
const GATEWAYS: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn three_agents_of_a_region_hold_its_links_and_the_rest_do_all_the_same() {
    let mesh = TestMesh::start_with(Setup {
        agents_per_region: PER_REGION,
        ..Setup::default()
    })
    .await;
    mesh.converged().await;

    let linked = until_gateways_alone_are_linked(&mesh, None).await;
    let others: Vec<&LocalAgent> = mesh
        .agents()
        .iter()
        .filter(|agent| !linked.contains(&agent.id.to_string()))
        .collect();
    assert_eq!(others.len(), 3);

    // Published, read and ordered through agents without links to other regions.
    let publisher = mesh.api_of(others[0]);
    let model = [("model.onnx", iris_one())];
    let (code, answer) = publisher.publish("iris", "1", &model).await.unwrap();
    assert_eq!(code, 200, "{answer}");
    mesh.until_held_by_all("1").await;
    mesh.until_answered_by_all("1").await;

    let drained = mesh.region(0);
    let order = json!({ "region": drained, "why": "test", "by": "tests" });
    mesh.api_of(others[1])
        .done("/v1/failover/drain", &order)
        .await;
    until_drained_everywhere(&mesh, drained).await;

    // A gateway dies, but not the agent at the region's only address: another one takes over.
    let region = others[2].id.region.clone();
    let lost = mesh
        .agents()
        .iter()
        .skip_while(|agent| agent.id.region != region)
        .skip(1)
        .find(|agent| linked.contains(&agent.id.to_string()))
        .unwrap();
    mesh.kill(&lost.id).await.unwrap();
    let linked = until_gateways_alone_are_linked(&mesh, Some(lost)).await;
    assert!(linked.contains(&others[2].id.to_string()), "{linked:?}");
}

async fn until_drained_everywhere(mesh: &TestMesh, region: &str) {
    for api in mesh.running_apis() {
        let what = format!("{} knows that {region} is drained", api.url());
        until(&what, seconds(20), async || {
            let seen = api.region(region).await?;
            claim(seen.share == 0.0, || format!("{seen:?}"))
        })
        .await;
    }
}

/// The agents with links to other regions: in each region as many as there may be.
async fn until_gateways_alone_are_linked(
    mesh: &TestMesh,
    lost: Option<&LocalAgent>,
) -> BTreeSet<String> {
    let api = mesh.running_apis().remove(0);
    until(
        "gateways alone are linked",
        Duration::from_secs(120),
        async || {
            let agents = api.status().await?.agents;
            let region = |agent: &str| agent.split('/').next().map(String::from);
            let linked: BTreeSet<String> = agents
                .iter()
                .filter(|agent| agent.alive)
                .filter(|agent| {
                    let mut links = agent.links.iter();
                    links.any(|link| region(&link.agent) != region(&agent.agent))
                })
                .map(|agent| agent.agent.clone())
                .collect();

            let is_known = lost.is_none_or(|lost| !linked.contains(&lost.id.to_string()));
            claim(is_known, || format!("linked: {linked:?}"))?;
            for name in &mesh.layout().regions {
                let of_region = linked
                    .iter()
                    .filter(|agent| region(agent).as_deref() == Some(name.as_str()));
                claim(of_region.count() == GATEWAYS, || {
                    format!("linked: {linked:?}")
                })?;
            }
            let unreachable = agents.iter().find(|agent| !agent.unreachable.is_empty());
            claim(unreachable.is_none(), || format!("{unreachable:?}"))?;
            Ok(linked)
        },
    )
    .await
}
