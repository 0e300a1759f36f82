//! Warns of files and folders that users other than the host's may change: such a user controls the host, or a part of
//! it.
//!
//! World-writable files are refused elsewhere (`config`, `distribution`, the compile cache). A group or another owner
//! may be intended, so these cause only a warning, in `host check` and once in the log of `host run`. This file lists
//! the paths; it changes nothing.

use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::files;

/// The warnings, one per path.
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

/// The warning for a path. A missing file is reported by the code that needs it.
fn warning(path: &Path) -> Option<String> {
    let writers = files::other_writers(path).ok()??;
    let more = if writers.is_group { "; fix: chmod g-w it, unless the whole group may control this host" } else { "" };
    Some(format!("{}: {}{more}", path.display(), writers.description))
}
