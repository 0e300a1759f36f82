//! The transaction in the eyes of an adapter.

/// What the guest's handle stands for. The transaction itself stays in `SqlCapability`, where the host finds it again.
#[allow(unreachable_pub, reason = "the generated bindings name it in public places")]
pub struct LentTransaction;
