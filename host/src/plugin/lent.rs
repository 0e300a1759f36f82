//! The transaction as an adapter sees it.

/// The resource behind the guest's handle. The transaction itself stays in `SqlCapability`.
#[allow(unreachable_pub, reason = "the generated bindings name it in public places")]
pub struct LentTransaction;
