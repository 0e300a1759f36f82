//! Delivers a record without a link: searches for the record, creates it only where there is none, and searches again.
//!
//! Owns the creates. Every path begins with a search by identifier, because the record may exist already: after a lost
//! response, with a rebuilt store, or from an older version of this adapter. If clients may choose ids, the create is
//! `PUT TYPE/{id derived from the identifier}` with `If-None-Match: *`. Two of these requests, however late, meet on
//! one record and change nothing in it. Otherwise the create is a `POST`. After either, a second search detects a
//! duplicate at once.

use adapter_sdk::http::Method;
use adapter_sdk::{FailureKind, Outcome};
use serde_json::{Value, json};

use super::{Delivery, Interaction, NOT_OURS, Rules, Stage, Step, Told, is_proof, nothing_there};
use crate::answer::{Answer, version_of};
use crate::identity::{Carries, derived_id};

const SEVERAL: &str = "several TYPEs at the target carry our identifier";

impl Delivery<'_> {
    pub(super) fn advance_first(&mut self, rules: &Rules<'_>, answer: &Answer) -> Step {
        match self.stage {
            Stage::Search => match self.found(answer) {
                Err(step) => step,
                Ok(Some(current)) => self.on_current(rules, &current, version_of(&current)),
                // A record that the target never had needs no delete and no merge. Nothing is created only to be
                // deactivated, so a patient who was removed before the first delivery never reaches the target.
                Ok(None) if self.ends => nothing_there(),
                Ok(None) => self.create(rules),
            },
            Stage::CreateWithId => self.created_with_id(rules, answer),
            Stage::ReadOurId { may_be_created } => self.on_our_id(rules, answer, may_be_created),
            Stage::ConditionalCreate => match answer.status {
                201 => self.created(answer),
                200 | 204 | 304 => match answer.id(&self.kind.resource_type) {
                    Some(id) => {
                        self.id = Some(id);
                        self.read(Stage::ReadMatch)
                    }
                    None => self.search(Stage::LookInto),
                },
                400 | 409 | 412 => self.look_into("conditional create of TYPE", answer),
                _ => self.refused("conditional create of TYPE", answer),
            },
            Stage::ReadMatch => self.on_match(rules, answer),
            Stage::Create => match answer.status {
                200 | 201 | 204 => self.created(answer),
                400 | 409 | 412 => self.look_into("create of TYPE", answer),
                _ => self.refused("create of TYPE", answer),
            },
            Stage::LookInto => match self.found(answer) {
                Err(step) => step,
                Ok(Some(current)) => self.on_current(rules, &current, version_of(&current)),
                Ok(None) => match self.refusal.take() {
                    Some(refusal) => Step::Done(Outcome::Failed(refusal)),
                    None => self.failed(
                        FailureKind::Transient,
                        "the server reports that TYPE exists, and its search does not find it",
                    ),
                },
            },
            Stage::LookAgain { told } => self.looked_again(answer, told),
            Stage::ReadChosen { has_looked } => self.on_chosen(answer, has_looked),
            Stage::Read
            | Stage::Update
            | Stage::Remove
            | Stage::ReadOverwritten
            | Stage::ReadHistory
            | Stage::ReadUnproven
            | Stage::ConfirmGone
            | Stage::ConfirmIdGone => unreachable!("invariant: `advance` has these stages itself"),
        }
    }

    pub(super) fn search(&mut self, stage: Stage) -> Step {
        self.stage = stage;
        Step::Send(Interaction::new(Method::Get, self.kind.search(&self.query), None))
    }

    fn create(&mut self, rules: &Rules<'_>) -> Step {
        if rules.settings.client_ids && self.abilities.update_create && self.id_refused.is_none() {
            let id = derived_id(self.kind.aggregate_type, &self.kind.system, &self.change.aggregate_id);
            let mut resource = self.wanted.clone().unwrap_or_default();
            resource["id"] = json!(id);
            let create = Interaction::new(Method::Put, self.kind.url(&id), Some(resource));
            self.id = Some(id);
            self.stage = Stage::CreateWithId;
            return Step::Send(Interaction { only_if_new: true, ..create });
        }
        self.id = None;
        let create = Interaction::new(Method::Post, self.kind.resource_type.to_string(), self.wanted.clone());
        if self.abilities.conditional_create {
            self.stage = Stage::ConditionalCreate;
            return Step::Send(Interaction { if_none_exist: Some(self.query.clone()), ..create });
        }
        self.stage = Stage::Create;
        Step::Send(create)
    }

    fn created_with_id(&mut self, rules: &Rules<'_>, answer: &Answer) -> Step {
        let is_taken = matches!(answer.status, 200 | 201 | 204);
        if let Some(step) = is_taken.then(|| self.answered_with_another(answer)).flatten() {
            return step;
        }
        match answer.status {
            200 | 201 | 204 => {
                let is_later =
                    self.version_in(answer).and_then(|version| version.parse::<u64>().ok()).is_some_and(|n| n > 1);
                if answer.status != 201 && is_later {
                    self.notice = Some(self.say(
                        "the server wrote over a record of TYPE although If-None-Match: * was sent: a request that \
                         arrives late may turn a record back there",
                    ));
                }
                self.note_written();
                self.version = self.version_in(answer);
                // Our id separates our own requests. Another program may have created a record under another id.
                let told = if answer.is_bare() { Told::Nothing } else { Told::Record };
                self.search(Stage::LookAgain { told })
            }
            // The record exists, from an earlier request of ours whose response was lost. Or it existed and is deleted.
            304 | 412 => self.read(Stage::ReadOurId { may_be_created: true }),
            // Two requests met; the other one may still be in progress.
            409 => self.read(Stage::ReadOurId { may_be_created: false }),
            400 | 403 | 404 | 405 | 410 | 422 | 501 => {
                self.id_refused = Some(answer.status);
                self.create(rules)
            }
            _ => self.refused("create of TYPE under an id of ours", answer),
        }
    }

    fn on_our_id(&mut self, rules: &Rules<'_>, answer: &Answer, may_be_created: bool) -> Step {
        match (answer.status, self.shown(answer)) {
            (200, Some(current)) if self.carries(current) != Carries::Exactly => self.conflict(
                "the TYPE with the id that we derive from the identifier does not carry that identifier (any more)",
            ),
            (200, Some(current)) => self.on_current(rules, &current.clone(), self.version_in(answer)),
            (404 | 410, _) if !is_proof(answer) => self.unreadable("read of TYPE answered 404 without FHIR"),
            (404 | 410, _) if may_be_created => {
                self.id_refused = Some(412);
                self.create(rules)
            }
            (404 | 410, _) => self.failed(FailureKind::Transient, "create of TYPE met another one under way"),
            (200, None) => self.unreadable("read of TYPE answered 200 without one"),
            _ => self.refused("read of TYPE", answer),
        }
    }

    /// The record that a conditional create found by identifier.
    fn on_match(&mut self, rules: &Rules<'_>, answer: &Answer) -> Step {
        match (answer.status, self.shown(answer)) {
            (200, Some(current)) => match self.carries(current) {
                Carries::Exactly => self.on_current(rules, &current.clone(), self.version_in(answer)),
                // The server does not distinguish `AB-1` from `ab-1`, and this record is another patient's. Our search
                // has shown that ours does not exist.
                Carries::InAnotherCase => {
                    self.id = None;
                    self.stage = Stage::Create;
                    Step::Send(Interaction::new(Method::Post, self.kind.resource_type.to_string(), self.wanted.clone()))
                }
                Carries::Not => {
                    self.conflict("a conditional create found a record of TYPE that does not carry our identifier")
                }
            },
            (404 | 410, _) => self.absent(answer),
            (200, None) => self.unreadable("read of TYPE answered 200 without one"),
            _ => self.refused("read of TYPE", answer),
        }
    }

    /// Handles a create that the server accepted under its own id.
    fn created(&mut self, answer: &Answer) -> Step {
        if answer.record(&self.kind.resource_type).is_some_and(|record| self.carries(record) != Carries::Exactly) {
            return self.conflict(NOT_OURS);
        }
        self.note_written();
        if let Some(status) = self.id_refused.filter(|status| !matches!(status, 410 | 412)) {
            self.notice = Some(self.say(&format!(
                "the server declares that it creates on update, but refused our id ({status}) and accepted the TYPE \
                 without it (set client_ids = false)"
            )));
        }
        self.id = answer.id(&self.kind.resource_type);
        self.version = self.version_in(answer);
        self.search(Stage::LookAgain { told: Told::Id })
    }

    /// Handles the record under an id that the server chose. After a create without an id of ours (`has_looked`) there
    /// was no requested id to compare with. If the record cannot be read then, the response to the create counts.
    fn on_chosen(&mut self, answer: &Answer, has_looked: bool) -> Step {
        match (answer.status, self.shown(answer)) {
            (200, Some(chosen)) if self.carries(chosen) != Carries::Exactly => {
                self.conflict("the server named a record for our write that does not carry our identifier")
            }
            (404 | 410, _) if is_proof(answer) => {
                self.conflict("the server named a record for our write, and there is no TYPE under that id")
            }
            (200, Some(chosen)) if !has_looked => {
                self.note_written();
                self.version = version_of(chosen).or_else(|| self.version_in(answer)).or_else(|| self.version.take());
                self.notice = Some(self.say(
                    "the server stored a record of TYPE under another id than the requested one; the link follows it \
                     (set client_ids = false if new records get such ids)",
                ));
                self.search(Stage::LookAgain { told: Told::Record })
            }
            _ if has_looked => self.applied(self.version.clone().or_else(|| self.version_in(answer))),
            (200, None) => self.unreadable("read of TYPE answered 200 without one"),
            (404, _) => self.unreadable("read of TYPE answered 404 without FHIR"),
            _ => self.refused("read of TYPE", answer),
        }
    }

    /// The search after a create: any result other than our record alone is a conflict, reported at once.
    fn looked_again(&mut self, answer: &Answer, told: Told) -> Step {
        let found = match self.found(answer) {
            Ok(found) => found,
            Err(step @ Step::Done(Outcome::Failed(_))) if self.id.is_none() || answer.status == 200 => return step,
            Err(_) if told == Told::Nothing => return self.read(Stage::ReadUnproven),
            // The record exists; a failed search does not change that.
            Err(_) => {
                self.suspect = None;
                return self.applied(self.version.clone());
            }
        };
        let found_id = found.as_ref().and_then(|found| found.get("id")).and_then(Value::as_str).map(str::to_owned);
        match (&self.id, found_id) {
            (Some(ours), Some(found)) if *ours != found => self.conflict(
                "the server named one record for our write, and the search finds another TYPE with our \
                 identifier: where both are there, merge them at the target",
            ),
            (None, Some(_)) => {
                self.id = found_id_of(found.as_ref());
                self.applied(found.as_ref().and_then(version_of))
            }
            (None, None) => self.failed(
                FailureKind::Transient,
                "the server confirmed the TYPE without an id, and the search does not find it yet",
            ),
            // Some servers update their index late. The record that they named is read to verify it.
            (Some(_), None) if told == Told::Id => self.read(Stage::ReadChosen { has_looked: true }),
            (Some(_), None) if told == Told::Nothing => self.read(Stage::ReadUnproven),
            (Some(_), _) => self.applied(self.version.clone().or_else(|| found.as_ref().and_then(version_of))),
        }
    }

    /// Handles a refusal that an existing record may explain: one of another host, or our own whose response was lost.
    fn look_into(&mut self, what: &str, answer: &Answer) -> Step {
        match self.refused(what, answer) {
            Step::Done(Outcome::Failed(mut refusal)) => {
                if matches!(answer.status, 409 | 412) {
                    refusal.kind = FailureKind::Transient;
                }
                self.refusal = Some(refusal);
                self.search(Stage::LookInto)
            }
            step => step,
        }
    }

    /// The one record that a search found, if any.
    fn found(&mut self, answer: &Answer) -> Result<Option<Value>, Step> {
        match self.carriers(answer)?.as_slice() {
            [] => Ok(None),
            [found] => Ok(Some((*found).clone())),
            [_, _, ..] => Err(self.conflict(SEVERAL)),
        }
    }

    /// The records in a search result. Each must carry our identifier.
    pub(super) fn carriers<'b>(&mut self, answer: &'b Answer) -> Result<Vec<&'b Value>, Step> {
        let Some(found) = answer.found(&self.kind.resource_type) else {
            return Err(self.refused("search for TYPE", answer));
        };
        let judged = found.into_iter().map(|patient| (patient, self.carries(patient)));
        // A server that ignores case also returns another patient's record, which is not ours.
        let ours: Vec<_> = judged.filter(|(_, carries)| *carries != Carries::InAnotherCase).collect();
        // A server that ignores an unknown parameter returns every record: never use one of them.
        if ours.iter().any(|(_, carries)| *carries == Carries::Not) {
            let message = "the server does not search TYPE by identifier: it answered with TYPEs that do not carry it";
            // Without this search no patient can be delivered; for another type, the other types continue.
            return Err(if self.kind.is_patient() {
                self.failed(FailureKind::Misconfigured, message)
            } else {
                Step::Done(Outcome::Skipped(self.say(message)))
            });
        }
        Ok(ours.into_iter().map(|(patient, _)| patient).collect())
    }
}

fn found_id_of(found: Option<&Value>) -> Option<String> {
    found?.get("id").and_then(Value::as_str).map(str::to_owned)
}
