//! Maps a BCP 47 language tag to the option id in OpenEMR's list `language`.
//!
//! It contains only ISO 639 codes and the ids that OpenEMR installs. `options.rs` checks whether the target's list has
//! the id.

/// The option id for a tag, by its primary language: `ko`, `ko-KR` and `kor` are all `korean`.
pub(crate) fn option_id(tag: &str) -> Option<&'static str> {
    let primary = tag.split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase();
    let code = OTHER_CODES.iter().find(|(other, _)| *other == primary).map_or(primary.as_str(), |(_, code)| code);
    LANGUAGES.binary_search_by(|(language, _)| (*language).cmp(code)).ok().map(|index| LANGUAGES[index].1)
}

/// Other codes for a two-letter one: common three-letter codes, withdrawn codes, members of a group.
#[rustfmt::skip]
const OTHER_CODES: [(&str, &str); 31] = [
    ("ara", "ar"), ("ces", "cs"), ("cmn", "zh"), ("deu", "de"), ("eng", "en"), ("fas", "fa"), ("fil", "tl"),
    ("fra", "fr"), ("hin", "hi"), ("ind", "id"), ("in", "id"), ("ita", "it"), ("iw", "he"), ("ji", "yi"),
    ("jpn", "ja"), ("khm", "km"), ("kor", "ko"), ("mon", "mn"), ("mya", "my"), ("nep", "ne"), ("nld", "nl"),
    ("pol", "pl"), ("por", "pt"), ("rus", "ru"), ("spa", "es"), ("tha", "th"), ("tgl", "tl"), ("tur", "tr"),
    ("vie", "vi"), ("yue", "zh"), ("zho", "zh"),
];

/// Two-letter codes in alphabetical order.
#[rustfmt::skip]
const LANGUAGES: [(&str, &str); 184] = [
    ("aa", "afar"), ("ab", "abkhazian"), ("ae", "avestan"), ("af", "afrikaans"), ("ak", "akan"), ("am", "amharic"),
    ("an", "aragonese"), ("ar", "arabic"), ("as", "assamese"), ("av", "avaric"), ("ay", "aymara"),
    ("az", "azerbaijani"), ("ba", "bashkir"), ("be", "belarusian"), ("bg", "bulgarian"), ("bh", "bihari_languages"),
    ("bi", "bislama"), ("bm", "bambara"), ("bn", "bengali"), ("bo", "tibetan"), ("br", "breton"), ("bs", "bosnian"),
    ("ca", "catalan_valencian"), ("ce", "chechen"), ("ch", "chamorro"), ("co", "corsican"), ("cr", "cree"),
    ("cs", "czech"), ("cu", "church_slavic_old_slavonic_chu"), ("cv", "chuvash"), ("cy", "welsh"), ("da", "danish"),
    ("de", "german"), ("dv", "divehi_dhivehi_maldivian"), ("dz", "dzongkha"), ("ee", "ewe"), ("el", "greek"),
    ("en", "English"), ("eo", "esperanto"), ("es", "Spanish"), ("et", "estonian"), ("eu", "basque"),
    ("fa", "persian"), ("ff", "fulah"), ("fi", "finnish"), ("fj", "fijian"), ("fo", "faroese"), ("fr", "french"),
    ("fy", "western_frisian"), ("ga", "irish"), ("gd", "gaelic_scottish_gaelic"), ("gl", "galician"),
    ("gn", "guarani"), ("gu", "gujarati"), ("gv", "manx"), ("ha", "hausa"), ("he", "hebrew"), ("hi", "hindi"),
    ("ho", "hiri_motu"), ("hr", "croatian"), ("ht", "haitian_haitian_creole"), ("hu", "hungarian"),
    ("hy", "armenian"), ("hz", "herero"), ("ia", "interlingua_international_auxi"), ("id", "indonesian"),
    ("ie", "interlingue_occidental"), ("ig", "igbo"), ("ii", "sichuan_yi_nuosu"), ("ik", "inupiaq"), ("io", "ido"),
    ("is", "icelandic"), ("it", "italian"), ("iu", "inuktitut"), ("ja", "japanese"), ("jv", "javanese"),
    ("ka", "georgian"), ("kg", "kongo"), ("ki", "kikuyu_gikuyu"), ("kj", "kuanyama_kwanyama"), ("kk", "kazakh"),
    ("kl", "kalaallisut_greenlandic"), ("km", "central_khmer"), ("kn", "kannada"), ("ko", "korean"), ("kr", "kanuri"),
    ("ks", "kashmiri"), ("ku", "kurdish"), ("kv", "komi"), ("kw", "cornish"), ("ky", "kirghiz_kyrgyz"),
    ("la", "latin"), ("lb", "luxembourgish_letzeburgesch"), ("lg", "ganda"), ("li", "limburgan_limburger_limburgish"),
    ("ln", "lingala"), ("lo", "laotian"), ("lt", "lithuanian"), ("lu", "luba-katanga"), ("lv", "latvian"),
    ("mg", "malagasy"), ("mh", "marshallese"), ("mi", "maori"), ("mk", "macedonian"), ("ml", "malayalam"),
    ("mn", "mongolian"), ("mr", "marathi"), ("ms", "malay"), ("mt", "maltese"), ("my", "burmese"), ("na", "nauru"),
    ("nb", "bokmal_norwegian_norwegian_bok"), ("nd", "ndebele_north_north_ndebele"), ("ne", "nepali"),
    ("ng", "ndonga"), ("nl", "dutch_flemish"), ("nn", "norwegian_nynorsk_nynorsk_norw"), ("no", "norwegian"),
    ("nr", "ndebele_south_south_ndebele"), ("nv", "navajo_navaho"), ("ny", "chichewa_chewa_nyanja"),
    ("oc", "occitan_post_1500"), ("oj", "ojibwa"), ("om", "oromo"), ("or", "oriya"), ("os", "ossetian_ossetic"),
    ("pa", "punjabi"), ("pi", "pali"), ("pl", "polish"), ("ps", "pushto_pashto"), ("pt", "portuguese"),
    ("qu", "quechua"), ("rm", "romansh"), ("rn", "rundi"), ("ro", "romanian_moldavian_moldovan"), ("ru", "russian"),
    ("rw", "kinyarwanda"), ("sa", "sanskrit"), ("sc", "sardinian"), ("sd", "sindhi"), ("se", "northern_sami"),
    ("sg", "sango"), ("si", "sinhala_sinhalese"), ("sk", "slovak"), ("sl", "slovenian"), ("sm", "samoan"),
    ("sn", "shona"), ("so", "somali"), ("sq", "albanian"), ("sr", "serbian"), ("ss", "swati"),
    ("st", "sotho_southern"), ("su", "sundanese"), ("sv", "swedish"), ("sw", "swahili"), ("ta", "tamil"),
    ("te", "telugu"), ("tg", "tajik"), ("th", "thai"), ("ti", "tigrinya"), ("tk", "turkmen"), ("tl", "tagalog"),
    ("tn", "tswana"), ("to", "tonga_tonga_islands"), ("tr", "turkish"), ("ts", "tsonga"), ("tt", "tatar"),
    ("tw", "twi"), ("ty", "tahitian"), ("ug", "uighur_uyghur"), ("uk", "ukrainian"), ("ur", "urdu"), ("uz", "uzbek"),
    ("ve", "venda"), ("vi", "vietnamese"), ("vo", "volapuk"), ("wa", "walloon"), ("wo", "wolof"), ("xh", "xhosa"),
    ("yi", "yiddish"), ("yo", "yoruba"), ("za", "zhuang_chuang"), ("zh", "chinese"), ("zu", "zulu"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_read_by_its_primary_language() {
        for (tag, expected) in [
            ("ko", Some("korean")),
            ("ko-KR", Some("korean")),
            ("KO", Some("korean")),
            ("kor", Some("korean")),
            ("en-US", Some("English")),
            ("es_MX", Some("Spanish")),
            ("zh-Hant-TW", Some("chinese")),
            ("yue", Some("chinese")),
            ("fil", Some("tagalog")),
            ("nb", Some("bokmal_norwegian_norwegian_bok")),
            ("qqq", None),
            ("", None),
        ] {
            assert_eq!(option_id(tag), expected, "{tag}");
        }
    }

    #[test]
    fn the_language_table_is_sorted_and_every_other_code_maps_into_it() {
        assert!(LANGUAGES.windows(2).all(|pair| pair[0].0 < pair[1].0));
        for (code, language) in OTHER_CODES {
            assert!(option_id(code).is_some(), "{code} -> {language}");
        }
    }

    #[test]
    fn every_language_option_id_is_one_that_openemr_installs() {
        let fixture = include_str!("../../../tests/fixtures/openemr/8.2.0.sql");
        for (code, option) in LANGUAGES {
            assert!(fixture.contains(&format!("('language', '{option}', ")), "{code} -> {option}");
        }
    }
}
