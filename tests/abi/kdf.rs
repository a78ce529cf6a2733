// SPDX-License-Identifier: MIT OR Apache-2.0
//! HKDF and the key derivation of TLS 1.2 through the C ABI, with session secrets and with one in the chip.

use std::collections::BTreeMap;
use std::ptr::null_mut;

use crate::common::module::{attributes, boolean, c, len, ulong, Attributes, Module, Result};
use crate::common::secrets::{given, replace_io_key, requiring_io_key, with_io_key};
use atecc608_sim::SimBus;
use cryptoki_sys::*;
use hkdf::SimpleHkdf;
use hmac::{Hmac, Mac};
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512};

type Session = CK_SESSION_HANDLE;
type Handle = CK_OBJECT_HANDLE;

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

pub fn derive<P>(
    module: &Module,
    session: Session,
    kind: CK_MECHANISM_TYPE,
    mut parameter: P,
    base: Handle,
    template: Attributes,
) -> Result<Handle> {
    let mut mechanism = CK_MECHANISM {
        mechanism: kind,
        pParameter: (&raw mut parameter).cast(),
        ulParameterLen: size_of::<P>() as CK_ULONG,
    };
    let (mut array, mut key) = (attributes(template), 0);
    let count = array.len() as CK_ULONG;
    c!(module, C_DeriveKey(session, &mut mechanism, base, array.as_mut_ptr(), count, &mut key))?;
    Ok(key)
}

/// The parameters of HKDF.
pub struct Hkdf<'a> {
    pub steps: (bool, bool),
    pub salt: Salt<'a>,
    pub info: &'a [u8],
}

pub enum Salt<'a> {
    Null,
    Data(&'a [u8]),
    Key(Handle),
}

impl Hkdf<'_> {
    pub fn parameter(&self) -> CK_HKDF_PARAMS {
        self.with_hash(CKM_SHA256)
    }

    fn with_hash(&self, hash: CK_MECHANISM_TYPE) -> CK_HKDF_PARAMS {
        let (kind, data, key) = match self.salt {
            Salt::Null => (CKF_HKDF_SALT_NULL, &[][..], 0),
            Salt::Data(data) => (CKF_HKDF_SALT_DATA, data, 0),
            Salt::Key(key) => (CKF_HKDF_SALT_KEY, &[][..], key),
        };
        CK_HKDF_PARAMS {
            bExtract: self.steps.0.into(),
            bExpand: self.steps.1.into(),
            prfHashMechanism: hash,
            ulSaltType: kind,
            pSalt: data.as_ptr().cast_mut(),
            ulSaltLen: len(data),
            hSaltKey: key,
            pInfo: self.info.as_ptr().cast_mut(),
            ulInfoLen: len(self.info),
        }
    }

    pub fn derive(&self, module: &Module, session: Session, base: Handle, length: CK_ULONG) -> Result<Vec<u8>> {
        let template = [(CKA_VALUE_LEN, ulong(length))];
        let key = derive(module, session, CKM_HKDF_DERIVE, self.parameter(), base, &template)?;
        module.attribute(session, key, CKA_VALUE)
    }
}

#[test]
fn hkdf_is_rfc_5869s() {
    let (module, _bus, session) = with_io_key();
    let secret = |value: &[u8]| module.create_object(session, &given(false, CKK_GENERIC_SECRET, value)).unwrap();
    // Test case 1.
    let (salt, info) = (bytes("000102030405060708090a0b0c"), bytes("f0f1f2f3f4f5f6f7f8f9"));
    let prk = bytes("077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5");
    let okm = bytes("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
    let base = secret(&[0x0B; 22]);
    let both = Hkdf { steps: (true, true), salt: Salt::Data(&salt), info: &info };
    assert_eq!(both.derive(&module, session, base, 42), Ok(okm.clone()));
    let first = Hkdf { steps: (true, false), salt: Salt::Data(&salt), info: &[] };
    assert_eq!(first.derive(&module, session, base, 32), Ok(prk.clone()));
    let second = Hkdf { steps: (false, true), salt: Salt::Null, info: &info };
    assert_eq!(second.derive(&module, session, secret(&prk), 42), Ok(okm.clone()));
    let by_key = Hkdf { steps: (true, true), salt: Salt::Key(secret(&salt)), info: &info };
    assert_eq!(by_key.derive(&module, session, base, 42), Ok(okm));
    // Test case 3: neither salt nor info.
    let okm = bytes("8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8");
    let bare = Hkdf { steps: (true, true), salt: Salt::Null, info: &[] };
    assert_eq!(bare.derive(&module, session, base, 42), Ok(okm));
    let neither = Hkdf { steps: (false, false), salt: Salt::Null, info: &[] };
    assert_eq!(neither.derive(&module, session, base, 32), Err(CKR_MECHANISM_PARAM_INVALID));
    assert_eq!(both.derive(&module, session, base, 255 * 32 + 1), Err(CKR_ATTRIBUTE_VALUE_INVALID));
}

/// The two steps of the hkdf crate: the result of the first, and `length` bytes of both.
macro_rules! by_the_crate {
    ($hash:ty, $salt:expr, $input:expr, $info:expr, $length:expr) => {{
        let (prk, hkdf) = SimpleHkdf::<$hash>::extract($salt, $input);
        let mut output = vec![0; $length];
        hkdf.expand($info, &mut output).unwrap();
        (prk.to_vec(), output)
    }};
}

#[test]
fn hkdf_of_a_session_secret_takes_each_hash() {
    let (module, _bus, session) = with_io_key();
    let base = module.create_object(session, &given(false, CKK_GENERIC_SECRET, b"input")).unwrap();
    for (hash, salt) in
        [(CKM_SHA_1, None), (CKM_SHA224, Some(&b"salt"[..])), (CKM_SHA384, None), (CKM_SHA512, Some(&[7; 200]))]
    {
        let (prk, okm) = match hash {
            CKM_SHA_1 => by_the_crate!(Sha1, salt, b"input", b"info", 130),
            CKM_SHA224 => by_the_crate!(Sha224, salt, b"input", b"info", 130),
            CKM_SHA384 => by_the_crate!(Sha384, salt, b"input", b"info", 130),
            _ => by_the_crate!(Sha512, salt, b"input", b"info", 130),
        };
        let derived = |steps, kind, template: Attributes| {
            let hkdf = Hkdf { steps, salt: salt.map_or(Salt::Null, Salt::Data), info: b"info" };
            let key = derive(&module, session, kind, hkdf.with_hash(hash), base, template)?;
            module.attribute(session, key, CKA_VALUE)
        };
        for kind in [CKM_HKDF_DERIVE, CKM_HKDF_DATA] {
            assert_eq!(derived((true, true), kind, &[(CKA_VALUE_LEN, ulong(130))]), Ok(okm.clone()), "{hash:#x}");
            // As long as the hash without CKA_VALUE_LEN, and only so long.
            assert_eq!(derived((true, false), kind, &[]), Ok(prk.clone()), "{hash:#x}");
            let other = derived((true, false), kind, &[(CKA_VALUE_LEN, ulong(16))]);
            assert_eq!(other, Err(CKR_MECHANISM_PARAM_INVALID), "{hash:#x}");
            let too_long = [(CKA_VALUE_LEN, ulong(255 * prk.len() as CK_ULONG + 1))];
            assert_eq!(derived((true, true), kind, &too_long), Err(CKR_ATTRIBUTE_VALUE_INVALID), "{hash:#x}");
        }
    }
    for hash in [CKM_ECDSA_SHA256, CKM_SHA3_256, CKM_SHA256_HMAC] {
        let hkdf = Hkdf { steps: (true, true), salt: Salt::Null, info: &[] };
        let refused = derive(&module, session, CKM_HKDF_DERIVE, hkdf.with_hash(hash), base, &[]);
        assert_eq!(refused, Err(CKR_MECHANISM_PARAM_INVALID), "{hash:#x}");
    }
}

#[test]
fn a_secret_in_the_chip_takes_sha_256_only() {
    let (module, bus, session) = with_io_key();
    let in_chip = module.create_object(session, &given(true, CKK_GENERIC_SECRET, b"secret")).unwrap();
    let base = module.create_object(session, &given(false, CKK_GENERIC_SECRET, b"input")).unwrap();
    bus.take_stats();
    let expand = Hkdf { steps: (false, true), salt: Salt::Null, info: b"info" };
    let salted = Hkdf { steps: (true, false), salt: Salt::Key(in_chip), info: &[] };
    for (hkdf, key) in [(expand, in_chip), (salted, base)] {
        let refused = derive(&module, session, CKM_HKDF_DERIVE, hkdf.with_hash(CKM_SHA384), key, &[]);
        assert_eq!(refused, Err(CKR_MECHANISM_PARAM_INVALID));
    }
    assert!(bus.take_stats().commands.is_empty());
}

#[test]
fn a_secret_in_the_chip_is_expanded_by_the_chip_and_is_a_salt() {
    let (module, bus, session) = with_io_key();
    let prk = bytes("077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5");
    let in_chip = module.create_object(session, &given(true, CKK_GENERIC_SECRET, &prk)).unwrap();
    assert_eq!(module.attribute(session, in_chip, CKA_DERIVE), Ok(boolean(true)));
    let info = bytes("f0f1f2f3f4f5f6f7f8f9");
    let okm = bytes("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
    let expand = Hkdf { steps: (false, true), salt: Salt::Null, info: &info };
    assert_eq!(expand.derive(&module, session, in_chip, 42), Ok(okm.clone()));
    bus.take_stats();
    assert_eq!(expand.derive(&module, session, in_chip, 42), Ok(okm));
    let commands = bus.take_stats().commands;
    assert_eq!((commands.get("KDF"), commands.get("SHA")), (Some(&2), None), "encrypted on the bus");
    let extract = Hkdf { steps: (true, true), salt: Salt::Null, info: &info };
    assert_eq!(extract.derive(&module, session, in_chip, 42), Err(CKR_KEY_FUNCTION_NOT_PERMITTED));
    let base = module.create_object(session, &given(false, CKK_GENERIC_SECRET, b"input")).unwrap();
    let salted = Hkdf { steps: (true, false), salt: Salt::Key(in_chip), info: &[] };
    let mut hmac = <Hmac<Sha256> as Mac>::new_from_slice(&prk).unwrap();
    hmac.update(b"input");
    assert_eq!(salted.derive(&module, session, base, 32), Ok(hmac.finalize().into_bytes().to_vec()));
}

/// The commands with which KDF uses the chip.
fn commands_of_an_expansion(module: &Module, bus: &SimBus, session: Session, key: Handle) -> BTreeMap<String, u64> {
    let expand = Hkdf { steps: (false, true), salt: Salt::Null, info: b"info" };
    bus.take_stats();
    let output = expand.derive(module, session, key, 32).unwrap();
    let mut hmac = <Hmac<Sha256> as Mac>::new_from_slice(b"secret").unwrap();
    hmac.update(b"info\x01");
    assert_eq!(output, hmac.finalize().into_bytes().to_vec());
    bus.take_stats().commands
}

#[test]
fn without_the_io_protection_key_or_with_an_unusable_kdf_the_result_is_right_and_in_clear() {
    let (module, bus, session) = with_io_key();
    let key = module.create_object(session, &given(true, CKK_GENERIC_SECRET, b"secret")).unwrap();
    // Twice the serial number, Nonce and CheckMac before it.
    bus.set_faults("status@5:0F".parse().unwrap());
    let commands = commands_of_an_expansion(&module, &bus, session, key);
    assert_eq!((commands.get("KDF"), commands.get("SHA")), (Some(&1), Some(&2)));
    module.assert_logged(&["KDF", "cross the bus in clear"]);
    let again = commands_of_an_expansion(&module, &bus, session, key);
    assert_eq!((again.get("KDF"), again.get("SHA")), (None, Some(&2)), "asked once");
    module.finalize().unwrap();
    std::fs::remove_dir_all(module.configuration().parent().unwrap().join("keys")).unwrap();
    let session = module.start();
    let key = module.find(session, &[(CKA_CLASS, ulong(CKO_SECRET_KEY))]).unwrap()[0];
    let commands = commands_of_an_expansion(&module, &bus, session, key);
    // Two of them are the key's check value.
    assert_eq!((commands.get("KDF"), commands.get("SHA")), (None, Some(&4)));
}

#[test]
fn a_transient_failure_does_not_mark_kdf_as_unusable() {
    for status in ["EE", "08", "FF"] {
        let (module, bus, session) = with_io_key();
        let key = module.create_object(session, &given(true, CKK_GENERIC_SECRET, b"secret")).unwrap();
        // The query whether KDF is an HMAC.
        bus.set_faults(format!("status@5:{status}").parse().unwrap());
        commands_of_an_expansion(&module, &bus, session, key);
        bus.set_faults("none".parse().unwrap());
        let commands = commands_of_an_expansion(&module, &bus, session, key);
        assert_eq!((commands.get("KDF"), commands.get("SHA")), (Some(&1), None), "{status}: encrypted on the bus");
        assert!(!module.log().contains("in clear"), "{}", module.log());
    }
}

#[test]
fn a_message_that_is_too_long_for_kdf_goes_through_hmac() {
    let (module, bus, session) = with_io_key();
    let key = module.create_object(session, &given(true, CKK_GENERIC_SECRET, b"secret")).unwrap();
    for (info, kdf) in [(vec![7; 127], true), (vec![7; 128], false)] {
        let expand = Hkdf { steps: (false, true), salt: Salt::Null, info: &info };
        let mut hmac = <Hmac<Sha256> as Mac>::new_from_slice(b"secret").unwrap();
        hmac.update(&[&info[..], &[1]].concat());
        bus.take_stats();
        assert_eq!(expand.derive(&module, session, key, 32), Ok(hmac.finalize().into_bytes().to_vec()));
        assert_eq!(bus.take_stats().commands.contains_key("KDF"), kdf, "{} bytes", info.len() + 1);
    }
}

#[test]
fn the_tls_1_2_function_agrees_with_published_vectors() {
    // The vector of the IETF's TLS mailing list ("Test vectors for TLS 1.2 PRF"): P_SHA256 with this label and seed.
    let secret = bytes("9bbe436ba940f017b17652849a71db35");
    let seed = bytes("a0ba9f936cda311827a6f796ffd5198c");
    let expected = bytes(
        "e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a6b301791e90d35c9c9a46b4e14baf9af0fa022f7077def17\
         abfd3797c0564bab4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff70187347b66",
    );
    let (module, _bus, session) = with_io_key();
    for on_token in [false, true] {
        let base = module.create_object(session, &given(on_token, CKK_GENERIC_SECRET, &secret)).unwrap();
        let parameter = CK_TLS_KDF_PARAMS {
            prfMechanism: CKM_SHA256,
            pLabel: b"test label".as_ptr().cast_mut(),
            ulLabelLength: 10,
            RandomInfo: CK_SSL3_RANDOM_DATA {
                pClientRandom: seed.as_ptr().cast_mut(),
                ulClientRandomLen: 8,
                pServerRandom: seed[8..].as_ptr().cast_mut(),
                ulServerRandomLen: 8,
            },
            pContextData: null_mut(),
            ulContextDataLength: 0,
        };
        let template = [(CKA_VALUE_LEN, ulong(100))];
        let key = derive(&module, session, CKM_TLS12_KDF, parameter, base, &template).unwrap();
        assert_eq!(module.attribute(session, key, CKA_VALUE), Ok(expected.clone()));
        let other_hash = CK_TLS_KDF_PARAMS { prfMechanism: CKM_SHA384, ..parameter };
        let other = derive(&module, session, CKM_TLS12_KDF, other_hash, base, &template);
        match on_token {
            true => assert_eq!(other, Err(CKR_MECHANISM_PARAM_INVALID)),
            // The first 48 bytes of P_SHA384.
            false => {
                let hmac = |message: &[u8]| {
                    let mut hmac = <Hmac<Sha384> as Mac>::new_from_slice(&secret).unwrap();
                    hmac.update(message);
                    hmac.finalize().into_bytes()
                };
                let seed = [b"test label", &seed[..]].concat();
                let value = module.attribute(session, other.unwrap(), CKA_VALUE).unwrap();
                assert_eq!(value[..48], hmac(&[&hmac(&seed)[..], &seed].concat())[..]);
            }
        }
    }
}

#[test]
fn with_io_protection_required_what_can_not_be_hidden_is_refused() {
    let (module, bus, session) = requiring_io_key();
    let key = module.create_object(session, &given(true, CKK_GENERIC_SECRET, b"secret")).unwrap();
    let expand = |info: &[u8], length| {
        let hkdf = Hkdf { steps: (false, true), salt: Salt::Null, info };
        hkdf.derive(&module, session, key, length).map(|key| key.len())
    };
    bus.take_stats();
    assert_eq!(expand(&[7; 127], 32), Ok(32));
    assert_eq!(expand(&[7; 128], 32), Err(CKR_FUNCTION_FAILED), "too long for KDF");
    assert_eq!(expand(b"info", 33), Err(CKR_FUNCTION_FAILED), "the first part would be in the second message");
    // One Hmac: whether KDF is one was checked with a meaningless message.
    assert_eq!(bus.take_stats().commands.get("SHA"), Some(&2));
    replace_io_key(&bus);
    assert_eq!(expand(b"info", 32), Err(CKR_FUNCTION_FAILED), "another key");
    assert_eq!(bus.take_stats().commands.get("SHA"), None);
    // Session keys never see the bus.
    let here = module.create_object(session, &given(false, CKK_GENERIC_SECRET, b"secret")).unwrap();
    let hkdf = Hkdf { steps: (false, true), salt: Salt::Null, info: b"info" };
    assert_eq!(hkdf.derive(&module, session, here, 64).map(|key| key.len()), Ok(64));
}

#[test]
fn hkdf_gives_session_data_equal_to_the_value_of_a_derived_key() {
    let (module, _bus, session) = with_io_key();
    let base = module.create_object(session, &given(false, CKK_GENERIC_SECRET, &[0x0B; 22])).unwrap();
    let hkdf = Hkdf { steps: (true, true), salt: Salt::Data(b"salt"), info: b"info" };
    let data = |template: Attributes| derive(&module, session, CKM_HKDF_DATA, hkdf.parameter(), base, template);
    // As pkcs11-provider asks for it.
    let template = [(CKA_CLASS, ulong(CKO_DATA)), (CKA_TOKEN, boolean(false)), (CKA_VALUE_LEN, ulong(42))];
    let object = data(&template).unwrap();
    let of_key = [(CKA_KEY_TYPE, ulong(CKK_GENERIC_SECRET)), (CKA_VALUE_LEN, ulong(42))];
    let key = derive(&module, session, CKM_HKDF_DERIVE, hkdf.parameter(), base, &of_key).unwrap();
    assert_eq!(module.attribute(session, object, CKA_VALUE), module.attribute(session, key, CKA_VALUE));
    assert_eq!(module.attribute(session, object, CKA_TOKEN), Ok(boolean(false)));
    assert_eq!(module.attribute(session, object, CKA_VALUE).map(|value| value.len()), Ok(42));
    for (attribute, value, rv) in [
        (CKA_TOKEN, boolean(true), CKR_TEMPLATE_INCONSISTENT),
        (CKA_CLASS, ulong(CKO_SECRET_KEY), CKR_TEMPLATE_INCONSISTENT),
        (CKA_VALUE, vec![1], CKR_TEMPLATE_INCONSISTENT),
        (CKA_VALUE_LEN, ulong(0), CKR_ATTRIBUTE_VALUE_INVALID),
        (CKA_VALUE_LEN, ulong(255 * 32 + 1), CKR_ATTRIBUTE_VALUE_INVALID),
        (CKA_MODULUS, vec![1], CKR_ATTRIBUTE_TYPE_INVALID),
    ] {
        assert_eq!(data(&[(attribute, value)]), Err(rv), "{attribute:#x}");
    }
}

#[test]
fn a_key_in_the_chip_or_one_that_allows_other_mechanisms_only_gives_no_data() {
    let (module, _bus, session) = with_io_key();
    let in_chip = module.create_object(session, &given(true, CKK_GENERIC_SECRET, &[0x0B; 22])).unwrap();
    let only =
        [&given(false, CKK_GENERIC_SECRET, &[0x0B; 22])[..], &[(CKA_ALLOWED_MECHANISMS, ulong(CKM_HKDF_DERIVE))]];
    let only = module.create_object(session, &only.concat()).unwrap();
    let hkdf = Hkdf { steps: (false, true), salt: Salt::Null, info: b"info" };
    for base in [in_chip, only] {
        assert_eq!(derive(&module, session, CKM_HKDF_DATA, hkdf.parameter(), base, &[]), Err(CKR_MECHANISM_INVALID));
        let key = derive(&module, session, CKM_HKDF_DERIVE, hkdf.parameter(), base, &[]);
        assert!(key.is_ok(), "a key that stays one");
    }
}
