//! What judging a batch's statement costs, once for each text: the example `judging` of the host measures it.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::report::{Better, Goal, Row};
use crate::environment::host_binary;

/// The rows of the guard.
pub(super) fn rows() -> Result<Vec<Row>> {
    let name = format!("judging{}", std::env::consts::EXE_SUFFIX);
    let program = host_binary().parent().context("the host's folder")?.join("examples").join(name);
    let output = Command::new(&program).output().with_context(|| format!("start {}", program.display()))?;
    ensure!(output.status.success(), "{}: {}", program.display(), String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).context("read its answer")?.lines().map(row).collect()
}

fn row(line: &str) -> Result<Row> {
    let found: Value = serde_json::from_str(line).context("read its answer")?;
    let figures =
        |key: &str| -> Vec<f64> { found[key].as_array().into_iter().flatten().filter_map(Value::as_f64).collect() };
    Ok(Row {
        name: format!("judging, {}", found["name"].as_str().unwrap_or_default()),
        unit: "ms",
        ours: figures("ours"),
        baseline: figures("parser"),
        against: "a general parser that only reads",
        better: Better::Less,
        goal: Goal::default(),
    })
}
