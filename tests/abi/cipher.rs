// SPDX-License-Identifier: MIT OR Apache-2.0
//! C_Encrypt, C_Decrypt and message authentication codes with secret keys, in the session and in the chip: the results
//! equal those of the RustCrypto modes.

use crate::common::module::{c, len, Module};
use crate::common::secrets::{check, code, given, init, parts, whole, with_io_key, Kind};
use aes::cipher::block_padding::{NoPadding, Pkcs7};
use aes::cipher::{BlockEncryptMut, KeyIvInit, StreamCipher};
use aes::Aes128;
use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::Aes128Gcm;
use cmac::{Cmac, Mac};
use cryptoki_sys::*;
use hmac::Hmac;
use sha2::Sha256;

const KEY: [u8; 16] = *b"sixteen byte key";
const IV: [u8; 16] = [7; 16];

fn text(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 7 + 3) as u8).collect()
}

fn cbc_encryptor() -> cbc::Encryptor<Aes128> {
    cbc::Encryptor::new(&KEY.into(), &IV.into())
}

/// The result of each mode for a text, by another implementation.
fn expected(kind: &Kind<'_>, text: &[u8]) -> Vec<u8> {
    match kind {
        Kind::Plain(CKM_AES_ECB) => {
            let mut out = text.to_vec();
            for block in out.chunks_mut(16) {
                let aes = <Aes128 as aes::cipher::KeyInit>::new(&KEY.into());
                aes::cipher::BlockEncrypt::encrypt_block(&aes, block.into());
            }
            out
        }
        Kind::Iv(CKM_AES_CBC, _) => cbc_encryptor().encrypt_padded_vec_mut::<NoPadding>(text),
        Kind::Iv(CKM_AES_CBC_PAD, _) => cbc_encryptor().encrypt_padded_vec_mut::<Pkcs7>(text),
        Kind::Ctr(..) => {
            let mut out = text.to_vec();
            ctr::Ctr128BE::<Aes128>::new(&KEY.into(), &IV.into()).apply_keystream(&mut out);
            out
        }
        Kind::Gcm { iv, associated, .. } => {
            let gcm = Aes128Gcm::new(&KEY.into());
            gcm.encrypt((*iv).into(), Payload { msg: text, aad: associated }).unwrap()
        }
        _ => unreachable!(),
    }
}

fn modes() -> [Kind<'static>; 5] {
    [
        Kind::Plain(CKM_AES_ECB),
        Kind::Iv(CKM_AES_CBC, IV),
        Kind::Iv(CKM_AES_CBC_PAD, IV),
        Kind::Ctr(128, IV),
        Kind::Gcm { iv: &[9; 12], associated: b"header", tag_bits: 128 },
    ]
}

/// Whether the mode takes whole blocks only.
fn is_for_blocks(kind: &Kind<'_>) -> bool {
    matches!(kind, Kind::Plain(_) | Kind::Iv(CKM_AES_CBC, _))
}

fn everywhere(test: impl Fn(&Module, CK_SESSION_HANDLE, CK_OBJECT_HANDLE)) {
    let (module, _bus, session) = with_io_key();
    for on_token in [false, true] {
        let key = module.create_object(session, &given(on_token, CKK_AES, &KEY)).unwrap();
        test(&module, session, key);
    }
}

#[test]
fn every_mode_gives_the_results_of_the_crates() {
    everywhere(|module, session, key| {
        for kind in &modes() {
            for length in [0, 1, 15, 16, 17, 31, 32, 48, 100] {
                let text = text(length);
                if is_for_blocks(kind) && length % 16 != 0 {
                    assert_eq!(whole(module, session, true, kind, key, &text), Err(CKR_DATA_LEN_RANGE));
                    continue;
                }
                let expected = expected(kind, &text);
                assert_eq!(whole(module, session, true, kind, key, &text), Ok(expected.clone()), "{length}");
                assert_eq!(whole(module, session, false, kind, key, &expected), Ok(text), "{length}");
            }
        }
    });
}

#[test]
fn parts_make_the_same_as_the_whole_however_they_are_cut() {
    everywhere(|module, session, key| {
        let text = text(80);
        for kind in &modes() {
            let expected = expected(kind, &text);
            for cuts in [[0, 0, 0], [1, 16, 17], [16, 32, 48], [5, 5, 79], [15, 33, 64]] {
                let cut = |whole: &[u8]| -> Vec<Vec<u8>> {
                    let mut places = vec![0];
                    places.extend(cuts.map(|cut: usize| cut.min(whole.len())));
                    places.push(whole.len());
                    places.windows(2).map(|pair| whole[pair[0]..pair[1]].to_vec()).collect()
                };
                let there = cut(&text);
                let there: Vec<&[u8]> = there.iter().map(Vec::as_slice).collect();
                assert_eq!(parts(module, session, true, kind, key, &there), Ok(expected.clone()));
                let back = cut(&expected);
                let back: Vec<&[u8]> = back.iter().map(Vec::as_slice).collect();
                assert_eq!(parts(module, session, false, kind, key, &back), Ok(text.clone()));
            }
        }
    });
}

#[test]
fn a_damaged_text_gives_nothing_away() {
    everywhere(|module, session, key| {
        let gcm = Kind::Gcm { iv: &[9; 12], associated: b"header", tag_bits: 128 };
        let good = whole(module, session, true, &gcm, key, &text(40)).unwrap();
        for place in [0, 39, 40, 55] {
            let mut bad = good.clone();
            bad[place] ^= 1;
            assert_eq!(whole(module, session, false, &gcm, key, &bad), Err(CKR_ENCRYPTED_DATA_INVALID));
            assert_eq!(parts(module, session, false, &gcm, key, &[&bad]), Err(CKR_ENCRYPTED_DATA_INVALID));
        }
        let other = Kind::Gcm { iv: &[9; 12], associated: b"Header", tag_bits: 128 };
        assert_eq!(whole(module, session, false, &other, key, &good), Err(CKR_ENCRYPTED_DATA_INVALID));
        assert_eq!(whole(module, session, false, &gcm, key, &good[..15]), Err(CKR_ENCRYPTED_DATA_LEN_RANGE));

        let padded = Kind::Iv(CKM_AES_CBC_PAD, IV);
        let whole_blocks = cbc_encryptor().encrypt_padded_vec_mut::<NoPadding>(&[0; 32]);
        assert_eq!(whole(module, session, false, &padded, key, &whole_blocks), Err(CKR_ENCRYPTED_DATA_INVALID));
        assert_eq!(whole(module, session, false, &padded, key, &whole_blocks[..31]), Err(CKR_ENCRYPTED_DATA_LEN_RANGE));
        assert_eq!(whole(module, session, false, &padded, key, &[]), Err(CKR_ENCRYPTED_DATA_LEN_RANGE));
        // The failure has ended the operation.
        assert_eq!(init(module, session, false, &padded, key), Ok(()));
        // A NULL mechanism ends this operation.
        c!(module, C_DecryptInit(session, std::ptr::null_mut(), 0)).unwrap();
    });
}

#[test]
fn gcm_takes_other_vectors_and_shorter_tags() {
    everywhere(|module, session, key| {
        // NIST's GCM test case 6 has 60 bytes of initialization vector; here the crate with 16.
        type Gcm16 = aes_gcm::AesGcm<Aes128, aes::cipher::consts::U16>;
        let text = text(33);
        let expected = Gcm16::new(&KEY.into()).encrypt((&IV).into(), Payload { msg: &text, aad: b"" }).unwrap();
        for tag_bits in [128, 120, 112, 104, 96, 64, 32] {
            let kind = Kind::Gcm { iv: &IV, associated: b"", tag_bits };
            let cut = &expected[..33 + tag_bits as usize / 8];
            assert_eq!(whole(module, session, true, &kind, key, &text).as_deref(), Ok(cut));
            assert_eq!(whole(module, session, false, &kind, key, cut), Ok(text.clone()));
        }
        for kind in [
            Kind::Gcm { iv: &IV, associated: b"", tag_bits: 127 },
            Kind::Gcm { iv: &[], associated: b"", tag_bits: 128 },
            Kind::Plain(CKM_AES_GCM),
            Kind::Plain(CKM_AES_CBC),
            Kind::Iv(CKM_AES_ECB, IV),
            Kind::Ctr(0, IV),
            Kind::Ctr(129, IV),
        ] {
            assert_eq!(init(module, session, true, &kind, key), Err(CKR_MECHANISM_PARAM_INVALID));
        }
    });
}

#[test]
fn a_counter_never_wraps_around() {
    everywhere(|module, session, key| {
        let mut block = [0; 16];
        block[15] = 0xFE;
        let kind = Kind::Ctr(8, block);
        assert!(whole(module, session, true, &kind, key, &[0; 32]).is_ok());
        assert_eq!(whole(module, session, true, &kind, key, &[0; 33]), Err(CKR_DATA_LEN_RANGE));
    });
}

#[test]
fn a_short_buffer_gets_the_length_and_loses_nothing() {
    everywhere(|module, session, key| {
        for kind in &modes() {
            init(module, session, true, kind, key).unwrap();
            let (text, mut out, mut length) = (text(48), vec![0; 80], 1);
            let data = text.as_ptr().cast_mut();
            let short = c!(module, C_Encrypt(session, data, 48, out.as_mut_ptr(), &mut length));
            assert_eq!(short, Err(CKR_BUFFER_TOO_SMALL));
            c!(module, C_Encrypt(session, data, 48, out.as_mut_ptr(), &mut length)).unwrap();
            assert_eq!(out[..length as usize], expected(kind, &text));
        }
        // A buffer of exactly the text's length is enough for a padded text, whose length the caller can't know before.
        let padded = Kind::Iv(CKM_AES_CBC_PAD, IV);
        let encrypted = cbc_encryptor().encrypt_padded_vec_mut::<Pkcs7>(b"five!");
        init(module, session, false, &padded, key).unwrap();
        let (mut out, mut length) = ([0; 5], 4);
        let data = encrypted.as_ptr().cast_mut();
        let short = c!(module, C_Decrypt(session, data, 16, out.as_mut_ptr(), &mut length));
        assert_eq!((short, length), (Err(CKR_BUFFER_TOO_SMALL), 5));
        c!(module, C_Decrypt(session, data, 16, out.as_mut_ptr(), &mut length)).unwrap();
        assert_eq!(&out, b"five!");
        // A query for the length decrypts nothing: it does not tell whether the padding is right.
        init(module, session, false, &padded, key).unwrap();
        let mut damaged = encrypted.clone();
        damaged[0] ^= 1;
        let data = damaged.as_ptr().cast_mut();
        let query = c!(module, C_Decrypt(session, data, 16, std::ptr::null_mut(), &mut length));
        assert_eq!((query, length), (Ok(()), 16));
        assert!(c!(module, C_Decrypt(session, data, 16, out.as_mut_ptr(), &mut length)).is_err());
    });
}

#[test]
fn codes_are_those_of_the_crates() {
    let (module, _bus, session) = with_io_key();
    for on_token in [false, true] {
        let aes = module.create_object(session, &given(on_token, CKK_AES, &KEY)).unwrap();
        let secret = module.create_object(session, &given(on_token, CKK_GENERIC_SECRET, &[0x0B; 20])).unwrap();
        for length in [0, 1, 15, 16, 17, 32, 63, 64, 65, 200, 240, 241, 256, 257, 500] {
            let text = text(length);
            let mut cmac = <Cmac<Aes128> as Mac>::new(&KEY.into());
            cmac.update(&text);
            let mut hmac = <Hmac<Sha256> as Mac>::new_from_slice(&[0x0B; 20]).unwrap();
            hmac.update(&text);
            let codes = [
                (aes, CKM_AES_CMAC, CKM_AES_CMAC_GENERAL, cmac.finalize().into_bytes().to_vec()),
                (secret, CKM_SHA256_HMAC, CKM_SHA256_HMAC_GENERAL, hmac.finalize().into_bytes().to_vec()),
            ];
            for (key, kind, general, expected) in codes {
                let (kind, general) = (Kind::Plain(kind), Kind::Length(general, 10));
                assert_eq!(code(&module, session, &kind, key, &text), Ok(expected.clone()), "{length}");
                assert_eq!(code(&module, session, &general, key, &text).as_deref(), Ok(&expected[..10]));
                assert_eq!(check(&module, session, &kind, key, &text, &expected), Ok(()));
                assert_eq!(check(&module, session, &general, key, &text, &expected[..10]), Ok(()));
                let mut wrong = expected.clone();
                wrong[9] ^= 1;
                assert_eq!(check(&module, session, &kind, key, &text, &wrong), Err(CKR_SIGNATURE_INVALID));
                assert_eq!(check(&module, session, &kind, key, &text, &expected[1..]), Err(CKR_SIGNATURE_LEN_RANGE));
            }
        }
        for length in [0, 33] {
            let kind = Kind::Length(CKM_SHA256_HMAC_GENERAL, length);
            assert_eq!(code(&module, session, &kind, secret, b""), Err(CKR_MECHANISM_PARAM_INVALID));
        }
        assert_eq!(code(&module, session, &Kind::Plain(CKM_AES_CMAC), secret, b""), Err(CKR_KEY_TYPE_INCONSISTENT));
    }
}

#[test]
fn a_message_in_parts_has_the_code_of_the_whole() {
    let (module, _bus, session) = with_io_key();
    for on_token in [false, true] {
        let aes = module.create_object(session, &given(on_token, CKK_AES, &KEY)).unwrap();
        let secret = module.create_object(session, &given(on_token, CKK_GENERIC_SECRET, &[0x0B; 32])).unwrap();
        let text = text(600);
        for (key, kind) in [(aes, CKM_AES_CMAC), (secret, CKM_SHA256_HMAC)] {
            let whole = module.sign_with(session, kind, key, &text).unwrap();
            for cut in [0, 1, 16, 64, 240, 241, 599, 600] {
                let parts = [&text[..cut], &[], &text[cut..]];
                assert_eq!(module.sign_parts(session, kind, key, &parts), Ok(whole.clone()));
            }
        }
    }
}

#[test]
fn the_chip_does_the_work_of_a_key_that_is_in_it() {
    let (module, bus, session) = with_io_key();
    let aes = module.create_object(session, &given(true, CKK_AES, &KEY)).unwrap();
    let secret = module.create_object(session, &given(true, CKK_GENERIC_SECRET, &[1; 32])).unwrap();
    bus.take_stats();
    whole(&module, session, true, &Kind::Plain(CKM_AES_ECB), aes, &text(64)).unwrap();
    let stats = bus.take_stats();
    assert_eq!(stats.commands.get("AES"), Some(&4));
    assert_eq!(stats.wakes, 1);
    module.sign_with(session, CKM_SHA256_HMAC, secret, &text(130)).unwrap();
    let stats = bus.take_stats();
    assert_eq!(stats.commands.get("SHA"), Some(&4));
    assert_eq!(stats.wakes, 1);
    // A text too long for one conversation is refused at once.
    let long = vec![0; 8193];
    assert_eq!(module.sign_with(session, CKM_SHA256_HMAC, secret, &long), Err(CKR_DATA_LEN_RANGE));
    assert_eq!(bus.take_stats().commands.len(), 0);
    assert_eq!(len(&long), 8193);
}

#[test]
fn encryption_with_gcm_gives_each_part_at_once_and_decryption_gives_none() {
    everywhere(|module, session, key| {
        let gcm = Kind::Gcm { iv: &[9; 12], associated: b"header", tag_bits: 128 };
        let (text, expected) = (text(37), expected(&gcm, &text(37)));
        init(module, session, true, &gcm, key).unwrap();
        let mut cipher_text = Vec::new();
        for part in text.chunks(10) {
            let (mut out, mut len) = ([0; 64], 64);
            let given = part.as_ptr().cast_mut();
            c!(module, C_EncryptUpdate(session, given, part.len() as CK_ULONG, out.as_mut_ptr(), &mut len)).unwrap();
            cipher_text.extend_from_slice(&out[..len as usize]);
            assert_eq!(cipher_text, expected[..cipher_text.len()], "as many bytes as were given");
        }
        assert_eq!(cipher_text.len(), 37);
        let (mut tag, mut len) = ([0; 64], 64);
        c!(module, C_EncryptFinal(session, tag.as_mut_ptr(), &mut len)).unwrap();
        assert_eq!(tag[..len as usize], expected[37..]);
        init(module, session, false, &gcm, key).unwrap();
        let (mut out, mut len) = ([0; 64], 64);
        c!(module, C_DecryptUpdate(session, expected.as_ptr().cast_mut(), 53, out.as_mut_ptr(), &mut len)).unwrap();
        assert_eq!((len, out), (0, [0; 64]));
        len = 64;
        c!(module, C_DecryptFinal(session, out.as_mut_ptr(), &mut len)).unwrap();
        assert_eq!(out[..len as usize], text);
    });
}

#[test]
fn a_text_for_gcm_that_would_take_many_seconds_is_refused_at_once() {
    let (module, _bus, session) = with_io_key();
    let key = module.create_object(session, &given(false, CKK_AES, &KEY)).unwrap();
    let gcm = Kind::Gcm { iv: &[9; 12], associated: b"", tag_bits: 128 };
    let too_long = vec![0; (64 << 20) + 17];
    let mut out = vec![0; too_long.len() + 16];
    let (given, given_len) = (too_long.as_ptr().cast_mut(), too_long.len() as CK_ULONG);
    let mut len = out.len() as CK_ULONG;
    init(&module, session, true, &gcm, key).unwrap();
    assert_eq!(c!(module, C_Encrypt(session, given, given_len, out.as_mut_ptr(), &mut len)), Err(CKR_DATA_LEN_RANGE));
    init(&module, session, true, &gcm, key).unwrap();
    let part = c!(module, C_EncryptUpdate(session, given, given_len, out.as_mut_ptr(), &mut len));
    assert_eq!(part, Err(CKR_DATA_LEN_RANGE));
    init(&module, session, false, &gcm, key).unwrap();
    let whole = c!(module, C_Decrypt(session, given, given_len, out.as_mut_ptr(), &mut len));
    assert_eq!(whole, Err(CKR_ENCRYPTED_DATA_LEN_RANGE));
    // A text in parts is kept until its tag was verified.
    init(&module, session, false, &gcm, key).unwrap();
    let mut part = |len: CK_ULONG| c!(module, C_DecryptUpdate(session, given, len, out.as_mut_ptr(), &mut 0));
    assert_eq!(part(given_len - 17), Ok(()));
    assert_eq!(part(17), Err(CKR_ENCRYPTED_DATA_LEN_RANGE));
}
