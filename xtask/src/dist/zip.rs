//! As much of ZIP as a wheel needs: deflated files with their modes, no encryption, no 4 GiB.

use std::io::Write;

use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};

use crate::task::Result;

/// 1980-01-01, the first day that ZIP knows.
const FIRST_DAY: u16 = 0x0021;
const DEFLATED: u16 = 8;
/// Made on Unix, by version 2.0.
const MADE_BY: u16 = 3 << 8 | 20;
const NEEDED: u16 = 20;

/// A ZIP file in the making.
#[derive(Debug, Default)]
pub struct Zip {
    out: Vec<u8>,
    directory: Vec<u8>,
    count: u16,
}

impl Zip {
    /// Adds a file.
    pub fn file(&mut self, path: &str, mode: u32, bytes: &[u8]) -> Result {
        let mut packer = DeflateEncoder::new(Vec::new(), Compression::best());
        packer.write_all(bytes)?;
        let packed = packer.finish()?;
        let mut crc = Crc::new();
        crc.update(bytes);

        let mut common = Vec::new();
        for field in [NEEDED, 0, DEFLATED, 0, FIRST_DAY] {
            common.extend(field.to_le_bytes());
        }
        for field in [crc.sum(), u32::try_from(packed.len())?, u32::try_from(bytes.len())?] {
            common.extend(field.to_le_bytes());
        }
        common.extend(u16::try_from(path.len())?.to_le_bytes());
        common.extend(0u16.to_le_bytes());

        let offset = u32::try_from(self.out.len())?;
        self.out.extend(b"PK\x03\x04");
        self.out.extend(&common);
        self.out.extend(path.bytes());
        self.out.extend(packed);

        self.directory.extend(b"PK\x01\x02");
        self.directory.extend(MADE_BY.to_le_bytes());
        self.directory.extend(&common);
        // No comment, first disk, no internal attributes.
        self.directory.extend([0; 6]);
        self.directory.extend(((0o100_000 | mode) << 16).to_le_bytes());
        self.directory.extend(offset.to_le_bytes());
        self.directory.extend(path.bytes());
        self.count += 1;
        Ok(())
    }

    /// The whole file.
    pub fn finish(mut self) -> Result<Vec<u8>> {
        let offset = u32::try_from(self.out.len())?;
        let length = u32::try_from(self.directory.len())?;
        self.out.extend(&self.directory);
        self.out.extend(b"PK\x05\x06\0\0\0\0");
        self.out.extend(self.count.to_le_bytes());
        self.out.extend(self.count.to_le_bytes());
        self.out.extend(length.to_le_bytes());
        self.out.extend(offset.to_le_bytes());
        self.out.extend([0; 2]);
        Ok(self.out)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn what_was_packed_can_be_unpacked() {
        let mut zip = Zip::default();
        zip.file("a/b.txt", 0o755, b"hello hello hello").unwrap();
        let packed = zip.finish().unwrap();
        assert_eq!(&packed[..4], b"PK\x03\x04");
        let mut text = String::new();
        flate2::read::DeflateDecoder::new(&packed[30 + 7..]).read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello hello hello");
        assert_eq!(packed[packed.len() - 22..][..4], *b"PK\x05\x06");
    }
}
