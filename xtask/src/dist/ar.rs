//! The outer shell of a `.deb`: an `ar` archive (deb(5)).

/// Packs members in this order.
pub fn ar(members: &[(&str, &[u8])], time: u64) -> Vec<u8> {
    let mut packed = b"!<arch>\n".to_vec();
    for (name, bytes) in members {
        packed.extend(format!("{name:<16}{time:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, "100644", bytes.len()).bytes());
        packed.extend_from_slice(bytes);
        if bytes.len() % 2 == 1 {
            packed.push(b'\n');
        }
    }
    packed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_begin_at_even_offsets_behind_a_header_of_sixty_bytes() {
        let packed = ar(&[("debian-binary", b"2.0\n"), ("odd", b"x"), ("next", b"y")], 7);
        assert_eq!(&packed[..24], b"!<arch>\ndebian-binary   ");
        assert_eq!(&packed[8 + 58..8 + 64], b"`\n2.0\n");
        let next = packed.windows(4).position(|window| window == b"next").unwrap();
        assert_eq!(next % 2, 0);
    }
}
