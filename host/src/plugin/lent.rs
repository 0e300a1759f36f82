//! The transaction resource that an adapter gets a handle of.

/// The resource behind the adapter's handle. The transaction itself stays in `SqlCapability`.
#[allow(unreachable_pub, reason = "the generated bindings name it in public places")]
pub struct LentTransaction;
