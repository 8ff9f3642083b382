//! What every engine behind the [`ControlPlane`] port must do. `control_battery!` turns each case into a test.
//!
//! Each case gets an empty cluster of its own ([`Ground`]), with leases of [`TTL`] by default (or the shortest that the
//! engine gives) and the wanted grace.
#![expect(missing_docs, reason = "the name of a case is its documentation")]

pub mod sessions;
pub mod certificates;
pub mod keys;
pub mod watches;
pub mod slots;

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bbq_core::control::decode_named;
use bbq_wire::NodeUid;
use bytes::Bytes;
use tokio::time::{Instant, timeout};

use super::{
    Attendance, ClusterView, Config, ControlError, ControlPlane, DeathCert, Guard, Load, Membership, NodeInfo,
    NodeRecord, Op, Roles, ServiceRecord, Session, Standing, TxnOutcome, Versioned, WatchEvent, WatchStream, key,
    limit,
};

/// Makes a test of each case. The argument is an async closure that makes an engine with the given settings, and whatever
/// must live as long: `async |config| (ground, guard)`, where the ground is a [`Ground`] or an `Arc<dyn ControlPlane>`.
#[macro_export]
macro_rules! control_battery {
    ($make:expr) => {
        $crate::control_battery!(@modules $make;
            sessions: [
                who_opens_is_seen_with_everything_it_said,
                the_record_of_a_node_has_the_revision_of_its_session,
                who_opens_again_is_another_incarnation_and_the_one_before_is_dead,
                an_opening_that_is_sent_twice_is_one_session,
                an_opening_that_is_sent_twice_at_once_is_one_session,
                an_opening_without_a_start_is_never_the_same,
                names_that_open_at_once_are_different_incarnations,
                of_two_processes_that_fight_for_a_name_one_lives,
                a_name_can_be_used_again_after_a_death,
                the_same_opening_after_its_death_is_another_incarnation,
                the_number_of_a_node_depends_on_its_name_alone,
                a_name_without_letters_is_refused,
                a_name_that_is_too_long_is_refused,
                a_name_may_have_anything_in_it,
                a_schema_that_is_too_large_is_refused,
                a_description_that_is_too_large_is_refused,
                a_description_may_be_large,
                a_lease_that_is_too_short_is_lengthened,
                a_lease_that_is_too_long_is_shortened,
                who_wishes_no_lease_gets_the_usual_one,
                forty_nodes_are_seen,
                a_renewed_lease_outlives_its_length,
                renewals_at_once_are_fine,
                expiry_is_only_suspicion_and_the_node_can_reattach,
                renewing_does_not_revive_a_lease_that_ran_out,
                who_reattached_renews_as_before,
                a_lease_can_be_lost_and_taken_up_twice,
                who_lost_nothing_may_reattach,
                a_lease_of_before_a_reattachment_ends_without_harm,
                after_the_grace_the_node_is_dead_for_certain,
                an_incarnation_that_is_unknown_is_lost_and_not_unreachable,
                an_attendance_renews_and_ends_with_a_certificate,
                who_leaves_has_a_certificate_at_once,
            ]
            certificates: [
                a_certificate_and_a_reattachment_never_both_succeed,
                a_certificate_for_whatever_the_record_is_wins_against_reattachments,
                the_first_certificate_stays,
                accusers_at_once_get_one_certificate,
                an_accuser_who_saw_an_older_record_is_refused_and_nothing_is_written,
                an_accuser_who_saw_the_record_is_believed,
                a_reason_that_is_too_long_is_cut_between_letters,
                a_reason_may_be_empty,
                record_and_load_go_with_the_certificate,
                the_dead_neither_renew_nor_reattach,
                nobody_is_certified_who_never_lived,
                a_certificate_does_not_touch_others,
                a_certificate_reaches_every_view,
                an_incarnation_that_is_dead_stays_so_when_its_name_lives_again,
            ]
            keys: [
                a_transaction_writes_all_or_nothing,
                a_key_that_was_never_written_is_not_there,
                a_read_sees_what_another_just_wrote,
                a_value_may_be_empty,
                a_value_may_be_any_bytes,
                a_value_may_have_the_largest_size,
                a_value_one_byte_larger_is_refused,
                a_transaction_that_is_too_large_is_refused,
                a_transaction_may_have_the_largest_size,
                membership_cannot_be_written,
                a_key_has_letters,
                a_key_that_is_too_long_is_refused,
                a_key_may_have_the_largest_length,
                thirty_two_operations_are_fine,
                thirty_three_guards_and_operations_are_refused,
                a_transaction_of_nothing_succeeds,
                of_several_guards_that_fail_the_first_is_named,
                a_key_that_is_there_is_not_absent,
                a_key_that_was_written_again_has_another_revision,
                a_key_that_was_deleted_and_written_again_is_another_one,
                deleting_what_is_not_there_is_fine,
                of_two_writes_of_a_key_in_one_transaction_the_last_stays,
                revisions_grow_over_all_keys,
                membership_can_be_a_guard,
                of_many_who_create_a_key_one_succeeds,
                counting_at_once_loses_nothing,
                what_moves_between_keys_is_never_lost_or_doubled,
                what_a_node_owns_goes_with_its_lease,
                what_a_node_owns_goes_with_its_certificate,
                an_owned_value_reads_as_it_was_written,
                the_dead_own_nothing,
                what_another_took_over_stays_when_the_first_owner_dies,
                who_reattaches_keeps_what_it_owns,
                a_key_with_slashes_in_a_row,
                a_key_that_begins_with_a_slash,
                a_key_that_ends_with_a_slash,
                a_key_with_dots,
                a_key_that_is_a_dot,
                a_key_with_the_signs_of_a_query,
                a_key_with_spaces_and_quotes,
                a_key_of_all_languages,
                a_key_with_control_characters,
            ]
            watches: [
                a_watch_tells_a_snapshot_and_then_every_change_in_order,
                a_snapshot_is_in_the_order_of_keys,
                a_prefix_need_not_end_at_a_slash,
                a_watch_of_nothing_begins_with_an_empty_snapshot,
                a_watch_of_everything_sees_members_and_keys,
                a_prefix_that_is_too_long_is_refused,
                a_watch_resumes_where_another_ended_or_says_that_it_cannot,
                a_watch_from_now_tells_only_what_comes,
                a_watch_from_a_revision_that_never_was_is_a_gap,
                a_watch_from_a_forgotten_revision_is_a_gap_or_complete,
                a_reader_that_is_too_slow_finds_a_gap_or_the_latest,
                a_large_snapshot_arrives_whole,
                a_snapshot_of_many_keys_arrives_whole,
                fifty_watches_hear_the_same,
                a_watch_that_is_dropped_does_not_hinder_the_others,
                the_last_value_of_a_key_that_changes_quickly_is_always_told,
                a_key_that_goes_and_comes_is_there_in_the_end,
                a_key_that_comes_and_goes_is_gone_in_the_end,
                all_writes_of_a_transaction_are_told,
                a_watch_of_nodes_tells_their_schema,
                nothing_is_told_of_other_keys,
            ]
            slots: [
                slots_follow_the_proxies_and_their_epochs_grow,
                a_single_proxy_owns_everything,
                without_a_proxy_nobody_owns_anything,
                when_the_last_proxy_dies_nobody_owns_anything,
                a_proxy_that_comes_back_under_its_name_gets_its_slots_back,
                a_proxy_that_drains_gives_its_slots_away,
                a_draining_proxy_is_better_than_none,
                a_proxy_that_drains_no_more_gets_slots_again,
                the_load_reaches_every_view,
                epochs_grow_however_often_owners_change,
            ]
        );
    };
    (@modules $make:expr; $($module:ident: [$($name:ident,)*])*) => {$(
        mod $module {
            #[allow(unused_imports, reason = "what the closure names")]
            use super::*;

            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    let config = $crate::control::battery::config(stringify!($name));
                    let (ground, _guard) = ($make)(config).await;
                    $crate::control::battery::$module::$name(ground.into()).await;
                }
            )*
        }
    )*};
}

/// An empty cluster.
pub struct Ground {
    /// What a node of it uses.
    pub control: Arc<dyn ControlPlane>,
    /// What another process of it uses; for engines within a process, the same.
    pub other: Arc<dyn ControlPlane>,
    /// A watch can begin at a revision of the past. Otherwise it says that it cannot.
    pub remembers: bool,
}

impl From<Arc<dyn ControlPlane>> for Ground {
    fn from(control: Arc<dyn ControlPlane>) -> Self {
        Self { other: control.clone(), control, remembers: true }
    }
}

/// Lease length of engines under test, if they can.
pub const TTL: Duration = Duration::from_millis(300);

/// Longer than any test waits.
const NEVER: Duration = Duration::from_secs(600);

/// Every wait for something that must happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// Settings for the test with this name.
#[must_use]
pub fn config(test: &str) -> Config {
    let grace = match test {
        "after_the_grace_the_node_is_dead_for_certain" | "what_a_node_owns_goes_with_its_lease" => {
            Duration::from_millis(100)
        }
        _ => NEVER,
    };
    let history = if test == "a_watch_from_a_forgotten_revision_is_a_gap_or_complete" { 4 } else { 4096 };
    Config { ttl: TTL, grace, history, ..Config::default() }
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} did not happen"))
}

fn info(name: &str, roles: Roles, start: u64) -> NodeInfo {
    NodeInfo { name: name.into(), start, roles, weight: 100, ..NodeInfo::default() }
}

async fn open(control: &Arc<dyn ControlPlane>, name: &str, roles: Roles) -> Session {
    control.open(info(name, roles, 1), NEVER).await.expect("a session")
}

/// A session with a lease that ends soon.
async fn brief(ground: &Ground, name: &str, roles: Roles) -> Session {
    ground.control.open(info(name, roles, 1), TTL).await.expect("a session")
}

/// Renews until the lease is lost. Renewals are far enough apart for it to end.
async fn wait_until_lost(control: &Arc<dyn ControlPlane>, session: &Session) -> ControlError {
    // The TTL of Consul is a lower bound; its end may take twice as long.
    let pause = session.ttl() * 3;
    let mut end = Instant::now() + pause;
    for _ in 0..20 {
        tokio::time::sleep_until(end).await;
        match control.renew(session, Load::default()).await {
            Ok(()) => end = Instant::now() + pause,
            Err(error) => return error,
        }
    }
    panic!("the lease never ends")
}

async fn read(control: &Arc<dyn ControlPlane>, key: &str) -> Option<Versioned> {
    control.get(key.into()).await.expect("an answer")
}

async fn put(control: &Arc<dyn ControlPlane>, key: &str, value: impl Into<Bytes>) -> u64 {
    committed(control.txn(vec![], vec![Op::put(key, value)]).await)
}

async fn certificate(control: &Arc<dyn ControlPlane>, uid: NodeUid) -> Option<DeathCert> {
    read(control, &key::dead(uid)).await.map(|stored| decode_named(&stored.value).expect("a certificate"))
}

fn committed(outcome: Result<TxnOutcome, ControlError>) -> u64 {
    match outcome {
        Ok(TxnOutcome::Committed { revision }) => revision,
        other => panic!("not committed: {other:?}"),
    }
}

fn invalid<T: std::fmt::Debug>(answer: Result<T, ControlError>) {
    assert!(matches!(answer, Err(ControlError::Invalid { .. })), "{answer:?}");
}

fn absent(key: &str) -> Guard {
    Guard::Absent(key.into())
}

fn at(key: &str, revision: u64) -> Vec<Guard> {
    vec![Guard::Revision(key.into(), revision)]
}

fn delete(key: &str) -> Op {
    Op::Delete { key: key.into() }
}

fn owned(key: &str, value: &'static str, owner: NodeUid) -> Op {
    Op::Put { key: key.into(), value: value.into(), owner: Some(owner) }
}

async fn next(watch: &mut WatchStream) -> WatchEvent {
    soon("an event", watch.next()).await.expect("a stream ends with a gap")
}

async fn over(watch: &mut WatchStream) {
    assert_eq!(next(watch).await, WatchEvent::Gap);
    assert_eq!(watch.next().await, None);
}

async fn until_deleted(watch: &mut WatchStream, wanted: &str) {
    loop {
        match next(watch).await {
            WatchEvent::Del { key, .. } if key == wanted => return,
            WatchEvent::Gap => panic!("the watch ended"),
            _ => {}
        }
    }
}

async fn snapshot(watch: &mut WatchStream) -> (Vec<(String, Bytes)>, u64) {
    match next(watch).await {
        WatchEvent::Snapshot { entries, revision } => {
            (entries.into_iter().map(|(key, versioned)| (key, versioned.value)).collect(), revision)
        }
        other => panic!("no snapshot: {other:?}"),
    }
}
