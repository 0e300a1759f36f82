//! How large a batch of a target may be: what one host remembers, all of them read.

use crate::on_every_store;
use crate::support::{Stand, TARGET};

on_every_store!(hosts_share_the_remembered_batch_size_of_a_slow_target);

async fn hosts_share_the_remembered_batch_size_of_a_slow_target(stand: Stand) {
    let other = stand.other_host();
    assert_eq!(other.batch_max(TARGET).await.expect("read"), None);
    for remembered in [Some(25), Some(1), None] {
        stand.store.remember_batch_max(TARGET, remembered).await.expect("remember");
        assert_eq!(other.batch_max(TARGET).await.expect("read"), remembered);
    }
    // A target that no host has registered, and a number that no host wrote.
    assert_eq!(other.batch_max("none").await.expect("read"), None);
    stand.database.execute("UPDATE sync_target SET batch_max = -3").await.expect("spoil");
    assert_eq!(other.batch_max(TARGET).await.expect("read"), None);
}
