//! Runs the property `addresses` on what the fuzzer makes.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| properties::addresses::check(data));
