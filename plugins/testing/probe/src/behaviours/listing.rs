//! Responses of `list-own`.

use adapter_sdk::{Failure, OwnPage, OwnRecord, cannot_list};

use super::{Page, honest};

/// Records that an honest probe has.
const COUNT: u32 = 5;

fn record(number: u32) -> OwnRecord {
    OwnRecord { aggregate_id: format!("P-{number}"), remote_id: number.to_string() }
}

/// Lists five patients; the place is the number of the last one.
pub(super) fn honest(page: &Page<'_>) -> Result<OwnPage, Failure> {
    if page.aggregate_type != "patient" {
        return Err(cannot_list("only patients"));
    }
    let after: u32 = page.after.and_then(|after| after.parse().ok()).unwrap_or_default();
    let last = COUNT.min(after.saturating_add(page.limit));
    let next = (last < COUNT).then(|| last.to_string());
    Ok(OwnPage { records: (after + 1..=last).map(record).collect(), next })
}

pub(super) fn million(_: &Page<'_>) -> Result<OwnPage, Failure> {
    Ok(OwnPage::last((0..1_000_000).map(|_| record(1)).collect()))
}

/// Another place each time, and never an end.
pub(super) fn endless(page: &Page<'_>) -> Result<OwnPage, Failure> {
    let after: u64 = page.after.and_then(|after| after.parse().ok()).unwrap_or_default();
    Ok(OwnPage { records: vec![record(1)], next: Some((after + 1).to_string()) })
}

/// An invalid page; the argument selects what is wrong.
pub(super) fn odd(page: &Page<'_>) -> Result<OwnPage, Failure> {
    let mut found = OwnPage::last(vec![record(1)]);
    match page.argument {
        "id" => "P\n1".clone_into(&mut found.records[0].aggregate_id),
        "remote-id" => found.records[0].remote_id = "7".repeat(256),
        "place" => found.next = Some("a".repeat(5_000)),
        _ => found.next = Some(page.after.unwrap_or("7").to_owned()),
    }
    Ok(found)
}

/// Runs the argument as a statement.
pub(super) fn statement(page: &Page<'_>) -> Result<OwnPage, Failure> {
    page.db.execute(page.argument, &[]).map_err(|error| honest::told(&error))?;
    honest(page)
}

pub(super) fn panic(_: &Page<'_>) -> Result<OwnPage, Failure> {
    panic!("listing");
}
