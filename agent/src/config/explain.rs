//! What each code means at length, for `umbra check --explain`: what it is, why it matters, an example, the way out.

use super::Code;

/// The parts of an explanation.
struct Text {
    title: &'static str,
    why: &'static str,
    example: &'static str,
    fix: &'static str,
}

impl Code {
    /// One line of what the code stands for.
    pub fn title(self) -> &'static str {
        self.text().title
    }

    /// What it is, why it matters, an example, what to do: plain text, without a last line end.
    pub fn explain(self) -> String {
        let Text { title, why, example, fix } = self.text();
        let example: String = example.lines().map(|line| format!("    {line}\n")).collect();
        let severity = self.severity().as_str();
        format!("{self} ({severity}): {title}\n\n{why}\n\nExample:\n\n{example}\nWhat to do: {fix}")
    }

    #[allow(clippy::too_many_lines, reason = "a table of texts")]
    fn text(self) -> Text {
        let text = |title, why, example, fix| Text { title, why, example, fix };
        match self {
            Self::Syntax => text(
                "the text is not YAML that can be read",
                "A document that cannot be parsed says nothing; the others of the file are read all the same. Duplicate\n\
                 keys, aliases that repeat without end, lists within lists beyond every sense and files of more than\n\
                 8 million values are refused too: they hide mistakes, or cost more than they say.",
                "spec:\n  hosts: [a\n  http: []",
                "correct the place shown; a large source is split into several files.",
            ),
            Self::UnknownKind => text(
                "a document is no Kubernetes object of a kind and version that is read",
                "It would have no effect at all, and a slip in `kind` or `apiVersion` is easily made.",
                "apiVersion: networking.istio.io/v1\nkind: VirtualServices",
                "write apiVersion and kind as the hint says.",
            ),
            Self::BadValue => text(
                "a value has the wrong type or cannot be understood",
                "Guessing what was meant would mirror something else than what the author expects. Kubernetes refuses\n\
                 most of these too.",
                "shadow: {timeout: 15}",
                "write the value in the form the hint shows: durations and byte amounts need a unit, text that looks\n\
                 like a number needs quotes.",
            ),
            Self::Missing => text(
                "a required field is missing",
                "The API's own validation asks for it; without it the object has no meaning.",
                "mirror: {subset: v2}",
                "add the field that is named.",
            ),
            Self::UnknownField => text(
                "one of umbra's own kinds has no such field",
                "A misspelled key would silently leave its default in force.",
                "shadow: {niece: 10}",
                "take the name from the hint; `umbra schema` prints all of them, for editors too.",
            ),
            Self::OutOfRange => text(
                "a number is outside its range",
                "Cutting it to the nearest valid one would hide the mistake.",
                "mirrorPercentage: {value: 130}",
                "choose a value within the range that is shown.",
            ),
            Self::Duplicate => text(
                "something is written twice that may stand once",
                "Of two objects of one kind with one namespace and name only one can exist in a cluster; which of them\n\
                 was meant is not known. The same goes for hosts, subsets, ports and rule names within a list.",
                "subsets: [{name: v1, labels: {a: b}}, {name: v1, labels: {c: d}}]",
                "remove or rename one; the hint says where the other one is.",
            ),
            Self::Conflict => text(
                "fields that exclude each other",
                "Istio and the Gateway API refuse them together, since either alone has a meaning and both have none.",
                "mirror: {host: b}\nmirrors: [{destination: {host: c}}]",
                "keep one of them.",
            ),
            Self::UnknownHost => text(
                "a mirror's host is no known service",
                "Istio would drop such copies in silence. A short name is completed with the namespace of the object it is\n\
                 written in; a name with a dot is taken as it stands, so that `reviews.prod` is not expanded.",
                "mirror: {host: reviews.prod}",
                "write the full name (reviews.prod.svc.cluster.local), or declare the host in a ServiceEntry or Service\n\
                 that is exported to this namespace.",
            ),
            Self::UnknownSubset => text(
                "a mirror's subset is in no DestinationRule of its host",
                "The subset says which endpoints get the copies; without it there are none. Rules are looked up in the\n\
                 namespace of the client, then of the service, then of the mesh.",
                "mirror: {host: my-app, subset: v3}",
                "add the subset to the DestinationRule of the host, or export that rule to this namespace.",
            ),
            Self::UnknownPort => text(
                "the mirror's service has no such port",
                "Without a port a copy goes to the only port of the service, else to the one the client dialled. Where\n\
                 neither exists, Istio loses the copies in silence.",
                "mirror: {host: two-ports}",
                "write `port: {number: …}` with a port of the service.",
            ),
            Self::BadRegex => text(
                "a regular expression that RE2 would refuse, or one too large",
                "Istio matches with RE2, which knows neither look-around nor back-references, and takes 1024 bytes at most.",
                "uri: {regex: '(?=/a).*'}",
                "write it without them, or as several match blocks with `prefix` or `exact`.",
            ),
            Self::Unreadable => text(
                "a file or directory cannot be read",
                "What it holds might change what everything else means, so nothing is put in force without it. One file may\n\
                 have 64 MiB, in UTF-8; a pipe must have somebody who writes to it.",
                "umbra check /etc/umbra/rules     # permission denied",
                "check the path and who may read it.",
            ),
            Self::Exposed => text(
                "the admin API can be asked from other machines without a token",
                "Whoever reaches the address sees paths and clients of requests, and can pause every mirror. On loopback only\n\
                 programs of this machine can.",
                "admin: {address: 0.0.0.0:9977}",
                "name a file with a secret, `tokenFile: /etc/umbra/token`, which is then asked for; or listen on 127.0.0.1.",
            ),
            Self::NotHonoured => text(
                "a field of Istio, Kubernetes or umbra is not honoured",
                "The object is used without it. The message says what happens instead, so that nobody relies on something\n\
                 that does not happen. A field that is not known at all may be a slip of the pen.",
                "http:\n- retries: {attempts: 3}",
                "nothing, if the meaning is acceptable; else take the field out or wait for it to be honoured.",
            ),
            Self::Deprecated => text(
                "a deprecated field",
                "It works as it does in Istio, but Istio may remove it.",
                "mirrorPercent: 30",
                "write the field that the hint names.",
            ),
            Self::NoEndpoints => text(
                "a mirror's destination has no endpoints",
                "Every copy would be dropped, with the reason no_endpoint.",
                "endpoints: []",
                "compare the labels of the subset with those of the endpoints or pods; pods that are not ready do not count.",
            ),
            Self::Unreachable => text(
                "a rule or a match that no request can reach",
                "Rules are tried in order, and the first that matches wins. A rule without `match`, or with a match on\n\
                 everything, ends the list. A match whose requests an earlier one takes is never reached either, nor one\n\
                 that no client's request fulfils: methods are upper-case and paths begin with `/`.",
                "http:\n- route: [{destination: {host: a}}]\n- match: [{uri: {prefix: /b}}]\n  mirror: {host: c}",
                "move the general rule or match behind the special ones.",
            ),
            Self::MirrorsNothing => text(
                "a mirror that never gets a copy",
                "A percentage of 0, or one that rounds to nothing (the smallest is 0.0001), and rules that answer by\n\
                 themselves, by redirect or directResponse, mirror nothing. `mirrorPercentage: {}` means 0, not 100.",
                "mirror: {host: b}\nmirrorPercentage: {}",
                "write the percentage that is meant, or leave it out for 100.",
            ),
            Self::Shadowed => text(
                "an object that loses to another one for the same host",
                "In a mesh VirtualServices of one host are not merged: the oldest wins, private ones before public ones,\n\
                 exact hosts before wildcards. Of two ServiceEntries for one host the older wins.",
                "two VirtualServices with hosts: [a]",
                "merge them, or use delegates.",
            ),
            Self::NothingMirrored => text(
                "nothing in the configuration mirrors anything",
                "No traffic would be captured.",
                "only a ServiceEntry, without a VirtualService",
                "add a VirtualService with `mirror` for a host whose endpoints are known.",
            ),
            Self::UnknownPrimary => text(
                "a rule that mirrors, but whose own destination is unknown",
                "Where Envoy has no cluster for the primary it answers 503 and mirrors nothing.",
                "route: [{destination: {host: a, subset: typo}}]\nmirror: {host: b}",
                "correct the route's host, subset or port.",
            ),
            Self::UnmatchedHost => text(
                "a VirtualService's host is no known service",
                "No endpoint belongs to it, so no traffic is captured for it.",
                "hosts: [no-such-service]",
                "declare the host in a ServiceEntry or Service, or remove it.",
            ),
            Self::UnknownTarget => text(
                "a ShadowPolicy names something that does not exist",
                "It holds for nothing there: copies would go out without its redaction and limits. A policy holds for objects\n\
                 of its own namespace; sectionName is the name of one rule, or its index where it has none.",
                "targetRefs: [{kind: VirtualService, name: my-ap}]",
                "correct the name; the hint says which one is near.",
            ),
            Self::Overruled => text(
                "a part of a ShadowPolicy has no effect, since another policy says it already",
                "For each part the most specific policy wins: of the rule, of its route, of the namespace. Among equally\n\
                 specific ones the older wins, then the first by name.",
                "two policies with targetRefs: [{kind: Namespace, name: default}] and a timeout each",
                "make one policy of both, or attach one of them more specifically.",
            ),
            Self::Skipped => text(
                "a document of a kind that says nothing about mirroring",
                "It is left unread. Files that hold Deployments beside rules can be used as they are.",
                "apiVersion: apps/v1\nkind: Deployment",
                "nothing.",
            ),
            Self::NothingRead => text(
                "a file or directory in which there is nothing to read",
                "A file without a document says nothing. Of a directory the files *.yaml and *.yml directly inside are read:\n\
                 none of its directories, no hidden file, and JSON, which is YAML too, only where it is named itself.",
                "umbra run --config /etc/umbra            # the rules are in /etc/umbra/rules",
                "name the directory that holds the files, or each file; several --config are read together.",
            ),
            Self::Delegation => text(
                "a delegate that does not take part",
                "It is missing, not exported to the namespace that delegates, delegates again, or a match of it lies outside every\n\
                 match of the rule that delegates. Istio drops such rules in silence.",
                "http: [{match: [{uri: {prefix: /shop}}], delegate: {name: parts}}]   # parts matches /cart",
                "name a VirtualService without hosts, and keep its matches within those of the delegating rule.",
            ),
            Self::UnresolvedRef => text(
                "a reference of a route that does not resolve",
                "Gateway API would set ResolvedRefs=False with the reason named: BackendNotFound,\n\
                 RefNotPermitted or InvalidKind.",
                "requestMirror: {backendRef: {name: shadow, namespace: other, port: 80}}   # no ReferenceGrant in other",
                "name an existing Service and port; across namespaces add a ReferenceGrant to the Service's.",
            ),
            Self::LiveShadow => text(
                "a shadow that gets live traffic too",
                "Its endpoints also serve the primary: by the rule itself, or because the primary's Service selects them and\n\
                 kube-proxy knows no subsets.",
                "route: [{destination: {host: app}}]\nmirror: {host: app, subset: v2}",
                "give the shadow a label that the primary's selector leaves out, or a Service of its own.",
            ),
            Self::MirrorLoop => text(
                "mirrors that lead back to where they came from",
                "The shadow's own rules mirror its requests back to the first service. umbra marks copies and never\n\
                 mirrors one again; other mirrors do not know the mark.",
                "# a mirrors to b, and b mirrors to a",
                "remove one of the mirrors.",
            ),
            Self::SecretsExposed => text(
                "credentials are copied to a host outside of the mesh",
                "A copy has the headers of its request, Authorization and Cookie among them.",
                "mirror: {host: api.example.com}   # a ServiceEntry with location: MESH_EXTERNAL",
                "redact them by a ShadowPolicy, or declare the host MESH_INTERNAL if it is yours.",
            ),
            Self::Unusable => text(
                "a setting of a mirror's destination cannot be used for copies",
                "It has a meaning for the requests of a client, but none for a copy of them; Istio's default is used instead.",
                "loadBalancer: {simple: PASSTHROUGH}",
                "override the setting for the mirror's subset, if the default is not what is meant.",
            ),
            Self::NoTls => text(
                "a mirror's destination asks for TLS that is impossible here",
                "ISTIO_MUTUAL needs an identity that the mesh gives to its sidecars, and credentialName a Secret of\n\
                 Kubernetes. The agent has certificates from files only. Copies are not sent unencrypted instead: each\n\
                 fails, with the reason tls.",
                "tls: {mode: ISTIO_MUTUAL}",
                "for the mirror's host or subset write mode DISABLE, where its peers accept plain HTTP (PERMISSIVE), or\n\
                 MUTUAL with clientCertificate, privateKey and caCertificates.",
            ),
            Self::TlsFile => text(
                "a file with certificates cannot be used",
                "It is missing, unreadable, or holds no PEM of the kind that is needed. Copies to that mirror fail, with the\n\
                 reason tls, until it is there: files are read again when they change.",
                "caCertificates: /etc/umbra/tls/ca.pem     # no such file",
                "put the file there, in PEM, readable for the agent; inside a container the path is the container's.",
            ),
            Self::PlainToTls => text(
                "copies are sent unencrypted to a port that speaks TLS",
                "The port's protocol is HTTPS, and no DestinationRule says that TLS is to be spoken there. The shadow will\n\
                 refuse such copies.",
                "ports: [{number: 443, name: https, protocol: HTTPS}]   # and no trafficPolicy.tls",
                "write a DestinationRule for the host with `trafficPolicy: {tls: {mode: SIMPLE}}`.",
            ),
            Self::AppCertificate => text(
                "a certificate or key of an app cannot be used",
                "It is missing, unreadable or expired, or certificate and key do not belong together. Until it is right the\n\
                 connections it is for are relayed untouched and nothing of them is copied; files are read again when they\n\
                 change.",
                "tls: [{port: 8443, certificate: /etc/umbra/tls/tls.crt, privateKey: /etc/umbra/tls/other.key}]",
                "name the files the app itself uses, in PEM, readable for the agent; inside a container the path is the\n\
                 container's.",
            ),
            Self::NoFailover => text(
                "localityLbSetting without outlierDetection",
                "Nearer endpoints come first until they fail, and nothing but outlierDetection tells that one has failed: without\n\
                 it Istio, and umbra, take every endpoint to be equally near.",
                "trafficPolicy:\n  loadBalancer: {localityLbSetting: {enabled: true}}   # and no outlierDetection",
                "add `outlierDetection: {consecutive5xxErrors: 5}` to the trafficPolicy in which the setting stands.",
            ),
            Self::ExternalWrites => text(
                "writes are copied to a host outside of the mesh",
                "The rule matches POST, PUT, PATCH or DELETE as well, which change something there once more.",
                "mirror: {host: api.example.com}   # a ServiceEntry with location: MESH_EXTERNAL",
                "match `method: {exact: GET}`, or name the methods to copy in a ShadowPolicy.",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_is_explained_in_its_own_words() {
        let titles: BTreeSet<_> = Code::ALL.iter().map(|code| code.title()).collect();
        assert_eq!(titles.len(), Code::ALL.len());
        for code in Code::ALL {
            let text = code.explain();
            assert!(text.starts_with(code.as_str()), "{text}");
            assert!(text.contains("\nExample:\n\n    ") && text.contains("\nWhat to do: "), "{text}");
            assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
        }
    }

    #[test]
    fn codes_are_found_by_their_names() {
        for code in Code::ALL {
            assert_eq!(Code::parse(code.as_str()), Some(*code));
        }
        assert_eq!((Code::parse("umb0106"), Code::parse("UMB9999")), (Some(Code::OutOfRange), None));
    }
}
