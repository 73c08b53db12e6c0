//! Other people's programs: Helm's library and Kubernetes' schemas, which `cargo xtask setup` installs for Python, and
//! kustomize.

use std::{
    io::Write as _,
    process::{Command, Stdio},
    thread,
};

use serde_json::Value;
use support::python;

use crate::repository;

/// What Kubernetes' schemas are of: the newest that `kubernetes-validate` brings.
const KUBERNETES: &str = "1.37.0";

/// Asks Helm; an error is what it refuses with.
pub(crate) fn helm(question: &Value) -> Result<Value, String> {
    let program = repository("tests/suites/deploy/programs/helm.py");
    let told = said(Command::new(python()).arg(program), &question.to_string());
    let mut told: Value = serde_json::from_str(&told).unwrap();
    match told["error"].as_str() {
        Some(error) => Err(error.to_owned()),
        None => Ok(told["ok"].take()),
    }
}

/// How many objects there are, after Kubernetes has found nothing wrong with any of its own kinds.
pub(crate) fn valid(manifests: &str) -> usize {
    let program = repository("tests/suites/deploy/programs/validate.py");
    let told = said(Command::new(python()).arg(program).arg(KUBERNETES), manifests);
    let wrong: Vec<_> = told.lines().filter(|line| line.starts_with("wrong ")).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    told.lines().count()
}

/// What kustomize makes of a folder.
pub(crate) fn kustomize(folder: &str) -> String {
    let own = python().ancestors().nth(3).unwrap().join("kustomize/usr/bin/kustomize");
    said(Command::new(own).arg("build").arg(repository(folder)), "")
}

fn said(command: &mut Command, input: &str) -> String {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}: run by `cargo xtask test`, which installs it"));
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_owned());
    let writing = thread::spawn(move || {
        let _ = stdin.write_all(input.as_bytes());
    });
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap();
    assert!(output.status.success(), "{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
