//! Whatever a configuration's file is, `umbra check` ends by itself, says what is wrong and where, and stays within a
//! bound of memory: the limit of its address space is set by the kernel, so that a run beyond it would end in an abort.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a suite fails where it stands")]

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Output},
};

use nix::{sys::stat::Mode, unistd::mkfifo};
use support::binary;

/// The program itself, one source of the greatest size, and what is made of it.
const MEMORY: usize = 512 << 20;
/// Beyond every limit.
const HUGE: usize = 100 << 20;

fn check(path: &Path) -> Output {
    let limited = format!("ulimit -v {} && exec \"$0\" check \"$1\"", MEMORY >> 10);
    Command::new("sh").args(["-c", &limited]).arg(binary()).arg(path).output().unwrap()
}

/// The first fault found, as `CODE line:column message`, with its hint in brackets; exit code 1 and nothing else.
fn fault(path: &Path) -> String {
    let output = check(path);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let aside = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(
        (output.status.code(), aside.as_str()),
        (Some(1), ""),
        "{}",
        text.chars().take(500).collect::<String>()
    );
    let line = |start: &str| text.lines().find_map(|line| line.trim_start().strip_prefix(start));
    let message = line("error[").unwrap_or_else(|| panic!("no error in {text}")).replacen("]: ", " ", 1);
    let place = line("--> ").and_then(|place| place.rsplit_once(".yaml:")).map_or("", |(_, place)| place);
    let (code, message) = message.split_once(' ').unwrap();
    let hint = line("= help: ").map_or_else(String::new, |hint| format!(" [{hint}]"));
    format!("{code} {place} {message}{hint}").replace(&path.display().to_string(), "FILE")
}

fn each_ends_in(cases: &[(&str, Vec<u8>, &str)]) {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes, expected) in cases {
        let path = dir.path().join(format!("{name}.yaml"));
        fs::write(&path, bytes).unwrap();
        let found = fault(&path);
        assert_eq!(found, *expected, "{name}");
        fs::remove_file(&path).unwrap();
    }
}

fn filled(pattern: &[u8], size: usize) -> Vec<u8> {
    pattern.iter().copied().cycle().take(size).collect()
}

#[test]
fn a_file_beyond_the_limit_is_refused_whatever_it_holds() {
    let refused = "UMB0113 1:1 cannot read FILE: it is larger than 64 MiB [split it; a directory of files is read as one configuration]";
    each_ends_in(&[
        ("scalar", filled(b"a", HUGE), refused),
        ("documents", filled(b"a: 1\n---\n", HUGE), refused),
        ("keys", filled(b"abcdefg: 1\n", HUGE), refused),
        ("comment", filled(b"# nothing to see\n", HUGE), refused),
        ("nul", filled(b"\0", HUGE), refused),
        ("bytes", filled(b"\xc3\x28", HUGE), refused),
    ]);
}

#[test]
fn text_in_another_encoding_is_named() {
    let utf16: Vec<u8> =
        "\u{feff}kind: List\n".repeat(1000).encode_utf16().flat_map(u16::to_le_bytes).collect();
    each_ends_in(&[
        (
            "utf16",
            utf16,
            "UMB0113 1:1 cannot read FILE: line 1 is not UTF-8 [it looks like UTF-16: save it as UTF-8]",
        ),
        (
            "latin1",
            b"a: 1\nb: caf\xe9\n".to_vec(),
            "UMB0113 2:1 cannot read FILE: line 2 is not UTF-8 [save it as UTF-8]",
        ),
        (
            "nul",
            b"a: 1\n\0\0\0\0".to_vec(),
            "UMB0101 2:1 unexpected character: `\\u{0}' [no text has it: is the file damaged, or not YAML at all?]",
        ),
    ]);
}

#[test]
fn a_byte_order_mark_is_no_fault() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bom.yaml");
    fs::write(&path, "\u{feff}# nothing\n").unwrap();
    assert_eq!(check(&path).status.code(), Some(0));
}

#[test]
fn bombs_and_towers_are_refused_where_they_stand() {
    let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    let mut merges = "a0: &a0 {k0: x}\n".to_owned();
    for level in 1..15 {
        let before = level - 1;
        bomb += &format!("a{level}: &a{level} [{}]\n", format!("*a{before},").repeat(10));
        merges +=
            &format!("a{level}: &a{level} {{<<: [{}], k{level}: x}}\n", format!("*a{before},").repeat(10));
    }
    let anchors: String = (0..200_000).map(|n| format!("- &a{n} x\n")).collect();
    let indented: String = (0..2000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    let unread = "; the rest of this source is left unread";
    let repeated = |place: &str| {
        format!("UMB0101 {place} aliases repeat more than 10000 values{unread} [write them out]")
    };
    let deep = |place: &str| {
        format!("UMB0101 {place} lists and maps more than 32 deep [nothing known here goes that deep]")
    };
    let cases = [
        ("bomb", bomb.into_bytes(), repeated("4:38")),
        ("merges", merges.into_bytes(), repeated("2:62")),
        ("flow", filled(b"[", 1 << 20), deep("1:256")),
        ("maps", filled(b"{a: ", 1 << 20), deep("1:1021")),
        ("block", filled(b"- ", 1 << 20), deep("1:65")),
        ("indented", indented.into_bytes(), deep("33:33")),
        ("anchors", anchors.into_bytes(), format!("UMB0101 50001:11 more than 50000 anchors in one document{unread} [write out what they name]")),
        (
            "documents",
            filled(b"---\n", 1 << 20),
            "UMB0101 100001:1 more than 100000 documents in one source [split it; a directory of files is read as one configuration]".into(),
        ),
    ];
    let cases: Vec<_> =
        cases.iter().map(|(name, bytes, expected)| (*name, bytes.clone(), expected.as_str())).collect();
    each_ends_in(&cases);
}

#[test]
fn a_number_of_any_length_is_only_out_of_range() {
    let digits = "9".repeat(1 << 20);
    let text = format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: a}}\nspec:\n  hosts: [a]\n  http:\n  - mirror: {{host: b}}\n    mirrorPercentage: {{value: {digits}}}\n"
    );
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("number.yaml");
    fs::write(&path, text).unwrap();
    let found = fault(&path);
    assert!(
        found.starts_with("UMB0106 8:31 VirtualService default/a: spec.http[0].mirrorPercentage.value: "),
        "{found:.300}"
    );
}

#[test]
fn what_is_no_file_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let (pipe, around, beside) =
        (dir.path().join("pipe.yaml"), dir.path().join("around.yaml"), dir.path().join("beside.yaml"));
    mkfifo(&pipe, Mode::S_IRWXU).unwrap();
    symlink(&beside, &around).unwrap();
    symlink(&around, &beside).unwrap();
    assert_eq!(fault(&pipe), "UMB0113 1:1 cannot read FILE: nobody writes to this pipe");
    assert_eq!(
        fault(&around),
        "UMB0113 1:1 cannot read FILE: Too many levels of symbolic links (os error 40)"
    );
    assert!(fault(Path::new("/dev/zero")).contains("cannot read FILE: it is larger than 64 MiB"));
    // All of them in one directory, beside a directory that leads back to it.
    symlink(dir.path(), dir.path().join("itself")).unwrap();
    assert_eq!(check(dir.path()).status.code(), Some(1));
}
