//! The store's schema: the file that creates it, the later migrations, and the file that converts the predecessor.
//!
//! An empty database gets `0011_store.sql`, which is version 11, and each later file. Versions 1 to 10 were made by
//! development builds; a store of version 10 is carried over by `0011_from_0010.sql` in the place of the first file.
//! Version numbers continue from there, so that a newer store is never mistaken for an older one. A file that was
//! applied must never change: its digest is recorded and compared.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use crate::database::Dialect;
use crate::domain::hex::hex;

/// One step of the schema.
pub(super) struct Migration {
    pub(super) version: i64,
    pub(super) name: &'static str,
    pub(super) sql: &'static str,
}

impl Migration {
    pub(super) fn digest(&self) -> String {
        sha256(self.sql)
    }
}

/// The last schema before the first migration of this host.
pub(super) struct Predecessor {
    pub(super) version: i64,
    /// The digest of its rows in `schema_migration`: for each, a line of its version, a blank and its digest.
    rows_sha256: &'static str,
    /// Converts its tables into those of the first migration.
    pub(super) sql: &'static str,
}

impl Predecessor {
    /// Whether these rows of `schema_migration`, in order, are those of this schema.
    pub(super) fn is(&self, applied: &[(i64, String)]) -> bool {
        let mut rows = String::new();
        for (version, digest) in applied {
            writeln!(rows, "{version} {digest}").expect("invariant: a String takes text");
        }
        sha256(&rows) == self.rows_sha256
    }
}

/// Tables that the predecessor's file renames: from, to.
pub(super) const RENAMED: [(&str, &str); 2] =
    [("sync_work", "sync_in_flight"), ("sync_adapter_wish", "sync_adapter_control")];

/// Everything that brings a database of one kind to this version.
pub(super) struct Schema {
    pub(super) predecessor: Predecessor,
    /// Never empty; the first makes all tables of an empty database.
    pub(super) migrations: &'static [Migration],
}

impl Schema {
    pub(super) fn first(&self) -> &Migration {
        &self.migrations[0]
    }

    /// The migrations that no row of `schema_migration` names, in order.
    pub(super) fn missing(&self, applied: &[(i64, String)]) -> impl Iterator<Item = &'static Migration> {
        let versions: Vec<i64> = applied.iter().map(|(version, _)| *version).collect();
        self.migrations.iter().filter(move |migration| !versions.contains(&migration.version))
    }

    /// The version that this host needs.
    pub(super) fn newest(&self) -> i64 {
        self.migrations.last().map_or(0, |migration| migration.version)
    }
}

macro_rules! schema {
    ($folder:literal, $rows_sha256:literal) => {
        Schema {
            predecessor: Predecessor {
                version: 10,
                rows_sha256: $rows_sha256,
                sql: include_str!(concat!("../../../migrations/", $folder, "/0011_from_0010.sql")),
            },
            migrations: &[
                Migration {
                    version: 11,
                    name: "store",
                    sql: include_str!(concat!("../../../migrations/", $folder, "/0011_store.sql")),
                },
                Migration {
                    version: 12,
                    name: "learned",
                    sql: include_str!(concat!("../../../migrations/", $folder, "/0012_learned.sql")),
                },
                Migration {
                    version: 13,
                    name: "skipped",
                    sql: include_str!(concat!("../../../migrations/", $folder, "/0013_skipped.sql")),
                },
                Migration {
                    version: 14,
                    name: "references",
                    sql: include_str!(concat!("../../../migrations/", $folder, "/0014_references.sql")),
                },
                Migration {
                    version: 15,
                    name: "clinical",
                    sql: include_str!(concat!("../../../migrations/", $folder, "/0015_clinical.sql")),
                },
                Migration {
                    version: 16,
                    name: "verification",
                    sql: include_str!(concat!("../../../migrations/", $folder, "/0016_verification.sql")),
                },
                Migration {
                    version: 17,
                    name: "merge",
                    sql: include_str!(concat!("../../../migrations/", $folder, "/0017_merge.sql")),
                },
                Migration {
                    version: 18,
                    name: "journal",
                    sql: include_str!(concat!("../../../migrations/", $folder, "/0018_journal.sql")),
                },
                Migration {
                    version: 19,
                    name: "audit",
                    sql: include_str!(concat!("../../../migrations/", $folder, "/0019_audit.sql")),
                },
                Migration {
                    version: 20,
                    name: "alerts",
                    sql: include_str!(concat!("../../../migrations/", $folder, "/0020_alerts.sql")),
                },
                Migration {
                    version: 21,
                    name: "paused_until",
                    sql: include_str!(concat!("../../../migrations/", $folder, "/0021_paused_until.sql")),
                },
                Migration {
                    version: 22,
                    name: "adapter_hold",
                    sql: include_str!(concat!("../../../migrations/", $folder, "/0022_adapter_hold.sql")),
                },
            ],
        }
    };
}

pub(super) fn schema(dialect: Dialect) -> Schema {
    match dialect {
        Dialect::Sqlite => schema!("sqlite", "01fdf3c2b683043a01e5e422716dab66d514505424fd918cc5000e46ff27a164"),
        Dialect::MySql => schema!("mysql", "b34c964973537408efbfcc1929297b94cbc88467906254c86d27040d91827df3"),
        Dialect::Postgres => schema!("postgres", "de4e2a6ba66caa2483a534f5065dacdbce2828f4892312b142dcdea39c5ef66f"),
    }
}

fn sha256(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stores hold these digests: a migration that was released never changes. A new one gets a line of its own.
    #[test]
    fn released_migrations_are_unchanged() {
        let released = [
            (Dialect::Sqlite, 11, "e726d8f8905418a36086703a31a2e8274f8252c973c12b1a9566d169d2f383e8"),
            (Dialect::MySql, 11, "35bdfcaea876c2ebe70c2acd723505a9b6bd24b6f59aaf54c84daf63870376f0"),
            (Dialect::Postgres, 11, "6f3761a3269d39aa589b32f743e8911fab97f128fb12a959eb038daad33e697f"),
            (Dialect::Sqlite, 12, "db9e775ef69922fe0083418c57a438afc9a8f149e61cb0124fa9e835e8f0aa43"),
            (Dialect::MySql, 12, "f4dfed2a1ee2044a53df65dc007512b7f5730437b9b0bc6c710efc57dce001a3"),
            (Dialect::Postgres, 12, "198bcc61d4bdecd1c7a401d1b529d5b5534a2fe7d20b635efb0ac9aff8f7679b"),
            (Dialect::Sqlite, 13, "ba74b64340b6753778f5d8dfc147e8e0bee3a6d4c8ee9d076354ab894e806c95"),
            (Dialect::MySql, 13, "42d3f54e7561233432df7965b2c61aa60c5a99d1ef66abc71c7b5a47ed6ebfa2"),
            (Dialect::Postgres, 13, "42d3f54e7561233432df7965b2c61aa60c5a99d1ef66abc71c7b5a47ed6ebfa2"),
            (Dialect::Sqlite, 14, "01c191b5ceed6fb5a76b6049ae8d6ffe34e8fe899e359c67815deb7367b35e37"),
            (Dialect::MySql, 14, "4b259ec0c85e4376c1303c65010944d22ec5114f72b3eef23be58618a3018d58"),
            (Dialect::Postgres, 14, "496ccb9fe132fde7f9c23b51c24aeeabdd423ad7bd49054469d8c5954b741508"),
            (Dialect::Sqlite, 15, "7a3b375bde5842bb1327f4a7cd19be3b12768a6514d2029b33b9401fadc464d4"),
            (Dialect::MySql, 15, "13e23d04e52e609529bac4b9a44c7424d5633147713d9993edeaa75255bd9d8e"),
            (Dialect::Postgres, 15, "062f05b44ce699b1380545193fc27e1566f80513e46a37e24330f75f0456f433"),
            (Dialect::Sqlite, 16, "6f670867da09147048d7921a97158bf7cbf5a5ceb26072eed267d0365f0cb1cb"),
            (Dialect::MySql, 16, "b984b43f370407006ce2ec290ea552cd4449187f2c973d06193fc42b4c17ccf6"),
            (Dialect::Postgres, 16, "0c8e29caa25570eeba2c7782471a131a6f164d4be06d70116d69f4e936a99607"),
            (Dialect::Sqlite, 17, "b233353ae8126b1e93b892a0046660ced911f097edb35f3fa13146d32ccd69af"),
            (Dialect::MySql, 17, "af4db7ced3b4798fea0d8ecc23f0ea51a9d67954f1bd38d85d3c3dec38ef2f6a"),
            (Dialect::Postgres, 17, "7198a0d7b4a776d9e335b47725edb834920faebfe36e8dc111393a43800bf62b"),
            (Dialect::Sqlite, 18, "0ac4435e3808b3702914e3516ea989522e9f34dc85c8a4fe8f38d4ef315dd968"),
            (Dialect::MySql, 18, "f18544fe7c959f428992caf012af06b0b0e6bda52d4f215f952eacf3a8050aef"),
            (Dialect::Postgres, 18, "e270527f03a8e8155ab33500203306172e96c11575ccbd829a7a70ea57bb7ba9"),
            (Dialect::Sqlite, 19, "beecb26c4ea625fde0195062834fa2bae53fee2c75572ccf558a3ef45dc6bb54"),
            (Dialect::MySql, 19, "b29b26fe91bdec8ed1ffe10212284f9ea1a48beaae640f451a903a02eae090e4"),
            (Dialect::Postgres, 19, "f9c9f30cda7192fb7d72efb91ccdda2bf74770bc87cb5e3d9ab150f31f93d499"),
            (Dialect::Sqlite, 20, "13fdd1d785fbe3ee1ac2c22a93c005aa12e66caeb9d339b1e7c44a7ebb3ed1ad"),
            (Dialect::MySql, 20, "140a77b923d1e56336de88c4c24f4a0ca1c0a7dfb9dd342f4f18e5538e67ccc3"),
            (Dialect::Postgres, 20, "57ca7d9ae341127c021899caa148c2df053eba8477aa985acea84732fae237b6"),
            (Dialect::Sqlite, 21, "7c3bdc709b3805d79a3f2859529a7de35d7c9d667aba5d759d6eaafbf9e09531"),
            (Dialect::MySql, 21, "45784380c01b945050f50773845c991f025cb4295b36ff516598b61e4b09327e"),
            (Dialect::Postgres, 21, "186d090d2a28df4d09f3688c0d21b2ec51f0f2689b788444b7645ba9b40152d8"),
            (Dialect::Sqlite, 22, "1ad5e577caac08f23db705f3ae20fc9e7e17e70ad9e0760963872219c6648e04"),
            (Dialect::MySql, 22, "c5e2f979c6cfbc05cde93125600ffaaa36266b00e5d9557de67d70d108d8bf57"),
            (Dialect::Postgres, 22, "f27ee8965c0a21d7e80b3431d0574c142163bae566f287d03b7e8a618f822976"),
        ];
        for (dialect, version, digest) in released {
            let schema = schema(dialect);
            let migration = schema.migrations.iter().find(|migration| migration.version == version).expect("there");
            assert_eq!(migration.digest(), digest, "{dialect:?} {version}");
        }
    }

    #[test]
    fn versions_continue_from_the_predecessor() {
        for dialect in [Dialect::Sqlite, Dialect::MySql, Dialect::Postgres] {
            let schema = schema(dialect);
            let versions: Vec<_> = schema.migrations.iter().map(|migration| migration.version).collect();
            let expected: Vec<_> = (schema.predecessor.version + 1..).take(versions.len()).collect();
            assert_eq!(versions, expected);
        }
    }

    #[test]
    fn another_set_of_applied_files_is_not_the_predecessor() {
        let applied: Vec<_> = (1..=10).map(|version| (version, "x".to_owned())).collect();
        assert!(!schema(Dialect::Sqlite).predecessor.is(&applied));
    }
}
