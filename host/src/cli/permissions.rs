//! Warns of files and folders that others than this host's user may change: who controls one of them controls the host,
//! or a part of it.
//!
//! What is world-writable is refused elsewhere (`config`, `distribution`, the compile cache). A group, or another
//! owner, may be wanted, so that it is a warning, in `host check` and once in the log of `host run`. It owns the list
//! of places; it changes nothing.

use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::files;

/// One warning for each place.
pub(super) fn warnings(config: &Config) -> Vec<String> {
    places(config).into_iter().filter_map(|path| warning(&path)).collect()
}

fn places(config: &Config) -> Vec<PathBuf> {
    let folder = |path: &Path| path.parent().map(Path::to_owned);
    let mut places = vec![config.path.clone(), config.path.with_file_name(".env"), config.lock_file()];
    places.extend(folder(&config.path));
    places.push(config.plugins.directory.clone());
    for target in config.enabled_targets() {
        places.push(target.adapter.clone());
        places.extend(folder(&target.adapter));
    }
    places.sort();
    places.dedup();
    places
}

/// A place that is not there is said elsewhere, where it is needed.
fn warning(path: &Path) -> Option<String> {
    let writers = files::other_writers(path).ok()??;
    let more = if writers.is_group { "; fix: chmod g-w it, unless the whole group may control this host" } else { "" };
    Some(format!("{}: {}{more}", path.display(), writers.description))
}
