//! What Linux tells of another process: its memory and its processor time. Elsewhere it tells nothing.

use std::fs;

/// Clock ticks in a second, as `/proc` counts them on every architecture that Linux has now.
const TICKS_PER_SECOND: f64 = 100.0;

/// The most memory that the process has had resident, in MB.
pub(super) fn peak_memory_mb(process: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kilobytes: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1_024.0 / 1_000_000.0)
}

/// The processor time that the process has used, in seconds.
pub(super) fn processor_seconds(process: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The program's name may hold blanks and brackets; what follows its last bracket does not.
    let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
}

/// How many processes wanted a processor in the last minute, as the system tells it: above the bench's own two or
/// three, others were at work, and rates are lower than they could be.
pub(super) fn load_average() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn memory_and_processor_time_of_a_process_are_measured() {
        let own = std::process::id();
        assert!(peak_memory_mb(own).is_some_and(|megabytes| megabytes > 0.1));
        assert!(processor_seconds(own).is_some_and(|seconds| seconds >= 0.0));
        assert_eq!(peak_memory_mb(u32::MAX), None);
    }
}
