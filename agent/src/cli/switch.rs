//! `umbra pause` and `umbra resume`: the kill switch of a running agent.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::{
    agent::Agent,
    out,
    view::{View, print_value, text},
};

#[derive(Debug, Args)]
#[command(after_help = "\
A mirror is named as `umbra mirrors` shows it, from left to right, or by its destination alone:
  umbra pause shop/cart                          every mirror of the object
  umbra pause 'shop/cart all'                    every mirror of its rule
  umbra pause 'shop/cart all cart.shop:80/v2'    one mirror
  umbra pause cart.shop:80/v2                    every mirror that copies there
Copies under way end as they would. A pause outlives reloads, not the agent. `resume --all` ends every pause.")]
pub(super) struct Arguments {
    /// Which mirrors.
    #[arg(value_name = "MIRROR", required_unless_present = "all")]
    mirrors: Vec<String>,
    /// All mirrors, also those that a later configuration brings.
    #[arg(long, conflicts_with = "mirrors")]
    all: bool,
    #[command(flatten)]
    agent: Agent,
    #[arg(short, long, value_enum, default_value_t = View::Table)]
    output: View,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Switch {
    Pause,
    Resume,
}

impl Arguments {
    pub(super) fn execute(self, switch: Switch) -> anyhow::Result<ExitCode> {
        let (path, done) = match switch {
            Switch::Pause => ("/api/v1/pause", "paused"),
            Switch::Resume => ("/api/v1/resume", "resumed"),
        };
        let order = if self.all { json!({"all": true}) } else { json!({"mirrors": self.mirrors}) };
        let answer = self.agent.post(path, &order)?;
        if matches!(self.output, View::Json | View::Yaml) {
            print_value(&answer, self.output)?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut said = String::new();
        if self.all {
            said += &format!("all mirrors are {done}\n");
        }
        for mirror in answer["mirrors"].as_array().into_iter().flatten().filter(|_| !self.all) {
            said += &format!("{done} {}\n", text(mirror));
        }
        if answer["changed"] == 0 {
            said += "it was so before\n";
        }
        if switch == Switch::Resume && answer["allPaused"] == true {
            said += "still no copies: all mirrors are paused together; `umbra resume --all` ends that\n";
        }
        out::print(&said)?;
        Ok(ExitCode::SUCCESS)
    }
}
