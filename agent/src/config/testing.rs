//! What the tests of this folder share: faults as lines, and objects around a fragment.

use super::{Report, Resources, Sources, read};

pub(super) fn read_text(text: &str) -> (Resources, Report) {
    let (mut resources, mut report) = (Resources::default(), Report::default());
    read("t.yaml", text, &mut resources, &mut report);
    (resources, report)
}

/// Resources of a text without a single fault.
pub(super) fn clean(text: &str) -> Resources {
    let (resources, report) = read_text(text);
    assert!(report.diagnostics.is_empty(), "{}", render(text, &report));
    resources
}

pub(super) fn render(text: &str, report: &Report) -> String {
    let mut sources = Sources::default();
    sources.insert("t.yaml", text);
    report.render(&sources)
}

/// One line per fault: `CODE line:column message (hint)`.
pub(super) fn faults(text: &str) -> Vec<String> {
    let (_, report) = read_text(text);
    let line = |d: &super::Diagnostic| {
        let hint = d.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        format!("{} {}:{} {}{hint}", d.code, d.at.line, d.at.column, d.message)
    };
    report.diagnostics.iter().map(line).collect()
}

/// An object whose spec is `spec`, which starts at line 5, indented by two.
pub(super) fn object(kind: &str, spec: &str) -> String {
    let group = match kind {
        "AgentConfig" | "ShadowPolicy" => "umbra.dev/v1alpha1",
        "HTTPRoute" | "GRPCRoute" => "gateway.networking.k8s.io/v1",
        _ => "networking.istio.io/v1",
    };
    let spec = spec.trim_start_matches('\n').lines().map(|line| format!("  {line}\n")).collect::<String>();
    format!("apiVersion: {group}\nkind: {kind}\nmetadata: {{name: a}}\nspec:\n{spec}")
}

/// Checks each spec against the one fault it has, or against none where `expected` is empty.
pub(super) fn each_has(kind: &str, cases: &[(&str, &str)]) {
    for (spec, expected) in cases {
        let found = faults(&object(kind, spec)).join("\n");
        assert_eq!(found, *expected, "\nin {kind} with spec\n{spec}");
    }
}

/// What `work` costs in CPU time: others on the machine must not make a test fail.
pub(super) fn cost(work: impl FnOnce()) -> std::time::Duration {
    let now = || {
        let clock = nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID;
        std::time::Duration::from(nix::time::clock_gettime(clock).unwrap())
    };
    let start = now();
    work();
    now() - start
}
