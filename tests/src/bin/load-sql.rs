//! Loads a file of SQL into a database: `load-sql URL FILE`. What `cargo xtask demo` makes its OpenEMR-shaped file
//! with.

use std::path::Path;

use anyhow::{Result, bail};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, file] = arguments.as_slice() else { bail!("usage: load-sql URL FILE") };
    tests::database::load_sql(url, Path::new(file)).await
}
