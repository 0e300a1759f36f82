//! `[targets.NAME.limits]`: the size of an adapter's calls, how many run at a time, and what one call may use. Each
//! limit of a call is declared with its default and range in `domain/limits.rs`.

use super::section_reader::SectionReader;
use crate::domain::limits::Limits as CallLimits;

/// Batch size, concurrency, and the limits of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most changes in one call.
    pub batch: u32,
    /// The most concurrent calls for this target.
    pub concurrency: u32,
    /// The limits of one call.
    pub call: CallLimits,
}

/// Reads the section. `batch` is the default from `[sync]`.
pub(super) fn read_limits(mut limits: SectionReader<'_>, batch: u32) -> Limits {
    let config = Limits {
        batch: limits.count("batch", 1..=1000, batch),
        concurrency: limits.count("concurrency", 1..=64, 2),
        call: CallLimits::from_each(|limit| limits.integer(limit.name, limit.range.clone(), limit.default)),
    };
    let CallLimits { cpu_ms, deadline_ms, .. } = config.call;
    if limits.has("cpu_ms") && cpu_ms > deadline_ms {
        limits.note_key("cpu_ms", format!("must be at most deadline_ms ({deadline_ms})"));
    }
    limits.finish(&[]);
    config
}

#[cfg(test)]
mod tests {
    use super::CallLimits;

    /// A bound of a limit with its unit, for messages.
    fn written(bound: u64) -> String {
        match bound {
            bound if bound >= 1 << 30 && bound.is_multiple_of(1 << 30) => format!("{} GiB", bound >> 30),
            1_024 | 131_072 => format!("{} KiB", bound >> 10),
            _ => bound.to_string(),
        }
    }

    #[test]
    fn the_documentation_lists_every_limit_with_its_default_and_range() {
        let page = include_str!("../../../docs/configuration.md");
        for limit in CallLimits::all() {
            let start = format!("{} = {} ", limit.name, limit.default);
            let line = page.lines().find(|line| line.starts_with(&start));
            let line = line.unwrap_or_else(|| panic!("docs/configuration.md has no line `{start}`"));
            let range = format!("# {} to {}", written(*limit.range.start()), written(*limit.range.end()));
            assert!(line.contains(&range), "{line}: not `{range}`");
        }
    }
}
