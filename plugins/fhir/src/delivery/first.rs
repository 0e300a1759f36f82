//! Delivers a patient without a link: searches for the record, creates it only where there is none, and searches again.
//!
//! Owns the creates. Every way begins with a search by identifier, since the record may be there already: a lost
//! answer, a rebuilt store, an older version of this adapter. Where clients may choose ids, the create is `PUT
//! Patient/{id derived from the identifier}` with `If-None-Match: *`: two of them, however late, meet on one record and
//! change nothing that is there. Elsewhere it is a `POST`. After either, a second search finds a double at once.

use adapter_sdk::http::Method;
use adapter_sdk::{FailureKind, Outcome};
use serde_json::{Value, json};

use super::{
    Delivery, Interaction, NOT_OURS, Rules, Stage, Step, Told, UNREADABLE, conflict, is_proof, nothing_there,
    patient_url,
};
use crate::answer::{Answer, version_of};
use crate::identity::{Carries, carries, derived_id};
use crate::outcome::failure;

const SEVERAL: &str = "several Patients at the target carry our identifier";

impl Delivery<'_> {
    pub(super) fn advance_first(&mut self, rules: &Rules<'_>, answer: &Answer) -> Step {
        match self.stage {
            Stage::Search => match self.found(rules, answer) {
                Err(step) => step,
                Ok(Some(current)) => self.on_current(rules, &current, version_of(&current)),
                // What the target never had is deleted there already. Nothing is created only to be deactivated, so a
                // patient who was removed again before the first delivery never reaches the target.
                Ok(None) if self.deletes => nothing_there(),
                Ok(None) => self.create(rules),
            },
            Stage::CreateWithId => self.created_with_id(rules, answer),
            Stage::ReadOurId { may_be_created } => self.on_our_id(rules, answer, may_be_created),
            Stage::ConditionalCreate => match answer.status {
                201 => self.created(rules, answer),
                200 | 204 | 304 => match answer.patient_id() {
                    Some(id) => {
                        self.id = Some(id);
                        self.read(Stage::ReadMatch)
                    }
                    None => self.search(Stage::LookInto),
                },
                400 | 409 | 412 => self.look_into("conditional create of Patient", answer),
                _ => self.refused("conditional create of Patient", answer),
            },
            Stage::ReadMatch => self.on_match(rules, answer),
            Stage::Create => match answer.status {
                200 | 201 | 204 => self.created(rules, answer),
                400 | 409 | 412 => self.look_into("create of Patient", answer),
                _ => self.refused("create of Patient", answer),
            },
            Stage::LookInto => match self.found(rules, answer) {
                Err(step) => step,
                Ok(Some(current)) => self.on_current(rules, &current, version_of(&current)),
                Ok(None) => Step::Done(Outcome::Failed(self.refusal.take().unwrap_or_else(|| {
                    failure(FailureKind::Transient, "the server says that Patient exists, and its search finds none")
                }))),
            },
            Stage::LookAgain { told } => self.looked_again(rules, answer, told),
            Stage::ReadChosen { has_looked } => self.on_chosen(rules, answer, has_looked),
            Stage::Read
            | Stage::Update
            | Stage::ReadOverwritten
            | Stage::ReadHistory
            | Stage::ReadUnproven
            | Stage::ConfirmGone
            | Stage::ConfirmIdGone => unreachable!("invariant: `advance` has these stages itself"),
        }
    }

    pub(super) fn search(&mut self, stage: Stage) -> Step {
        self.stage = stage;
        Step::Send(Interaction::new(Method::Get, format!("Patient?{}", self.query), None))
    }

    fn create(&mut self, rules: &Rules<'_>) -> Step {
        let capabilities = rules.capabilities;
        if rules.settings.client_ids && capabilities.update_create && self.id_refused.is_none() {
            let id = derived_id(&rules.settings.identifier_system, &self.change.aggregate_id);
            let mut resource = self.wanted.clone().unwrap_or_default();
            resource["id"] = json!(id);
            let create = Interaction::new(Method::Put, patient_url(&id), Some(resource));
            self.id = Some(id);
            self.stage = Stage::CreateWithId;
            return Step::Send(Interaction { only_if_new: true, ..create });
        }
        self.id = None;
        let create = Interaction::new(Method::Post, "Patient".to_owned(), self.wanted.clone());
        if capabilities.conditional_create {
            self.stage = Stage::ConditionalCreate;
            return Step::Send(Interaction { if_none_exist: Some(self.query.clone()), ..create });
        }
        self.stage = Stage::Create;
        Step::Send(create)
    }

    fn created_with_id(&mut self, rules: &Rules<'_>, answer: &Answer) -> Step {
        let is_taken = matches!(answer.status, 200 | 201 | 204);
        if let Some(step) = is_taken.then(|| self.answered_with_another(rules, answer)).flatten() {
            return step;
        }
        match answer.status {
            200 | 201 | 204 => {
                let is_later = answer.version().and_then(|version| version.parse::<u64>().ok()).is_some_and(|n| n > 1);
                if answer.status != 201 && is_later {
                    self.notice = Some(
                        "the server wrote over a Patient although If-None-Match: * was sent: a request that arrives \
                         late may turn a record back there"
                            .to_owned(),
                    );
                }
                self.note_written(rules);
                self.version = answer.version();
                // Our id keeps our own requests apart. Another program may have created a record under an id of its
                // own.
                let told = if answer.is_bare() { Told::Nothing } else { Told::Record };
                self.search(Stage::LookAgain { told })
            }
            // It is there: made by a request of ours that was thought lost. Or it was there and is deleted.
            304 | 412 => self.read(Stage::ReadOurId { may_be_created: true }),
            // Two at the same time: the other one may still be under way.
            409 => self.read(Stage::ReadOurId { may_be_created: false }),
            400 | 403 | 404 | 405 | 410 | 422 | 501 => {
                self.id_refused = Some(answer.status);
                self.create(rules)
            }
            _ => self.refused("create of Patient under an id of ours", answer),
        }
    }

    fn on_our_id(&mut self, rules: &Rules<'_>, answer: &Answer, may_be_created: bool) -> Step {
        match (answer.status, answer.patient()) {
            (200, Some(current)) if self.carries(rules, current) != Carries::Exactly => conflict(
                "the Patient with the id that we derive from the identifier does not carry that identifier (any more)",
            ),
            (200, Some(current)) => self.on_current(rules, &current.clone(), answer.version()),
            (404 | 410, _) if !is_proof(answer) => self.unreadable("read of Patient answered 404 without FHIR"),
            (404 | 410, _) if may_be_created => {
                self.id_refused = Some(412);
                self.create(rules)
            }
            (404 | 410, _) => {
                let message = "create of Patient met another one under way";
                Step::Done(Outcome::Failed(failure(FailureKind::Transient, message)))
            }
            (200, None) => self.unreadable(UNREADABLE),
            _ => self.refused("read of Patient", answer),
        }
    }

    /// The record that a conditional create found by identifier.
    fn on_match(&mut self, rules: &Rules<'_>, answer: &Answer) -> Step {
        match (answer.status, answer.patient()) {
            (200, Some(current)) => match self.carries(rules, current) {
                Carries::Exactly => self.on_current(rules, &current.clone(), answer.version()),
                // The server does not tell `AB-1` from `ab-1`: that record is another patient's. Our search has shown
                // that there is not one of this list.
                Carries::InAnotherCase => {
                    self.id = None;
                    self.stage = Stage::Create;
                    Step::Send(Interaction::new(Method::Post, "Patient".to_owned(), self.wanted.clone()))
                }
                Carries::Not => conflict("a conditional create found a Patient that does not carry our identifier"),
            },
            (404 | 410, _) => self.absent(answer),
            (200, None) => self.unreadable(UNREADABLE),
            _ => self.refused("read of Patient", answer),
        }
    }

    /// A create was taken under an id of the server's.
    fn created(&mut self, rules: &Rules<'_>, answer: &Answer) -> Step {
        if answer.record().is_some_and(|record| self.carries(rules, record) != Carries::Exactly) {
            return conflict(NOT_OURS);
        }
        self.note_written(rules);
        if let Some(status) = self.id_refused.filter(|status| !matches!(status, 410 | 412)) {
            self.notice = Some(format!(
                "the server says that it creates on update, but refused an id of ours ({status}) and took the Patient \
                 without it (set client_ids = false)"
            ));
        }
        self.id = answer.patient_id();
        self.version = answer.version();
        self.search(Stage::LookAgain { told: Told::Id })
    }

    /// The record under an id that the server chose. After a create without an id of ours (`has_looked`) nothing was
    /// asked for that the id could contradict; where the record cannot be read then, the answer to the create counts.
    fn on_chosen(&mut self, rules: &Rules<'_>, answer: &Answer, has_looked: bool) -> Step {
        match (answer.status, answer.patient()) {
            (200, Some(chosen)) if self.carries(rules, chosen) != Carries::Exactly => {
                conflict("the server named a record for our write that does not carry our identifier")
            }
            (404 | 410, _) if is_proof(answer) => {
                conflict("the server named a record for our write, and there is no Patient under that id")
            }
            (200, Some(chosen)) if !has_looked => {
                self.note_written(rules);
                self.version = version_of(chosen).or_else(|| answer.version()).or_else(|| self.version.take());
                self.notice = Some(
                    "the server took a Patient under another id than the one that was asked for; the link follows it (set \
                     client_ids = false where it is so for new patients)"
                        .to_owned(),
                );
                self.search(Stage::LookAgain { told: Told::Record })
            }
            _ if has_looked => self.applied(self.version.clone().or_else(|| answer.version())),
            (200, None) => self.unreadable(UNREADABLE),
            (404, _) => self.unreadable("read of Patient answered 404 without FHIR"),
            _ => self.refused("read of Patient", answer),
        }
    }

    /// The search after a create: anything but our record alone is a conflict, said at once.
    fn looked_again(&mut self, rules: &Rules<'_>, answer: &Answer, told: Told) -> Step {
        let found = match self.found(rules, answer) {
            Ok(found) => found,
            Err(step @ Step::Done(Outcome::Failed(_))) if self.id.is_none() || answer.status == 200 => return step,
            Err(_) if told == Told::Nothing => return self.read(Stage::ReadUnproven),
            // The record is there; that the search did not work this time takes nothing from that.
            Err(_) => {
                self.suspect = None;
                return self.applied(self.version.clone());
            }
        };
        let found_id = found.as_ref().and_then(|found| found.get("id")).and_then(Value::as_str).map(str::to_owned);
        match (&self.id, found_id) {
            (Some(ours), Some(found)) if *ours != found => conflict(
                "the server named one record for our write, and the search finds another Patient with our identifier: where both \
                 are there, merge them at the target",
            ),
            (None, Some(_)) => {
                self.id = found_id_of(found.as_ref());
                self.applied(found.as_ref().and_then(version_of))
            }
            (None, None) => Step::Done(Outcome::Failed(failure(
                FailureKind::Transient,
                "the server confirmed the Patient without an id, and the search does not find it yet",
            ))),
            // Some servers index late. What they named is read before it is believed.
            (Some(_), None) if told == Told::Id => self.read(Stage::ReadChosen { has_looked: true }),
            (Some(_), None) if told == Told::Nothing => self.read(Stage::ReadUnproven),
            (Some(_), _) => self.applied(self.version.clone().or_else(|| found.as_ref().and_then(version_of))),
        }
    }

    /// A refusal that a record made before may explain: another host's, or our own whose answer was lost.
    fn look_into(&mut self, what: &str, answer: &Answer) -> Step {
        if let Step::Done(Outcome::Failed(mut refusal)) = self.refused(what, answer) {
            if matches!(answer.status, 409 | 412) {
                refusal.kind = FailureKind::Transient;
            }
            self.refusal = Some(refusal);
        }
        self.search(Stage::LookInto)
    }

    /// The one Patient that a search found, if any.
    fn found(&mut self, rules: &Rules<'_>, answer: &Answer) -> Result<Option<Value>, Step> {
        match self.carriers(rules, answer)?.as_slice() {
            [] => Ok(None),
            [found] => Ok(Some((*found).clone())),
            [_, _, ..] => Err(conflict(SEVERAL)),
        }
    }

    /// The Patients that a search found, each of which carries our identifier.
    pub(super) fn carriers<'b>(&mut self, rules: &Rules<'_>, answer: &'b Answer) -> Result<Vec<&'b Value>, Step> {
        let Some(found) = answer.patients() else {
            return Err(self.refused("search for Patient", answer));
        };
        let judged = found.into_iter().map(|patient| (patient, self.carries(rules, patient)));
        // A server that does not look at case answers with another patient's record too, which is not ours.
        let ours: Vec<_> = judged.filter(|(_, carries)| *carries != Carries::InAnotherCase).collect();
        // A server that passes over a parameter which it does not know answers with everybody: never take one of them.
        if ours.iter().any(|(_, carries)| *carries == Carries::Not) {
            return Err(Step::Done(Outcome::Failed(failure(
                FailureKind::Misconfigured,
                "the server does not search Patient by identifier: it answered with Patients that do not carry it",
            ))));
        }
        Ok(ours.into_iter().map(|(patient, _)| patient).collect())
    }

    pub(super) fn carries(&self, rules: &Rules<'_>, patient: &Value) -> Carries {
        carries(patient, &rules.settings.identifier_system, &self.change.aggregate_id)
    }
}

fn found_id_of(found: Option<&Value>) -> Option<String> {
    found?.get("id").and_then(Value::as_str).map(str::to_owned)
}
