use super::*;

#[test]
fn nobody_has_a_pod_that_was_never_made() {
    let error = Pods::default().netns_of("00000000-0000-0000-0000-000000000000").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error}");
}
