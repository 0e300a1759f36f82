//! Runs the property `seed` on what the fuzzer makes.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| properties::seed::check(data));
