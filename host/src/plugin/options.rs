//! What a runtime is made with, and where and within which limits it compiles adapters.

use std::path::PathBuf;
use std::time::Duration;

/// The name of the hidden command.
pub const COMMAND: &str = "compile-adapter";
/// The stack of an adapter's own calls unless configured, KiB.
const STACK_KIB_DEFAULT: u32 = 1024;

/// What a runtime is made with.
#[derive(Clone, Debug)]
pub struct RuntimeOptions {
    /// Where compiled adapters are kept; `None` compiles anew at every start.
    pub cache_dir: Option<PathBuf>,
    /// Calls that may be under way at one time, over all targets; further ones wait.
    pub instances_max: u32,
    /// The stack of an adapter's own calls, KiB.
    pub stack_kib: u32,
    /// Entries of one table, for the target that is allowed the most; never less than the default.
    pub table_elements_max: u64,
    /// Where adapters are compiled.
    pub compiler: Compiler,
    /// What compiling one of them may take, in a child.
    pub compile_limits: CompileLimits,
}

impl Default for RuntimeOptions {
    fn default() -> Self {
        Self {
            cache_dir: None,
            instances_max: 32,
            stack_kib: STACK_KIB_DEFAULT,
            table_elements_max: 0,
            compiler: Compiler::Here,
            compile_limits: CompileLimits::default(),
        }
    }
}

/// What one compilation may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompileLimits {
    /// Processor time, over all its threads, seconds.
    pub cpu_seconds_max: u64,
    /// Memory beyond what the process has when it begins, bytes.
    pub memory_bytes_max: u64,
    /// Machine code, bytes.
    pub code_bytes_max: u64,
}

/// A component of 20 MB takes 10 seconds, and 40 in a host without optimisation.
impl Default for CompileLimits {
    fn default() -> Self {
        Self { cpu_seconds_max: 120, memory_bytes_max: 2 << 30, code_bytes_max: 2 << 30 }
    }
}

impl CompileLimits {
    /// A machine under load gives less processor time than this.
    pub(super) fn wall_clock_max(&self) -> Duration {
        Duration::from_secs(self.cpu_seconds_max.saturating_mul(3).max(30))
    }
}

/// Where adapters are compiled.
#[derive(Clone, Debug, Default)]
pub enum Compiler {
    /// In this process, which then is at the mercy of the file: for programs that load files of their own making.
    #[default]
    Here,
    /// In a child process of this program, which knows [`COMMAND`].
    Child(PathBuf),
}

impl Compiler {
    /// The running program itself, also when its file was replaced since.
    #[must_use]
    pub fn of_this_program() -> Self {
        let this = PathBuf::from("/proc/self/exe");
        if cfg!(target_os = "linux") && this.exists() {
            return Self::Child(this);
        }
        std::env::current_exe().map_or(Self::Here, Self::Child)
    }
}
