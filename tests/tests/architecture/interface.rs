//! The adapter interface `neuronova:sync@0.1.0` is frozen: adapters in the field were built for these very files.

use std::fs;

use sha2::{Digest as _, Sha256};

use super::tracked_files;

/// Each file of the interface with its digest. A change of one is a new version of the package, with files of its own.
const FROZEN: [(&str, &str); 6] = [
    ("wit/0.1.0/database.wit", "fdb5403ff553aaaf9e47f892b2188025807228b7da5a0fb06af2bc91ea3d854d"),
    ("wit/0.1.0/deps/clocks/clocks.wit", "0185072a431ddefa5ce6960ba1c2f5a45a1cbb12af58ef5f959d622a3ff886ef"),
    ("wit/0.1.0/deps/http/http.wit", "e4b57ce62f3ae1098ebac3577223d416740d6a4770e22d7540376b66ee162145"),
    ("wit/0.1.0/deps/io/io.wit", "8b5e121a4a13de1b9a86775155cb12ae017010a20170e59729495f43421e731e"),
    ("wit/0.1.0/http.wit", "bee3c1ec696fa857c49d2ad3aacbd3b4df7424a78a6eed7860f3af461d9cd305"),
    ("wit/0.1.0/types.wit", "3a941e1e528b3041d1932a95a3d4c37d1eb31d29f1d31f1d9f3e8256dca3cf4b"),
];

fn hex(digit: u8) -> Option<char> {
    char::from_digit(digit.into(), 16)
}

#[test]
fn interface_0_1_0_is_unchanged_since_it_was_frozen() {
    let mut found: Vec<(String, String)> = tracked_files(&["wit/0.1.0"])
        .into_iter()
        .filter(|(_, path)| path.extension().is_some_and(|extension| extension == "wit"))
        .map(|(name, path)| {
            // Where git writes other line ends, the file is the same.
            let text = fs::read_to_string(path).expect("read").replace("\r\n", "\n");
            let digest = Sha256::digest(text.as_bytes());
            (name, digest.iter().flat_map(|byte| [byte >> 4, byte & 15]).filter_map(hex).collect())
        })
        .collect();
    found.sort();
    let frozen = FROZEN.map(|(name, digest)| (name.to_owned(), digest.to_owned()));
    assert_eq!(found, frozen, "the interface 0.1.0 is frozen: give a change a package version of its own");
}
