use std::{os::unix::fs::symlink, time::Duration};

use tempfile::{TempDir, tempdir};
use tokio::time::timeout;

use super::*;
use crate::source::{Watch, watch};

fn rule(name: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: {name}}}\nspec: {{host: h}}\n"
    )
}

fn write(directory: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = directory.path().join(name);
    fs::write(&path, text).unwrap();
    path
}

fn names(paths: &[PathBuf]) -> Vec<String> {
    let (resources, report, _) = load(paths);
    assert!(report.diagnostics.is_empty(), "{report:?}");
    resources.destination_rules.iter().map(|rule| rule.meta.name.value.clone()).collect()
}

#[test]
fn a_directory_gives_its_yaml_files_by_name() {
    let directory = tempdir().unwrap();
    write(&directory, "b.yml", &rule("b"));
    write(&directory, "a.yaml", &rule("a"));
    write(&directory, "c.txt", "not: read");
    write(&directory, ".a.yaml.swp", "not: read");
    write(&directory, ".hidden.yaml", "not: read");
    fs::create_dir(directory.path().join("d.yaml")).unwrap();
    assert_eq!(names(&[directory.path().to_owned()]), ["a", "b"]);
}

#[test]
fn where_there_is_nothing_to_read_it_is_said() {
    let directory = tempdir().unwrap();
    let hint_of = |paths: &[PathBuf]| {
        for report in [load(paths).1, Reader::default().load(paths).1] {
            let codes: Vec<_> = report.diagnostics.iter().map(|fault| fault.code).collect();
            assert_eq!((codes, report.has_errors()), (vec![Code::NothingRead], false), "{report:?}");
        }
        load(paths).1.diagnostics.remove(0).hint
    };
    let all = [directory.path().to_owned()];
    write(&directory, "notes.txt", "not: read");
    assert_eq!(hint_of(&all), None);
    write(&directory, "rules.json", "{}");
    assert!(hint_of(&all).unwrap().contains("json"));
    fs::remove_file(directory.path().join("rules.json")).unwrap();
    fs::create_dir(directory.path().join("rules")).unwrap();
    assert!(hint_of(&all).unwrap().contains("directories"));
    for text in ["", "# nothing\n", "---\n", "---\n# nothing\n---\n"] {
        hint_of(&[write(&directory, "empty.yaml", text)]);
    }
}

#[test]
fn a_file_named_in_two_ways_is_read_once() {
    let directory = tempdir().unwrap();
    let file = write(&directory, "a.yaml", &rule("a"));
    assert_eq!(
        names(&[file.clone(), directory.path().to_owned(), directory.path().join(".").join("a.yaml")]),
        ["a"]
    );
}

/// What the kubelet makes of a ConfigMap: links through `..data`, which is swapped as a whole.
fn config_map(directory: &TempDir, version: &str, text: &str) {
    let data = directory.path().join(format!("..{version}"));
    fs::create_dir(&data).unwrap();
    fs::write(data.join("rules.yaml"), text).unwrap();
    symlink(format!("..{version}"), directory.path().join("..data_tmp")).unwrap();
    fs::rename(directory.path().join("..data_tmp"), directory.path().join("..data")).unwrap();
    let _ = symlink("..data/rules.yaml", directory.path().join("rules.yaml"));
}

#[test]
fn a_config_map_is_read_once() {
    let directory = tempdir().unwrap();
    config_map(&directory, "1", &rule("a"));
    assert_eq!(names(&[directory.path().to_owned()]), ["a"]);
}

#[test]
fn what_cannot_be_read_is_reported_and_hides_nothing() {
    let directory = tempdir().unwrap();
    let absent = directory.path().join("absent.yaml");
    let binary = directory.path().join("binary.yaml");
    fs::write(&binary, b"a: 1\nb: \xff\n").unwrap();
    let broken = write(&directory, "broken.yaml", "a: [");
    let sound = write(&directory, "sound.yaml", &rule("a"));
    let (resources, report, sources) =
        load(&[absent.clone(), binary.clone(), broken, PathBuf::from("/dev/zero"), sound]);
    assert_eq!(resources.destination_rules.len(), 1);
    let found: Vec<_> = report.diagnostics.iter().map(|d| (d.code, d.message.clone())).collect();
    let (absent, binary) = (absent.display(), binary.display());
    assert_eq!(
        found,
        [
            (Code::Unreadable, format!("cannot read {absent}: No such file or directory (os error 2)")),
            (Code::Unreadable, format!("cannot read {binary}: line 2 is not UTF-8")),
            (Code::Syntax, "unclosed bracket '['".into()),
            (Code::Unreadable, "cannot read /dev/zero: it is larger than 64 MiB".into()),
        ]
    );
    let shown = report.render(&sources);
    assert!(shown.contains(&format!("error[UMB0113]: cannot read {absent}")), "{shown}");
}

#[test]
fn a_pipe_keeps_its_text_for_the_next_load() {
    let directory = tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let writer = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::write(pipe, rule("a")).unwrap()
    });
    assert_eq!(names(std::slice::from_ref(&pipe)), ["a"]);
    writer.join().unwrap();
    assert_eq!(names(&[pipe]), ["a"]);
}

#[test]
fn a_pipe_to_which_nobody_writes_is_not_waited_for() {
    let directory = tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let (_, report, _) = load(std::slice::from_ref(&pipe));
    let messages: Vec<_> = report.diagnostics.iter().map(|d| d.message.clone()).collect();
    assert_eq!(messages, [format!("cannot read {}: nobody writes to this pipe", pipe.display())]);
}

fn watching(paths: &[PathBuf]) -> Watch {
    let (_, _, sources) = load(paths);
    watch(paths, sources.fingerprint()).unwrap()
}

async fn announces(watch: &mut Watch) -> bool {
    timeout(Duration::from_secs(20), watch.changed()).await.unwrap_or(false)
}

#[tokio::test]
async fn a_changed_a_new_and_a_removed_file_are_announced() {
    let directory = tempdir().unwrap();
    let file = write(&directory, "a.yaml", &rule("a"));
    let mut watch = watching(&[directory.path().to_owned()]);
    fs::write(&file, rule("b")).unwrap();
    assert!(announces(&mut watch).await, "changed");
    // As editors save: a new file takes the place of the old one.
    let new = write(&directory, "a.yaml~", &rule("c"));
    fs::rename(new, &file).unwrap();
    assert!(announces(&mut watch).await, "replaced");
    write(&directory, "b.yaml", &rule("d"));
    assert!(announces(&mut watch).await, "new");
    fs::remove_file(&file).unwrap();
    assert!(announces(&mut watch).await, "removed");
}

#[tokio::test]
async fn a_swapped_config_map_is_announced_for_the_file_alone_too() {
    let directory = tempdir().unwrap();
    config_map(&directory, "1", &rule("a"));
    let mut watch = watching(&[directory.path().join("rules.yaml")]);
    config_map(&directory, "2", &rule("b"));
    assert!(announces(&mut watch).await);
}

#[tokio::test]
async fn a_change_between_loading_and_watching_is_announced() {
    let directory = tempdir().unwrap();
    let file = write(&directory, "a.yaml", &rule("a"));
    let (_, _, sources) = load(std::slice::from_ref(&file));
    write(&directory, "a.yaml", &rule("b"));
    assert!(announces(&mut watch(&[file], sources.fingerprint()).unwrap()).await);
}

#[tokio::test]
async fn the_same_bytes_again_are_not_announced() {
    let directory = tempdir().unwrap();
    let file = write(&directory, "a.yaml", &rule("a"));
    let mut watch = watching(std::slice::from_ref(&file));
    fs::write(&file, rule("a")).unwrap();
    write(&directory, "unrelated.txt", "x");
    // Longer than a save takes to settle: what was going to be announced would have been.
    let quiet = timeout(Duration::from_millis(700), watch.changed()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    fs::write(&file, rule("b")).unwrap();
    assert!(announces(&mut watch).await);
}

/// The parts, one reading after the other.
fn parts(reader: &mut Reader, directory: &TempDir) -> Vec<Arc<Resources>> {
    let (parts, report, _) = reader.load(&[directory.path().to_owned()]);
    assert!(report.diagnostics.is_empty(), "{report:?}");
    parts
}

#[test]
fn a_file_whose_text_is_the_same_stays_the_same_objects() {
    let (directory, mut reader) = (tempdir().unwrap(), Reader::default());
    write(&directory, "a.yaml", &rule("a"));
    write(&directory, "b.yaml", &rule("b"));
    let before = parts(&mut reader, &directory);
    write(&directory, "b.yaml", &rule("c"));
    let after = parts(&mut reader, &directory);
    assert!(Arc::ptr_eq(&before[0], &after[0]) && !Arc::ptr_eq(&before[1], &after[1]));
    assert_eq!(after[1].destination_rules[0].meta.name.value, "c");
}

#[test]
fn a_fault_that_is_taken_back_leaves_the_objects_of_before() {
    let (directory, mut reader) = (tempdir().unwrap(), Reader::default());
    write(&directory, "a.yaml", &rule("a"));
    let before = parts(&mut reader, &directory);
    reader.accept();
    write(&directory, "a.yaml", "kind: [");
    assert!(reader.load(&[directory.path().to_owned()]).1.has_errors());
    write(&directory, "a.yaml", &rule("a"));
    assert!(Arc::ptr_eq(&before[0], &parts(&mut reader, &directory)[0]));
}

#[test]
fn faults_are_told_again_and_those_between_files_too() {
    let (directory, mut reader) = (tempdir().unwrap(), Reader::default());
    write(&directory, "a.yaml", &(rule("a") + "---\nkind: Secret\napiVersion: v1\n"));
    write(&directory, "b.yaml", &rule("a"));
    write(&directory, "c.yaml", "kind: [");
    let paths = [directory.path().to_owned()];
    let told = |report: Report| report.diagnostics.iter().map(|d| (d.code, d.at.clone())).collect::<Vec<_>>();
    let whole = told(load(&paths).1);
    assert!(whole.iter().any(|(code, _)| *code == Code::Duplicate), "{whole:?}");
    for _ in 0..2 {
        assert_eq!(told(reader.load(&paths).1), whole);
    }
}
