//! `umbra check`: every fault of a configuration, before it runs.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, ValueEnum};

use super::{out, view::counted};
use crate::{
    app::{Compiled, Source},
    config::Code,
    record::Accounts,
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Files and directories, read together as `run` would read them; - is standard input.
    #[arg(required_unless_present_any = ["explain", "list_codes"], value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Exit with 1 on warnings too.
    #[arg(long)]
    strict: bool,
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Print what a code such as UMB0109 means and what to do about it.
    #[arg(long, value_name = "CODE", value_parser = code, conflicts_with = "paths")]
    explain: Option<Code>,
    /// Print every code with one line of what it stands for.
    #[arg(long, conflicts_with_all = ["paths", "explain"])]
    list_codes: bool,
}

fn code(text: &str) -> Result<Code, String> {
    Code::parse(text).ok_or_else(|| "no such code; --list-codes prints all of them".to_owned())
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    Text,
    Json,
    /// For code hosts and editors: SARIF 2.1.0.
    Sarif,
}

impl Arguments {
    pub(super) fn execute(self) -> anyhow::Result<ExitCode> {
        if let Some(code) = self.explain {
            out::print(&format!("{}\n", code.explain()))?;
            return Ok(ExitCode::SUCCESS);
        }
        if self.list_codes {
            let line = |code: &Code| format!("{code} {:7} {}\n", code.severity().as_str(), code.title());
            out::print(&Code::ALL.iter().map(line).collect::<String>())?;
            return Ok(ExitCode::SUCCESS);
        }
        let compiled = Source::Files(self.paths).compile(&Accounts::default());
        let report = &compiled.report;
        let found = report.has_errors() || self.strict && !report.diagnostics.is_empty();
        out::print(&text(&compiled, self.output))?;
        Ok(ExitCode::from(u8::from(found)))
    }
}

fn text(Compiled { snapshot, report, sources, .. }: &Compiled, output: Output) -> String {
    match output {
        Output::Text => format!(
            "{}{}, {}; {} would be captured\n",
            report.render(sources),
            counted(report.errors(), "error"),
            counted(report.warnings(), "warning"),
            counted(snapshot.captured_ports().len(), "endpoint")
        ),
        Output::Json => format!("{}\n", report.to_json()),
        Output::Sarif => format!("{}\n", report.to_sarif()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICES: &str = "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a}
spec:
  hosts: [a.test, b.test]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints: [{address: 10.0.0.1}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec:
  hosts: [a.test]
";

    /// What is found in a VirtualService of these rules.
    fn found(http: &str) -> Vec<Code> {
        let yaml =
            format!("{SERVICES}  http: {http}\n").replace("ROUTE", "route: [{destination: {host: a.test}}]");
        let compiled = Source::CommandLine(yaml).compile(&Accounts::default());
        compiled
            .report
            .diagnostics
            .iter()
            .map(|fault| fault.code)
            .filter(|code| *code != Code::LiveShadow)
            .collect()
    }

    #[test]
    fn what_would_only_follow_from_a_fault_is_not_told() {
        for (rules, expected) in [
            ("[{ROUTE, mirror: {host: b.test}, mirrorPercentage: {value: many}}]", Code::BadValue),
            ("[{ROUTE, mirror: {host: b.test}, mirrorPercentage: {value: 130}}]", Code::OutOfRange),
            (
                "[{ROUTE, mirrors: [{destination: {host: b.test}, percentage: {value: -1}}]}]",
                Code::OutOfRange,
            ),
            ("[{route: {}, mirror: {host: b.test}}]", Code::BadValue),
            (
                "[{route: [{destination: {host: a.test}, weight: x}, {destination: {host: b.test}}]}]",
                Code::BadValue,
            ),
            ("[{match: {}, ROUTE, mirror: {host: b.test}}, {ROUTE}]", Code::BadValue),
            ("[{match: [{uri: /a}], ROUTE, mirror: {host: b.test}}, {ROUTE}]", Code::BadValue),
            ("[{match: [{headers: [a]}], ROUTE}, {ROUTE, mirror: {host: b.test}}]", Code::BadValue),
            ("[]", Code::Missing),
            ("{}", Code::BadValue),
            ("[7]", Code::BadValue),
        ] {
            assert_eq!(found(rules), [expected], "{rules}");
        }
        // What is true whatever was meant is told beside it.
        let both = "[{ROUTE, mirror: {host: b.test}, mirrorPercentage: {value: x}}, {ROUTE}]";
        assert_eq!(found(both), [Code::BadValue, Code::Unreachable]);
    }

    #[test]
    fn what_a_faulty_object_may_still_tell_is_not_missed() {
        let rules = "[{ROUTE, mirror: {host: c.test, subset: v1, port: {number: 80}}}]\n---\n";
        let entry = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: c}\nspec:\n  location: MESH_INTERNAL\n";
        let rule = "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: c}\nspec: {host: c.test, subsets: ";
        let rest = |hosts, ports, endpoints, resolution| {
            format!(
                "  hosts: {hosts}\n  ports: {ports}\n  endpoints: {endpoints}\n  resolution: {resolution}\n"
            )
        };
        let ports = "[{number: 80, name: http, protocol: HTTP}]";
        let (endpoints, subsets) = ("[{address: 10.0.0.3, labels: {v: a}}]", "[{name: v1, labels: {v: a}}]}");
        for (of_entry, of_rule) in [
            (rest("c.test", ports, endpoints, "STATIC"), subsets),
            (rest("[c.test]", "{number: 80}", endpoints, "STATIC"), subsets),
            (rest("[c.test]", ports, "{address: 10.0.0.3}", "STATIC"), subsets),
            (rest("[c.test]", ports, "[{address: 10.0.0.3, labels: [v]}]", "STATIC"), subsets),
            (rest("[c.test]", ports, endpoints, "STATICC"), subsets),
            (rest("[c.test]", ports, endpoints, "STATIC"), "{name: v1}}"),
        ] {
            let text = format!("{rules}{entry}{of_entry}{rule}{of_rule}");
            assert_eq!(found(&text), [Code::BadValue], "{text}");
        }
        // Of another host everything is told.
        let other = rest("[d.test]", "7", endpoints, "STATIC");
        assert_eq!(found(&format!("{rules}{entry}{other}")), [Code::BadValue, Code::UnknownHost]);
    }
}
