//! `umbra man`: manual pages of every command, for packages. Hidden: who has the program has `--help`.

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::{Args, Command};
use clap_mangen::Man;

/// What `--help` does not say, in roff.
const MORE: &str = r#".SH "EXIT STATUS"
0: fine. 1: findings, or failure. 2: wrong usage.
.SH FILES
.TP
\fI/etc/umbra\fR
AgentConfig and rules of the service, in any number of files; changes take effect at once.
.TP
\fI/run/umbra/admin.sock\fR
Where the commands find a running agent.
.SH "SEE ALSO"
\fBsystemctl\fR(1), \fBjournalctl\fR(1)
"#;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Where the pages are written; made when it is not there.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

impl Arguments {
    pub(super) fn execute(self) -> anyhow::Result<ExitCode> {
        let write = || format!("write manual pages to {}", self.dir.display());
        fs::create_dir_all(&self.dir).with_context(write)?;
        let mut command = super::command("umbra").disable_help_subcommand(true);
        command.build();
        for (name, page) in pages(&command)? {
            fs::write(self.dir.join(name), page).with_context(write)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The page of a command and those of the commands below it, each with its file's name.
fn pages(command: &Command) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let man = Man::new(command.clone()).manual("umbra");
    let mut page = Vec::new();
    man.render(&mut page)?;
    if man.get_filename() == "umbra.1" {
        page.extend_from_slice(MORE.as_bytes());
    }
    let mut all = vec![(man.get_filename(), page)];
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        all.extend(pages(below)?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_that_is_shown_has_a_page() {
        let mut command = super::super::command("umbra").disable_help_subcommand(true);
        command.build();
        let pages = pages(&command).unwrap();
        let has = |name: &str| pages.iter().any(|(file, _)| file == name);
        assert!(has("umbra.1") && has("umbra-run.1") && has("umbra-config-dump.1") && !has("umbra-man.1"));
        let with_more =
            pages.iter().filter(|(_, page)| String::from_utf8_lossy(page).contains("EXIT STATUS"));
        assert_eq!(with_more.count(), 1);
    }
}
