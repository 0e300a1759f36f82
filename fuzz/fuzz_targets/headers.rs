//! Runs the property `headers` on what the fuzzer makes.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| properties::headers::check(data));
