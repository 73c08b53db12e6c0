use std::time::Duration;

use super::{testing::documents, *};
use crate::config::testing::{cost, faults};

fn values(text: &str) -> Vec<String> {
    let mut report = Report::default();
    let roots = documents("t", text, &mut report);
    assert!(report.diagnostics.is_empty(), "{report:?}");
    roots.iter().map(show).collect()
}

fn show(node: &Node) -> String {
    let list = |items: Vec<String>| items.join(" ");
    let shown = match &node.value {
        Value::Null => "null".into(),
        Value::Bool { value, written } => format!("{value}={written}"),
        Value::Number { value, written } => format!("{value}={written}"),
        Value::Text(text) => format!("{text:?}"),
        Value::List(items) => format!("[{}]", list(items.iter().map(show).collect())),
        Value::Map(entries) => {
            let entry = |(key, value): &(Key, Node)| {
                format!("{}@{}:{}={}", key.name, key.at.line, key.at.column, show(value))
            };
            format!("{{{}}}", list(entries.iter().map(entry).collect()))
        }
    };
    format!("{shown}@{}:{}", node.at.line, node.at.column)
}

#[test]
fn every_value_knows_its_place() {
    assert_eq!(
        values("a: {b: [x, 2]}\nc:\n  - d: true\n"),
        [r#"{a@1:1={b@1:5=["x"@1:9 2=2@1:12]@1:8}@1:4 c@2:1=[{d@3:5=true=true@3:8}@3:5]@3:3}@1:1"#]
    );
}

#[test]
fn places_count_from_the_start_of_the_source_in_every_document() {
    let text = "# first\n---\na: 1\n---\n# none\n---\r\nb: 2\n...\n---\nc: |\n  --- x\n";
    assert_eq!(
        values(text),
        ["{a@3:1=1=1@3:4}@3:1", "{b@7:1=2=2@7:4}@7:1", r#"{c@10:1="--- x\n"@11:3}@10:1"#]
    );
    assert_eq!(values("\u{feff}%YAML 1.2\n---\na: 1\n"), ["{a@3:1=1=1@3:4}@3:1"]);
    assert_eq!(values(""), [""; 0]);
    assert_eq!(values("---\n---\n# nothing\n"), [""; 0]);
}

#[test]
fn a_carriage_return_alone_ends_a_line_as_in_yaml() {
    assert_eq!(
        values("a: 1\r\nb:\r  - c\n---\nd: 1\r"),
        [r#"{a@1:1=1=1@1:4 b@2:1=["c"@3:5]@3:3}@1:1"#, "{d@5:1=1=1@5:4}@5:1"]
    );
}

#[test]
fn text_that_older_readers_took_for_something_else_stays_text() {
    assert_eq!(
        values("[y, no, On, 010, 1_000, 1:30, 2024-01-01, 'true', \"5\"]"),
        [concat!(
            r#"["y"@1:2 "no"@1:5 "On"@1:9 "010"@1:13 "1_000"@1:18 "1:30"@1:25 "2024-01-01"@1:31 "#,
            r#""true"@1:43 "5"@1:51]@1:1"#
        )]
    );
}

#[test]
fn numbers_keep_their_written_form_through_aliases() {
    assert_eq!(
        values("[1.10, &a 0x1F, *a, TRUE, -3, .inf]"),
        ["[1.1=1.10@1:2 31=0x1F@1:11 31=0x1F@1:17 true=TRUE@1:21 -3=-3@1:27 inf=.inf@1:31]@1:1"]
    );
}

#[test]
fn broken_text_is_reported_where_it_breaks() {
    for (text, expected) in [
        ("a: 1\na: 2\n", "UMB0101 2:1 the key `a` is written twice in one map (keep one of them)"),
        ("a: 1\n---\nb: c: d\n", "UMB0101 3:5 mapping values are not allowed in this context"),
        ("a: *x\n", "UMB0101 1:4 alias references unknown anchor"),
        (
            "a:\n\t- b\n",
            "UMB0101 2:2 tabs disallowed within this context (block indentation) (indent with spaces)",
        ),
        ("a: @x\n", "UMB0101 1:4 unexpected character: `@' (text that starts with it needs quotes)"),
        ("~: 3\n", "UMB0101 1:1 a key without a name (write the name before the `:`)"),
        (
            "? [a]\n: b\n",
            "UMB0101 1:3 a key must be plain text (text that starts with `{` or `[` needs quotes)",
        ),
    ] {
        // The first document of the second case is sound YAML, but no object.
        let found = faults(text).into_iter().filter(|line| line.starts_with("UMB0101")).collect::<Vec<_>>();
        assert_eq!(found, [expected], "{text:?}");
    }
}

#[test]
fn a_broken_document_hides_no_other() {
    let mut report = Report::default();
    let roots = documents("t", "a: [\n---\nb: 1\n---\nc: c: c\n---\nd: 1\n", &mut report);
    assert_eq!(roots.iter().map(show).collect::<Vec<_>>(), ["{b@3:1=1=1@3:4}@3:1", "{d@7:1=1=1@7:4}@7:1"]);
    assert_eq!(report.diagnostics.iter().map(|d| d.at.line).collect::<Vec<_>>(), [1, 5]);
}

#[test]
fn hostile_text_ends_in_one_clear_error_at_once() {
    let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..12 {
        let inner = format!("*a{},", level - 1).repeat(10);
        bomb += &format!("a{level}: &a{level} [{inner}]\n");
    }
    let small_bombs = "a: &a [x,x,x,x]\nb: [*a,*a,*a,*a]\n---\n".repeat(4000);
    for (what, text, expected) in [
        (
            "aliases",
            bomb.clone(),
            "aliases repeat more than 10000 values; the rest of this source is left unread",
        ),
        (
            "many small bombs",
            small_bombs,
            "aliases repeat more than 10000 values; the rest of this source is left unread",
        ),
        ("lists in lists", "[".repeat(100_000), "lists and maps more than 32 deep"),
        ("blocks in blocks", "- ".repeat(100_000), "lists and maps more than 32 deep"),
        ("longer", " ".repeat(100 << 20), "the source is larger than 64 MiB"),
        ("markers", "---\n".repeat(500_000), "more than 100000 documents in one source"),
    ] {
        let mut report = Report::default();
        let took = cost(|| drop(documents("t", &text, &mut report)));
        let messages: Vec<_> = report.diagnostics.iter().map(|d| d.message.as_str()).collect();
        assert_eq!(messages, [expected], "{what}");
        // A second as shipped; ten times that without optimisation.
        assert!(
            took < Duration::from_secs(if cfg!(debug_assertions) { 10 } else { 1 }),
            "{what} took {took:?}"
        );
    }
}

#[test]
fn values_are_counted_over_all_documents() {
    let text = "a: [b, c]\n---\n".repeat(10);
    let (mut report, mut read) = (Report::default(), 0);
    let mut documents = Documents::of(&"t".into(), &text, &mut report);
    documents.nodes = 27;
    while documents.next(&mut report).is_some() {
        read += 1;
    }
    let found: Vec<_> = report.diagnostics.iter().map(|d| (d.at.line, d.message.as_str())).collect();
    let message = "more than 8000000 values in one source; the rest of this source is left unread";
    // Five each: the map, its key, the list and what is in it.
    assert_eq!((read, found.as_slice()), (5, [(11, message)].as_slice()));
}

#[test]
fn endless_breakage_is_cut_short() {
    let mut report = Report::default();
    documents("t", &"a: [\n---\n".repeat(1000), &mut report);
    assert_eq!(report.diagnostics.len(), MAX_BROKEN);
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in r"([a-z]|[-:\[\]{}&*!|>'#%@,?\n ~<]|---\n|\t|\PC){0,60}") {
        documents("t", &text, &mut Report::default());
    }
}
