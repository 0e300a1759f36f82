//! What is sent of an alert: the same content as JSON for webhooks and as text for people.
//!
//! It has names, counts and times. A patient's id is in it at most as the example of an alert, and only if the
//! configuration wants that.

use serde_json::{Value, json};

use crate::domain::times::{age, time};
use crate::store::{Alert, DueSend};
use crate::vocabulary;

vocabulary! {
    /// Why a message is sent.
    pub enum MessageEvent {
        Raised = "raised",
        Repeated = "repeated",
        Ended = "ended",
        Test = "test",
    }
}

/// One message.
#[derive(Clone, Debug)]
pub struct Message {
    /// The same when it is sent again because nobody knows whether it arrived.
    pub(super) id: String,
    /// The id of the first message of the same alert.
    pub(super) thread: String,
    pub(super) event: MessageEvent,
    alert: Option<Alert>,
    /// The machine that sends it.
    machine: String,
}

impl Message {
    /// The message that is due.
    pub(super) fn of(due: &DueSend, machine: &str, patient_ids: bool) -> Self {
        let mut alert = due.alert.clone();
        alert.example = alert.example.filter(|_| patient_ids);
        let event = match (alert.ended_at, due.sends) {
            (Some(_), _) => MessageEvent::Ended,
            (None, 0) => MessageEvent::Raised,
            (None, _) => MessageEvent::Repeated,
        };
        // The number of an alert is its store's. The time tells it from those of other stores.
        let numbered = |number| format!("alert-{}-{}-{number}", alert.id, alert.raised_at);
        let (id, thread) = (numbered(due.sends + 1), numbered(1));
        Self { id, thread, event, alert: Some(alert), machine: machine.to_owned() }
    }

    /// A message that only shows that messages arrive.
    #[must_use]
    pub fn test(machine: &str) -> Self {
        let id = format!("test-{:016x}", rand::random::<u64>());
        Self { thread: id.clone(), id, event: MessageEvent::Test, alert: None, machine: machine.to_owned() }
    }

    pub(super) fn is_first(&self) -> bool {
        self.id == self.thread
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "version": 1,
            "message_id": self.id,
            "event": self.event,
            "text": self.headline(),
            "machine": self.machine,
            "alert": self.alert,
            "runbook": self.alert.as_ref().map(runbook),
        })
    }

    /// One line without what changes, so that mail programs keep the messages of an alert together.
    pub(super) fn subject(&self) -> String {
        let Some(alert) = &self.alert else { return format!("NeuroNova Sync: test message of {}", self.machine) };
        let of_target = if alert.key.target.is_empty() { String::new() } else { format!(" ({})", alert.key.target) };
        format!("NeuroNova Sync: alert {}, {}{of_target}", alert.id, alert.key.kind)
    }

    pub(super) fn body(&self) -> String {
        let mut lines = vec![self.headline(), String::new()];
        if let Some(alert) = &self.alert {
            lines.extend(alert.example.as_ref().map(|example| format!("For example: {example}")));
            lines.push(format!("Raised: {}", time(alert.raised_at)));
            match alert.ended_at {
                Some(ended_at) => lines.push(format!("Ended: {}", time(ended_at))),
                None => lines.push(format!("Acknowledge: host alerts ack {}", alert.id)),
            }
            lines.push(format!("What to do: {}", runbook(alert)));
        }
        lines.push(format!("Sent by {}", self.machine));
        lines.join("\n") + "\n"
    }

    fn headline(&self) -> String {
        let Some(alert) = &self.alert else { return "this is a test: alerts of this host arrive here".to_owned() };
        let sentence = &alert.sentence;
        match (self.event, alert.ended_at) {
            (MessageEvent::Ended, Some(ended_at)) => {
                format!("ended after {}: {sentence}", age(ended_at.saturating_sub(alert.raised_at)))
            }
            (MessageEvent::Repeated, _) => format!("still open: {sentence}"),
            _ => sentence.clone(),
        }
    }
}

fn runbook(alert: &Alert) -> String {
    format!("docs/operations.md#alert-{}", alert.key.kind)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::domain::alerts::AlertKind;
    use crate::store::AlertKey;

    pub(in crate::alerts) fn down() -> Alert {
        Alert {
            id: 17,
            key: AlertKey { kind: AlertKind::TargetDown, target: "openemr".to_owned(), subject: String::new() },
            sentence: "target openemr has been down for 6 min: refused".to_owned(),
            example: Some("patient P-1".to_owned()),
            raised_at: 1_700_000_000_000,
            ended_at: None,
            acknowledged_at: None,
            acknowledged_by: None,
        }
    }

    fn message(alert: Alert, sends: i64, patient_ids: bool) -> Message {
        Message::of(&DueSend::of_tests(alert, sends), "vm", patient_ids)
    }

    #[test]
    fn an_alert_is_raised_repeated_and_ended_in_one_thread() {
        let ended = Alert { ended_at: Some(1_700_000_600_000), ..down() };
        let messages = [message(down(), 0, true), message(down(), 1, true), message(ended, 2, true)];
        let events = messages.each_ref().map(|message| message.event);
        assert_eq!(events, [MessageEvent::Raised, MessageEvent::Repeated, MessageEvent::Ended]);
        let thread = "alert-17-1700000000000-1";
        assert!(messages.iter().all(|message| message.thread == thread));
        assert_eq!(messages[2].id, "alert-17-1700000000000-3");
        assert_eq!(messages.each_ref().map(Message::is_first), [true, false, false]);
        let sentence = "target openemr has been down for 6 min: refused";
        assert_eq!(messages[1].headline(), format!("still open: {sentence}"));
        assert_eq!(messages[2].headline(), format!("ended after 10 min: {sentence}"));
    }

    #[test]
    fn a_mail_tells_what_to_do() {
        let raised = message(down(), 0, true);
        assert_eq!(raised.subject(), "NeuroNova Sync: alert 17, target-down (openemr)");
        let body = "target openemr has been down for 6 min: refused\n\nFor example: patient P-1\nRaised: 2023-11-14 \
                    22:13:20 UTC\nAcknowledge: host alerts ack 17\nWhat to do: docs/operations.md#alert-target-down\n\
                    Sent by vm\n";
        assert_eq!(raised.body(), body);
    }

    #[test]
    fn the_id_of_a_patient_can_be_left_out() {
        let with = message(down(), 0, true);
        assert_eq!(with.json()["alert"]["example"], "patient P-1");
        let without = message(down(), 0, false);
        let all = format!("{}{}{}", without.json(), without.subject(), without.body());
        assert!(!all.contains("P-1"), "{all}");
    }

    #[test]
    fn every_kind_has_a_section_in_the_runbook() {
        let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations.md");
        let page = std::fs::read_to_string(page).unwrap();
        for kind in AlertKind::ALL {
            assert!(page.contains(&format!("\n### Alert: {kind}\n")), "docs/operations.md lacks {kind}");
        }
    }
}
