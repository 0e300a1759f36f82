//! Owns the list of safeguards: where each is, how it is removed, and which test fails.

/// Where a test lives, which decides what has to be built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Suite {
    /// `host`'s own unit tests.
    Unit,
    /// `tests/tests/store`, in process.
    Store,
    /// `tests/tests/sync`, with the host as a process.
    Sync,
}

/// One safeguard, and what happens without it.
pub(super) struct Safeguard {
    /// What it is, as docs/reliability.md calls it.
    pub(super) name: &'static str,
    /// Its file.
    pub(super) file: &'static str,
    /// Its text there; each pair is replaced, and each is there once.
    pub(super) mutation: &'static [(&'static str, &'static str)],
    pub(super) suite: Suite,
    /// The test that fails without it.
    pub(super) test: &'static str,
}

pub(super) const SAFEGUARDS: &[Safeguard] = &[
    Safeguard {
        name: "settling only under a valid lease",
        file: "host/src/store/settle.rs",
        mutation: &[("if !self.end_lease(lease).await? {", "self.end_lease(lease).await?; if false {")],
        suite: Suite::Store,
        test: "on_sqlite::expired_lease_cannot_settle",
    },
    Safeguard {
        name: "a renewed lease is not taken",
        file: "host/src/store/sql/lease.sql",
        mutation: &[(" AND lease_until < {now};", ";"), (" WHERE lease_until < {now};", " WHERE {now} > 0;")],
        suite: Suite::Store,
        test: "on_sqlite::a_renewed_lease_is_not_taken_over",
    },
    Safeguard {
        name: "leases run out",
        file: "host/src/store/sql/lease.sql",
        mutation: &[(" WHERE lease_until < {now};", " WHERE {now} < 0;")],
        suite: Suite::Store,
        test: "on_sqlite::expired_lease_cannot_settle",
    },
    Safeguard {
        name: "newest state wins",
        file: "host/src/store/newest.rs",
        mutation: &[(
            "let is_superseded = candidate.newest_id > candidate.change_id || confirmed;",
            "let is_superseded = confirmed;",
        )],
        suite: Suite::Store,
        test: "on_sqlite::the_newest_state_wins_and_older_ones_are_superseded",
    },
    Safeguard {
        name: "nothing older than what was confirmed",
        file: "host/src/store/newest.rs",
        mutation: &[(
            "let confirmed = candidate.delivered_id.is_some_and(|delivered| delivered > candidate.change_id);",
            "let confirmed = false;",
        )],
        suite: Suite::Unit,
        test: "nothing_older_than_the_confirmed_state_is_delivered",
    },
    Safeguard {
        name: "one delivery of a patient at a time",
        file: "host/src/store/sql/claim.sql",
        mutation: &[("AND {in_flight_count(d.target, d)} = 0", "AND {in_flight_count(d.target, d)} >= 0")],
        suite: Suite::Store,
        test: "on_sqlite::a_patient_in_flight_is_not_claimed_again",
    },
    Safeguard {
        name: "a failed head blocks its key",
        file: "host/src/store/sql/fragments/common.sql",
        mutation: &[(
            "AND e.status IN ({pending}, {processing}, {failed})",
            "AND e.status IN ({pending}, {processing})",
        )],
        suite: Suite::Store,
        test: "on_sqlite::fifo_delivers_every_change_in_order",
    },
    Safeguard {
        name: "a directly dispatched change gets its row when its lease ends unsettled",
        file: "host/src/store/sql/in_flight.sql",
        mutation: &[("AND d.outbox_id = w.outbox_id) = 0;", "AND d.outbox_id = w.outbox_id) = 2;")],
        suite: Suite::Store,
        test: "on_sqlite::the_batch_of_a_dead_host_is_claimed_by_another",
    },
    Safeguard {
        name: "what is in flight is not purged",
        file: "host/src/store/sql/retention.sql",
        mutation: &[("{change_in_flight_count(t.name, o)} > 0) = 0", "{change_in_flight_count(t.name, o)} > 1) = 0")],
        suite: Suite::Store,
        test: "on_sqlite::changes_in_flight_are_not_purged",
    },
    Safeguard {
        name: "only what is finished is purged",
        file: "host/src/store/sql/retention.sql",
        mutation: &[
            ("WHEN status = {done} THEN 1", "WHEN status IN ({done}, {failed}) THEN 1"),
            (
                "WHERE {deliveries_by_id} AND status = :status;",
                "WHERE {deliveries_by_id} AND status IN (:status, {failed});",
            ),
        ],
        suite: Suite::Store,
        test: "on_sqlite::only_old_finished_rows_are_purged",
    },
    Safeguard {
        name: "a clock that jumped makes nothing old",
        file: "host/src/store/clock.rs",
        mutation: &[(
            "now.min(seen.seen_at.saturating_add(STEP_MAX_MS))",
            "now.max(seen.seen_at.saturating_add(STEP_MAX_MS))",
        )],
        suite: Suite::Store,
        test: "on_sqlite::a_clock_that_jumps_ahead_purges_nothing",
    },
    Safeguard {
        name: "a row that cannot be read stops nothing else",
        file: "host/src/store/routing.rs",
        mutation: &[("transaction.refuse_unreadable(&mut step, routes).await?;", "")],
        suite: Suite::Store,
        test: "spoilt::an_unreadable_queued_row_stops_no_other",
    },
    Safeguard {
        name: "what lacks a reference is held",
        file: "host/src/store/sql/dependencies.sql",
        mutation: &[(
            "AND t.status = {pending} AND {missing_count(t)} > 0;",
            "AND t.status = {pending} AND {now} < 0;",
        )],
        suite: Suite::Store,
        test: "references::on_sqlite::a_change_with_an_unlinked_dependency_waits_until_it_is_linked",
    },
    Safeguard {
        name: "references are linked when the batch is read",
        file: "host/src/store/resolve.rs",
        mutation: &[(
            "Some(Record::Lacking) => drop(unresolved.waiting.insert(id)),",
            "Some(Record::Lacking) => reference.remote_id = None,",
        )],
        suite: Suite::Store,
        test: "references::on_sqlite::a_link_deleted_meanwhile_is_detected_before_the_call",
    },
    Safeguard {
        name: "what was deleted and comes back is waited for",
        file: "host/src/store/resolve.rs",
        mutation: &[(
            "unresolved.waiting.extend(self.expecting(operation, target, &gone).await?);",
            "drop(self.expecting(operation, target, &gone).await?);",
        )],
        suite: Suite::Store,
        test: "references::on_sqlite::a_change_waits_for_what_was_deleted_and_comes_back",
    },
    Safeguard {
        name: "a settlement sends what went out with an older id again",
        file: "host/src/store/settle.rs",
        mutation: &[("if !outdated.is_empty() {", "if false && !outdated.is_empty() {")],
        suite: Suite::Store,
        test: "merging::on_sqlite::a_settlement_alone_sends_what_went_out_with_an_older_id_again",
    },
    Safeguard {
        name: "a move sends what refers to the record again",
        file: "host/src/store/settle.rs",
        mutation: &[("if !moved.is_empty() {", "if false && !moved.is_empty() {")],
        suite: Suite::Store,
        test: "references::on_sqlite::a_record_with_a_new_remote_id_requeues_its_dependents",
    },
    Safeguard {
        name: "an operator's relink sends what refers to the record again",
        file: "host/src/store/conflicts.rs",
        mutation: &[(
            "transaction.relink(key, remote_id).await?;\n                        \
             transaction.resend_dependents(key.target, &[key.aggregate]).await?;",
            "transaction.relink(key, remote_id).await?;",
        )],
        suite: Suite::Store,
        test: "conflicts::on_sqlite::relink_sends_what_refers_to_the_record_again",
    },
    Safeguard {
        name: "a link that an operator lets go sends what refers to the record again",
        file: "host/src/store/conflicts.rs",
        mutation: &[(
            "transaction.forget_link(key).await?;\n                        \
             transaction.resend_dependents(key.target, &[key.aggregate]).await?;",
            "transaction.forget_link(key).await?;",
        )],
        suite: Suite::Store,
        test: "conflicts::on_sqlite::keep_local_sends_what_refers_to_a_forgotten_record_again",
    },
    Safeguard {
        name: "moves of records and settlements of what refers to them take turns",
        file: "host/src/store/outdated.rs",
        mutation: &[("if settlements.iter().any(went_out_with_ids) {", "if false {")],
        suite: Suite::Store,
        test: "merging::on_postgres::a_merge_and_a_dependent_that_are_settled_side_by_side_do_not_miss_each_other",
    },
    Safeguard {
        name: "what went out with the id of a forgotten link is sent again",
        file: "host/src/store/outdated.rs",
        mutation: &[("Record::Lacking => true,", "Record::Lacking => false,")],
        suite: Suite::Store,
        test: "merging::on_sqlite::what_was_in_flight_when_the_link_of_its_patient_was_forgotten_waits_for_the_new_one",
    },
    Safeguard {
        name: "a merge goes out while nothing that it leads to is merged elsewhere",
        file: "host/src/store/circles.rs",
        mutation: &[("|key| elsewhere.contains(key) || !looked_at", "|key| !looked_at")],
        suite: Suite::Store,
        test: "circles::on_sqlite::of_two_merges_that_close_a_circle_at_once_the_later_one_never_goes_out",
    },
    Safeguard {
        name: "a settlement postpones a merge that closed a circle",
        file: "host/src/store/circles.rs",
        mutation: &[("if closes {", "if false && closes {")],
        suite: Suite::Store,
        test: "circles::on_sqlite::a_circle_of_merges_that_a_lost_lease_delivered_is_noticed_when_they_are_settled",
    },
    Safeguard {
        name: "nothing is woken to wait again",
        file: "host/src/store/dependencies.rs",
        mutation: &[(
            "let ready = self.lacking_nothing(target, &linked).await?;",
            "drop(self.lacking_nothing(target, &linked).await?); let ready: Vec<_> = linked.into_keys().collect();",
        )],
        suite: Suite::Store,
        test: "waiting::on_sqlite::a_circle_of_what_comes_back_is_named_and_woken_by_nobody",
    },
    Safeguard {
        name: "what a record refers to is held while it is written",
        file: "host/src/service/clinical.rs",
        mutation: &[("if for_update && !patients.is_empty() {", "if false && for_update && !patients.is_empty() {")],
        suite: Suite::Store,
        test: "clinical::on_postgres::what_is_deleted_or_merged_while_a_record_is_written_is_not_referred_to",
    },
    Safeguard {
        name: "a verification judges nothing that was delivered meanwhile",
        file: "host/src/store/sql/verification.sql",
        mutation: &[(
            "AND l.delivered_outbox_id = j.delivered_outbox_id\n    AND {in_flight_count(:target, j)} = 0;",
            "AND {in_flight_count(:target, j)} >= 0;",
        )],
        suite: Suite::Store,
        test: "verification::on_sqlite::a_record_delivered_meanwhile_is_not_judged",
    },
    Safeguard {
        name: "a verification is advanced by one host at a time",
        file: "host/src/store/sql/verification.sql",
        mutation: &[(
            "AND next_type = :from_type AND after_id = :from_id;",
            "AND (next_type = :from_type OR after_id = :from_id OR after_id >= '');",
        )],
        suite: Suite::Store,
        test: "verification::on_sqlite::a_second_verification_of_a_target_ends_the_first",
    },
    Safeguard {
        name: "of what waits only the newest state waits on",
        file: "host/src/store/waits_once.rs",
        mutation: &[("if !is_fifo(&key.aggregate_type) {", "if is_fifo(&key.aggregate_type) {")],
        suite: Suite::Store,
        test: "on_sqlite::of_what_waits_only_the_newest_state_waits_on",
    },
    Safeguard {
        name: "only what lacks nothing is woken",
        file: "host/src/store/sql/dependencies.sql",
        mutation: &[(
            "WHERE d.status = {pending} AND d.next_attempt_at = {waiting} AND {missing_count(d)} = 0\nORDER BY d.outbox_id\nLIMIT",
            "WHERE d.status = {pending} AND d.next_attempt_at = {waiting} AND {missing_count(d)} >= 0\nORDER BY d.outbox_id\nLIMIT",
        )],
        suite: Suite::Store,
        test: "references::on_sqlite::the_last_missing_link_wakes_a_delivery",
    },
    Safeguard {
        name: "a missed wake-up is found",
        file: "host/src/store/dependencies.rs",
        mutation: &[("if missing == 0 {", "if missing < 0 {")],
        suite: Suite::Store,
        test: "references::on_sqlite::the_rescuer_finds_a_missed_wake_up",
    },
    Safeguard {
        name: "a conflict is decided once",
        file: "host/src/store/sql/operators.sql",
        mutation: &[(
            "finished_at = NULL\nWHERE {aggregate_at_target} AND {is_conflict};",
            "finished_at = NULL\nWHERE {aggregate_at_target} AND :kind = :kind;",
        )],
        suite: Suite::Store,
        test: "on_sqlite::only_a_conflict_is_resolved_and_only_once",
    },
    Safeguard {
        name: "an outage spends no attempt",
        file: "host/src/domain/delivery.rs",
        mutation: &[("return (Event::Defer, attempts);", "return (Event::Defer, attempts + 1);")],
        suite: Suite::Unit,
        test: "an_outage_spends_no_attempt_and_never_fails",
    },
    Safeguard {
        name: "fence before the commit, and the lease's keeper",
        file: "host/src/store/lease.rs",
        mutation: &[(
            "Ok(self.run_alone(&operation, statement).await?.rows_affected == 1)",
            "Ok(self.run_alone(&operation, statement).await?.rows_affected < 2)",
        )],
        suite: Suite::Sync,
        test: "lifecycle::a_host_frozen_beyond_its_lease_changes_nothing_when_it_wakes",
    },
    Safeguard {
        name: "a batch that failed is split",
        file: "host/src/target/splits.rs",
        mutation: &[("if deliveries == 1 {", "if deliveries >= 1 {")],
        suite: Suite::Sync,
        test: "lifecycle::one_bad_change_among_500",
    },
    Safeguard {
        name: "an aborted batch is requeued",
        file: "host/src/sync/worker.rs",
        mutation: &[("return batch.release().await;\n    }", "return;\n    }")],
        suite: Suite::Sync,
        test: "lifecycle::a_second_signal_aborts_the_call_and_requeues_the_batch",
    },
    Safeguard {
        name: "a request in doubt keeps its lease",
        file: "host/src/sync/worker.rs",
        mutation: &[("if doubtful.is_empty() {", "if !settlements.is_empty() {")],
        suite: Suite::Sync,
        test: "in_doubt::an_aborted_sent_request_stays_in_doubt_for_all_hosts",
    },
    Safeguard {
        name: "no renewal makes a lease shorter",
        file: "host/src/store/sql/lease.sql",
        mutation: &[(
            "CASE WHEN lease_until > {now} + :lease_ms THEN lease_until ELSE {now} + :lease_ms END",
            "{now} + :lease_ms",
        )],
        suite: Suite::Store,
        test: "on_sqlite::no_renewal_shortens_a_lease",
    },
    Safeguard {
        name: "a call under way may end",
        file: "host/src/sync/daemon.rs",
        mutation: &[(
            "let limit = tokio::time::sleep(Duration::from_millis(self.options().drain_ms));",
            "let limit = tokio::time::sleep(Duration::from_millis(self.options().drain_ms / 1_000));",
        )],
        suite: Suite::Sync,
        test: "lifecycle::sigterm_waits_for_a_call_and_settles_it",
    },
];
