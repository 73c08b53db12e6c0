//! What is to be captured where: what AgentConfig names, and the pods of this node that are labelled.

use ipnet::IpNet;

use super::super::pods::{PodName, Pods, Skipped};
use crate::config::umbra::{AgentConfig, NetnsRef};

/// What is to be captured where. A reload changes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::app) struct Wanted {
    pub(super) namespaces: Vec<Wish>,
    pub(super) skipped: Vec<Skipped>,
    /// Sources whose connections are never captured.
    pub(super) exempt: Vec<IpNet>,
    /// The node's own addresses too.
    pub(super) exempt_node: bool,
}

/// A namespace that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::app) struct Wish {
    pub(super) netns: NetnsRef,
    /// Whose it is, where its labels ask for it.
    pub(super) pod: Option<PodName>,
}

impl Wanted {
    /// The host's namespace, unless something else is named, or pods are enrolled by their labels.
    pub(in crate::app) fn by(config: &AgentConfig, pods: Option<&Pods>) -> Self {
        let capture = &config.capture;
        let wish = |netns: &NetnsRef| Wish { netns: netns.clone(), pod: None };
        let mut namespaces: Vec<_> = capture.inbound.iter().map(|inbound| wish(&inbound.netns)).collect();
        match pods {
            Some(pods) => {
                let of_pod = |(netns, pod): &(_, PodName)| Wish { pod: Some(pod.clone()), ..wish(netns) };
                namespaces.extend(pods.wanted.iter().map(of_pod));
            }
            None if namespaces.is_empty() && capture.direct.is_empty() => {
                namespaces.push(wish(&NetnsRef::Host));
            }
            None => {}
        }
        Self {
            namespaces,
            skipped: pods.map(|pods| pods.skipped.clone()).unwrap_or_default(),
            exempt: capture.exempt.clone(),
            exempt_node: capture.exempt_node,
        }
    }
}

impl Wish {
    /// `namespace/name`
    pub(super) fn pod(&self) -> Option<&str> {
        self.pod.as_ref().map(PodName::as_str)
    }

    /// Its pod is being deleted.
    pub(super) fn is_ending(&self) -> bool {
        self.pod.as_ref().is_some_and(|pod| pod.ending)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Report, Resources, read};

    fn wanted(capture: &str, pods: Option<&Pods>) -> Vec<String> {
        let text = format!(
            "apiVersion: umbra.dev/v1alpha1\nkind: AgentConfig\nmetadata: {{name: a}}\nspec: {{capture: {{{capture}}}}}\n"
        );
        let (mut resources, mut report) = (Resources::default(), Report::default());
        read("a.yaml", &text, &mut resources, &mut report);
        let wanted = Wanted::by(&resources.agent.unwrap(), pods);
        wanted.namespaces.iter().map(|wish| wish.netns.to_string()).collect()
    }

    #[test]
    fn the_hosts_namespace_is_wanted_where_nothing_else_is() {
        assert_eq!(wanted("", None), ["host"]);
        assert_eq!(wanted("inbound: [{netns: /a}]", None), ["/a"]);
        assert_eq!(wanted("direct: [{listen: '127.0.0.1:1', upstream: '127.0.0.1:2'}]", None), [""; 0]);
    }

    #[test]
    fn pods_come_after_what_is_named_and_take_the_hosts_place() {
        let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, uid: u, labels: {umbra.dev/capture: enabled}}\n\
                    spec: {nodeName: n}\nstatus: {phase: Running, podIP: 10.0.0.1}\n";
        let (mut resources, mut report) = (Resources::default(), Report::default());
        read("pods.yaml", text, &mut resources, &mut report);
        assert_eq!(wanted("", Some(&Pods::default())), [""; 0]);
        let pods = Pods::of("n", [&resources]);
        assert_eq!(wanted("inbound: [{netns: host}]", Some(&pods)), ["host", "pod:u"]);
    }
}
