//! The README's first walk, as a newcomer types it: each command prints what the page says, but for figures and dates.
//! In a network namespace and a mount namespace of its own, so that the walk's fixed ports and socket are free.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a suite fails where it stands")]

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    process::{Child, Stdio},
    time::Duration,
};

use support::{Netns, binary, eventually, patience};
use tempfile::TempDir;

/// A command of the page, and what follows it there.
#[derive(Debug)]
struct Step<'p> {
    command: &'p str,
    output: String,
}

/// What stands in `console` blocks below this heading, up to the next.
fn steps<'p>(page: &'p str, heading: &str) -> Vec<Step<'p>> {
    let section = page.split_once(heading).expect("the section is there").1;
    let section = section.split_once("\n## ").map_or(section, |(section, _)| section);
    let mut steps = Vec::<Step<'_>>::new();
    for block in section.split("```console\n").skip(1) {
        for line in block.split_once("```").expect("a block ends").0.lines() {
            match line.strip_prefix("$ ") {
                Some(command) => steps.push(Step { command, output: String::new() }),
                None => steps.last_mut().expect("a command comes first").output += &format!("{line}\n"),
            }
        }
    }
    steps
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Words alone: every figure, date and time is `0`, columns are as wide as they are.
fn plain(text: &str) -> String {
    let figure = |word: &str| {
        let mut out = String::new();
        for c in word.chars() {
            match c {
                '0'..='9' if out.ends_with('0') => {}
                '0'..='9' => out.push('0'),
                _ => out.push(c),
            }
        }
        MONTHS.iter().fold(out.replace("0.0", "0"), |out, month| out.replace(&format!("/{month}/"), "/0/"))
    };
    let line = |line: &str| line.split_whitespace().map(figure).collect::<Vec<_>>().join(" ");
    // A shell tells of what was killed where it does not belong to any command.
    text.lines().filter(|line| !line.starts_with("bash: line")).map(line).collect::<Vec<_>>().join("\n")
}

/// A shell that is told one command after the other.
struct Shell {
    bash: Child,
    said: UnixStream,
    _dir: TempDir,
}

impl Shell {
    fn new(netns: &Netns) -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_read_timeout(Some(patience())).unwrap();
        let script = "mkdir -p /run/umbra && mount -t tmpfs none /run/umbra && exec bash --noprofile --norc";
        let dir = TempDir::new().unwrap();
        let bash = netns
            .command("unshare")
            .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", script])
            .env("TMPDIR", dir.path())
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::from(std::os::fd::OwnedFd::from(theirs.try_clone().unwrap())))
            .stderr(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
            .spawn()
            .unwrap();
        Self { bash, said: ours, _dir: dir }
    }

    /// What it prints.
    fn run(&mut self, command: &str) -> String {
        const END: &str = "-- the command has ended --\n";
        writeln!(self.bash.stdin.as_mut().unwrap(), "{command}\necho '{}'", END.trim_end()).unwrap();
        let mut said = Vec::new();
        let mut chunk = [0; 4096];
        while !said.ends_with(END.as_bytes()) {
            let read = self.said.read(&mut chunk).unwrap_or_else(|error| {
                panic!("`{command}`: {error} after {:?}", String::from_utf8_lossy(&said))
            });
            assert!(read > 0, "the shell has ended at `{command}`");
            said.extend_from_slice(&chunk[..read]);
        }
        said.truncate(said.len() - END.len());
        String::from_utf8(said).unwrap()
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // With it end all of its namespace of processes.
        let _ = self.bash.kill();
        let _ = self.bash.wait();
    }
}

/// A person looks again; a request is made once.
fn can_be_repeated(command: &str) -> bool {
    ["cat ", "tail ", "umbra status", "umbra mirrors"].iter().any(|start| command.starts_with(start))
}

#[test]
fn the_readmes_walk_is_as_it_is_told() {
    let page = include_str!("../../README.md");
    let steps = steps(page, "\n## A first walk\n");
    assert!(steps.len() > 10, "{steps:?}");
    let netns = Netns::new("walk");
    let mut shell = Shell::new(&netns);
    // The page takes the program from where the demonstration leaves it; the test, from where it was built.
    let built = binary().parent().unwrap().display().to_string();
    for Step { command, output } in steps {
        let command = command.replace("$PWD/target/debug", &built);
        if can_be_repeated(&command) {
            let mut last = String::new();
            eventually(&format!("`{command}` prints\n{output}"), || {
                last = shell.run(&command);
                let same = plain(&last) == plain(&output);
                if !same {
                    std::thread::sleep(Duration::from_millis(100));
                }
                same.then_some(())
            });
            continue;
        }
        let mut said = shell.run(&command);
        // Servers of the walk are asked as soon as they listen.
        if command.ends_with("server 9090 > ../v2.log 2>&1) &") {
            for port in [8080, 9090] {
                shell.run(&format!(
                    "until (exec 3<>/dev/tcp/127.0.0.1/{port}); do sleep 0.1; done 2> /dev/null"
                ));
            }
            said.clear();
        }
        assert_eq!(plain(&said), plain(&output), "`{command}`");
    }
}

#[test]
fn figures_are_not_compared_and_words_are() {
    assert_eq!(plain("up 12s,  3.25 %\n"), plain("up 7s, 14 %"));
    assert_ne!(plain("paused 1"), plain("on 1"));
}
