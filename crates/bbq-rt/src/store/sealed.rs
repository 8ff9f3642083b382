//! Checksums around stored values.
//!
//! ```text
//! crc32c of everything that follows and of the key: u32, big-endian │ format: u8 = 1 │ value
//! ```

const FORMAT: u8 = 1;

/// The value as it is stored below `key`.
pub(crate) fn seal(key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(value.len() + 5);
    sealed.extend_from_slice(&[0, 0, 0, 0, FORMAT]);
    sealed.extend_from_slice(value);
    let sum = checksum(key, &sealed[4..]);
    sealed[..4].copy_from_slice(&sum.to_be_bytes());
    sealed
}

/// The value that was sealed below `key`; `None`: it is damaged, or belongs to another key.
pub(crate) fn unseal<'a>(key: &[u8], sealed: &'a [u8]) -> Option<&'a [u8]> {
    let (sum, rest) = sealed.split_first_chunk::<4>()?;
    if u32::from_be_bytes(*sum) != checksum(key, rest) {
        return None;
    }
    match rest.split_first()? {
        (&FORMAT, value) => Some(value),
        _ => None,
    }
}

fn checksum(key: &[u8], rest: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(rest), key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_flipped_bit_and_any_other_key_is_noticed() {
        let sealed = seal(b"key", b"value");
        assert_eq!(unseal(b"key", &sealed), Some(&b"value"[..]));
        assert_eq!(unseal(b"yek", &sealed), None);
        assert_eq!(unseal(b"key", &sealed[..3]), None);
        for bit in 0..sealed.len() * 8 {
            let mut damaged = sealed.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(unseal(b"key", &damaged), None, "bit {bit}");
        }
    }
}
