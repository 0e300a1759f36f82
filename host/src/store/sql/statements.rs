//! Every statement of the store with its parameters, in the order of the template files. It owns no SQL.

use super::parameter::{Field, Parameter};
use super::render::Rendered;
use crate::domain::ids::{ChangeId, LeaseId};

use super::{Bound, Declared, Ids, Json, Statement, TextRows, Texts};

/// Declares statements: the struct that the code builds, and the name and parameters of its template.
macro_rules! statements {
    ($($file:literal { $(
        $name:ident $(<$life:lifetime>)? = $template:ident { $($field:ident: $type:ty),* $(,)? }
    )* })*) => {
        /// The template files.
        pub(super) const TEMPLATES: &[&str] = &[$(include_str!($file)),*];

        /// Every declared statement, by its index.
        pub(super) const ALL: &[Declared] = &[$($(<$name as Statement>::DECLARED),*),*];

        /// Each statement's index among all.
        enum Index { $($($name),*),* }

        $($(
            pub(in crate::store) struct $name $(<$life>)? {
                $(pub(in crate::store) $field: $type),*
            }

            impl $(<$life>)? Statement for $name $(<$life>)? {
                const DECLARED: Declared = Declared {
                    name: stringify!($template),
                    parameters: &[$((stringify!($field), <$type as Field>::KIND)),*],
                };
                const INDEX: usize = Index::$name as usize;

                fn bind(self, rendered: &Rendered, now_ms: Option<i64>) -> Bound {
                    rendered.bind(&mut [$(self.$field.parameter(),)* Parameter::One(now_ms.into())])
                }
            }
        )*)*
    };
}

statements! {
    "claim.sql" {
        ClaimDue<'a> = claim_due { target: &'a str, from_ms: i64, limit: u32, fifo_types: Texts<'a> }
        MarkSuperseded<'a> = mark_superseded { target: &'a str, batch: Json }
        MarkProcessing<'a> = mark_processing { target: &'a str, lease_id: LeaseId, ids: Ids<'a> }
        BeginInFlight<'a> = begin_in_flight { target: &'a str, lease_id: LeaseId, ids: Ids<'a> }
        TraceContexts<'a> = trace_contexts { ids: Ids<'a> }
        ReadBatch<'a> = read_batch { target: &'a str, ids: Ids<'a> }
    }
    "direct.sql" {
        DirectCandidates<'a> = direct_candidates { target: &'a str, ids: Ids<'a> }
        BeginInFlightDirect<'a> = begin_in_flight_direct { target: &'a str, lease_id: LeaseId, ids: Ids<'a> }
    }
    "dependencies.sql" {
        InsertDependencies = insert_dependencies { batch: Json }
        HoldDependents = hold_dependents { batch: Json }
        WaitingTwice<'a> = waiting_twice { target: &'a str, ids: Ids<'a> }
        SupersedeWaiting<'a> = supersede_waiting { target: &'a str, batch: Json }
        ReadRouted<'a> = read_routed { ids: Ids<'a> }
        ConfirmedDependents<'a> = confirmed_dependents { target: &'a str, batch: Json }
        LinksOfKeys<'a> = links_of_keys { target: &'a str, batch: Json }
        ReadyDependents<'a> = ready_dependents { target: &'a str, batch: Json }
        ReadyAmong<'a> = ready_among { target: &'a str, ids: Ids<'a> }
        NextWaiting<'a> = next_waiting { target: &'a str, after: i64 }
        Wake<'a> = wake { target: &'a str, ids: Ids<'a> }
        ReadReferences<'a> = read_references { target: &'a str, ids: Ids<'a> }
        OpenAmong<'a> = open_among { target: &'a str, batch: Json }
        MergingElsewhere<'a> = merging_elsewhere { target: &'a str, lease_id: LeaseId, batch: Json }
        LockMoves = lock_moves {}
        ShareMoves = share_moves {}
        WaitAgain<'a> = wait_again { target: &'a str, lease_id: LeaseId, ids: Ids<'a> }
        ForgetDependencies<'a> = forget_dependencies { target: &'a str, types: Texts<'a> }
        DeleteDependencies<'a> = delete_dependencies { target: &'a str, ids: Ids<'a> }
        CountWaiting<'a> = count_waiting { target: &'a str }
        ListWaiting<'a> = list_waiting { target: &'a str, after: i64, limit: u32 }
        NewestOfKeys<'a> = newest_of_keys { target: &'a str, batch: Json }
    }
    "lease.sql" {
        BeginLease<'a> = begin_lease { target: &'a str, owner: &'a str, lease_ms: i64 }
        RenewLease<'a> = renew_lease { lease_id: LeaseId, owner: &'a str, lease_ms: i64 }
        HoldLease<'a> = hold_lease { lease_id: LeaseId, owner: &'a str }
        EndLease<'a> = end_lease { lease_id: LeaseId, owner: &'a str }
        ExpiredLeases = expired_leases {}
        EndExpiredLease<'a> = end_expired_lease { lease_id: LeaseId, owner: &'a str }
    }
    "in_flight.sql" {
        EndInFlight<'a> = end_in_flight { target: &'a str, lease_id: LeaseId }
        EndInFlightOf<'a> = end_in_flight_of { target: &'a str, lease_id: LeaseId, ids: Ids<'a> }
        EnqueueDirectInFlight<'a> = enqueue_direct_in_flight { target: &'a str, lease_id: LeaseId }
        RequeueInFlight<'a> = requeue_in_flight { target: &'a str, lease_id: LeaseId }
    }
    "settle.sql" {
        NoteInDoubt<'a> = note_in_doubt { target: &'a str, lease_id: LeaseId, batch: Json }
        InsertDone<'a> = insert_done { target: &'a str, lease_id: LeaseId, attempts: u32, ids: Ids<'a> }
        InsertProcessing<'a> = insert_processing { target: &'a str, lease_id: LeaseId, ids: Ids<'a> }
        MarkDone<'a> = mark_done { target: &'a str, lease_id: LeaseId, attempts: u32, ids: Ids<'a> }
        UpdateEach<'a> = update_each { target: &'a str, lease_id: LeaseId, batch: Json }
        PutLinks = put_links { rows: TextRows<8> }
        WriteBackOpenemrId = write_back_openemr_id { batch: Json }
        WriteBackFhirId = write_back_fhir_id { batch: Json }
    }
    "routing.sql" {
        HasUnrouted = has_unrouted { after: i64 }
        UnroutedChanges = unrouted { after: i64, limit: u32 }
        Enqueue<'a> = enqueue { batch: Json, ids: Ids<'a> }
        MarkRouted<'a> = mark_routed { ids: Ids<'a>, revision: i64 }
        InsertRefused = insert_refused { batch: Json }
        FailRefused<'a> = fail_refused { target: &'a str, lease_id: LeaseId, batch: Json }
        NearlyRouted = nearly_routed {}
        CountUnrouted = count_unrouted { after: i64, before: Option<ChangeId> }
        OldestUnrouted = oldest_unrouted { after: i64 }
        EstimateUnrouted = estimate_unrouted { after: i64, before: Option<ChangeId> }
    }
    "outbox.sql" {
        Append = append { batch: Json }
        AppendBlock = append_block { rows: TextRows<6> }
        EnqueueForTarget<'a> = enqueue_for_target { target: &'a str, batch: Json }
        IdsOfEvents = ids_of_events { batch: Json }
        MarkEventsRouted = mark_events_routed { batch: Json }
    }
    "resend.sql" {
        ScanChanges = scan_changes { before: i64, limit: u32 }
        OwnPatients = own_patients { batch: Json }
        KnownPatients = known_patients { batch: Json }
        ResendCandidates<'a> = resend_candidates { target: &'a str, ids: Ids<'a> }
        EnqueueAgain<'a> = enqueue_again { target: &'a str, ids: Ids<'a> }
        ResendDeliveries<'a> = resend { target: &'a str, status: &'a str, ids: Ids<'a> }
        DoubtConfirmed<'a> = doubt_confirmed { target: &'a str, batch: Json }
        LinksOfType<'a> = links_of_type { target: &'a str, aggregate_type: &'a str, after: &'a str, limit: u32 }
    }
    "people.sql" {
        ListPatients<'a> = list_patients { after: &'a str, limit: u32 }
        ChangedPatients<'a> = changed_patients { after: &'a str, since: i64, limit: u32 }
        TouchPatient<'a> = touch_patient { patient_id: &'a str }
        PatientsById = patients_by_id { batch: Json }
        LockPatientsById = lock_patients_by_id { batch: Json }
        HoldPatients = hold_patients { batch: Json }
        PutPatients = put_patients { batch: Json }
        PutPatientBlock = put_patient_block { rows: TextRows<26> }
        DeletePatient<'a> = delete_patient { patient_id: &'a str }
        ListUsers = list_users {}
        PutUser<'a> = put_user {
            username: &'a str, display_name: &'a str, role: &'a str, email: Option<&'a str>,
            department: Option<&'a str>, password_hash: &'a str,
        }
    }
    "clinical.sql" {
        RecordsById = records_by_id { batch: Json }
        ListRecords<'a> = list_records { after_id: &'a str, after_type: &'a str, since: Option<i64>, limit: u32 }
        OwnRecords = own_records { batch: Json }
        LockRecordsById = lock_records_by_id { batch: Json }
        LockRecordsOfPatients = lock_records_of_patients { batch: Json }
        PutRecords = put_records { rows: TextRows<5> }
        DeleteRecord<'a> = delete_record { aggregate_type: &'a str, aggregate_id: &'a str }
        RememberDeleted<'a> = remember_deleted { aggregate_type: &'a str, aggregate_id: &'a str }
        DeletedAmong = deleted_among { batch: Json }
    }
    "merges.sql" {
        MergesAmong = merges_among { batch: Json }
        MergesInto = merges_into { batch: Json }
        InsertMerge<'a> = insert_merge {
            patient_id: &'a str, survivor_id: &'a str, reason: &'a str, merged_by: &'a str,
        }
        DeleteMerge<'a> = delete_merge { patient_id: &'a str }
    }
    "targets.sql" {
        RegisterTarget<'a> = register_target { name: &'a str, enabled: bool }
        EnableTarget<'a> = enable_target { name: &'a str }
        DisableTarget<'a> = disable_target { name: &'a str }
        SetTypes<'a> = set_types { name: &'a str, types: &'a str }
        ChangeRoutes<'a> = change_routes { name: &'a str }
        ReadRoutes = routes {}
        ReportTarget<'a> = report_target {
            name: &'a str, state: &'a str, breaker: &'a str, breaker_pause_ms: Option<i64>, failed: bool,
            error_kind: Option<&'a str>, error_message: Option<&'a str>, summary: Option<&'a str>,
        }
        ReadBatchMax<'a> = read_batch_max { name: &'a str }
        SetBatchMax<'a> = set_batch_max { name: &'a str, batch_max: Option<i64> }
        ReadLearned<'a> = read_learned { target: &'a str, basis: &'a str }
        PutLearned<'a> = put_learned { target: &'a str, basis: &'a str, learned: Vec<u8> }
        RequestProbe<'a> = request_probe { name: &'a str }
        SetPaused<'a> = set_paused { name: &'a str, paused: bool, until: Option<i64> }
        PutHost<'a> = put_host { id: &'a str, version: &'a str, targets: &'a str }
        RunningHosts = running_hosts {}
        ForgetHosts = forget_hosts {}
        DeleteHost<'a> = delete_host { id: &'a str }
        TryWrite<'a> = try_write { id: &'a str }
    }
    "status.sql" {
        AddCounts<'a> = add_counts {
            target: &'a str, shard: i64, made: i64, done: i64, superseded: i64, dismissed: i64, skipped: i64,
        }
        Uncounted<'a> = uncounted { target: &'a str }
        ReadCounts = read_counts { never: i64 }
        CountOpen<'a> = count_open { target: &'a str }
        EnabledTargets = enabled_targets {}
        HasDue<'a> = has_due { target: &'a str, fifo_types: Texts<'a> }
        ReadTargetStatus = target_status {}
        OldestPending<'a> = oldest_pending { target: &'a str, never: i64 }
        RecentDeliveries<'a> = recent_deliveries { target: &'a str, window: u32, limit: u32 }
        RecentOfAggregate<'a> = recent_of_aggregate {
            target: &'a str, aggregate_type: &'a str, aggregate_id: &'a str, limit: u32,
        }
        ReadNow = store_clock {}
    }
    "operators.sql" {
        ListFailed<'a> = list_failed {
            target: Option<&'a str>, aggregate_type: Option<&'a str>, aggregate_id: Option<&'a str>,
            kind: Option<&'a str>, age_ms: Option<i64>, change_id: Option<ChangeId>, limit: u32,
        }
        CountFailed<'a> = count_failed {
            target: Option<&'a str>, aggregate_type: Option<&'a str>, aggregate_id: Option<&'a str>,
            kind: Option<&'a str>, age_ms: Option<i64>, change_id: Option<ChangeId>,
        }
        RetryFailed<'a> = retry_failed {
            target: Option<&'a str>, aggregate_type: Option<&'a str>, aggregate_id: Option<&'a str>,
            kind: Option<&'a str>, age_ms: Option<i64>, change_id: Option<ChangeId>,
        }
        ListRetriable<'a> = list_retriable {
            target: &'a str, aggregate_type: Option<&'a str>, aggregate_id: Option<&'a str>, kind: Option<&'a str>,
            age_ms: Option<i64>, change_id: Option<ChangeId>, from_id: i64, limit: u32,
        }
        RetryThese = retry_these { batch: Json }
        ProgressOfThese = progress_of_these { batch: Json }
        ListSkipped<'a> = list_skipped {
            target: Option<&'a str>, aggregate_type: Option<&'a str>, aggregate_id: Option<&'a str>,
            age_ms: Option<i64>, change_id: Option<ChangeId>, limit: u32,
        }
        CountSkipped<'a> = count_skipped {
            target: Option<&'a str>, aggregate_type: Option<&'a str>, aggregate_id: Option<&'a str>,
            age_ms: Option<i64>, change_id: Option<ChangeId>,
        }
        RetrySkipped<'a> = retry_skipped {
            target: &'a str, aggregate_type: Option<&'a str>, aggregate_id: Option<&'a str>, age_ms: Option<i64>,
            change_id: Option<ChangeId>,
        }
        ListDismissed<'a> = list_dismissed { target: Option<&'a str>, limit: u32 }
        MarkDismissed = mark_dismissed { batch: Json }
        InsertDismissals<'a> = insert_dismissals { batch: Json, reason: &'a str, dismissed_by: &'a str }
        KnowsPatient<'a> = knows_patient { patient_id: &'a str }
        KnowsDelivery<'a> = knows_delivery { aggregate_type: &'a str, aggregate_id: &'a str }
        KnowsInFlight<'a> = knows_in_flight { aggregate_type: &'a str, aggregate_id: &'a str }
        KnowsLink<'a> = knows_link { aggregate_type: &'a str, aggregate_id: &'a str }
        ListBlockedKeys<'a> = blocked_keys { fifo_types: Texts<'a>, limit: u32 }
        ListConflicts<'a> = list_conflicts {
            kind: &'a str, target: Option<&'a str>, aggregate_type: Option<&'a str>, aggregate_id: Option<&'a str>,
            limit: u32,
        }
        RetryConflict<'a> = retry_conflict {
            target: &'a str, aggregate_type: &'a str, aggregate_id: &'a str, kind: &'a str,
        }
        KeepRemote<'a> = keep_remote { target: &'a str, aggregate_type: &'a str, aggregate_id: &'a str, kind: &'a str }
        ConflictMessage<'a> = conflict_message {
            target: &'a str, aggregate_type: &'a str, aggregate_id: &'a str, kind: &'a str,
        }
        ForgetLink<'a> = forget_link { target: &'a str, aggregate_type: &'a str, aggregate_id: &'a str }
        ConfirmLink<'a> = confirm_link { target: &'a str, aggregate_type: &'a str, aggregate_id: &'a str }
        RememberState<'a> = remember_state {
            target: &'a str, aggregate_type: &'a str, aggregate_id: &'a str, fingerprint: &'a str,
        }
        LinkedTo<'a> = linked_to { target: &'a str, aggregate_type: &'a str, aggregate_id: &'a str, remote_id: &'a str }
        Relink<'a> = relink { target: &'a str, aggregate_type: &'a str, aggregate_id: &'a str, remote_id: &'a str }
    }
    "retention.sql" {
        OldDeliveries<'a> = old_deliveries { target: &'a str, after: i64, cutoff: i64 }
        DeleteDeliveries<'a> = delete_deliveries { target: &'a str, status: &'a str, ids: Ids<'a> }
        DeleteDismissals<'a> = delete_dismissals { target: &'a str, ids: Ids<'a> }
        OldChanges = old_changes { after: i64, cutoff: i64 }
        DeleteChanges<'a> = delete_changes { ids: Ids<'a> }
        PurgeNotices = purge_notices { cutoff: i64 }
        AddNotices = add_notices { batch: Json }
        ListNotices = list_notices {}
        ReadClock = read_clock {}
        RememberClock = remember_clock { seen_at: i64, doubted_at: Option<i64>, step_ms: Option<i64> }
        NewestTime = newest_time {}
        ShortenLeases = shorten_leases { ahead_ms: i64 }
        TargetNames = target_names {}
        MakeDue<'a> = make_due { target: &'a str, ahead_ms: i64 }
    }
    "next_state.sql" {
        NewestDelivery<'a> = newest_delivery { target: &'a str, aggregate_type: &'a str, aggregate_id: &'a str }
        NewestUnrouted<'a> = newest_unrouted { aggregate_type: &'a str, aggregate_id: &'a str }
        InFlightChange<'a> = in_flight_change { target: &'a str, aggregate_type: &'a str, aggregate_id: &'a str }
        ReadChange<'a> = read_change { target: &'a str, change_id: ChangeId }
        ReadLink<'a> = read_link { target: &'a str, aggregate_type: &'a str, aggregate_id: &'a str }
        RecentlyDone<'a> = recently_done { target: &'a str, before: i64, limit: u32 }
    }
    "adapters.sql" {
        AdapterControl<'a> = adapter_control { target: &'a str }
        IsActiveAdapter<'a> = is_active_adapter { target: &'a str, sha256: &'a str }
        RememberPreviousAdapter<'a> = remember_previous_adapter { target: &'a str, sha256: &'a str }
        ActivateAdapter<'a> = activate_adapter { target: &'a str, name: &'a str, version: &'a str, sha256: &'a str }
        AddAdapterEvent<'a> = add_adapter_event {
            target: &'a str, sha256: &'a str, name: &'a str, version: &'a str, event: &'a str,
            reason: Option<&'a str>, host: &'a str,
        }
        AdapterEvents<'a> = adapter_events { target: Option<&'a str>, limit: u32 }
        RejectAdapter<'a> = reject_adapter { target: &'a str, sha256: Option<&'a str> }
        ReloadAdapter<'a> = reload_adapter { target: &'a str, sha256: &'a str }
        HoldAdapter<'a> = hold_adapter {
            target: &'a str, sha256: &'a str, name: &'a str, version: &'a str, differences: &'a str,
        }
        ReadAdapterHold<'a> = read_adapter_hold { target: &'a str }
        ListAdapterHolds = list_adapter_holds {}
        AcceptAdapter<'a> = accept_adapter { target: &'a str, sha256: &'a str }
        EndAdapterHold<'a> = end_adapter_hold { target: &'a str }
        RequestReload<'a> = request_reload { target: &'a str }
        AdapterParts<'a> = adapter_parts { sha256: &'a str }
        CountAdapterParts<'a> = count_adapter_parts { sha256: &'a str }
        PutAdapterPart<'a> = put_adapter_part { sha256: &'a str, part: i64, parts: i64, bytes: Vec<u8> }
        ForgetAdapter<'a> = forget_adapter { sha256: &'a str }
    }
    "verification.sql" {
        LinksToVerify<'a> = links_to_verify { target: &'a str, aggregate_type: &'a str, after: &'a str, limit: u32 }
        LinksSettled<'a> = links_settled { target: &'a str, batch: Json }
        NewestChange = newest_change {}
        ReadVerifications<'a> = read_verifications { target: &'a str }
        BeginVerification<'a> = begin_verification {
            target: &'a str, types: &'a str, through: i64, next_type: &'a str,
        }
        AdvanceVerification<'a> = advance_verification {
            target: &'a str, from_type: &'a str, from_id: &'a str, next_type: &'a str, after_id: &'a str,
            checked: i64, edited: i64, gone: i64, several: i64, not_ours: i64, unknown: i64, moved: i64,
        }
        RecordsInStore<'a> = records_in_store { target: &'a str, batch: Json }
        CountNotInStore<'a> = count_not_in_store { target: &'a str, types: Texts<'a> }
        DeleteVerification<'a> = delete_verification { target: &'a str, run: &'a str }
        FinishVerification<'a> = finish_verification { target: &'a str }
        PutFindings<'a> = put_findings { target: &'a str, batch: Json }
        ForgetFindings<'a> = forget_findings { target: &'a str, aggregate_type: &'a str, before: i64 }
        ListFindings<'a> = list_findings { target: &'a str, aggregate_type: &'a str, after: &'a str, limit: u32 }
    }
    "journal.sql" {
        PutEffects<'a> = put_effects { sha256: &'a str, effects: &'a str }
        PutAttempt<'a> = put_attempt {
            lease_id: LeaseId, target: &'a str, host: &'a str, adapter_name: Option<&'a str>,
            adapter_version: Option<&'a str>, adapter_sha256: Option<&'a str>, interface_version: Option<&'a str>,
            elapsed_ms: i64, calls: i64, changes: i64, outcomes: &'a str, effects_sha256: Option<&'a str>,
            effect_counts: Option<&'a str>, cause_kind: Option<&'a str>, cause: Option<&'a str>,
        }
        KnowsAttempt = knows_attempt { lease_id: LeaseId }
        ReadAttempts<'a> = read_attempts { ids: Ids<'a> }
        RecentAttempts<'a> = recent_attempts { target: &'a str, limit: u32 }
        LastAttempts<'a> = last_attempts { target: &'a str, limit: u32 }
        OldAttempts = old_attempts { after: i64, cutoff: i64 }
        DeleteAttempts<'a> = delete_attempts { ids: Ids<'a> }
        DeleteEffects = delete_effects { cutoff: i64 }
    }
    "trace.sql" {
        ChangeKey = change_key { change_id: ChangeId }
        EventKey<'a> = event_key { event_id: &'a str }
        TraceDeliveries<'a> = trace_deliveries {
            aggregate_type: &'a str, aggregate_id: &'a str, target: Option<&'a str>, change_id: Option<ChangeId>,
            limit: u32,
        }
        TraceInFlight<'a> = trace_in_flight { aggregate_type: &'a str, aggregate_id: &'a str }
        TraceUnrouted<'a> = trace_unrouted { aggregate_type: &'a str, aggregate_id: &'a str, limit: u32 }
        TraceChanges<'a> = trace_changes { ids: Ids<'a> }
        TraceLinks<'a> = trace_links { aggregate_type: &'a str, aggregate_id: &'a str }
        TraceDependencies<'a> = trace_dependencies { ids: Ids<'a> }
        TraceDismissals<'a> = trace_dismissals { ids: Ids<'a> }
        TraceFindings<'a> = trace_findings { aggregate_type: &'a str, aggregate_id: &'a str }
        TraceMerges<'a> = trace_merges { patient_id: &'a str, limit: u32 }
        PageDeliveries<'a> = page_deliveries { target: &'a str, before: i64, limit: u32 }
        PageEnded<'a> = page_ended {
            target: &'a str, marker: i64, kind: Option<&'a str>, since: Option<i64>, before: i64, limit: u32,
        }
        CountCauses<'a> = count_causes {
            target: &'a str, marker: i64, kind: Option<&'a str>, since: Option<i64>, limit: u32,
        }
        QueuedBefore<'a> = queued_before { target: &'a str, due_at: i64, change_id: ChangeId }
    }
    "audit.sql" {
        LockAuditHead = lock_audit_head {}
        ReadAuditHead = read_audit_head {}
        MoveAuditHead<'a> = move_audit_head { id: i64, hash: &'a str }
        InsertAuditEvent = insert_audit_event { batch: Json }
        AuditEventsAfter = audit_events_after { after: i64, since: Option<i64>, limit: u32 }
        AuditEventsBefore<'a> = audit_events_before {
            before: i64, since: Option<i64>, actor: Option<&'a str>, actions: Texts<'a>,
            aggregate_type: Option<&'a str>, aggregate_id: Option<&'a str>, limit: u32,
        }
        AuditDecisions<'a> = audit_decisions {
            aggregate_type: &'a str, aggregate_id: &'a str, outcome: &'a str, actions: Texts<'a>, limit: u32,
        }
        AuditBulkDecisions<'a> = audit_bulk_decisions {
            outcome: &'a str, since: i64, actions: Texts<'a>, limit: u32,
        }
        SentDeliveries<'a> = sent_deliveries { target: &'a str, after: i64, since: Option<i64>, limit: u32 }
    }
    "alerts.sql" {
        ListAlerts = list_alerts { ended_mark: Option<i64>, limit: u32 }
        TouchAlerts = touch_alerts { batch: Json }
        RaiseAlerts = raise_alerts { batch: Json }
        EndAlerts = end_alerts { stale_ms: i64 }
        AnnounceEnds = announce_ends {}
        EnterAlertSends<'a> = enter_alert_sends { channel: &'a str }
        DueAlertSends<'a> = due_alert_sends { channels: Texts<'a>, limit: u32 }
        ClaimAlertSend<'a> = claim_alert_send {
            alert_id: i64, channel: &'a str, due_at: i64, host: &'a str, claim_ms: i64,
        }
        SettleAlertSend<'a> = settle_alert_send {
            alert_id: i64, channel: &'a str, due_at: i64, host: &'a str, sent: bool, failures: i64,
            error: Option<&'a str>, next_at: i64,
        }
        AlertSends = alert_sends { first_id: i64 }
        AcknowledgeAlerts<'a> = acknowledge_alerts {
            id: Option<i64>, kind: Option<&'a str>, target: Option<&'a str>, acknowledged_by: &'a str,
        }
        PurgeAlertSends = purge_alert_sends { cutoff: i64 }
        PurgeAlerts = purge_alerts { cutoff: i64 }
        Heartbeats = heartbeats {}
        RolledBackAdapters = rolled_back_adapters {}
        ChangesAfter = changes_after { after: i64 }
        FailedLately<'a> = failed_lately { target: &'a str }
    }
    "imports.sql" {
        ReadImportProgress<'a> = import_progress { id: &'a str }
        DeleteImport<'a> = delete_import { id: &'a str }
        BeginImport<'a> = begin_import { id: &'a str, file: &'a str }
        AdvanceImport<'a> = advance_import {
            id: &'a str, bytes_before: i64, bytes_done: i64, bytes_sha256: &'a str, lines_done: i64, created: i64,
            updated: i64, unchanged: i64, repeated: i64, rejected: i64, incomplete: i64, rejects_bytes: i64,
            finished: bool,
        }
    }
}
