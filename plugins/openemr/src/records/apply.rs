//! Makes OpenEMR hold the state of a batch of records of one kind, with a constant number of statements.
//!
//! Plans each change, finds and locks all rows, decides each change, creates missing rows (`create.rs`) and updates
//! those that differ. Then it links issues to encounters and begins patients' lists. All of it is one transaction, so a
//! row of `forms` or a link exists exactly when its record does. Read next: `plan.rs` for the decisions.

use std::collections::BTreeSet;

use adapter_sdk::database::{Value, rows_per_statement};
use adapter_sdk::{Change, Failure, Outcome, RemoteEdit};

use crate::columns::Fingerprints;
use crate::failures::{refused, transient};
use crate::identity;
use crate::mapping::Mapped;
use crate::notes::Notes;
use crate::records::create::{self, Creation, lock};
use crate::records::find::{RecordQuery, Row, find};
use crate::records::plan::{Plan, Step, decide, plan, receipt};
use crate::records::shape::Shape;
use crate::records::source::reference;
use crate::records::statements::RecordStatements;
use crate::records::{belongings, kinds::Kind};
use crate::schema::Schema;
use crate::settings::Settings;
use crate::target_db::TargetDb;

/// The common data of all kinds in one call.
pub(crate) struct Call<'a, L> {
    pub(crate) db: &'a L,
    pub(crate) schema: &'a Schema,
    pub(crate) settings: &'a Settings,
    pub(crate) policy: RemoteEdit,
}

/// A change whose row must be found.
pub(crate) struct Wanted<'a> {
    at: usize,
    pub(crate) change: &'a Change,
    pub(crate) uuid: [u8; 16],
    /// The wanted content of the row; `None` to hide it.
    mapped: Option<Mapped>,
}

impl Wanted<'_> {
    pub(crate) fn query(&self) -> RecordQuery<'_> {
        RecordQuery { uuid: self.uuid, pid: reference(self.change, "subject"), link: self.change.link.as_ref() }
    }
}

/// A row that was written.
pub(crate) struct Written<'a> {
    pub(crate) wanted: &'a Wanted<'a>,
    pub(crate) row: Row,
    pub(crate) mapped: Mapped,
}

/// Applies the changes of one kind. The outcomes are in the order of the changes.
///
/// # Errors
/// A failure for the batch as a whole; the host rolls back.
pub(crate) fn apply<L: TargetDb>(
    call: &Call<'_, L>,
    kind: Kind,
    changes: &[&Change],
    notes: &mut Notes,
) -> Result<Vec<Outcome>, Failure> {
    if let Some(why) = call.schema.unavailable.get(kind.aggregate_type()) {
        return Ok(changes.iter().map(|_| Outcome::Skipped(why.clone())).collect());
    }
    let shape = match Shape::new(kind, call.schema) {
        Ok(shape) => shape,
        Err(missing) => {
            let why = format!("this OpenEMR has no {}", missing.join(", "));
            return Ok(changes.iter().map(|_| Outcome::Skipped(why.clone())).collect());
        }
    };
    let statements = RecordStatements { dialect: call.db.dialect(), shape: &shape, settings: call.settings };
    let namespace = identity::namespace(&call.settings.system);
    let mut outcomes: Vec<Option<Outcome>> = Vec::with_capacity(changes.len());
    let (mut wanted, mut seen) = (Vec::new(), BTreeSet::new());
    for (at, change) in changes.iter().enumerate() {
        let planned = if seen.insert(change.aggregate_id.as_str()) {
            plan(change, &shape, call.settings)
        } else {
            Plan::Done(Outcome::Failed(transient("this record comes twice in one batch")))
        };
        let uuid = identity::record_uuid(&namespace, kind.aggregate_type(), &change.aggregate_id);
        let mapped = match planned {
            Plan::Done(outcome) => {
                outcomes.push(Some(outcome));
                continue;
            }
            Plan::Hold(mapped) => Some(mapped),
            Plan::Hide => None,
        };
        outcomes.push(None);
        wanted.push(Wanted { at, change, uuid, mapped });
    }
    let fingerprints = Fingerprints::new(&shape.columns);
    let mut batch = Batch { db: call.db, statements: &statements, fingerprints, policy: call.policy, outcomes, notes };
    batch.run(&wanted)?;
    Ok(batch.outcomes.into_iter().map(|it| it.expect("invariant: every plan ends in an outcome")).collect())
}

struct Batch<'a, L> {
    db: &'a L,
    statements: &'a RecordStatements<'a>,
    fingerprints: Fingerprints,
    policy: RemoteEdit,
    /// The outcomes in the order of the changes; `None` while undecided.
    outcomes: Vec<Option<Outcome>>,
    notes: &'a mut Notes,
}

impl<L: TargetDb> Batch<'_, L> {
    fn run<'w>(&mut self, wanted: &'w [Wanted<'w>]) -> Result<(), Failure> {
        if wanted.is_empty() {
            return Ok(());
        }
        // Without a uuid, only the lock prevents two hosts from creating the same record.
        if !self.statements.shape.has_uuid && wanted.iter().any(|one| one.change.link.is_none()) {
            lock(self.db, self.statements)?;
        }
        let queries: Vec<RecordQuery<'_>> = wanted.iter().map(Wanted::query).collect();
        let found = find(self.db, self.statements, &queries, true)?;
        let (mut creations, mut updates) = (Vec::new(), Vec::new());
        for (wanted, found) in wanted.iter().zip(found) {
            let step = decide(
                found,
                wanted.change,
                wanted.mapped.clone(),
                self.statements.shape,
                &self.fingerprints,
                self.policy,
            );
            self.take(step, wanted, &mut creations, &mut updates);
        }
        let created = create::create(self.db, self.statements, creations)?;
        for (wanted, mapped, found) in created.already {
            let shape = self.statements.shape;
            let step = decide(found, wanted.change, Some(mapped), shape, &self.fingerprints, self.policy);
            self.take(step, wanted, &mut Vec::new(), &mut updates);
        }
        self.update(&updates)?;
        let written: Vec<Written<'_>> = created.new.into_iter().chain(updates).collect();
        belongings::write(self.db, self.statements, &written)?;
        for Written { wanted, row, mapped } in &written {
            let kind = self.statements.shape.kind;
            self.notes.omitted(kind.plural(), &wanted.change.aggregate_id, &mapped.omissions);
            self.outcomes[wanted.at] = Some(receipt(row, Some(self.fingerprints.of(&mapped.record))));
        }
        Ok(())
    }

    /// Turns a step into an outcome, or into a creation or update that produces one later.
    fn take<'w>(
        &mut self,
        step: Step,
        wanted: &'w Wanted<'w>,
        creations: &mut Vec<Creation<'w>>,
        updates: &mut Vec<Written<'w>>,
    ) {
        match step {
            Step::Create(mapped) => creations.push(Creation { wanted, mapped }),
            Step::Done(outcome) => self.outcomes[wanted.at] = Some(outcome),
            Step::Leave { row, mapped } => {
                self.outcomes[wanted.at] = Some(receipt(&row, Some(self.fingerprints.of(&mapped.record))));
            }
            Step::Write { row, mapped, edited } => {
                if edited {
                    let aggregate_type = self.statements.shape.kind.aggregate_type();
                    let aggregate = format!("{aggregate_type} {}", wanted.change.aggregate_id);
                    let record = format!("id {} there", row.remote_id);
                    self.notes.overwritten(&aggregate, &record, wanted.change.change_id);
                }
                updates.push(Written { wanted, row, mapped });
            }
        }
    }

    /// Updates our columns of existing rows, and of their rows in `forms`.
    fn update(&self, updates: &[Written<'_>]) -> Result<(), Failure> {
        let shape = self.statements.shape;
        let table = shape.layout.table;
        let written = self.write(updates, 0, shape.of_table, table, |count| self.statements.update(count))?;
        if written != updates.len() as u64 {
            let count = updates.len();
            return Err(transient(format!("update {table}: {count} rows were there, {written} were written")));
        }
        if shape.layout.form.is_some() {
            let all = shape.columns.len();
            self.write(updates, shape.of_table, all, "forms", |count| self.statements.update_forms(count))?;
        }
        Ok(())
    }

    fn write(
        &self,
        updates: &[Written<'_>],
        from: usize,
        to: usize,
        table: &str,
        sql: impl Fn(usize) -> String,
    ) -> Result<u64, Failure> {
        let mut written = 0;
        for chunk in updates.chunks(rows_per_statement(self.statements.dialect, 1 + to - from)) {
            let mut parameters = Vec::with_capacity(chunk.len() * (1 + to - from));
            for Written { row, mapped, .. } in chunk {
                parameters.push(Value::Signed(row.id));
                self.statements.shape.push(&mapped.record, from, to, &mut parameters);
            }
            let done = self.db.execute(&sql(chunk.len()), &parameters);
            written += done.map_err(|error| refused(&error, &format!("update {table}")))?.rows_affected;
        }
        Ok(written)
    }
}
