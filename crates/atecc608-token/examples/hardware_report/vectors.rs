// SPDX-License-Identifier: MIT OR Apache-2.0
//! External test vectors.

/// SHA-256 of "abc" (FIPS 180-4, example).
pub const ABC_DIGEST: [u8; 32] = hex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
/// AES-128 (FIPS 197, appendix C.1): key, plaintext, ciphertext.
pub const AES_KEY: [u8; 16] = hex("000102030405060708090a0b0c0d0e0f");
/// See [`AES_KEY`].
pub const AES_PLAIN: [u8; 16] = hex("00112233445566778899aabbccddeeff");
/// See [`AES_KEY`].
pub const AES_CIPHER: [u8; 16] = hex("69c4e0d86a7b0430d8cdb78070b4c55a");
/// Multiplication of GCM (NIST's GCM specification, test case 2): H, the ciphertext, their product.
pub const GCM_H: [u8; 16] = hex("66e94bd4ef8a2c3b884cfa59ca342b2e");
/// See [`GCM_H`].
pub const GCM_INPUT: [u8; 16] = hex("0388dace60b6a392f328c2b971b2fe78");
/// See [`GCM_H`].
pub const GCM_PRODUCT: [u8; 16] = hex("5e2ec746917062882c85b0685353deb7");
/// HMAC-SHA-256 of "Hi There" with a key of twenty 0b (RFC 4231, test case 1): as 32 bytes, the rest zero, it is the
/// same key to HMAC.
pub const HMAC_KEY: [u8; 32] = hex("0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b000000000000000000000000");
/// See [`HMAC_KEY`].
pub const HMAC_DIGEST: [u8; 32] = hex("b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
/// P_SHA256 with key and message of the vendor's test (fact sheet section 3.9): the first 32 bytes.
pub const PRF_KEY: [u8; 32] = hex("000102030405060708090a0b0c0d0e0f000102030405060708090a0b0c0d0e0f");
/// See [`PRF_KEY`].
pub const PRF_OUTPUT: [u8; 32] = hex("1ebcbe62005ab948fdffe1c402aaba354ec676050c9bc1aae1ff5b1509a4a04a");
/// ECDSA on P-256 with SHA-256 of "sample" (RFC 6979, appendix A.2.5): the private key, the public key, the digest,
/// the signature.
pub const EC_SCALAR: [u8; 32] = hex("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721");
/// See [`EC_SCALAR`].
pub const EC_PUBLIC: [u8; 64] = hex("60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6\
    7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299");
/// See [`EC_SCALAR`].
pub const EC_DIGEST: [u8; 32] = hex("af2bdbe1aa9b6ec1e2ade1d694f41fc71a831d0268e9891562113d8a62add1bf");
/// See [`EC_SCALAR`].
pub const EC_SIGNATURE: [u8; 64] = hex("efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716\
    f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8");
/// X and Y of a point that is not on P-256.
pub const NO_POINT: [u8; 64] = [0x11; 64];

/// Bytes of hexadecimal digits.
const fn hex<const N: usize>(digits: &str) -> [u8; N] {
    const fn value(digit: u8) -> u8 {
        match digit {
            b'0'..=b'9' => digit - b'0',
            _ => digit - b'a' + 10,
        }
    }
    let digits = digits.as_bytes();
    assert!(digits.len() == 2 * N, "as many digits as bytes ask for");
    let mut bytes = [0; N];
    let mut at = 0;
    while at < N {
        bytes[at] = value(digits[2 * at]) << 4 | value(digits[2 * at + 1]);
        at += 1;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use p256::ecdsa::signature::hazmat::PrehashVerifier;
    use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn the_vectors_were_copied_right() {
        assert_eq!(Sha256::digest(b"abc")[..], ABC_DIGEST);
        assert_eq!(Sha256::digest(b"sample")[..], EC_DIGEST);
        let key = SigningKey::from_slice(&EC_SCALAR).unwrap();
        let public = VerifyingKey::from(&key).to_encoded_point(false);
        assert_eq!(public.as_bytes()[1..], EC_PUBLIC);
        VerifyingKey::from(&key).verify_prehash(&EC_DIGEST, &Signature::from_slice(&EC_SIGNATURE).unwrap()).unwrap();
    }
}
