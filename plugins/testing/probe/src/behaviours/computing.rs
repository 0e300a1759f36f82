//! Endless loops, excessive memory and stack, and panics.

use std::hint::black_box;

use adapter_sdk::{Failure, Outcome};

use super::{Call, honest};

pub(super) fn endless_loop(_: &Call<'_>) -> Result<Vec<Outcome>, Failure> {
    let mut number = 0_u64;
    loop {
        number = black_box(number.wrapping_add(1));
    }
}

/// Exhausts the machine's stack, without using the adapter's memory.
pub(super) fn endless_recursion(call: &Call<'_>) -> Result<Vec<Outcome>, Failure> {
    fn deeper(depth: u64) -> u64 {
        if depth == u64::MAX { 0 } else { deeper(depth + 1).rotate_left(7) ^ depth }
    }
    black_box(deeper(call.changes.len() as u64));
    honest::echo(call)
}

/// Exhausts the stack that the compiler keeps in the adapter's memory.
pub(super) fn endless_recursion_in_memory(call: &Call<'_>) -> Result<Vec<Outcome>, Failure> {
    fn deeper(depth: u64) -> u64 {
        let room = black_box([depth; 64]);
        if black_box(true) { deeper(depth + 1) + room[3] } else { depth }
    }
    black_box(deeper(0));
    honest::echo(call)
}

/// Doubles one allocation until memory is exhausted.
pub(super) fn memory_growing(call: &Call<'_>) -> Result<Vec<Outcome>, Failure> {
    let mut bytes = vec![1_u8; 1 << 16];
    while bytes.len() < 1 << 31 {
        bytes.extend_from_within(..);
        black_box(&bytes);
    }
    honest::echo(call)
}

/// Makes small allocations and keeps them all.
pub(super) fn memory_many_small(call: &Call<'_>) -> Result<Vec<Outcome>, Failure> {
    let mut kept = Vec::new();
    for _ in 0..10_000_000 {
        kept.push(black_box(Box::new([1_u8; 256])));
    }
    black_box(kept);
    honest::echo(call)
}

/// Passes every check, and panics as soon as there is a change to deliver.
pub(super) fn late_panic(call: &Call<'_>) -> Result<Vec<Outcome>, Failure> {
    assert!(call.changes.is_empty(), "the probe panics");
    Ok(Vec::new())
}

pub(super) fn panic(_: &Call<'_>) -> Result<Vec<Outcome>, Failure> {
    panic!("Kim MinJun was born on 1980-02-03");
}

pub(super) fn unreachable(_: &Call<'_>) -> Result<Vec<Outcome>, Failure> {
    std::process::abort();
}

pub(super) fn exit(_: &Call<'_>) -> Result<Vec<Outcome>, Failure> {
    std::process::exit(0);
}

/// Waits for a time on the clock in a system call, without computing.
pub(super) fn sleep(call: &Call<'_>) -> Result<Vec<Outcome>, Failure> {
    std::thread::sleep(std::time::Duration::from_hours(1));
    honest::echo(call)
}
