//! Whether this process delivers (ready), and whether it should be restarted (alive).
//!
//! A target that is down makes a host neither unready nor dead: its changes wait, and others are delivered.

use std::sync::OnceLock;

use tokio::sync::watch;

/// Names a task that hangs, if one does.
type Hanging = Box<dyn Fn() -> Option<String> + Send + Sync>;

/// The health of a host. Nothing is known of it before its daemon has started.
pub struct Health {
    readiness: watch::Sender<Readiness>,
    hanging: OnceLock<Hanging>,
}

/// Whether a host delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    Starting,
    Ready,
    Stopping,
}

impl Default for Health {
    fn default() -> Self {
        Self { readiness: watch::Sender::new(Readiness::Starting), hanging: OnceLock::new() }
    }
}

impl Health {
    /// The daemon's tasks run, and `hanging` names one that hangs.
    pub fn started(&self, hanging: impl Fn() -> Option<String> + Send + Sync + 'static) {
        // A process has one daemon.
        let _is_first = self.hanging.set(Box::new(hanging));
        self.readiness.send_replace(Readiness::Ready);
    }

    /// The daemon claims nothing more.
    pub fn stopping(&self) {
        self.readiness.send_replace(Readiness::Stopping);
    }

    #[must_use]
    pub fn readiness(&self) -> Readiness {
        *self.readiness.borrow()
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Readiness> {
        self.readiness.subscribe()
    }

    /// The name of a task that hangs: then the process should be restarted.
    #[must_use]
    pub fn hanging(&self) -> Option<String> {
        self.hanging.get().and_then(|hanging| hanging())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_ready_from_its_start_to_its_stop() {
        let health = Health::default();
        assert_eq!((health.readiness(), health.hanging()), (Readiness::Starting, None));
        health.started(|| Some("router".to_owned()));
        assert_eq!((health.readiness(), health.hanging().as_deref()), (Readiness::Ready, Some("router")));
        health.stopping();
        assert_eq!(health.readiness(), Readiness::Stopping);
    }
}
