//! The options of a runtime, and the limits of compiling adapters.

use std::path::PathBuf;
use std::time::Duration;

/// The name of the hidden command that compiles an adapter.
pub const COMMAND: &str = "compile-adapter";
/// The default stack of an adapter's own calls in KiB.
const STACK_KIB_DEFAULT: u32 = 1024;

/// The options of a runtime.
#[derive(Clone, Debug)]
pub struct RuntimeOptions {
    /// The folder for compiled adapters; `None` compiles again at every start.
    pub cache_dir: Option<PathBuf>,
    /// The maximum number of concurrent calls, over all targets; further calls wait.
    pub instances_max: u32,
    /// The stack of an adapter's own calls, KiB.
    pub stack_kib: u32,
    /// The maximum number of elements in one table: the largest limit of any target, and at least the default.
    pub table_elements_max: u64,
    /// The process in which adapters are compiled.
    pub compiler: Compiler,
    /// The limits for compiling one adapter in a child process.
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

/// The limits of one compilation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompileLimits {
    /// Processor time over all threads, in seconds.
    pub cpu_seconds_max: u64,
    /// Memory in bytes, in addition to what the process uses at its start.
    pub memory_bytes_max: u64,
    /// Size of the machine code in bytes.
    pub code_bytes_max: u64,
}

/// A component of 20 MB takes 10 seconds, and 40 seconds in a debug build of the host.
impl Default for CompileLimits {
    fn default() -> Self {
        Self { cpu_seconds_max: 120, memory_bytes_max: 2 << 30, code_bytes_max: 2 << 30 }
    }
}

impl CompileLimits {
    /// The wall-clock limit. It exceeds the processor time, because a machine under load gives less of it.
    pub(super) fn wall_clock_max(&self) -> Duration {
        Duration::from_secs(self.cpu_seconds_max.saturating_mul(3).max(30))
    }
}

/// The process in which adapters are compiled.
#[derive(Clone, Debug, Default)]
pub enum Compiler {
    /// This process. A hostile file can then exhaust it, so this is only for programs that load files of their own.
    #[default]
    Here,
    /// A child process of this program, which is started with [`COMMAND`].
    Child(PathBuf),
}

impl Compiler {
    /// A child of the running program. It works even if the program's file was replaced since the start.
    #[must_use]
    pub fn of_this_program() -> Self {
        let this = PathBuf::from("/proc/self/exe");
        if cfg!(target_os = "linux") && this.exists() {
            return Self::Child(this);
        }
        std::env::current_exe().map_or(Self::Here, Self::Child)
    }
}
