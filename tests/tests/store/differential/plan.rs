//! A random sequence of operations that a seed decides alone: the same seed is the same sequence for ever.

use host::domain::change::FailureKind;

/// Patients' ids that some collation or other would take for one, or put in another order.
pub(crate) const PATIENT_IDS: [&str; 6] = ["P-0001", "p-0001", "P-0001~", "P.0001", "P_0001", "Q-1"];
pub(crate) const TARGETS: [&str; 2] = ["openemr", "fhir"];

/// `SplitMix64`: a few lines, so that no library's next version makes another sequence of a seed.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, count: usize) -> usize {
        let count = u64::try_from(count.max(1)).expect("a count");
        usize::try_from(self.next() % count).expect("below a count")
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// One operation, with everything that it needs but what is in the store. A batch is meant by its place among those
/// that are held, an outcome by its own dice.
#[derive(Clone, Debug)]
pub(super) enum Operation {
    Put(Vec<(&'static str, &'static str)>),
    Delete(&'static str),
    /// A row of another application: type, id, operation, payload, age in milliseconds.
    Foreign(&'static str, &'static str, &'static str, &'static str, i64),
    /// An encounter of another application: its id, operation and references.
    Refer(&'static str, &'static str, &'static str),
    /// Wakes what waits for nothing.
    Wake(&'static str),
    Route(u32),
    /// Routing while these targets ask for so many.
    Direct {
        limit: u32,
        asked: Vec<(&'static str, u32)>,
    },
    Claim {
        target: &'static str,
        owner: &'static str,
        batch_max: u32,
        lease_ms: u64,
    },
    Renew(usize),
    Release(usize),
    Settle {
        batch: usize,
        outcomes: u64,
        forget: bool,
    },
    Pass(i64),
    TakeExpired,
    Retry {
        target: Option<&'static str>,
        patient: Option<&'static str>,
        kind: Option<FailureKind>,
        older_than_ms: Option<u64>,
    },
    Pause {
        target: &'static str,
        paused: bool,
        for_ms: Option<i64>,
    },
    Resync {
        target: &'static str,
        after: Option<&'static str>,
        limit: u32,
    },
    /// The states of messages and of other applications' patients.
    Resend {
        target: &'static str,
    },
    Purge {
        age_ms: i64,
    },
    Resolve {
        target: &'static str,
        patient: &'static str,
        how: usize,
    },
    Look,
}

pub(super) fn plan(seed: u64, length: usize) -> Vec<Operation> {
    let mut dice = Dice::new(seed);
    (0..length).map(|_| operation(&mut dice)).collect()
}

fn operation(dice: &mut Dice) -> Operation {
    match dice.below(100) {
        0..20 => put(dice),
        20..23 => Operation::Delete(dice.pick(&PATIENT_IDS)),
        23..29 => foreign(dice),
        29..31 => refer(dice),
        31..37 => Operation::Route(dice.pick(&[1, 2, 3, 100])),
        37..43 => Operation::Direct {
            limit: dice.pick(&[1, 3, 100]),
            asked: (0..=dice.below(3)).map(|_| (dice.pick(&TARGETS), dice.pick(&[1, 2, 50]))).collect(),
        },
        43..59 => Operation::Claim {
            target: dice.pick(&TARGETS),
            owner: dice.pick(&["host-a", "host-b"]),
            batch_max: dice.pick(&[1, 2, 5, 50]),
            lease_ms: dice.pick(&[1_000, 30_000]),
        },
        59..61 => Operation::Renew(dice.below(8)),
        61..63 => Operation::Release(dice.below(8)),
        63..78 => Operation::Settle { batch: dice.below(8), outcomes: dice.next(), forget: dice.below(10) > 0 },
        78..83 => Operation::Pass(dice.pick(&[1, 400, 5_000, 31_000])),
        83..86 => Operation::TakeExpired,
        86..89 => retry(dice),
        89 if dice.below(2) == 0 => Operation::Wake(dice.pick(&TARGETS)),
        89 => Operation::Pause {
            target: dice.pick(&["openemr", "fhir", "nowhere"]),
            paused: dice.below(3) > 0,
            for_ms: dice.pick(&[None, Some(1), Some(5_000)]),
        },
        90..92 => Operation::Resync {
            target: dice.pick(&TARGETS),
            after: dice.pick(&[None, Some("P-0001"), Some("p")]),
            limit: dice.pick(&[1, 3, 100]),
        },
        92..93 => Operation::Resend { target: dice.pick(&TARGETS) },
        93..95 => Operation::Purge { age_ms: dice.pick(&[0, 1_000, 60_000]) },
        95..97 => {
            Operation::Resolve { target: dice.pick(&TARGETS), patient: dice.pick(&PATIENT_IDS), how: dice.below(3) }
        }
        _ => Operation::Look,
    }
}

fn put(dice: &mut Dice) -> Operation {
    let mut patients: Vec<(&str, &str)> = Vec::new();
    for _ in 0..=dice.below(3) {
        let id = dice.pick(&PATIENT_IDS);
        if patients.iter().all(|(other, _)| *other != id) {
            patients.push((id, dice.pick(&["Seoul", "Busan", "서울"])));
        }
    }
    Operation::Put(patients)
}

fn foreign(dice: &mut Dice) -> Operation {
    let id = dice.pick(&["P-0001", "p-0001", "D-1", "Ü-1", "ü-1", ""]);
    let (kind, id, verb, payload) = match dice.below(7) {
        0 => ("patient", id, "create", "{\"given_name\": \"민준\"}"),
        1 => ("patient", id, "update", "{\"a\": \"\\u0041 ' \\\\ \\\" :rows ? %\"}"),
        2 => ("patient", id, "delete", "{}"),
        3 => ("patient", id, dice.pick(&["upsert", "CREATE", "create ", ""]), "{}"),
        4 => ("patient", id, "update", dice.pick(&["", "not JSON", "[1"])),
        5 => ("invoice", "I-1", "create", "{}"),
        _ => ("message", dice.pick(&["M-1", "m-1"]), "create", "{\"text\": 1}"),
    };
    Operation::Foreign(kind, id, verb, payload, dice.pick(&[0, 10, 100_000]))
}

fn refer(dice: &mut Dice) -> Operation {
    let subject = r#"[{"name": "subject", "type": "patient", "id": "P-0001"}]"#;
    let other = r#"[{"name": "subject", "type": "patient", "id": "p-0001"}]"#;
    let both = r#"[{"name": "a", "type": "patient", "id": "P-0001"}, {"name": "b", "type": "encounter", "id": "E-1"}]"#;
    let circle = r#"[{"name": "part", "type": "encounter", "id": "E-2"}]"#;
    let refs = dice.pick(&[subject, subject, other, both, circle, "[]", "{}"]);
    Operation::Refer(dice.pick(&["E-1", "e-1", "E-2"]), dice.pick(&["create", "update", "update", "delete"]), refs)
}

fn retry(dice: &mut Dice) -> Operation {
    Operation::Retry {
        target: dice.pick(&[None, None, Some("openemr"), Some("fhir")]),
        patient: dice.pick(&[None, None, Some("P-0001"), Some("p-0001")]),
        kind: dice.pick(&[None, None, Some(FailureKind::Invalid), Some(FailureKind::Conflict)]),
        older_than_ms: dice.pick(&[None, None, Some(0), Some(5_000)]),
    }
}
