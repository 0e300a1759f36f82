//! Components written by hand, since no language's compiler would write them: answers and handles that break the rules
//! of the interface itself, and tables without end.

#![allow(clippy::unwrap_used, reason = "a test that fails shows what it found")]

mod support;

use host::database::Dialect;
use host::domain::change::Outcome;
use host::plugin::{CallContext, CallError, Limits, SqlAccess, SqlGrants, World};

use support::{Target, changes, given, runtime};

/// The component of `fixtures/raw.wat` with this body of `apply`, and `more` next to it.
fn component(apply: &str, more: &str) -> Vec<u8> {
    let text = include_str!("fixtures/raw.wat").replacen("      ;; APPLY", apply, 1).replacen("    ;; MORE", more, 1);
    wat::parse_str(text).unwrap()
}

async fn apply(body: &str, more: &str) -> Result<Vec<Outcome>, CallError> {
    let adapter = runtime().load_bytes("raw.wasm", component(body, more), World::Database).await.unwrap();
    let target = Target::new().await;
    let access = SqlAccess::new(Dialect::Sqlite, SqlGrants::default());
    let context = CallContext { target: "t".to_owned(), limits: Limits::default(), ..CallContext::default() };
    let transaction = target.begin().await;
    let call = adapter.apply_database(&context, &access, transaction, given(b""), &changes(1)).await;
    call.transaction.expect("the transaction comes back").rollback().await.unwrap();
    call.result.map(|answer| answer.unwrap().outcomes)
}

const DROP: &str = "(call $drop (local.get $db))";

#[tokio::test]
async fn a_handwritten_component_that_follows_the_rules_works() {
    let Outcome::Applied(receipt) = apply(DROP, "").await.unwrap().remove(0) else { panic!("applied") };
    assert_eq!(receipt.remote_id, "raw");
}

#[tokio::test]
async fn hostile_table_growth_is_limited() {
    let grow = format!(
        "{DROP} (loop $again (br_if $again (i32.ne (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1))))"
    );
    let error = apply(&grow, "(table $t 1 funcref)").await.unwrap_err().to_string();
    let words = "table_elements_max: the adapter's tables need more than 100000 entries; raise [targets.t.limits] \
                 table_elements_max";
    assert_eq!(error, words);
}

#[tokio::test]
async fn hostile_crowd_of_tables_is_refused_at_load() {
    let tables = "(table 1 funcref)".repeat(65);
    let error = runtime().load_bytes("raw.wasm", component(DROP, &tables), World::Database).await.unwrap_err();
    let words = error.to_string();
    assert!(words.starts_with("cannot compile raw.wasm: ") && words.contains("65") && words.contains("64"), "{words}");
}

#[tokio::test]
async fn hostile_crowds_of_instances_and_memories_are_refused_at_load() {
    let module = |body: &str, count: usize| {
        format!("(core module $crowd {body}) {}", "(core instance (instantiate $crowd))".repeat(count))
    };
    for (parts, words) in [
        (module("", 128), "129 core module instances, which exceeds the configured maximum of 128"),
        (module("(memory 1)", 4), "5 Wasm linear memories, which exceeds the configured maximum of 4"),
    ] {
        let text = include_str!("fixtures/raw.wat").replacen("  ;; BESIDE", &parts, 1);
        let bytes = wat::parse_str(text).unwrap();
        let error = runtime().load_bytes("raw.wasm", bytes, World::Database).await.unwrap_err().to_string();
        assert!(error.starts_with("cannot compile raw.wasm: ") && error.contains(words), "{error}");
    }
    let memories = "(memory 1)".repeat(4);
    let error = runtime().load_bytes("raw.wasm", component(DROP, &memories), World::Database).await.unwrap_err();
    assert!(error.to_string().contains("exceeds the per-instance limit of 4"), "{error}");
}

#[tokio::test]
async fn hostile_table_too_large_from_the_start_is_refused_at_load() {
    let error = runtime().load_bytes("raw.wasm", component(DROP, "(table 100001 funcref)"), World::Database).await;
    let words = error.unwrap_err().to_string();
    assert!(words.starts_with("cannot compile raw.wasm: ") && words.contains("100000"), "{words}");
}

#[tokio::test]
async fn hostile_memory_use_in_describe_meets_a_fixed_limit() {
    let greedy = "(core module $greedy (memory 2100)) (core instance (instantiate $greedy))";
    let bytes = wat::parse_str(include_str!("fixtures/raw.wat").replacen("  ;; BESIDE", greedy, 1)).unwrap();
    let error = runtime().load_bytes("raw.wasm", bytes, World::Database).await.unwrap_err().to_string();
    assert_eq!(error, "raw.wasm does not describe itself: memory_mib: the adapter needs more than 128 MiB");
}

#[tokio::test]
async fn hostile_answers_that_break_the_interface_are_refused() {
    let store = |at: u32, value: i32| format!("{DROP} (i32.store (i32.const {at}) (i32.const {value}))");
    for (what, body, words) in [
        ("invalid text", store(8200, 9000), "the adapter crashed: invalid utf-8 sequence of 1 bytes from index 0"),
        (
            "text outside of the memory",
            store(8200, -16),
            "the adapter crashed: string pointer/length out of bounds of memory",
        ),
        (
            "ten gigabytes of outcomes",
            store(4108, 0x1000_0000),
            "the adapter crashed: list pointer/length out of bounds of memory",
        ),
        ("an outcome that is neither", store(8192, 9), "the adapter crashed: unexpected discriminant: 9"),
        ("a place that is not aligned", store(4104, 8193), "the adapter crashed: list pointer is not aligned"),
    ] {
        let error = apply(&body, "").await.unwrap_err().to_string();
        assert_eq!(error, words, "{what}");
    }
}

#[tokio::test]
async fn hostile_handle_kept_beyond_the_call_ends_it() {
    let error = apply("", "").await.unwrap_err().to_string();
    assert_eq!(error, "the adapter crashed: borrow handles still remain at the end of the call");
}

#[tokio::test]
async fn hostile_handle_used_after_return_is_refused() {
    let error = apply(&format!("{DROP} {DROP}"), "").await.unwrap_err().to_string();
    assert_eq!(error, "the adapter crashed: unknown handle index 1");
}
