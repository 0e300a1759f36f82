//! Owns the hosts of a run as processes: kills, freezes and stops them, and starts again whatever has ended, as a
//! service manager does. It decides nothing about when.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Mutex,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

use super::{faults::Faults, world::World};
use crate::host::{Host, HostSignal, LogReader, RunningHost};
use crate::mutex::lock;
use crate::servers::process::free_port;

/// How often the keeper looks whether a host has ended.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// All hosts.
pub(crate) struct Fleet {
    members: Vec<Mutex<Member>>,
    logs: Vec<PathBuf>,
}

struct Member {
    host: Host,
    /// Where it shows its metrics.
    port: u16,
    log: PathBuf,
    running: Option<RunningHost>,
    /// Copies what it logs, until its pipe is closed.
    reader: Option<LogReader>,
    /// Frozen until then.
    frozen: Option<Instant>,
    /// Not started again before then.
    down_until: Instant,
}

impl Fleet {
    /// Prepares so many hosts; none runs yet. The first one makes the store's tables.
    pub(crate) fn prepare(world: &World, size: usize, folder: &Path) -> Result<Self> {
        let mut members = Vec::new();
        let mut logs = Vec::new();
        for number in 1..=size {
            let port = free_port()?;
            let host = world.host(number, folder, port)?;
            if number == 1 {
                let migrated = host.run(&["migrate"]);
                ensure!(migrated.status == Some(0), "migrate the store: {}", migrated.stderr);
            }
            let log = host.folder().join("log");
            logs.push(log.clone());
            members.push(Mutex::new(Member {
                host,
                port,
                log,
                running: None,
                reader: None,
                frozen: None,
                down_until: Instant::now(),
            }));
        }
        Ok(Self { members, logs })
    }

    /// How many there are.
    pub(crate) fn size(&self) -> usize {
        self.members.len()
    }

    /// Starts what does not run and thaws whose time has come, again and again until `is_over`.
    pub(crate) fn keep(&self, faults: &Faults, is_over: impl Fn() -> bool) -> Result<()> {
        while !is_over() {
            for (index, member) in self.members.iter().enumerate() {
                let mut member = lock(member);
                if member.frozen.is_some_and(|until| until <= Instant::now()) {
                    member.thaw();
                }
                member.keep(faults, index)?;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Ends one at once; false when it does not run. It stays down for a while.
    pub(crate) fn kill(&self, index: usize, down: Duration) -> bool {
        let mut member = lock(&self.members[index]);
        member.frozen = None;
        member.down_until = Instant::now() + down;
        match member.running.take() {
            Some(mut running) => {
                running.kill();
                true
            }
            None => false,
        }
    }

    /// Lets those that are down start now.
    pub(crate) fn start_all(&self) {
        for member in &self.members {
            lock(member).down_until = Instant::now();
        }
    }

    /// The process id of each that runs, and the port of its metrics.
    pub(crate) fn running(&self) -> Vec<(u32, u16)> {
        let of = |member: &Mutex<Member>| {
            let member = lock(member);
            Some((member.running.as_ref()?.id(), member.port))
        };
        self.members.iter().filter_map(of).collect()
    }

    /// Freezes one for a while; false when it does not run or is frozen already.
    pub(crate) fn freeze(&self, index: usize, pause: Duration) -> bool {
        let mut member = lock(&self.members[index]);
        if member.frozen.is_some() {
            return false;
        }
        let frozen = member.running.as_ref().is_some_and(|running| running.signal(HostSignal::Freeze).is_ok());
        if frozen {
            member.frozen = Some(Instant::now() + pause);
        }
        frozen
    }

    /// Closes the pipe into which one logs; false when it does not run or has lost it already. It must go on all the
    /// same.
    pub(crate) fn lose_log_reader(&self, index: usize) -> bool {
        let mut member = lock(&self.members[index]);
        member.running.is_some() && member.reader.take().is_some_and(LogReader::close)
    }

    /// Asks one to end in order; false when it does not run or is frozen.
    pub(crate) fn stop(&self, index: usize) -> bool {
        let member = lock(&self.members[index]);
        member.frozen.is_none()
            && member.running.as_ref().is_some_and(|running| running.signal(HostSignal::Terminate).is_ok())
    }

    /// Thaws all of them.
    pub(crate) fn thaw(&self) {
        for member in &self.members {
            lock(member).thaw();
        }
    }

    /// Ends all of them in order. Fails when one does not end, or not with exit code 0.
    pub(crate) fn stop_all(&self) -> Result<()> {
        for index in 0..self.size() {
            let running = {
                self.stop(index);
                lock(&self.members[index]).running.take()
            };
            let Some(running) = running else { continue };
            let ended = running.wait(Duration::from_secs(60)).with_context(|| format!("stop host {}", index + 1))?;
            if ended.status != Some(0) {
                bail!("host {} ended with {:?} when it was asked to stop", index + 1, ended.status);
            }
        }
        Ok(())
    }

    /// How often each of these texts is in the logs of all hosts.
    pub(crate) fn count_in_logs(&self, texts: &[&'static str]) -> Result<BTreeMap<&'static str, u64>> {
        let mut counts: BTreeMap<&'static str, u64> = texts.iter().map(|text| (*text, 0)).collect();
        for log in &self.logs {
            let written = std::fs::read(log).with_context(|| format!("read {}", log.display()))?;
            for line in String::from_utf8_lossy(&written).lines() {
                for text in texts.iter().filter(|text| line.contains(**text)) {
                    *counts.entry(*text).or_default() += 1;
                }
            }
        }
        Ok(counts)
    }
}

impl Member {
    fn keep(&mut self, faults: &Faults, index: usize) -> Result<()> {
        if let Some(running) = &mut self.running {
            if running.is_running()? {
                return Ok(());
            }
            // As when the store was away at its start, or after an orderly stop.
            faults.remark(&format!("host {} ended by itself with {:?}", index + 1, running.exit_code()?));
            self.running = None;
            self.down_until = Instant::now() + Duration::from_millis(200);
        }
        if Instant::now() >= self.down_until {
            let (running, reader) = self.host.spawn_through(&["run"], &self.log)?;
            (self.running, self.reader) = (Some(running), Some(reader));
        }
        Ok(())
    }

    fn thaw(&mut self) {
        self.frozen = None;
        if let Some(running) = &self.running {
            // One that has ended meanwhile needs no thawing.
            let _thawed = running.signal(HostSignal::Thaw);
        }
    }
}
