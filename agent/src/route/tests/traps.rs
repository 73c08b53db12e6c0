//! Every trap of Istio's semantics, as the project numbers them, and the tests that show on which side of it umbra
//! stands. The table is checked: a test that is renamed or gone is missed here.

/// The text of a file of tests, by its path from here.
macro_rules! file {
    ($path:literal) => {
        ($path, include_str!($path))
    };
}

type File = (&'static str, &'static str);

const AUTHORITY: File = file!("authority.rs");
const CLIENTS: File = file!("clients.rs");
const COPIES: File = file!("copies.rs");
const DELEGATES: File = file!("delegates.rs");
const HOSTS: File = file!("hosts.rs");
const MATCHING: File = file!("matching.rs");
const MIRRORS: File = file!("mirrors.rs");
const REPORTS: File = file!("reports.rs");
const ROUTES: File = file!("routes.rs");
const RULES: File = file!("../../config/kinds/tests/rules.rs");
const MATCHES: File = file!("../../config/kinds/tests/matches.rs");
const SHADOW: File = file!("../../shadow/tests/copies.rs");
const HEADS: File = file!("../../shadow/tests/heads.rs");
const HOSTILE: File = file!("../../shadow/tests/hostile.rs");
const LIMITS: File = file!("../../shadow/tests/limits.rs");
const BOOKS: File = file!("../../observe/collect.rs");
const ISOLATION: File = file!("../../../../tests/suites/isolation.rs");

/// What a trap says of parts that are not in force yet, or of what umbra does otherwise on purpose.
const BEYOND: &[(u8, &str)] = &[
    (1, "`hostSuffix` of a ShadowPolicy is read and not in force: off, as in Istio 1.28 and later"),
    (6, "the weighted pick is made by the client's proxy, whose number is not known here"),
    (13, "gateways and waypoints, where VirtualServices are merged, are not captured"),
    (18, "behind a client's sidecar a request was changed before it is captured, which is not noticed"),
    (
        20,
        "a copy carries neither `x-envoy-internal` nor a longer `x-forwarded-for`: its head is compared whole",
    ),
    (21, "retries that a sidecar makes are requests of their own: `x-envoy-attempt-count` is not looked at"),
    (24, "unlike Envoy's, a request to change the protocol is not copied"),
    (25, "of a DestinationRule only subsets are in force"),
    (26, "copies are sent in plain text"),
    (28, "`portLevelSettings` and subsets' own policies are read and not in force"),
    (30, "rules for a host that is no service mirror nothing, on any port: it is warned about"),
    (31, "HTTP/2 is not read"),
];

/// Trap, file, test.
const SHOWN: &[(u8, File, &str)] = &[
    (1, SHADOW, "a_copy_says_what_the_primary_said"),
    (2, MIRRORS, "a_share_is_the_percentage_else_the_percent_else_all"),
    (2, MIRRORS, "mirrors_have_shares_of_their_own_and_keep_their_order"),
    (2, RULES, "percentages_lie_within_0_and_100"),
    (2, RULES, "mirror_percent_is_deprecated_in_both_spellings"),
    (3, RULES, "fields_that_exclude_each_other_are_refused"),
    (
        3,
        DELEGATES,
        "what_the_delegate_leaves_out_is_the_roots_so_that_mirror_and_mirrors_can_both_be_in_force",
    ),
    (4, RULES, "a_rule_says_where_its_requests_go"),
    (5, MIRRORS, "a_share_is_of_the_rules_requests_wherever_its_weights_sent_them"),
    (6, LIMITS, "one_draw_decides_every_mirror_of_a_request"),
    (7, MIRRORS, "a_weight_of_zero_removes_one_of_several_destinations_but_not_the_only_one"),
    (7, RULES, "weights_share_the_requests_out"),
    (8, MATCHING, "a_prefix_is_a_raw_string_prefix"),
    (8, ROUTES, "a_prefix_means_whole_elements_of_the_path"),
    (8, MATCHING, "a_regex_matches_the_whole_path_without_the_query"),
    (8, MATCHING, "ignore_uri_case_reaches_exact_and_prefix_but_not_regex"),
    (8, MATCHING, "a_method_is_compared_with_its_case"),
    (9, MATCHING, "an_empty_match_of_a_header_is_presence"),
    (9, MATCHING, "without_headers_takes_a_missing_header_for_an_empty_one"),
    (9, REPORTS, "presence_by_an_asterisk_is_refused_with_the_right_spelling"),
    (9, MATCHES, "matchers_are_refused_as_istio_refuses_them"),
    (10, MATCHING, "a_source_matches_never_unless_gateways_put_it_out_of_force"),
    (10, MATCHING, "a_port_is_the_services_port_not_the_endpoints"),
    (11, MATCHING, "a_rule_without_a_match_and_a_catch_all_end_the_list_but_filtered_blocks_do_not"),
    (12, CLIENTS, "nothing_generated_leaves_a_client_to_the_next_and_nothing_matched_does_not"),
    (13, HOSTS, "of_one_host_the_oldest_wins_then_the_first_by_name_then_by_namespace_and_nothing_is_merged"),
    (13, HOSTS, "an_exact_host_beats_a_wildcard_and_the_longest_wildcard_the_others"),
    (13, HOSTS, "gateways_without_mesh_take_a_virtual_service_out_of_the_mesh"),
    (13, CLIENTS, "private_comes_before_exported_by_name_and_that_before_public_for_each_client"),
    (14, CLIENTS, "what_is_exported_to_one_namespace_holds_for_its_clients_alone"),
    (14, CLIENTS, "labels_and_namespace_are_those_of_the_workload_at_the_clients_address"),
    (14, MIRRORS, "a_virtual_service_of_the_mirrors_host_is_never_applied_to_copies"),
    (14, LIMITS, "what_cannot_be_copied_is_dropped_with_its_reason"),
    (15, HOSTS, "a_short_name_belongs_to_the_namespace_of_its_virtual_service_and_a_dotted_one_is_whole"),
    (15, HOSTS, "a_mirrors_short_name_belongs_to_the_namespace_of_its_virtual_service"),
    (16, MIRRORS, "a_mirrors_port_is_the_one_written_else_the_only_one_else_the_primarys"),
    (17, MIRRORS, "without_any_known_primary_nothing_is_mirrored"),
    (17, REPORTS, "an_unknown_mirror_host_is_an_error_at_its_place_with_the_nearest_known_one"),
    (17, REPORTS, "an_unknown_mirror_subset_is_an_error_that_names_the_known_ones"),
    (17, REPORTS, "a_mirror_without_endpoints_is_warned_about"),
    (17, LIMITS, "a_destination_without_endpoints_is_a_reason_too"),
    (18, COPIES, "header_operations_of_the_rule_and_of_its_destination_show_in_the_copy"),
    (18, COPIES, "the_destination_whose_changes_show_is_the_one_the_captured_endpoint_belongs_to"),
    (18, COPIES, "a_rewrite_of_the_uri_replaces_what_each_match_compared"),
    (18, HEADS, "a_copy_shows_what_its_rule_changes"),
    (19, COPIES, "the_only_destination_has_the_last_word_but_one_of_several_has_not"),
    (19, COPIES, "the_host_is_rewritten_by_the_rewrite_else_by_the_rule_else_by_the_destination"),
    (19, COPIES, "other_pseudo_headers_and_framing_are_left_alone"),
    (19, COPIES, "a_value_that_is_no_format_string_here_is_told_and_left_out"),
    (20, SHADOW, "a_copy_says_what_the_primary_said"),
    (21, MIRRORS, "a_rule_that_answers_by_itself_never_mirrors"),
    (21, COPIES, "a_rule_that_aborts_every_request_never_mirrors_and_one_that_aborts_some_mirrors_the_rest"),
    (21, COPIES, "a_preflight_that_the_cors_policy_answers_is_not_mirrored"),
    (21, ISOLATION, "an_upload_its_client_breaks_off_cancels_its_copy"),
    (22, HOSTILE, "a_shadow_that_never_answers"),
    (22, LIMITS, "no_more_copies_are_accepted_than_configured"),
    (23, LIMITS, "a_body_larger_than_every_budget_passes_when_the_shadow_keeps_up"),
    (23, HOSTILE, "a_shadow_that_never_reads_a_large_body"),
    (24, LIMITS, "what_cannot_be_copied_is_dropped_with_its_reason"),
    (25, MIRRORS, "retries_and_the_timeout_of_the_rule_change_nothing_of_its_mirror"),
    (25, MIRRORS, "a_subset_selects_the_endpoints_that_have_all_of_its_labels"),
    (27, BOOKS, "a_scrape_shows_books_that_add_up"),
    (28, HOSTS, "destination_rules_are_those_of_the_client_else_of_the_service_else_of_the_root"),
    (28, HOSTS, "the_most_specific_host_of_destination_rules_decides_alone"),
    (29, DELEGATES, "a_delegate_cannot_delegate_again_nor_hide_from_its_root"),
    (
        29,
        DELEGATES,
        "what_the_delegate_leaves_out_is_the_roots_so_that_mirror_and_mirrors_can_both_be_in_force",
    ),
    (
        30,
        REPORTS,
        "a_virtual_service_for_an_unknown_host_is_warned_about_and_its_rules_are_checked_all_the_same",
    ),
    (31, SHADOW, "a_chunked_body_arrives_with_its_trailers_even_with_get"),
    (31, AUTHORITY, "a_service_is_named_by_its_four_forms_in_any_case_with_any_port_and_with_the_roots_dot"),
    (31, MATCHING, "a_header_is_found_in_any_case_and_compared_with_case"),
];

#[test]
fn every_trap_has_a_test_and_every_test_named_for_one_exists() {
    for trap in 1..=31 {
        let shown = SHOWN.iter().any(|&(shown, ..)| shown == trap);
        assert!(shown || BEYOND.iter().any(|&(beyond, _)| beyond == trap), "trap {trap} is shown by no test");
    }
    for (trap, (path, text), test) in SHOWN {
        assert!(
            is_test(text, test),
            "{path}: trap {trap} is said to be shown by `{test}`, which is no test there"
        );
    }
}

/// Whether a file has a function of this name right below the attribute of a test.
fn is_test(text: &str, name: &str) -> bool {
    let function = format!("fn {name}(");
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    lines.windows(2).any(|pair| {
        matches!(pair[0], "#[test]" | "#[tokio::test]")
            && pair[1].trim_start_matches("async ").starts_with(&function)
    })
}
