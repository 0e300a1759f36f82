//! Updates a known record: reads it, replaces our elements, writes it, and checks which version the update replaced.
//!
//! Handles the updates, and doubts about the record's identity. A record without our identifier is written only after
//! an operator's decision, and a missing record counts as missing only after a FHIR response. `first` passes the
//! records that it found to this file.

use adapter_sdk::http::Method;
use adapter_sdk::{FailureKind, Outcome, Receipt, RemoteEdit};
use serde_json::{Value, json};

use super::{Delivery, Interaction, NOT_OURS, Rules, Stage, Step, WRITES_MAX, is_proof, nothing_there};
use crate::answer::{Answer, version_of};
use crate::capability::Versioning;
use crate::identity::{Carries, carries_any};
use crate::mapping;
use crate::ownership::{self, Fingerprint, Kept, Merged};
use crate::settings::Existing;

/// Versions that are read to see which one our update replaced: ours, that one, and two that others may have written
/// since.
const HISTORY_ENTRIES: u32 = 4;

impl Delivery<'_> {
    /// A record that was read by its id: goes on with it where it is ours.
    pub(super) fn on_read(&mut self, rules: &Rules<'_>, current: &Value, version: Option<String>) -> Step {
        match self.identity_conflict(current) {
            Some(step) => step,
            None => self.on_current(rules, current, version),
        }
    }

    /// The conflict about a record that is not, or no longer, our patient's by its identifiers.
    fn identity_conflict(&self, current: &Value) -> Option<Step> {
        if self.was_named_by_operator() || self.carries(current) == Carries::Exactly {
            return None;
        }
        if carries_any(current, &self.kind.system) {
            // Without a word about what it holds: whoever keeps the local state must not write over another patient.
            return Some(
                self.conflict(
                    "TYPE carries another AGGREGATE's identifier: the link leads to a record that is not ours",
                ),
            );
        }
        let merged = self.merged(current);
        let now = Kept::of(current, &merged, &self.kind);
        let message = "TYPE does not carry our identifier (any more)";
        (self.kept.as_ref() != Some(&now)).then(|| self.holding(message, &now))
    }

    /// The record as it is now: decides between leaving it, holding, and writing our elements into it.
    pub(super) fn on_current(&mut self, rules: &Rules<'_>, current: &Value, version: Option<String>) -> Step {
        if let Some(id) = current.get("id").and_then(Value::as_str) {
            self.id = Some(id.to_owned());
        }
        self.was_read = true;
        let version = version.or_else(|| version_of(current));
        let merged = self.merged(current);
        let guard = version.clone().filter(|_| self.abilities.versioning != Versioning::NoVersion);
        if self.ends && self.kind.parts.retire.is_none() {
            let held = self.held_back(rules, current, &merged, version);
            return held.unwrap_or_else(|| self.remove(guard));
        }
        if let (false, Existing::Replace, Some(wanted)) = (self.is_linked(), rules.settings.existing, &self.wanted)
            && (merged.fingerprint.shared || !merged.unchanged)
        {
            self.written = Some(Fingerprint::of_own(wanted, &self.kind));
            return self.update(wanted.clone(), guard);
        }
        if merged.unchanged {
            self.written = Some(merged.fingerprint);
            return self.applied(version);
        }
        if let Some(step) = self.held_back(rules, current, &merged, version) {
            return step;
        }
        self.written = Some(merged.fingerprint);
        self.update(merged.resource, guard)
    }

    /// The record with our elements in it.
    fn merged(&self, current: &Value) -> Merged {
        match &self.survivor {
            Some(link) => ownership::replace(current, link, self.last.as_ref(), &self.kind),
            None => ownership::merge(current, self.wanted.as_ref(), self.last.as_ref(), &self.kind),
        }
    }

    /// Whether an edit by others, or an operator's decision about one, keeps us from writing.
    fn held_back(&self, rules: &Rules<'_>, current: &Value, merged: &Merged, version: Option<String>) -> Option<Step> {
        let now = Kept::of(current, merged, &self.kind);
        let is_kept = self.kept.as_ref().is_some_and(|kept| kept.held == now.held);
        if is_kept && self.kept.as_ref() == Some(&now) {
            // The very state that the operator declined comes again: the decision is kept.
            return Some(Step::Done(Outcome::Applied(Receipt {
                remote_id: self.kind.remote_id(self.id.as_deref().unwrap_or_default()),
                remote_version: version,
                fingerprint: Some(now.to_text()),
            })));
        }
        if rules.on_remote_edit == RemoteEdit::Overwrite {
            return None;
        }
        let message = if is_kept {
            "TYPE holds what was kept of the target's, and this newer state would write over it: correct the \
             AGGREGATE in the application too, or decide again"
        } else if self.was_edited(current) {
            "TYPE was edited at the target since we last wrote it"
        } else {
            return None;
        };
        Some(self.holding(message, &now))
    }

    fn was_edited(&self, current: &Value) -> bool {
        self.has_written() && !self.last.as_ref().is_some_and(|last| last.matches(current, &self.kind))
    }

    pub(super) fn update(&mut self, mut resource: Value, version: Option<String>) -> Step {
        let id = self.id.clone().unwrap_or_default();
        resource["id"] = json!(id);
        self.stage = Stage::Update;
        self.writes += 1;
        self.written.get_or_insert_with(|| Fingerprint::of_own(&resource, &self.kind));
        self.replaces.clone_from(&version);
        let update = Interaction::new(Method::Put, self.kind.url(&id), Some(resource));
        Step::Send(Interaction { if_match: version.map(|version| format!("W/\"{version}\"")), ..update })
    }

    /// Deletes a record whose type has no word for what the application deleted.
    fn remove(&mut self, version: Option<String>) -> Step {
        if !self.abilities.deletes {
            return self.failed(
                FailureKind::Denied,
                "the server does not delete TYPE; delete the record there, or send an update that says it is not valid",
            );
        }
        self.stage = Stage::Remove;
        self.writes += 1;
        let url = self.kind.url(self.id.as_deref().unwrap_or_default());
        let remove = Interaction::new(Method::Delete, url, None);
        Step::Send(Interaction { if_match: version.map(|version| format!("W/\"{version}\"")), ..remove })
    }

    pub(super) fn removed(&mut self, answer: &Answer) -> Step {
        match answer.status {
            // Without an id the host forgets the link, so that the aggregate may come back.
            200 | 202 | 204 => nothing_there(),
            404 | 410 => self.absent(answer),
            412 if self.writes < WRITES_MAX => self.read(Stage::Read),
            _ => self.refused("delete of TYPE", answer),
        }
    }

    /// Handles an accepted update.
    pub(super) fn updated(&mut self, rules: &Rules<'_>, answer: &Answer) -> Step {
        if answer.status == 201 && rules.on_remote_edit == RemoteEdit::Hold {
            return self.conflict("TYPE had been deleted at the target, and the server created it anew on our update");
        }
        if let Some(step) = self.answered_with_another(answer) {
            return step;
        }
        if answer.status == 201 {
            // The record that we knew had been deleted, and the server did not mind.
            let told = "TYPE had been deleted at the target, and the server created it anew on our update";
            self.notice = Some(self.say(told));
            return self.confirmed(answer);
        }
        if answer.is_bare() {
            return self.read(Stage::ReadUnproven);
        }
        if let Some(step) = self.look_back(self.version_in(answer)) {
            return step;
        }
        self.confirmed(answer)
    }

    /// The record after a write that was answered with nothing: it is taken, unless the record is not there or still
    /// holds what we wrote before.
    pub(super) fn on_unproven(&mut self, answer: &Answer) -> Step {
        const UNPROVEN: &str =
            "the server answered a write of TYPE with nothing, and the record shows that it was not done";
        match (answer.status, self.shown(answer)) {
            (200, Some(current)) => {
                let current = current.clone();
                if let Some(conflict) = self.identity_conflict(&current) {
                    return conflict;
                }
                let merged = self.merged(&current);
                let is_as_before = self.last.as_ref().is_some_and(|last| last.matches(&current, &self.kind));
                if is_as_before && !merged.unchanged {
                    return self.unreadable(UNPROVEN);
                }
                let version = version_of(&current).or_else(|| self.version_in(answer));
                if let Some(step) = self.look_back(version.clone()) {
                    return step;
                }
                self.note_written();
                self.applied(version)
            }
            (200, None) | (404 | 410, _) => self.unreadable(UNPROVEN),
            _ => self.refused("read of TYPE", answer),
        }
    }

    /// The read that shows which version our update replaced, where the version that came back does not show that it
    /// was the one that `If-Match` named.
    fn look_back(&mut self, version: Option<String>) -> Option<Step> {
        let before = self.replaces.as_deref().filter(|_| self.writes < WRITES_MAX)?;
        let number = |version: &str| version.parse::<u64>().ok();
        let after = version.as_deref().and_then(number);
        let record = self.kind.url(self.id.as_deref().unwrap_or_default());
        let (stage, url) = match (number(before), after) {
            (Some(before), Some(after)) if after <= before + 1 => return None,
            (None, _) | (_, None) if self.was_read => return None,
            _ if self.abilities.history => (Stage::ReadHistory, format!("{record}/_history?_count={HISTORY_ENTRIES}")),
            (Some(_), Some(after)) => (Stage::ReadOverwritten, format!("{record}/_history/{}", after - 1)),
            _ => return None,
        };
        self.version = version;
        self.stage = stage;
        Some(Step::Send(Interaction::new(Method::Get, url, None)))
    }

    /// What the version right before ours held.
    pub(super) fn on_version_before(&mut self, rules: &Rules<'_>, answer: &Answer) -> Step {
        match (answer.status, self.shown(answer)) {
            (200, Some(overwritten)) => self.on_overwritten(rules, &overwritten.clone()),
            // Servers that count the versions of all records together have no such version of this one.
            _ => self.applied(self.version.clone()),
        }
    }

    /// The record's last versions, the newest first.
    pub(super) fn on_history(&mut self, rules: &Rules<'_>, answer: &Answer) -> Step {
        let entries = answer.found(&self.kind.resource_type).unwrap_or_default();
        let ours = match &self.version {
            Some(version) => entries.iter().position(|entry| version_of(entry).as_ref() == Some(version)),
            None => Some(0),
        };
        let replaced = ours.and_then(|ours| entries.get(ours + 1));
        match replaced.map(|replaced| (version_of(replaced), replaced)) {
            Some((Some(version), replaced)) if Some(&version) != self.replaces.as_ref() => {
                let overwritten = (*replaced).clone();
                self.on_overwritten(rules, &overwritten)
            }
            _ => self.applied(self.version.clone()),
        }
    }

    /// Our update wrote over a version that we had not seen, which `If-Match` should have kept it from.
    fn on_overwritten(&mut self, rules: &Rules<'_>, overwritten: &Value) -> Step {
        let version = self.version.take();
        self.notice = Some(
            "the server took an update although If-Match named an older version; the record is read before each write \
             from here on (set read_first = true to do so for all)"
                .to_owned(),
        );
        if rules.on_remote_edit == RemoteEdit::Hold && self.was_edited(overwritten) {
            return self.conflict(
                "TYPE was edited at the target since we last wrote it, and the server let our update pass although \
                 If-Match named an older version: the edit is in the record's history",
            );
        }
        let merged = self.merged(overwritten);
        // Marked as shared also where nothing was lost this time: so the next write reads first.
        let lost = merged.fingerprint.shared;
        self.written = Some(merged.fingerprint.into_shared());
        if lost { self.update(merged.resource, version) } else { self.applied(version) }
    }

    /// Remembers the fingerprint of the state that was sent, unless another one is remembered.
    pub(super) fn note_written(&mut self) {
        if let (None, Some(wanted)) = (&self.written, &self.wanted) {
            self.written = Some(Fingerprint::of_own(wanted, &self.kind));
        }
    }

    /// Handles an accepted write.
    pub(super) fn confirmed(&mut self, answer: &Answer) -> Step {
        self.note_written();
        self.applied(self.version_in(answer))
    }

    /// The answer to a write that speaks of another record than the one that was written: that one is read before
    /// anything of it is believed.
    pub(super) fn answered_with_another(&mut self, answer: &Answer) -> Option<Step> {
        let is_other = |record| !self.was_named_by_operator() && self.carries(record) != Carries::Exactly;
        if answer.record(&self.kind.resource_type).is_some_and(is_other) {
            return Some(self.conflict(NOT_OURS));
        }
        let other = answer.other_id(&self.kind.resource_type, self.id.as_deref()?)?;
        self.id = Some(other);
        self.version = self.version_in(answer);
        Some(self.read(Stage::ReadChosen { has_looked: false }))
    }

    /// Handles a response that a record no longer exists.
    pub(super) fn absent(&mut self, answer: &Answer) -> Step {
        // Any proxy may respond 404, so this alone does not prove that a record is missing.
        if is_proof(answer) { self.gone() } else { self.search(Stage::ConfirmGone) }
    }

    /// The search after a 404 that proves nothing.
    pub(super) fn confirm_gone(&mut self, answer: &Answer) -> Step {
        let found = match self.carriers(answer) {
            Ok(found) => found,
            Err(Step::Done(Outcome::Failed(failure))) if failure.kind == FailureKind::Misconfigured => {
                return Step::Done(Outcome::Failed(failure));
            }
            Err(_) => return self.not_proven(),
        };
        let is_known = |patient: &&Value| patient.get("id").and_then(Value::as_str) == self.id.as_deref();
        if found.iter().any(is_known) {
            return self.unreadable("TYPE/ID answered 404 without FHIR, and the search still finds the record");
        }
        if found.is_empty() {
            return self.gone();
        }
        // Another record carries our identifier. Whether the one under this id is there, the server says without its
        // address.
        self.stage = Stage::ConfirmIdGone;
        let id = mapping::percent_encode(self.id.as_deref().unwrap_or_default());
        Step::Send(Interaction::new(Method::Get, self.kind.search(&format!("_id={id}")), None))
    }

    pub(super) fn confirm_id_gone(&mut self, answer: &Answer) -> Step {
        match answer.found(&self.kind.resource_type) {
            Some(found) if found.is_empty() => self.gone(),
            // The record itself, or whatever a server gives that does not know the parameter.
            _ => self.not_proven(),
        }
    }

    fn not_proven(&mut self) -> Step {
        self.unreadable("TYPE/ID answered 404 without FHIR, and the search does not confirm that the record is gone")
    }

    /// The record is no longer there.
    fn gone(&mut self) -> Step {
        if self.ends {
            // What should be inactive does not exist: there is nothing left to do. Without an id the link goes too, so
            // that the patient may come back.
            return nothing_there();
        }
        if self.is_linked() {
            return self.conflict("TYPE was deleted at the target");
        }
        self.failed(FailureKind::Transient, "TYPE vanished while we wrote it")
    }

    /// A conflict about a record whose content an operator may keep.
    fn holding(&self, message: &str, now: &Kept) -> Step {
        // The host keeps what is in the brackets, and shows it to nobody: `plugins/README.md`.
        self.conflict(&format!("{message} [holds {}]", now.to_text()))
    }
}

#[cfg(test)]
mod tests;
