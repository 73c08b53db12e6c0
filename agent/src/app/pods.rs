//! Which pods of this node are captured: those that are labelled so, or whose namespace is, and that can be. What keeps
//! one of these from it is a reason to be shown. Where their network is, is found later.

use std::{collections::HashMap, fmt, sync::Arc};

use crate::config::{
    Labels, Resources,
    kubernetes::{Mesh, Pod, PodPhase},
    umbra::NetnsRef,
};

/// The label of pods and namespaces: `enabled` or `disabled`. A pod's own says more than its namespace's.
const LABEL: &str = "umbra.dev/capture";

/// The pods of a node that are to be captured, in the order of their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pods {
    pub(super) wanted: Vec<(NetnsRef, PodName)>,
    pub(super) skipped: Vec<Skipped>,
}

/// `namespace/name`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PodName {
    name: Arc<str>,
    /// It is being deleted: what it still serves is captured, and nobody wonders when it is gone.
    pub(super) ending: bool,
}

/// A pod that is labelled and is not captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Skipped {
    pub(super) pod: PodName,
    /// `pod:UID`, as far as it is known.
    pub(super) netns: String,
    pub(super) why: String,
}

impl Pods {
    /// Those of a node, by its name in the cluster.
    pub(super) fn of<'a>(node: &str, parts: impl IntoIterator<Item = &'a Resources> + Clone) -> Self {
        let namespaces = parts.clone().into_iter().flat_map(|part| &part.namespaces);
        let namespaces: HashMap<&str, &Labels> =
            namespaces.map(|namespace| (namespace.meta.name.as_str(), &namespace.meta.labels)).collect();
        let of_node = |pod: &&Pod| pod.node.as_deref() == Some(node) && is_there(pod);
        let mut pods: Vec<_> = parts.into_iter().flat_map(|part| &part.pods).filter(of_node).collect();
        pods.sort_by_key(|pod| (&pod.meta.namespace, &pod.meta.name.value));
        let mut found = Self::default();
        for pod in pods {
            let name = PodName { name: pod.meta.qualified().into(), ending: pod.terminating };
            let of_namespace = namespaces.get(pod.meta.namespace.as_str()).copied();
            match captured(pod, of_namespace) {
                Ok(None) => {}
                Ok(Some(uid)) => found.wanted.push((NetnsRef::Pod(uid.to_owned()), name)),
                Err(why) => {
                    let netns = format!("pod:{}", pod.uid.as_deref().unwrap_or_default());
                    found.skipped.push(Skipped { pod: name, netns, why });
                }
            }
        }
        found
    }
}

/// It may have connections: from when it has an address, which is before its containers run, until they have ended.
fn is_there(pod: &Pod) -> bool {
    !pod.ips.is_empty() && !matches!(pod.phase, PodPhase::Succeeded | PodPhase::Failed)
}

/// The UID of a pod that is to be captured; why it is not, though somebody wants it.
fn captured<'p>(pod: &'p Pod, namespace: Option<&Labels>) -> Result<Option<&'p str>, String> {
    let (whose, said) = match (pod.meta.labels.get(LABEL), namespace.and_then(|labels| labels.get(LABEL))) {
        (Some(said), _) => ("its", said),
        (None, Some(said)) => ("its namespace's", said),
        (None, None) => return Ok(None),
    };
    match said {
        "enabled" => {}
        "disabled" => return Ok(None),
        other => {
            return Err(format!(
                "{whose} label {LABEL} is `{other}`, which says nothing: write enabled or disabled"
            ));
        }
    }
    if pod.host_network {
        return Err(
            "it is on the host's network (hostNetwork), which it shares with everything else there: name \
                    `netns: host` in capture.inbound to capture all of it"
                .to_owned(),
        );
    }
    if let Some(mesh) = pod.mesh {
        let (who, annotation) = redirected(mesh);
        return Err(format!(
            "{who} redirects its connections (annotation {annotation}), and two in one path would follow each other's"
        ));
    }
    match &pod.uid {
        Some(uid) => Ok(Some(uid)),
        None => Err("it has no metadata.uid, by which its processes are found".to_owned()),
    }
}

/// Who redirects, and what says so.
fn redirected(mesh: Mesh) -> (&'static str, &'static str) {
    match mesh {
        Mesh::IstioSidecar => ("Istio's sidecar", "sidecar.istio.io/status"),
        Mesh::IstioAmbient => ("Istio's ztunnel", "ambient.istio.io/redirection"),
        Mesh::Linkerd => ("Linkerd's proxy", "linkerd.io/proxy-version"),
    }
}

impl PodName {
    pub(super) fn as_str(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for PodName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Report, read};

    const NODE: &str = "node-1";

    /// A running pod of this node, with more said of it.
    fn pod(name: &str, metadata: &str, spec: &str, status: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: shop, uid: u-{name}, {metadata}}}\n\
             spec: {{nodeName: node-1, containers: [{{name: app}}], {spec}}}\n\
             status: {{phase: Running, podIP: 10.0.0.1, {status}}}\n---\n"
        )
    }

    fn labelled(name: &str, value: &str) -> String {
        pod(name, &format!("labels: {{umbra.dev/capture: '{value}'}}"), "", "")
    }

    fn namespace(value: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: shop, labels: {{umbra.dev/capture: {value}}}}}\n---\n"
        )
    }

    fn of(text: &str) -> Pods {
        let (mut resources, mut report) = (Resources::default(), Report::default());
        read("pods.yaml", text, &mut resources, &mut report);
        assert!(!report.has_errors(), "{report:?}");
        Pods::of(NODE, [&resources])
    }

    /// Names of the wanted ones, and of the skipped ones with their reason's beginning.
    fn told(text: &str) -> (Vec<String>, Vec<(String, String)>) {
        let Pods { wanted, skipped } = of(text);
        let wanted = wanted.iter().map(|(_, pod)| pod.to_string());
        let skipped = skipped.iter().map(|it| (it.pod.to_string(), it.why.chars().take(12).collect()));
        (wanted.collect(), skipped.collect())
    }

    fn wanted(text: &str) -> Vec<String> {
        let (wanted, skipped) = told(text);
        assert_eq!(skipped, []);
        wanted
    }

    #[test]
    fn a_labelled_pod_is_captured_by_its_uid() {
        let text = [labelled("b", "enabled"), labelled("a", "enabled"), pod("c", "", "", "")].concat();
        let references: Vec<_> =
            of(&text).wanted.iter().map(|(netns, pod)| format!("{pod} {netns}")).collect();
        assert_eq!(references, ["shop/a pod:u-a", "shop/b pod:u-b"]);
    }

    #[test]
    fn a_namespace_speaks_for_its_pods_unless_they_speak_themselves() {
        let three = [pod("a", "", "", ""), labelled("b", "disabled"), labelled("c", "enabled")].concat();
        assert_eq!(wanted(&(namespace("enabled") + &three)), ["shop/a", "shop/c"]);
        assert_eq!(wanted(&(namespace("disabled") + &three)), ["shop/c"]);
        let elsewhere = namespace("enabled").replace("name: shop", "name: other");
        assert_eq!(wanted(&(elsewhere + &three)), ["shop/c"]);
    }

    #[test]
    fn pods_of_other_nodes_and_pods_that_have_not_begun_or_are_over_are_not() {
        let there = labelled("a", "enabled");
        for (from, to) in [
            ("nodeName: node-1", "nodeName: node-2"),
            ("nodeName: node-1, ", ""),
            ("phase: Running", "phase: Succeeded"),
            ("phase: Running", "phase: Failed"),
            ("podIP: 10.0.0.1", "message: no address yet"),
        ] {
            assert_eq!(wanted(&there.replace(from, to)), [""; 0], "{to}");
        }
        // Its first containers run, and more come.
        assert_eq!(wanted(&there.replace("phase: Running", "phase: Pending")), ["shop/a"]);
    }

    #[test]
    fn one_that_is_being_deleted_stays_until_it_is_gone() {
        let metadata = "labels: {umbra.dev/capture: enabled}, deletionTimestamp: '2026-01-02T04:00:00Z'";
        let pods = of(&pod("a", metadata, "", ""));
        assert!(pods.wanted[0].1.ending);
    }

    #[test]
    fn what_cannot_be_captured_is_skipped_with_the_reason() {
        let enabled = |name: &str, metadata: &str, spec: &str| {
            pod(name, &format!("labels: {{umbra.dev/capture: enabled}}, {metadata}"), spec, "")
        };
        let annotated = |name: &str, said: &str| enabled(name, &format!("annotations: {{{said}}}"), "");
        let text = [
            enabled("host", "", "hostNetwork: true"),
            annotated("sidecar", "sidecar.istio.io/status: '{}'"),
            annotated("ambient", "ambient.istio.io/redirection: enabled"),
            annotated("linkerd", "linkerd.io/proxy-version: edge-1"),
            annotated("free", "ambient.istio.io/redirection: disabled"),
            labelled("typo", "true"),
            enabled("nobody", "", "").replace("uid: u-nobody, ", ""),
            // Nobody asked for it, so nobody wonders.
            pod("other", "", "hostNetwork: true", ""),
        ];
        let (wanted, skipped) = told(&text.concat());
        assert_eq!(wanted, ["shop/free"]);
        let skipped: Vec<_> = skipped.iter().map(|(name, why)| (name.as_str(), why.as_str())).collect();
        assert_eq!(
            skipped,
            [
                ("shop/ambient", "Istio's ztun"),
                ("shop/host", "it is on the"),
                ("shop/linkerd", "Linkerd's pr"),
                ("shop/nobody", "it has no me"),
                ("shop/sidecar", "Istio's side"),
                ("shop/typo", "its label um"),
            ]
        );
    }

    #[test]
    fn a_static_pod_has_the_uid_that_the_kubelet_gave_it() {
        let metadata =
            "labels: {umbra.dev/capture: enabled}, annotations: {kubernetes.io/config.mirror: 0a1b2c}";
        assert_eq!(of(&pod("a", metadata, "", "")).wanted[0].0, NetnsRef::Pod("0a1b2c".to_owned()));
    }
}
