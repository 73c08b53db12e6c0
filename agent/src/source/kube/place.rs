//! Where the agent's node is: region and zone, as the labels of its Node object say. Whoever runs the cluster gives them when the
//! node joins, or soon after, so it is asked for until they are there, and never again.

use std::{sync::Arc, time::Duration};

use kube::{Client, core::Request};
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::{
    lines::{Lines, Trouble},
    pause::{Pause, spread},
    shared::Shared,
};
use crate::route::Locality;

const WITHIN: Duration = Duration::from_secs(5);
/// Until labels that are not there, or may not be read, are looked for again; longer each time, for some clusters have none.
const SOON: Duration = Duration::from_secs(60);
const LATEST: Duration = Duration::from_secs(3600);

/// Well-known labels of Kubernetes, and Istio's own for what Kubernetes has no word for.
const LABELS: [&str; 3] =
    ["topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone"];

/// Until it is known.
pub(super) async fn find(client: Client, shared: Arc<Shared>, node: String) {
    let (mut pause, mut rest) = (Pause::default(), SOON);
    loop {
        let wait = match ask(&client, &node).await {
            Ok(Some(place)) => {
                tracing::info!(node, %place, "the node's labels say where it is");
                shared.placed(place);
                return;
            }
            // The server is away, which others tell of.
            Err(Trouble { status: None | Some(500..), .. }) => pause.next(),
            Err(trouble) => told_and_longer(&mut rest, &node, &trouble.to_string()),
            Ok(None) => told_and_longer(&mut rest, &node, "it has no label topology.kubernetes.io/zone"),
        };
        sleep(wait).await;
    }
}

/// Once as a rule, for the next time is far away.
fn told_and_longer(rest: &mut Duration, node: &str, why: &str) -> Duration {
    let now = *rest;
    *rest = (now * 2).min(LATEST);
    tracing::info!(
        "the place of node {node} is not known, so no shadow endpoint is nearer than another: {why}"
    );
    spread(now)
}

/// None while there are no labels.
async fn ask(client: &Client, node: &str) -> Result<Option<Locality>, Trouble> {
    let request = Request::new("/api/v1/nodes").get(node, &kube::api::GetParams::default());
    let answer = async {
        let mut lines = Lines::open(client, request.map_err(Trouble::other)?).await?;
        lines.next().await
    };
    let answer = timeout(WITHIN, answer).await.map_err(|_| Trouble::silent(WITHIN))??;
    let object: Value = serde_json::from_slice(&answer.unwrap_or_default()).map_err(Trouble::other)?;
    Ok(place(&object["metadata"]["labels"]))
}

/// What the labels say; None without a zone, for nothing is near a region.
fn place(labels: &Value) -> Option<Locality> {
    let [region, zone, sub_zone] = LABELS.map(|label| labels[label].as_str().unwrap_or_default());
    let text = [region, zone, sub_zone].join("/");
    (!zone.is_empty()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn labels_of_the_node_say_where_it_is() {
        let [region, zone, sub_zone] = LABELS;
        for (labels, expected) in [
            (json!({region: "eu", zone: "eu-a", sub_zone: "rack-1"}), Some("eu/eu-a/rack-1")),
            (json!({region: "eu", zone: "eu-a"}), Some("eu/eu-a")),
            (json!({zone: "eu-a"}), Some("/eu-a")),
            (json!({region: "eu"}), None),
            (json!({"topology.kubernetes.io/zone": ""}), None),
            (json!(null), None),
        ] {
            assert_eq!(place(&labels), expected.map(|text| text.parse().unwrap()), "{labels}");
        }
    }
}
