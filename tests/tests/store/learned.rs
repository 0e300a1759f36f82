//! What an adapter learned of a target: what one host keeps, all of them read, and only on the same basis.

use crate::on_every_store;
use crate::support::{Stand, TARGET};

on_every_store!(hosts_share_learned_state_with_the_same_adapter_and_check);

async fn hosts_share_learned_state_with_the_same_adapter_and_check(stand: Stand) {
    let (store, other) = (&stand.store, stand.other_host());
    assert_eq!(other.learned(TARGET, "basis").await.expect("read"), None);
    assert_eq!(other.desired_state(TARGET).await.expect("read").learned_basis, None);
    // Any bytes, as many as an adapter may return.
    let most: Vec<u8> = (0..64 << 10).map(|number: u32| u8::try_from(number % 251).expect("a byte")).collect();
    for (revision, bytes) in [(1, &b"first"[..]), (2, b""), (3, most.as_slice())] {
        store.remember_learned(TARGET, "basis", bytes).await.expect("keep");
        let learned = other.learned(TARGET, "basis").await.expect("read").expect("learned");
        assert_eq!((learned.revision, learned.bytes.as_slice()), (revision, bytes));
        let desired = other.desired_state(TARGET).await.expect("read");
        assert_eq!((desired.learned_basis.as_deref(), desired.learned_revision), (Some("basis"), revision));
    }
    // Another adapter, or another server: it is never given what was learned before, and replaces it.
    assert_eq!(other.learned(TARGET, "another").await.expect("read"), None);
    other.remember_learned(TARGET, "another", b"new").await.expect("keep");
    assert_eq!(store.learned(TARGET, "basis").await.expect("read"), None);
    assert_eq!(store.learned("none", "another").await.expect("read"), None);
    assert_eq!(store.learned(TARGET, "another").await.expect("read").expect("learned").bytes, b"new");
}
