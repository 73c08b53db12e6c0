//! What rules ask of the rest of the configuration. Nothing else can be asked while a rule is compiled, and every question
//! is noted with its answer: what was made of the answers is good for as long as they are the same.
//!
//! Something new to ask is a [`Topic`], its line in [`Known::answer`], and a method that notes the question.

use std::cell::RefCell;

use super::{
    objects::{Objects, address, addresses},
    services::{Registry, Service},
    subsets::Subsets,
};
use crate::config::{gateway::ReferenceGrant, istio::DestinationRule};

pub(super) struct Known<'a> {
    registry: &'a Registry<'a>,
    subsets: Subsets<'a>,
    grants: &'a [&'a ReferenceGrant],
    /// Some workloads are known by their addresses.
    sources: bool,
    changed: Changed,
    asked: RefCell<Vec<Asked>>,
}

/// What answers come from, by the addresses of the objects.
#[derive(Debug, Default)]
pub(super) struct Lists {
    workloads: [Vec<usize>; 2],
    services: [Vec<usize>; 3],
    rules: Vec<usize>,
    grants: Vec<usize>,
}

impl Lists {
    pub(super) fn of(objects: &Objects<'_>) -> Self {
        let Objects { service_entries, services, endpoint_slices, .. } = objects;
        Self {
            workloads: [addresses(&objects.pods), addresses(&objects.workload_entries)],
            services: [addresses(services), addresses(service_entries), addresses(endpoint_slices)],
            rules: addresses(&objects.destination_rules),
            grants: addresses(&objects.reference_grants),
        }
    }
}

/// Which kinds of answers may differ from those to the configuration before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Changed {
    /// Pods or WorkloadEntries.
    pub(super) workloads: bool,
    /// Services and their endpoints.
    services: bool,
    rules: bool,
    grants: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Topic {
    /// host
    Service,
    /// host of a service, its namespace, the client's
    Rules,
    Sources,
    /// namespace of the service
    Grants,
}

/// A question and its answer: the addresses of what was found.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    topic: Topic,
    about: Box<[Box<str>]>,
    answer: Vec<usize>,
}

impl Changed {
    pub(super) fn between(before: &Lists, now: &Lists) -> Self {
        let workloads = before.workloads != now.workloads;
        Self {
            workloads,
            services: workloads || before.services != now.services,
            rules: before.rules != now.rules,
            grants: before.grants != now.grants,
        }
    }

    fn may(self, topic: Topic) -> bool {
        match topic {
            Topic::Service => self.services,
            // Among those whose rules count is the service's own namespace.
            Topic::Rules => self.rules,
            Topic::Sources => self.workloads,
            Topic::Grants => self.grants,
        }
    }
}

impl<'a> Known<'a> {
    pub(super) fn new(
        registry: &'a Registry<'a>,
        objects: &'a Objects<'a>,
        sources: bool,
        changed: Changed,
    ) -> Self {
        let (subsets, grants) = (Subsets::new(&objects.destination_rules), &objects.reference_grants);
        Self { registry, subsets, grants, sources, changed, asked: RefCell::default() }
    }

    /// A service by its host in full.
    pub(super) fn service(&self, host: &str) -> Option<&'a Service<'a>> {
        self.note(Topic::Service, &[host]);
        self.registry.get(host)
    }

    /// The DestinationRules in force for a service, as a client's namespace sees it.
    pub(super) fn rules(&self, service: &Service<'_>, client: &str) -> Vec<&'a DestinationRule> {
        self.note(Topic::Rules, &[&service.host, service.namespace(), client]);
        self.subsets.rules(&service.host, service.namespace(), client)
    }

    /// Whether any client's workload is known.
    pub(super) fn sources(&self) -> bool {
        self.note(Topic::Sources, &[]);
        self.sources
    }

    /// The ReferenceGrants of a namespace.
    pub(super) fn grants(&self, namespace: &str) -> impl Iterator<Item = &'a ReferenceGrant> {
        self.note(Topic::Grants, &[namespace]);
        of_namespace(self.grants, namespace)
    }

    /// The one place where answers come from, when a question is first asked and when it is asked again.
    fn answer(&self, topic: Topic, about: &[&str]) -> Vec<usize> {
        match (topic, about) {
            (Topic::Service, [host]) => {
                self.registry.get(host).map_or_else(Vec::new, |service| service.identity().to_vec())
            }
            (Topic::Rules, [service, namespace, client]) => {
                self.subsets.rules(service, namespace, client).into_iter().map(address).collect()
            }
            (Topic::Grants, [namespace]) => of_namespace(self.grants, namespace).map(address).collect(),
            _ => vec![usize::from(self.sources)],
        }
    }

    fn note(&self, topic: Topic, about: &[&str]) {
        let mut asked = self.asked.borrow_mut();
        if !asked.iter().any(|known| known.is(topic, about)) {
            let answer = self.answer(topic, about);
            asked.push(Asked { topic, about: about.iter().map(|&text| text.into()).collect(), answer });
        }
    }

    /// Notes what was asked to make something, for whatever uses it too.
    pub(super) fn note_again(&self, questions: &[Asked]) {
        let mut asked = self.asked.borrow_mut();
        for question in questions {
            if !asked.iter().any(|known| known.topic == question.topic && known.about == question.about) {
                asked.push(question.clone());
            }
        }
    }

    /// Whether every answer is what it was.
    pub(super) fn agrees(&self, asked: &[Asked]) -> bool {
        asked.iter().all(|Asked { topic, about, answer }| {
            if !self.changed.may(*topic) {
                return true;
            }
            let mut texts = [""; 3];
            about.iter().zip(&mut texts).for_each(|(text, place)| *place = text);
            self.answer(*topic, &texts[..about.len()]) == *answer
        })
    }

    /// Begins to note questions for something that is made within something else; ended by [`Known::noted`].
    pub(super) fn begin(&self) -> Vec<Asked> {
        self.asked.take()
    }

    /// What was asked since `begin`, whose questions go on.
    pub(super) fn noted(&self, begun: Vec<Asked>) -> Vec<Asked> {
        let mut noted = self.asked.replace(begun);
        noted.shrink_to_fit();
        noted
    }
}

impl Asked {
    fn is(&self, topic: Topic, about: &[&str]) -> bool {
        self.topic == topic && self.about.iter().map(|text| &**text).eq(about.iter().copied())
    }
}

fn of_namespace<'a>(
    grants: &[&'a ReferenceGrant],
    namespace: &str,
) -> impl Iterator<Item = &'a ReferenceGrant> {
    grants.iter().copied().filter(move |grant| grant.meta.namespace == namespace)
}
