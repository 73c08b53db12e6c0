//! What rules ask of the rest of the configuration. Nothing else can be asked while a rule is compiled, and every question
//! is noted with its answer: what was made of the answers is good for as long as they are the same.
//!
//! Something new to ask is a [`Topic`], its lines in [`Known::answer`] and [`Changed::may`], and a method that notes the
//! question.

use std::{cell::RefCell, sync::Arc};

use foldhash::HashSet;

use super::{
    Here,
    difference::Difference,
    hosts::Hosts,
    objects::address,
    services::{Registry, Service},
    subsets::{self, RulesByHost, Subsets},
};
use crate::config::{gateway::ReferenceGrant, istio::DestinationRule};

pub(super) struct Known<'a> {
    registry: &'a Registry,
    subsets: Subsets<'a>,
    grants: &'a [&'a ReferenceGrant],
    /// Some workloads are known by their addresses.
    sources: bool,
    changed: &'a Changed,
    asked: RefCell<Vec<Asked>>,
}

/// Which answers may differ from those to the configuration before.
#[derive(Debug, Default)]
pub(super) struct Changed {
    services: HashSet<Arc<str>>,
    rules: Hosts,
    /// Some workload is known now and none was before, or the other way round.
    sources: bool,
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
    /// Words with a NUL between them, which no YAML has in it.
    about: Box<str>,
    answer: Box<[usize]>,
}

impl Changed {
    /// `services` are those that came or went.
    pub(super) fn new<'s>(
        difference: &Difference<'_>,
        services: impl Iterator<Item = &'s Arc<Service>>,
        sources: bool,
    ) -> Self {
        let mut rules = Hosts::default();
        let (gone, come) = (&difference.gone.destination_rules, &difference.come.destination_rules);
        gone.iter().chain(come).for_each(|rule| rules.add(subsets::host(rule)));
        let services = services.map(|service| Arc::clone(&service.host)).collect();
        Self { services, rules, sources, grants: difference.any(|objects| &objects.reference_grants) }
    }

    /// Whether any answer may.
    pub(super) fn any(&self) -> bool {
        !self.services.is_empty() || !self.rules.is_empty() || self.sources || self.grants
    }

    fn may(&self, asked: &Asked) -> bool {
        match asked.topic {
            Topic::Service => self.services.contains(&*asked.about),
            // Among those whose rules count is the service's own namespace.
            Topic::Rules => !self.rules.is_empty() && self.rules.covers(asked.words()[0]),
            Topic::Sources => self.sources,
            Topic::Grants => self.grants,
        }
    }
}

impl<'a> Known<'a> {
    pub(super) fn new(
        registry: &'a Registry,
        rules: &'a RulesByHost,
        difference: &'a Difference<'a>,
        sources: bool,
        changed: &'a Changed,
    ) -> Self {
        let subsets = Subsets::new(rules, &difference.now.destination_rules);
        let grants = &difference.now.reference_grants;
        Self { registry, subsets, grants, sources, changed, asked: RefCell::default() }
    }

    /// A service by its host in full.
    pub(super) fn service(&self, host: &str) -> Option<&'a Service> {
        self.note(Topic::Service, [host, "", ""]);
        self.registry.get(host)
    }

    /// The DestinationRules in force for a service, as a client's namespace sees it.
    pub(super) fn rules(&self, service: &Service, client: &str) -> Vec<&'a DestinationRule> {
        self.note(Topic::Rules, [&service.host, service.namespace(), client]);
        self.subsets.rules(&service.host, service.namespace(), client)
    }

    /// Where the agent runs; always the same.
    pub(super) fn here(&self) -> &'a Here {
        &self.registry.here
    }

    /// Whether any client's workload is known.
    pub(super) fn sources(&self) -> bool {
        self.note(Topic::Sources, [""; 3]);
        self.sources
    }

    /// The ReferenceGrants of a namespace.
    pub(super) fn grants(&self, namespace: &str) -> impl Iterator<Item = &'a ReferenceGrant> {
        self.note(Topic::Grants, [namespace, "", ""]);
        of_namespace(self.grants, namespace)
    }

    /// The one place where answers come from, when a question is first asked and when it is asked again.
    fn answer(&self, topic: Topic, [about, namespace, client]: [&str; 3]) -> Box<[usize]> {
        match topic {
            Topic::Service => self.registry.get(about).map(Service::identity).into_iter().collect(),
            Topic::Rules => self.subsets.rules(about, namespace, client).into_iter().map(address).collect(),
            Topic::Grants => of_namespace(self.grants, about).map(address).collect(),
            Topic::Sources => [usize::from(self.sources)].into(),
        }
    }

    fn note(&self, topic: Topic, about: [&str; 3]) {
        let mut asked = self.asked.borrow_mut();
        if !asked.iter().any(|known| known.topic == topic && known.words() == about) {
            let answer = self.answer(topic, about);
            asked.push(Asked { topic, about: about.join("\0").trim_end_matches('\0').into(), answer });
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

    pub(super) fn any_changed(&self) -> bool {
        self.changed.any()
    }

    /// Whether every answer is what it was.
    pub(super) fn agrees(&self, asked: &[Asked]) -> bool {
        !self.changed.any()
            || asked.iter().all(|asked| {
                !self.changed.may(asked) || self.answer(asked.topic, asked.words()) == asked.answer
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
    fn words(&self) -> [&str; 3] {
        let mut words = self.about.splitn(3, '\0');
        [(); 3].map(|()| words.next().unwrap_or_default())
    }
}

fn of_namespace<'a>(
    grants: &[&'a ReferenceGrant],
    namespace: &str,
) -> impl Iterator<Item = &'a ReferenceGrant> {
    grants.iter().copied().filter(move |grant| grant.meta.namespace == namespace)
}
