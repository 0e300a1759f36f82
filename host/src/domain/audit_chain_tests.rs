//! The hash has a vector of its own, and each way to tamper with a chain is found.

use super::*;

fn facts(reason: &str) -> AuditFacts {
    AuditFacts {
        command_id: "c0ffee".to_owned(),
        operator: Operator {
            user: "kim".to_owned(),
            uid: Some(1_001),
            login: None,
            acting_as: Some("Dr. Lee".to_owned()),
            machine: "ward-3".to_owned(),
            remote: Some("192.0.2.7".to_owned()),
        },
        action: "patient show".to_owned(),
        subject: AuditSubject::patient("P-2025-001").with_count("patient", 1),
        reason: Some(reason.to_owned()),
        outcome: "success".to_owned(),
    }
}

fn chain(length: i64) -> Vec<AuditEvent> {
    let mut head = AuditHead::genesis();
    let next = |number| {
        let event = head.next(1_700_000_000_000 + number, &facts("phone call"));
        head = AuditHead { id: event.id, hash: event.hash.clone() };
        event
    };
    (0..length).map(next).collect()
}

fn head_of(events: &[AuditEvent]) -> AuditHead {
    events.last().map_or_else(AuditHead::genesis, |event| AuditHead { id: event.id, hash: event.hash.clone() })
}

fn check(events: &[AuditEvent], stored: &AuditHead, known: Option<&str>) -> Result<i64, (i64, ChainFault)> {
    let mut check = ChainCheck::new(stored.clone(), known.map(|text| text.parse().unwrap()));
    let followed = events.iter().try_for_each(|event| check.follow(event));
    let ended = followed.and_then(|()| check.end(stored));
    ended.map(|head| head.id).map_err(|BrokenChain { id, fault }| (id, fault))
}

/// Computed by another program, from the description at the head of `audit_chain.rs`.
#[test]
fn the_hash_of_an_event_never_changes() {
    let event = AuditHead::genesis().next(1_700_000_000_000, &facts("phone call 김"));
    assert_eq!(event.hash, "6a4882690462a9b60b98258a9c04961e2a4198262c177c8afb9e15eedae314d2");
}

#[test]
fn a_text_that_moves_to_the_next_field_has_another_hash() {
    let mut one = AuditHead::genesis().next(0, &facts("x"));
    let mut other = one.clone();
    (one.facts.subject.target, one.facts.subject.detail) = (Some("a".to_owned()), None);
    (other.facts.subject.target, other.facts.subject.detail) = (None, Some("a".to_owned()));
    assert_ne!(hash(&one), hash(&other));
    one.facts.subject.target = Some(String::new());
    let with_empty = hash(&one);
    one.facts.subject.target = None;
    assert_ne!(with_empty, hash(&one), "an empty text is not an absent one");
}

#[test]
fn a_whole_chain_is_followed_to_its_head() {
    let events = chain(5);
    let stored = head_of(&events);
    assert_eq!(check(&events, &stored, None), Ok(5));
    assert_eq!(check(&[], &AuditHead::genesis(), None), Ok(0));
    let earlier = head_of(&events[..3]).to_string();
    for known in [stored.to_string(), stored.hash.clone(), earlier, AuditHead::genesis().to_string()] {
        assert_eq!(check(&events, &stored, Some(&known)), Ok(5), "{known}");
    }
}

#[test]
fn each_kind_of_tampering_is_named_at_the_first_bad_event() {
    let whole = chain(6);
    let stored = head_of(&whole);
    let tampered = |tamper: &dyn Fn(&mut Vec<AuditEvent>)| {
        let mut events = whole.clone();
        tamper(&mut events);
        check(&events, &stored, None).unwrap_err()
    };
    let removed = tampered(&|events| drop(events.remove(2)));
    assert_eq!(removed, (3, ChainFault::Removed));
    let changed = tampered(&|events| events[2].facts.reason = None);
    assert_eq!(changed, (3, ChainFault::Changed));
    let other_time = tampered(&|events| events[0].at += 1);
    assert_eq!(other_time, (1, ChainFault::Changed));
    let swapped = tampered(&|events| {
        events.swap(2, 3);
        (events[2].id, events[3].id) = (3, 4);
    });
    assert_eq!(swapped, (3, ChainFault::Reordered { from: 4 }));
    let renumbered = tampered(&|events| {
        drop(events.remove(2));
        (1..).zip(events).for_each(|(id, event)| event.id = id);
    });
    assert_eq!(renumbered, (3, ChainFault::Reordered { from: 4 }));
    let hashed_again = tampered(&|events| {
        events[2].facts.operator.user = "lee".to_owned();
        events[2].hash = hash(&events[2]);
    });
    assert_eq!(hashed_again, (4, ChainFault::Unlinked));
    let cut_off = tampered(&|events| events.truncate(4));
    assert_eq!(cut_off, (5, ChainFault::CutOff { last: 4 }));
    let emptied = tampered(&Vec::clear);
    assert_eq!(emptied, (1, ChainFault::CutOff { last: 0 }));
}

#[test]
fn a_chain_that_was_written_anew_is_found_by_a_head_from_elsewhere() {
    let whole = chain(6);
    let known = head_of(&whole).to_string();
    let cut_off = &whole[..4];
    assert_eq!(check(cut_off, &head_of(cut_off), None), Ok(4), "only the head tells");
    assert_eq!(check(cut_off, &head_of(cut_off), Some(&known)), Err((5, ChainFault::CutOff { last: 4 })));
    let hash_alone = &head_of(&whole).hash;
    assert_eq!(check(cut_off, &head_of(cut_off), Some(hash_alone)), Err((4, ChainFault::UnknownHead)));
    // Shortened, and then continued by honest events.
    let mut anew = cut_off.to_vec();
    for _ in 0..3 {
        anew.push(head_of(&anew).next(1, &facts("later")));
    }
    assert_eq!(check(&anew, &head_of(&anew), Some(&known)), Err((6, ChainFault::Replaced)));
    assert_eq!(check(&anew, &head_of(&anew), Some(hash_alone)), Err((7, ChainFault::UnknownHead)));
}

#[test]
fn an_event_behind_the_head_is_found() {
    let whole = chain(4);
    assert_eq!(check(&whole, &head_of(&whole[..3]), None), Err((4, ChainFault::BehindHead)));
    let other = AuditHead { id: 3, hash: GENESIS.to_owned() };
    assert_eq!(check(&whole[..3], &other, None), Err((3, ChainFault::Replaced)));
}

#[test]
fn events_that_are_recorded_during_a_check_belong_to_the_chain() {
    let whole = chain(5);
    let mut check = ChainCheck::new(head_of(&whole[..3]), None);
    whole.iter().try_for_each(|event| check.follow(event)).unwrap();
    assert_eq!(check.end(&head_of(&whole)).map(|head| head.id), Ok(5));
}

#[test]
fn a_head_that_was_written_down_is_read_in_both_forms() {
    let hash = "AB".repeat(32);
    let known: KnownHead = format!(" 12:{hash} ").parse().unwrap();
    assert_eq!(known, KnownHead { id: Some(12), hash: "ab".repeat(32) });
    assert_eq!(hash.parse::<KnownHead>().unwrap().id, None);
    for wrong in ["", "12", "12:abc", "x:abcd", &format!("-1:{hash}"), &"g".repeat(64), &format!("1:2:{hash}")] {
        assert!(wrong.parse::<KnownHead>().is_err(), "{wrong}");
    }
}
