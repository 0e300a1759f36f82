//! `sync_clock`: whether the store's clock can be trusted when old rows are deleted.
//!
//! Ages are judged by the store's clock, which on SQLite is the machine's. A clock that jumps weeks ahead would make
//! every row old at once. So the newest time that hosts have seen is kept, and rows count as old only by a time at most
//! a day ahead of it. A step of more than a day is trusted after the clock has run on from there for a day. A pure
//! function (`judge`) decides. This file must never delay a delivery.

use super::sql::{MakeDue, NewestTime, ReadClock, ReadNow, RememberClock, ShortenLeases, TargetNames};
use super::{RowReader, Store, StoreError, StoreTransaction, corrupt};
use crate::database::rerun;

pub(super) const HOUR_MS: i64 = 3_600_000;
/// A clock that advances more than this between two checks, ten minutes apart, has jumped, or no host ran meanwhile.
const STEP_MAX_MS: i64 = 24 * HOUR_MS;
/// How long a clock must run on after a jump before it is trusted.
const PROBATION_MS: i64 = 24 * HOUR_MS;
/// A clock further behind the newest seen time than this is wrong; servers that took over from each other differ by
/// less.
const BEHIND_MAX_MS: i64 = HOUR_MS;

/// No wait and no lease lasts longer: a time further ahead was written by a clock that was ahead.
const FAR_MS: i64 = 25 * HOUR_MS;

/// Whether the store's clock is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum ClockState {
    Trusted,
    /// It jumped ahead: no row is deleted for its age until the clock has run on for a day.
    Ahead {
        step_ms: i64,
    },
    /// It is behind a time that hosts have seen.
    Behind {
        by_ms: i64,
    },
}

/// The row of `sync_clock`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    /// The newest trusted time.
    seen_at: i64,
    /// When a step was noticed that is not trusted yet, and its size.
    doubted: Option<(i64, i64)>,
}

/// Judges `now`. Returns the state, and the row to remember.
fn judge(before: Seen, now: i64) -> (ClockState, Seen) {
    let step_ms = now.saturating_sub(before.seen_at);
    if step_ms <= STEP_MAX_MS {
        let state = if step_ms < -BEHIND_MAX_MS { ClockState::Behind { by_ms: -step_ms } } else { ClockState::Trusted };
        return (state, Seen { seen_at: before.seen_at.max(now), doubted: None });
    }
    match before.doubted {
        Some((doubted_at, first_step)) if now >= doubted_at && now - doubted_at <= PROBATION_MS + STEP_MAX_MS => {
            if now - doubted_at >= PROBATION_MS {
                (ClockState::Trusted, Seen { seen_at: now, doubted: None })
            } else {
                (ClockState::Ahead { step_ms: first_step }, before)
            }
        }
        // The first check after the step, or another step.
        _ => (ClockState::Ahead { step_ms }, Seen { doubted: Some((now, step_ms)), ..before }),
    }
}

impl Store {
    /// Judges the store's clock and remembers it. Hosts call this before they delete old rows, and periodically.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn judge_clock(&self) -> Result<ClockState, StoreError> {
        rerun("judge the clock", || async {
            let mut transaction = self.begin("judge the store's clock").await?;
            let (now, seen) = transaction.clock().await?;
            let before = match seen {
                Some(seen) => seen,
                None => Seen { seen_at: transaction.newest_time().await?.unwrap_or(now).min(now), doubted: None },
            };
            let (state, after) = judge(before, now);
            if seen != Some(after) {
                transaction.remember_clock(after).await?;
            }
            match state {
                ClockState::Trusted => transaction.bring_back(FAR_MS).await?,
                ClockState::Behind { .. } => transaction.bring_back(HOUR_MS).await?,
                ClockState::Ahead { .. } => {}
            }
            transaction.commit().await?;
            Ok(state)
        })
        .await
    }

    /// Reads how hosts have judged the store's clock.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn clock_state(&self) -> Result<ClockState, StoreError> {
        let mut transaction = self.begin_read("read the store's clock").await?;
        let (now, seen) = transaction.clock().await?;
        transaction.rollback().await?;
        Ok(match seen {
            Some(Seen { doubted: Some((_, step_ms)), .. }) => ClockState::Ahead { step_ms },
            Some(seen) if now < seen.seen_at - BEHIND_MAX_MS => ClockState::Behind { by_ms: seen.seen_at - now },
            _ => ClockState::Trusted,
        })
    }
}

impl StoreTransaction {
    /// The time before which rows are older than `age_ms`, by the newest trusted time and not by a clock that jumped.
    pub(super) async fn purge_cutoff(&mut self, age_ms: i64) -> Result<i64, StoreError> {
        let (now, seen) = self.clock().await?;
        let believed = seen.map_or(now, |seen| now.min(seen.seen_at.saturating_add(STEP_MAX_MS)));
        Ok(believed.saturating_sub(age_ms))
    }

    async fn clock(&mut self) -> Result<(i64, Option<Seen>), StoreError> {
        let operation = self.operation.clone();
        let now = self.number(ReadNow {}).await?.ok_or_else(|| corrupt(&operation, "no clock"))?;
        let Some(row) = self.fetch(ReadClock {}).await?.rows.into_iter().next() else { return Ok((now, None)) };
        let mut reader = RowReader::new(&operation, row);
        let seen_at = reader.integer()?;
        let doubted = reader.optional_integer()?.zip(reader.optional_integer()?);
        Ok((now, Some(Seen { seen_at, doubted })))
    }

    /// The newest time in a store whose clock was never judged.
    async fn newest_time(&mut self) -> Result<Option<i64>, StoreError> {
        self.number(NewestTime {}).await
    }

    /// Makes deliveries due that a clock deferred while it was ahead, and lets its leases expire within an hour, which
    /// is longer than any lease lasts. Otherwise patients would wait for as long as the clock was ahead.
    async fn bring_back(&mut self, ahead_ms: i64) -> Result<(), StoreError> {
        let mut moved = self.run(ShortenLeases { ahead_ms }).await?.rows_affected;
        for row in self.fetch(TargetNames {}).await?.rows {
            let target = RowReader::new("bring times back", row).text()?;
            moved += self.run(MakeDue { target: &target, ahead_ms }).await?.rows_affected;
        }
        if moved > 0 {
            tracing::warn!(count = moved, "times written by a clock that was ahead were corrected");
        }
        Ok(())
    }

    async fn remember_clock(&mut self, seen: Seen) -> Result<(), StoreError> {
        let (doubted_at, step_ms) = seen.doubted.unzip();
        self.run(RememberClock { seen_at: seen.seen_at, doubted_at, step_ms }).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * HOUR_MS;
    const NOW: i64 = 1_700_000_000_000;

    fn seen(seen_at: i64) -> Seen {
        Seen { seen_at, doubted: None }
    }

    #[test]
    fn an_advancing_clock_is_trusted_and_one_behind_is_reported() {
        assert_eq!(judge(seen(NOW), NOW + HOUR_MS), (ClockState::Trusted, seen(NOW + HOUR_MS)));
        assert_eq!(judge(seen(NOW), NOW + DAY), (ClockState::Trusted, seen(NOW + DAY)));
        assert_eq!(judge(seen(NOW), NOW - 5), (ClockState::Trusted, seen(NOW)));
        let behind = ClockState::Behind { by_ms: 2 * HOUR_MS };
        assert_eq!(judge(seen(NOW), NOW - 2 * HOUR_MS), (behind, seen(NOW)), "the newest time stays");
    }

    #[test]
    fn a_forward_step_is_trusted_only_after_a_day() {
        let step_ms = 40 * DAY;
        let jumped = NOW + step_ms;
        let ahead = ClockState::Ahead { step_ms };
        let (state, mut remembered) = judge(seen(NOW), jumped);
        assert_eq!((state, remembered), (ahead, Seen { seen_at: NOW, doubted: Some((jumped, step_ms)) }));
        for minutes in (10..24 * 60).step_by(10) {
            let (state, next) = judge(remembered, jumped + minutes * 60_000);
            assert_eq!(state, ahead, "{minutes} minutes after the step");
            remembered = next;
        }
        assert_eq!(judge(remembered, jumped + DAY), (ClockState::Trusted, seen(jumped + DAY)));
    }

    #[test]
    fn a_corrected_clock_is_trusted_again_at_once() {
        let (_, doubted) = judge(seen(NOW), NOW + 40 * DAY);
        assert_eq!(judge(doubted, NOW + HOUR_MS), (ClockState::Trusted, seen(NOW + HOUR_MS)));
    }

    #[test]
    fn a_second_step_restarts_the_day() {
        let (_, doubted) = judge(seen(NOW), NOW + 40 * DAY);
        let (state, again) = judge(doubted, NOW + 80 * DAY);
        assert_eq!(state, ClockState::Ahead { step_ms: 80 * DAY });
        assert_eq!(again.doubted, Some((NOW + 80 * DAY, 80 * DAY)));
    }
}
