//! `umbra completion`: what a shell needs to complete umbra's commands and options.

use std::process::ExitCode;

use clap::Args;
use clap_complete::Shell;

use super::out;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  umbra completion bash > /etc/bash_completion.d/umbra
  umbra completion fish > ~/.config/fish/completions/umbra.fish
  source <(umbra completion zsh)")]
pub(super) struct Arguments {
    /// Whose completion.
    #[arg(value_enum)]
    shell: Shell,
}

impl Arguments {
    pub(super) fn execute(self) -> anyhow::Result<ExitCode> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::command("umbra"), "umbra", &mut script);
        out::print(&String::from_utf8(script)?)?;
        Ok(ExitCode::SUCCESS)
    }
}
