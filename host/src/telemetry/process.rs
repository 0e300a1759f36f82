//! The process as Linux reports it, under the names that every exporter uses. On other systems nothing is shown.

use std::fmt::Error;
#[cfg(target_os = "linux")]
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Reads `/proc/self` at each scrape.
#[derive(Debug)]
pub(super) struct ProcessGauges;

/// The process at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Process {
    cpu_seconds: f64,
    resident_bytes: f64,
    virtual_bytes: f64,
    threads: f64,
    open_files: f64,
    start_seconds: f64,
}

impl Collector for ProcessGauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let Some(process) = Process::read() else { return Ok(()) };
        let help = "Processor time of this process";
        let cpu = encoder.encode_descriptor("process_cpu_seconds", help, None, MetricType::Counter)?;
        ConstCounter::new(process.cpu_seconds).encode(cpu)?;
        for (name, help, value) in [
            ("process_resident_memory_bytes", "Memory of this process in RAM", process.resident_bytes),
            ("process_virtual_memory_bytes", "Address space of this process", process.virtual_bytes),
            ("process_threads", "Threads of this process", process.threads),
            ("process_open_fds", "Open files and sockets of this process", process.open_files),
            ("process_start_time_seconds", "When this process started, in seconds since 1970", process.start_seconds),
        ] {
            let gauge = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(gauge)?;
        }
        Ok(())
    }
}

#[cfg(target_os = "linux")]
impl Process {
    fn read() -> Option<Self> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // `/proc/stat` has it too, and is hidden from a service with ProcSubset=pid.
        let uptime = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let uptime = Duration::new(u64::try_from(uptime.tv_sec).ok()?, u32::try_from(uptime.tv_nsec).ok()?);
        let boot_seconds = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.saturating_sub(uptime).as_secs_f64();
        let open_files = std::fs::read_dir("/proc/self/fd").ok()?.count();
        let ticks = rustix::param::clock_ticks_per_second();
        Self::parsed(&stat, ticks, rustix::param::page_size(), boot_seconds, open_files)
    }

    /// Reads a line of `/proc/PID/stat` (man 5 proc). The second field is the name, which may hold spaces.
    #[allow(clippy::cast_precision_loss)]
    fn parsed(stat: &str, ticks: u64, page: usize, boot_seconds: f64, open_files: usize) -> Option<Self> {
        let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        // The first of them is the third field of the line.
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        let ticks = ticks as f64;
        Some(Self {
            cpu_seconds: (field(14)? + field(15)?) / ticks,
            threads: field(20)?,
            start_seconds: boot_seconds + field(22)? / ticks,
            virtual_bytes: field(23)?,
            resident_bytes: field(24)? * page as f64,
            // One is the folder itself, while it is read.
            open_files: open_files.saturating_sub(1) as f64,
        })
    }
}

#[cfg(not(target_os = "linux"))]
impl Process {
    fn read() -> Option<Self> {
        None
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_os = "linux")]
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn the_fields_of_a_process_are_found_after_a_name_with_spaces_and_brackets() {
        let stat = "4242 (a (b) c) S 1 4242 4242 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 9 0 3000 1048576 25 \
                    18446744073709551615 1 1 0 0";
        let process = Process::parsed(stat, 100, 4_096, 1_000.0, 8);
        let expected = Process {
            cpu_seconds: 2.0,
            resident_bytes: 102_400.0,
            virtual_bytes: 1_048_576.0,
            threads: 9.0,
            open_files: 7.0,
            start_seconds: 1_030.0,
        };
        assert_eq!(process, Some(expected));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_can_be_read() {
        let process = Process::read().expect("Linux has /proc");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64();
        assert!((0.0..86_400.0).contains(&(now - process.start_seconds)), "{process:?}");
        assert!(process.resident_bytes > 1e6 && process.threads >= 1.0 && process.open_files >= 3.0, "{process:?}");
    }
}
