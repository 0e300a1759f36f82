//! The command `host`: parses the command line, hands over to `cli`, and turns an error into an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    host::cli::main()
}
