//! All stories.

mod closure;
mod command_line;
pub mod everywhere;
mod failover;
mod faults;
mod hostile;
mod isolation;
mod people;
mod recoverable;
mod restraint;
mod rollback;
mod secrets;
pub mod storm;
mod workloads;

use crate::{Tale, tales};

/// All stories, the longest first.
pub fn all() -> Vec<Tale> {
    let mut all = tales![
        faults::the_api_server_is_gone_for_thirty_seconds,
        rollback::a_slow_healthy_release_is_left_alone,
        failover::the_target_is_down_and_the_standby_serves_over_and_back,
        isolation::one_bad_pod_of_five_is_taken_out_and_replaced,
        recoverable::what_could_not_be_created_again_is_not_called_recovered,
        rollback::a_bad_image_is_rolled_back,
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
        closure::a_network_policy_waits_for_the_approval_of_its_plan,
        closure::guard_rails_are_put_back_with_the_rights_of_the_policys_account,
        closure::a_policys_account_can_do_no_more_than_its_rights,
        closure::hardening_since_survives_a_rollback,
        closure::a_config_map_that_others_serve_with_is_left_alone,
        workloads::a_stateful_set_is_rolled_back_and_unstuck,
        workloads::one_bad_pod_of_a_stateful_set_is_evicted,
        workloads::a_daemon_set_is_rolled_back,
        workloads::a_frozen_stateful_set_is_let_go_as_it_was,
        workloads::a_frozen_daemon_set_is_let_go_as_it_was,
        people::a_word_in_the_middle_of_our_write_is_heard,
        rollback::the_next_helm_upgrades_meet_no_conflict,
        rollback::the_next_three_way_helm_upgrades_win,
        failover::a_standby_that_is_not_ready_is_not_used,
        people::a_fix_meanwhile_wins_over_our_freeze,
        people::a_fix_while_we_verify_wins,
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
        restraint::two_policies_for_one_target_are_both_refused,
        faults::a_second_replica_stays_passive_and_takes_over,
        command_line::plan_says_what_would_be_done,
        command_line::states_are_listed_and_compared,
        command_line::check_tells_whether_the_installation_is_whole,
        hostile::policies_are_refused_or_explained,
    ];
    all.extend(faults::kills());
    all.extend(closure::kills());
    all
}
