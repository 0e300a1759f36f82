//! Runs the property `component` on what the fuzzer makes.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| properties::component::check(data));
