//! `umbra doctor`: what this machine allows, found by trying it.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use serde_json::json;

use super::{Output, out};
use crate::{
    capture::probe::{self, Check},
    config::umbra::NetnsRef,
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The network namespace to try: host, /run/netns/NAME, pid:N or pod:UID.
    #[arg(long, value_name = "NETNS", default_value = "host")]
    netns: NetnsRef,
    /// The container runtime's socket to try, as `capture.criSocket` would name it.
    #[arg(long, value_name = "PATH")]
    cri_socket: Option<PathBuf>,
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

impl Arguments {
    pub(super) fn execute(self) -> anyhow::Result<ExitCode> {
        let checks = probe::checks(&self.netns, self.cri_socket);
        let found = checks.iter().filter(|check| check.result.is_err()).count();
        let text = match self.output {
            Output::Text => {
                let lines: String = checks.iter().map(|check| line(check) + "\n").collect();
                let sum = match found {
                    0 => "This machine can do everything umbra does.".to_owned(),
                    _ => format!("{found} of {} checks found something missing.", checks.len()),
                };
                format!("{lines}\n{sum}\n{}\n", ending(&checks))
            }
            Output::Json => {
                let (mode, why) = probe::mode(&checks);
                let why: Vec<_> = why.iter().map(|check| check.name).collect();
                let rows: Vec<_> = checks.iter().map(row).collect();
                format!("{:#}\n", json!({"checks": rows, "mode": mode.as_str(), "because": why}))
            }
        };
        out::print(&text)?;
        Ok(ExitCode::from(u8::from(found > 0)))
    }
}

/// How an agent would work here, and why not better.
fn ending(checks: &[Check]) -> String {
    let (mode, why) = probe::mode(checks);
    let why: Vec<_> = why.iter().map(|check| check.name).collect();
    let because = if why.is_empty() { String::new() } else { format!(" Because of: {}.", why.join(", ")) };
    format!("Mode: {}. Here {}.{because}", mode.as_str(), mode.tell())
}

fn line(check: &Check) -> String {
    match &check.result {
        Ok(found) => format!("✓ {:<25} {found}", check.name),
        Err(shortfall) => {
            format!("✗ {:<25} {}\n  {:<25} → {}", check.name, shortfall.reason, "", shortfall.fallback)
        }
    }
}

fn row(check: &Check) -> serde_json::Value {
    match &check.result {
        Ok(found) => json!({"check": check.name, "ok": true, "found": found}),
        Err(shortfall) => {
            json!({"check": check.name, "ok": false, "reason": shortfall.reason, "fallback": shortfall.fallback})
        }
    }
}
