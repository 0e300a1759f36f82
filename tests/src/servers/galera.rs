//! Owns a private MariaDB Galera cluster: nodes on loopback that all take writes and certify each other's at COMMIT.
//!
//! A node that was killed finds the position up to which its data went and asks the others for the rest, as the service
//! scripts of a distribution do. Whoever kills nodes leaves a majority alive: without one no node takes writes.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use super::{
    mariadb::{MariaDb, launch, make_data},
    process::{Launch, Process, free_port, give_to, run_to_end, unprivileged_user},
    provision::{Need, find_program, provide},
};

/// Where Debian and Fedora keep the library.
const PROVIDERS: [&str; 3] =
    ["/usr/lib/galera/libgalera_smm.so", "/usr/lib64/galera/libgalera_smm.so", "/usr/lib64/galera-4/libgalera_smm.so"];

/// A cluster, gone when dropped.
pub struct Galera {
    nodes: Vec<GaleraNode>,
}

/// One node of it.
pub struct GaleraNode {
    // Dropped in this order: the process before its files.
    process: Process,
    directory: TempDir,
    launch: Launch,
    port: u16,
}

struct Ports {
    mysql: u16,
    group: u16,
    increments: u16,
    snapshots: u16,
}

impl Galera {
    /// What it needs of the system, in addition to MariaDB.
    pub const NEED: Need = Need {
        name: "Galera",
        packages: &["galera-4", "rsync"],
        advice: "install Galera 4 and rsync (Debian, Ubuntu: apt-get install galera-4 rsync)",
        is_met: || provider().is_some() && find_program("rsync", &[]).is_some(),
    };

    /// Starts a cluster of so many nodes, one after the other.
    ///
    /// # Errors
    /// When something is missing and cannot be installed, or a node does not join; with the end of its log.
    pub fn start(size: usize) -> Result<Self> {
        provide(&[MariaDb::NEED, Self::NEED])?;
        let ports = (0..size).map(|_| Ports::choose()).collect::<Result<Vec<_>>>()?;
        let members = ports.iter().map(|ports| format!("127.0.0.1:{}", ports.group)).collect::<Vec<_>>().join(",");
        let mut nodes: Vec<GaleraNode> = Vec::new();
        for (index, ports) in ports.iter().enumerate() {
            nodes.push(GaleraNode::start(ports, &members, index == 0)?);
        }
        Ok(Self { nodes })
    }

    /// Gives up its nodes, each of which then goes by itself.
    #[must_use]
    pub fn into_nodes(self) -> Vec<GaleraNode> {
        self.nodes
    }
}

impl Ports {
    fn choose() -> Result<Self> {
        Ok(Self { mysql: free_port()?, group: free_port()?, increments: free_port()?, snapshots: free_port()? })
    }
}

impl GaleraNode {
    fn start(ports: &Ports, members: &str, is_first: bool) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("neuronova-galera-").tempdir()?;
        // As root, rsync would write a snapshot as `nobody`, who may not.
        let user = unprivileged_user("mysql");
        give_to(directory.path(), user)?;
        make_data(directory.path(), user)?;
        let mut launch = launch(directory.path(), ports.mysql, user)?;
        launch.name = Galera::NEED.name;
        let provider = provider().context("find Galera after providing it")?;
        launch.arguments.extend(
            [
                "--wsrep-on=ON".to_owned(),
                format!("--wsrep-provider={}", provider.display()),
                "--binlog-format=ROW".to_owned(),
                "--innodb-autoinc-lock-mode=2".to_owned(),
                "--wsrep-sst-method=rsync".to_owned(),
                format!("--wsrep-cluster-address=gcomm://{members}"),
                format!("--wsrep-node-address=127.0.0.1:{}", ports.group),
                format!("--wsrep-sst-receive-address=127.0.0.1:{}", ports.snapshots),
                // A member that is gone is given up after two seconds: with the default of five the others stand
                // longer.
                format!(
                    "--wsrep-provider-options=base_port={0};gmcast.listen_addr=tcp://127.0.0.1:{0};\
                     ist.recv_addr=127.0.0.1:{1};evs.keepalive_period=PT0.5S;evs.suspect_timeout=PT2S;\
                     evs.inactive_timeout=PT6S;evs.install_timeout=PT6S;gcache.size=64M",
                    ports.group, ports.increments
                ),
            ]
            .map(OsString::from),
        );
        let mut first = launch.clone();
        first.arguments.extend(is_first.then(|| "--wsrep-new-cluster".into()));
        let port = ports.mysql;
        let process = Process::start(first, move || is_synced(port))?;
        Ok(Self { process, directory, launch, port })
    }

    /// Its address without a database.
    #[must_use]
    pub fn url(&self) -> String {
        format!("mysql://root@127.0.0.1:{}", self.port)
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again over its data, and waits until it has what the others wrote meanwhile. Does nothing while it
    /// runs.
    ///
    /// # Errors
    /// When it does not join again; with the end of its log.
    pub fn start_again(&mut self) -> Result<()> {
        if self.process.is_started() {
            return Ok(());
        }
        let mut arguments = self.launch.arguments.clone();
        arguments
            .extend(self.recovered_position()?.map(|position| format!("--wsrep-start-position={position}").into()));
        self.process.set_arguments(arguments);
        self.process.start_again()
    }

    /// Up to where the data of a killed node goes; without it the node would ask for a copy of everything.
    fn recovered_position(&self) -> Result<Option<String>> {
        let log: PathBuf = self.directory.path().join("recovery.err");
        let mut recovery = Command::new(&self.launch.program);
        recovery
            .args(&self.launch.arguments)
            .arg("--wsrep-recover")
            .arg(format!("--log-error={}", log.display()))
            .current_dir(self.directory.path());
        // The data of a node that was killed while it received a snapshot is discarded: it then requests another one.
        if run_to_end(&mut recovery, self.launch.run_as).is_err() {
            return Ok(None);
        }
        let text = fs::read_to_string(&log).with_context(|| format!("read {}", log.display()))?;
        fs::remove_file(&log).with_context(|| format!("remove {}", log.display()))?;
        Ok(recovered(&text))
    }
}

fn recovered(log: &str) -> Option<String> {
    let (_, after) = log.rsplit_once("Recovered position:")?;
    after.split_whitespace().next().map(str::to_owned)
}

fn provider() -> Option<PathBuf> {
    PROVIDERS.iter().map(Path::new).find(|library| library.is_file()).map(Path::to_path_buf)
}

/// Whether the node has everything and takes writes. A node that only greets may still refuse every statement.
fn is_synced(port: u16) -> bool {
    let Some(client) = find_program("mariadb", &[]) else { return false };
    Command::new(client)
        .args(["--no-defaults", "--host=127.0.0.1", "--user=root", "--skip-column-names", "--connect-timeout=2"])
        .arg(format!("--port={port}"))
        .args(["--execute", "SHOW STATUS WHERE Variable_name IN ('wsrep_local_state_comment', 'wsrep_ready')"])
        .stdin(Stdio::null())
        .output()
        .is_ok_and(|output| {
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            said.contains("Synced") && said.contains("ON")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recovered_position_is_read_from_the_server_log() {
        let log = "[Note] InnoDB: 10\n[Note] WSREP: Recovered position: 6f1f0c1e-c8d0-11f0:1234,0-1-2\n[Note] end\n";
        assert_eq!(recovered(log).as_deref(), Some("6f1f0c1e-c8d0-11f0:1234,0-1-2"));
        assert_eq!(recovered("nothing"), None);
    }
}
