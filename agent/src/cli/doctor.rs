//! `umbra doctor`: what this machine allows, found by trying it.

use std::process::ExitCode;

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
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

impl Arguments {
    pub(super) fn execute(self) -> anyhow::Result<ExitCode> {
        let checks = probe::checks(&self.netns);
        let found = checks.iter().filter(|check| check.result.is_err()).count();
        let text = match self.output {
            Output::Text => {
                let lines: String = checks.iter().map(|check| line(check) + "\n").collect();
                match found {
                    0 => format!("{lines}\nThis machine can do everything umbra does.\n"),
                    _ => format!("{lines}\n{found} of {} checks found something missing.\n", checks.len()),
                }
            }
            Output::Json => format!("{:#}\n", checks.iter().map(row).collect::<serde_json::Value>()),
        };
        out::print(&text)?;
        Ok(ExitCode::from(u8::from(found > 0)))
    }
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
