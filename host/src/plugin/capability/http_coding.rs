//! Compressed responses: gzip and deflate are decompressed, requested or not; any other coding is refused by name.
//!
//! Limits count decompressed bytes, not bytes on the wire: a response that exceeds its limit is refused before more of
//! it is in memory. Each coding costs memory and time of its own, so several codings in a row are refused too.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::{HeaderMap, header};

use crate::domain::words::one_line;

/// The encodings that the host requests.
pub(super) const ACCEPTED: &str = "gzip, deflate";

/// Characters of a coding's name that are shown.
const CODING_CHARS_MAX: usize = 40;

/// Why an answer cannot be unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CodingError {
    /// Its decompressed size exceeds the limit.
    TooLarge,
    /// It does not match its header, or it was cut off.
    Broken,
}

/// Decompresses one response, part by part.
pub(super) struct Decoder {
    stage: Stage,
    has_begun: bool,
}

enum Stage {
    Gzip(Box<MultiGzDecoder<Sink>>),
    /// Before the first bytes show whether deflate has zlib's frame, as the standard requires, or not.
    Deflate(Option<Sink>),
    Zlib(Box<ZlibDecoder<Sink>>),
    Raw(Box<DeflateDecoder<Sink>>),
}

/// Collects decompressed bytes, up to the limit.
struct Sink {
    unpacked: Vec<u8>,
    left: u64,
    is_over: bool,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(left) = self.left.checked_sub(bytes.len() as u64) else {
            self.is_over = true;
            return Err(io::Error::other("too large"));
        };
        self.left = left;
        self.unpacked.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Decoder {
    /// The decoder for a response with these headers, of at most `bytes_max` decompressed bytes; `None` when it is not
    /// compressed.
    ///
    /// # Errors
    /// The codings, made safe for a message, when one of them is unknown or there are several.
    pub(super) fn of(headers: &HeaderMap, bytes_max: u64) -> Result<Option<Self>, String> {
        let sink = Sink { unpacked: Vec::new(), left: bytes_max, is_over: false };
        let codings: Vec<String> = headers
            .get_all(header::CONTENT_ENCODING)
            .iter()
            .flat_map(|value| {
                String::from_utf8_lossy(value.as_bytes())
                    .split(',')
                    .map(|coding| coding.trim().to_ascii_lowercase())
                    .collect::<Vec<_>>()
            })
            .filter(|coding| !coding.is_empty() && coding != "identity")
            .collect();
        let stage = match codings.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [] => return Ok(None),
            ["gzip" | "x-gzip"] => Stage::Gzip(Box::new(MultiGzDecoder::new(sink))),
            ["deflate"] => Stage::Deflate(Some(sink)),
            _ => return Err(one_line(&codings.join(", "), CODING_CHARS_MAX)),
        };
        Ok(Some(Self { stage, has_begun: false }))
    }

    /// Decompresses the next part; the result may be empty.
    pub(super) fn push(&mut self, packed: &[u8]) -> Result<Bytes, CodingError> {
        if packed.is_empty() {
            return Ok(Bytes::new());
        }
        if let Stage::Deflate(sink) = &mut self.stage
            && let Some(sink) = sink.take()
        {
            // RFC 1950: the method is 8, and the first two bytes are a multiple of 31.
            let first_two = packed.get(1).map(|second| u16::from_be_bytes([packed[0], *second]));
            let is_zlib = packed[0] & 0x0F == 8 && first_two.is_none_or(|number| number.is_multiple_of(31));
            self.stage = if is_zlib {
                Stage::Zlib(Box::new(ZlibDecoder::new(sink)))
            } else {
                Stage::Raw(Box::new(DeflateDecoder::new(sink)))
            };
        }
        self.has_begun = true;
        let written = match &mut self.stage {
            Stage::Gzip(decoder) => decoder.write_all(packed).and_then(|()| decoder.flush()),
            Stage::Zlib(decoder) => decoder.write_all(packed).and_then(|()| decoder.flush()),
            Stage::Raw(decoder) => decoder.write_all(packed).and_then(|()| decoder.flush()),
            Stage::Deflate(_) => Ok(()),
        };
        self.taken(&written)
    }

    /// Ends the response and returns the remaining bytes. A response without a body is complete.
    pub(super) fn finish(&mut self) -> Result<Bytes, CodingError> {
        if !self.has_begun {
            return Ok(Bytes::new());
        }
        let finished = match &mut self.stage {
            Stage::Gzip(decoder) => decoder.try_finish(),
            Stage::Zlib(decoder) => decoder.try_finish(),
            Stage::Raw(decoder) => decoder.try_finish(),
            Stage::Deflate(_) => Ok(()),
        };
        self.taken(&finished)
    }

    fn taken(&mut self, result: &io::Result<()>) -> Result<Bytes, CodingError> {
        let sink = match &mut self.stage {
            Stage::Gzip(decoder) => decoder.get_mut(),
            Stage::Zlib(decoder) => decoder.get_mut(),
            Stage::Raw(decoder) => decoder.get_mut(),
            Stage::Deflate(_) => return Ok(Bytes::new()),
        };
        match result {
            Ok(()) => Ok(std::mem::take(&mut sink.unpacked).into()),
            Err(_) if sink.is_over => Err(CodingError::TooLarge),
            Err(_) => Err(CodingError::Broken),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;

    fn decoder(coding: &str, bytes_max: u64) -> Decoder {
        let headers = HeaderMap::from_iter([(header::CONTENT_ENCODING, coding.parse().unwrap())]);
        Decoder::of(&headers, bytes_max).unwrap().unwrap()
    }

    /// Unpacks in parts of so many bytes.
    fn unpacked(mut decoder: Decoder, packed: &[u8], part: usize) -> Result<Vec<u8>, CodingError> {
        let mut all = Vec::new();
        for part in packed.chunks(part) {
            all.extend_from_slice(&decoder.push(part)?);
        }
        all.extend_from_slice(&decoder.finish()?);
        Ok(all)
    }

    fn packed(coding: &str, text: &[u8]) -> Vec<u8> {
        let level = Compression::fast();
        match coding {
            "gzip" => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
                encoder.write_all(text).unwrap();
                encoder.finish().unwrap()
            }
            "zlib" => {
                let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), level);
                encoder.write_all(text).unwrap();
                encoder.finish().unwrap()
            }
            _ => {
                let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), level);
                encoder.write_all(text).unwrap();
                encoder.finish().unwrap()
            }
        }
    }

    #[test]
    fn a_compressed_body_is_decompressed_in_parts_of_any_size() {
        let text: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        for (coding, form) in
            [("gzip", "gzip"), ("X-GZip", "gzip"), ("deflate", "zlib"), ("deflate", "raw"), ("identity, gzip", "gzip")]
        {
            let packed = packed(form, &text);
            for part in [1, 7, 4_096, packed.len()] {
                let decoder = decoder(coding, text.len() as u64);
                assert_eq!(unpacked(decoder, &packed, part).as_ref(), Ok(&text), "{coding} {form} {part}");
            }
        }
        assert_eq!(unpacked(decoder("gzip", 1), &[], 1), Ok(Vec::new()), "no body, nothing to unpack");
    }

    #[test]
    fn a_body_that_decompresses_over_its_limit_is_refused_before_it_is_in_memory() {
        let bomb = packed("gzip", &vec![0; 64 << 20]);
        assert!(bomb.len() < 1 << 20);
        let mut decoder = decoder("gzip", 1 << 20);
        assert_eq!(decoder.push(&bomb), Err(CodingError::TooLarge));
        let Stage::Gzip(decoder) = &decoder.stage else { panic!("gzip") };
        assert!(decoder.get_ref().unpacked.len() <= 1 << 20);
    }

    #[test]
    fn a_truncated_or_invalid_compressed_body_is_an_error() {
        // Deflate has no checksum; a truncated response is detected by its length.
        let whole = packed("gzip", &[7; 10_000]);
        for cut in [1, 5, 12] {
            assert_eq!(
                unpacked(decoder("gzip", 1 << 20), &whole[..whole.len() - cut], 16),
                Err(CodingError::Broken),
                "{cut}"
            );
        }
        let text = b"{\"resourceType\":\"Patient\"}";
        assert_eq!(unpacked(decoder("gzip", 1 << 20), text, 4), Err(CodingError::Broken));
    }

    #[test]
    fn an_unknown_content_coding_is_named() {
        let of = |coding: &str| {
            Decoder::of(&HeaderMap::from_iter([(header::CONTENT_ENCODING, coding.parse().unwrap())]), 1)
                .map(|decoder| decoder.is_some())
        };
        assert_eq!(of("br"), Err("br".to_owned()));
        assert_eq!(of("gzip, zstd"), Err("gzip, zstd".to_owned()));
        assert_eq!(of("gzip, gzip"), Err("gzip, gzip".to_owned()));
        assert_eq!(of(&"x".repeat(300)), Err(format!("{}…", "x".repeat(40))), "bounded");
        assert_eq!(of("identity"), Ok(false));
        assert_eq!(Decoder::of(&HeaderMap::new(), 1).map(|decoder| decoder.is_some()), Ok(false));
    }
}
