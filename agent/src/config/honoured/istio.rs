//! The lists of `networking.istio.io`.

use super::{HONOURED, Rows};

const ANSWERS: &str =
    "the primary's responses are left as they are, those of shadows are read and thrown away";
const RETRIES: &str = "no copy is ever retried";
const NETWORK: &str = "the address is dialled as it stands";
const LOCALITY: &str = "every endpoint is taken to be equally near (localityLbSetting.failover is honoured)";
const IDENTITY: &str = "no identity of the mesh is checked; `subjectAltNames` of a DestinationRule's tls are";

pub(super) const VIRTUAL_SERVICE: Rows = &[
    ("spec.{hosts,gateways,exportTo}", HONOURED),
    ("spec.{tls,tcp}", "only http rules are mirrored"),
    ("spec.http.{name,delegate.name,delegate.namespace}", HONOURED),
    ("spec.http.match.{uri,scheme,method,authority}.{exact,prefix,regex}", HONOURED),
    ("spec.http.match.{headers,withoutHeaders,queryParams}.{exact,prefix,regex}", HONOURED),
    ("spec.http.match.{name,port,ignoreUriCase,sourceLabels,sourceNamespace,gateways}", HONOURED),
    ("spec.http.match.statPrefix", "umbra's metrics name the VirtualService and the rule"),
    ("spec.http.{route.destination,mirror,mirrors.destination}.{host,subset,port.number}", HONOURED),
    ("spec.http.{route.weight,mirrorPercent,mirrorPercentage.value,mirrors.percentage.value}", HONOURED),
    ("spec.http.{redirect.uri,redirect.prefixRewrite,redirect.authority,redirect.port}", HONOURED),
    ("spec.http.redirect.{derivePort,scheme,redirectCode}", HONOURED),
    ("spec.http.directResponse.{status,body.string,body.bytes}", HONOURED),
    ("spec.http.rewrite.{uri,authority,uriRegexRewrite.match,uriRegexRewrite.rewrite}", HONOURED),
    ("spec.http.{,route.}headers.request.{set,add,remove}", HONOURED),
    ("spec.http.{,route.}headers.response", ANSWERS),
    ("spec.http.fault.abort.{httpStatus,grpcStatus,http2Error,percentage.value}", HONOURED),
    ("spec.http.fault.delay", "nothing is delayed, neither the primary nor a copy"),
    ("spec.http.corsPolicy.allowOrigins.{exact,prefix,regex}", HONOURED),
    ("spec.http.corsPolicy.{allowOrigin,allowMethods,allowHeaders,unmatchedPreflights}", HONOURED),
    ("spec.http.corsPolicy.{exposeHeaders,maxAge,allowCredentials}", ANSWERS),
    ("spec.http.timeout", HONOURED),
    ("spec.http.retries", "nothing is retried, neither the primary nor a copy"),
];

pub(super) const DESTINATION_RULE: Rows = &[
    ("spec.{host,exportTo,subsets.name,subsets.labels}", HONOURED),
    ("spec.workloadSelector", "the rule holds for every client"),
    ("spec.{,subsets.}trafficPolicy.portLevelSettings.port.number", HONOURED),
    ("spec.{,subsets.}trafficPolicy.{,portLevelSettings.}loadBalancer.simple", HONOURED),
    (
        "spec.{,subsets.}trafficPolicy.{,portLevelSettings.}loadBalancer.consistentHash",
        "it never applies to mirrors, in Istio neither: LEAST_REQUEST is used",
    ),
    (
        "spec.{,subsets.}trafficPolicy.{,portLevelSettings.}loadBalancer.localityLbSetting.{enabled,failover.from,failover.to}",
        HONOURED,
    ),
    (
        "spec.{,subsets.}trafficPolicy.{,portLevelSettings.}loadBalancer.{localityLbSetting.distribute,localityLbSetting.failoverPriority,zoneAwareLbSetting}",
        LOCALITY,
    ),
    (
        "spec.{,subsets.}trafficPolicy.{,portLevelSettings.}loadBalancer.{warmup,warmupDurationSecs}",
        "a new endpoint gets its whole share of copies at once",
    ),
    (
        "spec.{,subsets.}trafficPolicy.{,portLevelSettings.}connectionPool.tcp.{maxConnections,connectTimeout,maxConnectionDuration}",
        HONOURED,
    ),
    (
        "spec.{,subsets.}trafficPolicy.{,portLevelSettings.}connectionPool.tcp.tcpKeepalive.{probes,time,interval}",
        HONOURED,
    ),
    (
        "spec.{,subsets.}trafficPolicy.{,portLevelSettings.}connectionPool.tcp.idleTimeout",
        "it concerns TCP routes, which are not mirrored; for copies there is http.idleTimeout",
    ),
    (
        "spec.{,subsets.}trafficPolicy.{,portLevelSettings.}connectionPool.http.{http1MaxPendingRequests,http2MaxRequests,maxRequestsPerConnection,idleTimeout,h2UpgradePolicy,useClientProtocol,maxConcurrentStreams}",
        HONOURED,
    ),
    (
        "spec.{,subsets.}trafficPolicy.{,portLevelSettings.}connectionPool.http.http2KeepAlive.{interval,timeout}",
        HONOURED,
    ),
    ("spec.{,subsets.}trafficPolicy.{,portLevelSettings.}connectionPool.http.maxRetries", RETRIES),
    (
        "spec.{,subsets.}trafficPolicy.{,portLevelSettings.}outlierDetection.{consecutive5xxErrors,consecutiveGatewayErrors,interval,baseEjectionTime}",
        HONOURED,
    ),
    (
        "spec.{,subsets.}trafficPolicy.{,portLevelSettings.}outlierDetection.{splitExternalLocalOriginErrors,consecutiveLocalOriginFailures}",
        HONOURED,
    ),
    (
        "spec.{,subsets.}trafficPolicy.{,portLevelSettings.}outlierDetection.{maxEjectionPercent,minHealthPercent}",
        HONOURED,
    ),
    (
        "spec.{,subsets.}trafficPolicy.{,portLevelSettings.}outlierDetection.consecutiveErrors",
        "Istio disregards it too",
    ),
    (
        "spec.{,subsets.}trafficPolicy.{,portLevelSettings.}tls.{mode,clientCertificate,privateKey,caCertificates,caCrl,subjectAltNames,sni,insecureSkipVerify}",
        HONOURED,
    ),
    (
        "spec.{,subsets.}trafficPolicy.{,portLevelSettings.}tls.credentialName",
        "no Secret is read: copies to this host fail, write the paths of files instead",
    ),
    ("spec.{,subsets.}trafficPolicy.tunnel", "it concerns TCP and TLS routes, which are not mirrored"),
    ("spec.{,subsets.}trafficPolicy.proxyProtocol", "copies are sent without a PROXY header"),
    ("spec.{,subsets.}trafficPolicy.retryBudget", RETRIES),
];

pub(super) const SERVICE_ENTRY: Rows = &[
    ("spec.{hosts,location,resolution,exportTo}", HONOURED),
    ("spec.ports.{number,name,protocol,targetPort}", HONOURED),
    ("spec.endpoints.{address,labels,locality,ports,weight}", HONOURED),
    ("spec.endpoints.network", NETWORK),
    ("spec.endpoints.serviceAccount", IDENTITY),
    ("spec.workloadSelector.labels", HONOURED),
    ("spec.subjectAltNames", HONOURED),
    ("spec.addresses", "connections are captured at the endpoints, not at virtual addresses"),
];

pub(super) const WORKLOAD_ENTRY: Rows = &[
    ("spec.{address,labels,locality,ports,weight}", HONOURED),
    ("spec.network", NETWORK),
    ("spec.serviceAccount", IDENTITY),
];
