//! All stories.

mod chart;
mod closure;
mod command_line;
mod cuts;
mod deletion;
mod dependencies;
mod everywhere;
mod failover;
mod faults;
mod hostile;
mod isolation;
mod neighbours;
mod nodes;
mod only;
mod outside;
mod owners;
mod people;
mod pod_security;
mod pre_scale;
mod recoverable;
mod renewal;
mod restraint;
mod rollback;
mod routes;
mod secrets;
mod security;
mod storm;
mod workloads;

use crate::{Tale, tales};

/// The stories that share a cluster, the longest first.
pub fn all() -> Vec<Tale> {
    let mut all = tales![
        faults::the_api_server_is_gone_for_thirty_seconds,
        faults::a_restart_in_the_middle_of_trouble_blames_no_change,
        rollback::a_slow_healthy_release_is_left_alone,
        failover::the_target_is_down_and_the_standby_serves_over_and_back,
        isolation::one_bad_pod_of_five_is_taken_out_and_replaced,
        isolation::a_quarantine_has_its_network_policy_until_the_pod_is_gone,
        isolation::a_quarantine_that_nobody_remembers_is_named,
        recoverable::what_could_not_be_created_again_is_not_called_recovered,
        rollback::a_bad_image_is_rolled_back,
        dependencies::a_dependency_is_rolled_back_for_its_client,
        dependencies::an_undeclared_dependency_is_not_touched,
        cuts::a_dependency_is_cut_off_until_it_is_well,
        cuts::beside_a_network_policy_of_somebody_else_nothing_is_cut_off,
        cuts::a_person_who_deletes_the_cut_is_heard,
        neighbours::a_neighbour_is_stopped_until_a_person_lets_it_go_on,
        neighbours::abort_lets_a_stopped_neighbour_go_on,
        neighbours::a_fix_while_a_neighbour_is_stopped_wins,
        neighbours::an_undeclared_neighbour_is_not_touched,
        neighbours::a_job_that_breaks_it_again_is_suspended,
        deletion::a_deleted_target_is_created_again_with_what_was_lost,
        deletion::a_deleted_stateful_set_is_created_again,
        deletion::a_deleted_daemon_set_is_created_again,
        deletion::a_fix_while_it_is_created_again_wins,
        deletion::a_person_who_creates_it_again_wins,
        deletion::by_default_the_plan_waits_for_approval,
        deletion::what_was_scaled_to_zero_before_stays_deleted,
        deletion::in_a_namespace_that_is_deleted_nothing_is_created,
        renewal::pods_that_hold_a_rotated_password_are_renewed,
        renewal::pods_that_keep_what_was_put_back_are_renewed,
        rollback::a_crash_after_ready_is_rolled_back,
        rollback::an_image_that_cannot_be_pulled_is_rolled_back,
        rollback::a_bad_config_map_alone_is_put_back,
        rollback::image_and_config_map_are_put_back_in_order,
        rollback::two_bad_releases_are_rolled_back_past_both,
        rollback::a_workload_that_was_never_stable_is_held,
        rollback::only_as_many_states_are_kept_as_the_policy_says,
        secrets::a_changed_secret_is_put_back_and_seen_nowhere,
        secrets::a_deleted_secret_is_created_again_and_seen_nowhere,
        secrets::copies_of_secrets_live_as_long_as_their_states,
        secrets::without_the_right_secrets_are_out_of_reach,
        closure::everything_that_was_changed_is_put_back,
        closure::everything_that_was_deleted_is_created_again,
        closure::an_autoscaler_that_was_added_is_deleted,
        closure::guard_rails_are_put_back_with_the_rights_of_the_policys_account,
        closure::a_policys_account_can_do_no_more_than_its_rights,
        closure::hardening_since_survives_a_rollback,
        closure::a_config_map_that_others_serve_with_is_left_alone,
        closure::what_no_pod_has_read_is_not_earned,
        routes::changed_routes_are_put_back,
        routes::a_route_that_leads_nowhere_cuts_the_target_off,
        routes::deleted_routes_are_created_again,
        routes::weights_of_an_http_route_move_over_and_back_in_steps,
        routes::weights_of_a_grpc_route_move_over_and_back_in_steps,
        routes::home_that_fails_under_its_share_is_left,
        routes::weights_that_a_person_moves_are_theirs,
        only::a_fix_while_guard_rails_wait_for_approval_wins,
        outside::what_belongs_to_no_namespace_is_compared_and_left_to_an_administrator,
        pod_security::a_namespace_that_was_opened_is_closed_again,
        pod_security::a_namespace_that_was_tightened_is_opened_by_a_person_only,
        pod_security::an_account_that_may_not_change_the_namespace_is_told,
        only::a_service_selector_is_put_back,
        only::an_autoscaler_that_went_to_its_most_is_put_back,
        only::an_autoscaler_that_was_pointed_elsewhere_is_put_back,
        only::a_config_map_that_only_the_policy_names_is_put_back,
        security::hardening_of_the_template_survives_a_rollback,
        security::what_cannot_be_kept_waits_for_a_person,
        security::a_forged_edited_or_moved_state_is_never_used,
        workloads::a_stateful_set_is_rolled_back_and_unstuck,
        workloads::one_bad_pod_of_a_stateful_set_is_evicted,
        workloads::a_daemon_set_is_rolled_back,
        workloads::a_frozen_stateful_set_is_let_go_as_it_was,
        workloads::a_frozen_daemon_set_is_let_go_as_it_was,
        people::a_word_in_the_middle_of_our_write_is_heard,
        rollback::the_next_helm_upgrades_meet_no_conflict,
        rollback::the_next_three_way_helm_upgrades_win,
        failover::a_standby_that_is_not_ready_is_not_used,
        failover::a_standby_that_is_too_small_is_not_used,
        failover::home_that_fails_again_is_left_once_more,
        pre_scale::a_standby_that_is_too_small_grows_before_it_serves,
        pre_scale::what_a_person_sets_meanwhile_stays,
        people::a_fix_meanwhile_wins_over_our_freeze,
        people::a_fix_while_we_verify_wins,
        people::a_fix_while_a_pod_is_in_quarantine_wins,
        people::a_fix_while_a_dependency_is_cut_off_wins,
        failover::a_fix_at_home_takes_the_traffic_home,
        people::a_policy_deleted_in_the_middle_releases_what_we_hold,
        people::a_workload_that_was_made_anew_is_not_touched,
        people::abort_releases_what_we_hold,
        recoverable::a_deleted_service_account_is_told_before_it_matters,
        recoverable::policies_that_refuse_the_past_are_told,
        recoverable::a_full_quota_is_no_obstacle_and_a_lowered_one_is,
        recoverable::a_claim_that_goes_is_told_and_a_secret_is_left_alone,
        recoverable::a_missing_right_is_named,
        recoverable::without_the_right_to_ask_it_is_said_and_nothing_is_blocked,
        recoverable::an_account_that_is_gone_is_put_back_with_the_rest,
        recoverable::an_older_state_is_used_where_the_newest_is_not_possible,
        recoverable::the_operator_cannot_create_a_real_pod,
        restraint::observe_writes_nothing,
        restraint::recommend_waits_for_the_approval_of_its_plan,
        restraint::only_as_many_recoveries_are_kept_as_the_policy_says,
        restraint::suspended_writes_nothing,
        restraint::an_endless_relapse_ends_in_silence,
        owners::a_loop_that_applies_the_bad_release_again_meets_one_action,
        restraint::two_policies_for_one_target_are_both_refused,
        faults::a_second_replica_stays_passive_and_takes_over,
        command_line::plan_says_what_would_be_done,
        command_line::states_are_listed_and_compared,
        command_line::check_tells_whether_the_installation_is_whole,
        hostile::policies_are_refused_or_explained,
        chart::installs,
    ];
    all.extend(faults::kills());
    all.extend(deletion::kills());
    all.extend(renewal::kills());
    all.extend(dependencies::kills());
    all.extend(cuts::kills());
    all.extend(isolation::kills());
    all.extend(failover::kills());
    all.extend(routes::kills());
    all.extend(pre_scale::kills());
    all.extend(neighbours::kills());
    all.extend(closure::kills());
    all.extend(only::guard_rails());
    all
}

/// The stories that have to be alone in their cluster, the longest first.
pub fn alone() -> Vec<Tale> {
    let mut alone = tales![
        storm::twenty_break_at_once,
        everywhere::one_operator_looks_after_all_namespaces,
        everywhere::a_namespace_that_is_deleted_is_no_trouble,
        routes::a_cluster_need_not_know_routes_and_may_learn_of_them,
    ];
    alone.extend(nodes::all());
    alone.extend(tales![chart::install_yaml_applies,]);
    alone
}
