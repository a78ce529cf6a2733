// SPDX-License-Identifier: MIT OR Apache-2.0
//! A private key in a file: SEC1 with or without an EC PARAMETERS block before it, PKCS#1, PKCS#8, encrypted PKCS#8;
//! PEM or DER of each. An error for an unsupported form names the command that converts it.

use std::path::{Path, PathBuf};

use der::asn1::ObjectIdentifier;
use der::{Decode, Encode};
use p256::elliptic_curve::sec1::ToEncodedPoint;
use pkcs8::pkcs5::pbes2::Kdf;
use pkcs8::{EncodePublicKey, EncryptedPrivateKeyInfo, PrivateKeyInfo};
use rsa::pkcs1::DecodeRsaPrivateKey;
use sec1::{EcParameters, EcPrivateKey};
use zeroize::Zeroizing;

use super::pem::{self, Block, Contents};
use crate::error::{Error, Result};
use crate::input::secret;
use crate::output::shell;

/// Curve P-256 (prime256v1).
pub const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
/// Curve P-384 (secp384r1).
pub const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// A private key on the host, wiped on drop.
pub enum PrivateKey {
    /// On P-256.
    P256(p256::SecretKey),
    /// On P-384.
    P384(p384::SecretKey),
    /// RSA, at least 2048 bits.
    Rsa(Box<rsa::RsaPrivateKey>),
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::P256(_) => "PrivateKey::P256(..)",
            Self::P384(_) => "PrivateKey::P384(..)",
            Self::Rsa(_) => "PrivateKey::Rsa(..)",
        })
    }
}

/// The source of an encrypted file's passphrase.
#[derive(Clone, Debug, Default)]
pub enum Passphrase {
    /// Asked for at the terminal, if one is needed.
    #[default]
    Ask,
    /// The first line of this file (`-`: of standard input).
    File(PathBuf),
}

impl Passphrase {
    /// The value of `--passphrase-file`.
    pub fn of(file: Option<&Path>) -> Self {
        file.map_or(Self::Ask, |path| Self::File(path.to_owned()))
    }

    fn get(&self, name: &str) -> Result<Zeroizing<Vec<u8>>> {
        match self {
            Self::Ask => secret::ask(&format!("Passphrase of {name}"), "--passphrase-file FILE"),
            Self::File(path) => secret::first_line(path),
        }
    }
}

impl PrivateKey {
    /// Reads a file (`-`: standard input).
    ///
    /// # Errors
    /// [`Error::Refused`] if the file can't be read or is not a supported private key, or the passphrase is wrong.
    pub fn read(path: &Path, passphrase: &Passphrase) -> Result<Self> {
        Self::parse(&path.display().to_string(), &pem::read_bytes(path)?, passphrase)
    }

    /// Parses PEM or DER; `name` is its name in messages.
    ///
    /// # Errors
    /// As [`PrivateKey::read`].
    pub fn parse(name: &str, bytes: &[u8], passphrase: &Passphrase) -> Result<Self> {
        let reader = KeyReader { name: name.to_owned(), passphrase };
        match pem::parse(name, bytes)? {
            Contents::Der(der) => reader.der(&der),
            Contents::Pem(blocks) => reader.blocks(&blocks),
        }
    }

    /// SubjectPublicKeyInfo in DER.
    pub fn public_key_info(&self) -> Vec<u8> {
        let document = match self {
            Self::P256(key) => key.public_key().to_public_key_der(),
            Self::P384(key) => key.public_key().to_public_key_der(),
            Self::Rsa(key) => key.to_public_key().to_public_key_der(),
        };
        // Keys of valid sizes always encode.
        document.map(|document| document.into_vec()).unwrap_or_default()
    }

    /// The kind of key, in words.
    pub fn kind(&self) -> String {
        use rsa::traits::PublicKeyParts;
        match self {
            Self::P256(_) => "P-256".to_owned(),
            Self::P384(_) => "P-384".to_owned(),
            Self::Rsa(key) => format!("RSA with {} bits", key.size() * 8),
        }
    }
}

/// Maximum length of an RSA modulus in bytes (OpenSSL's OPENSSL_RSA_MAX_MODULUS_BITS).
const MAX_RSA: usize = 16384 / 8;
/// Maximum iterations of PBKDF2: a few seconds.
const MAX_ITERATIONS: u32 = 10_000_000;
/// Maximum memory for scrypt in bytes (OpenSSL's SCRYPT_MAX_MEM).
const MAX_SCRYPT_MEMORY: u64 = 32 << 20;
/// Maximum work of scrypt, as N x r x p: 32 times that of `openssl pkcs8 -scrypt`.
const MAX_SCRYPT_WORK: u64 = 1 << 22;

/// Returns the cost of opening a file, which its author chooses, if it is above the limits.
fn too_much_work(kdf: &Kdf<'_>) -> Option<String> {
    if let Kdf::Pbkdf2(parameters) = kdf {
        return (parameters.iteration_count > MAX_ITERATIONS).then(|| {
            format!("{} iterations of PBKDF2; at most {MAX_ITERATIONS} are accepted", parameters.iteration_count)
        });
    }
    let Kdf::Scrypt(parameters) = kdf else { return None };
    let (r, p) = (u64::from(parameters.block_size), u64::from(parameters.parallelization));
    let n = parameters.cost_parameter;
    // Counted like OpenSSL: the mixing buffer, and the blocks.
    let memory = n.saturating_add(2).saturating_mul(128 * r).saturating_add(128 * r * p);
    let work = n.saturating_mul(r * p);
    (memory > MAX_SCRYPT_MEMORY || work > MAX_SCRYPT_WORK).then(|| {
        format!(
            "too much memory or time (scrypt with N = {n}, r = {r}, p = {p}); at most {} MiB and N x r x p = {MAX_SCRYPT_WORK} are \
             accepted",
            MAX_SCRYPT_MEMORY >> 20
        )
    })
}

struct KeyReader<'a> {
    name: String,
    passphrase: &'a Passphrase,
}

impl KeyReader<'_> {
    fn refused<T>(&self, problem: &str) -> Result<T> {
        Err(Error::Refused(format!("{}: {problem}", self.name)))
    }

    /// The file as a shell word, for commands in messages.
    fn word(&self) -> String {
        shell::word(&self.name)
    }

    fn damaged<T>(&self, what: &str) -> Result<T> {
        self.refused(&format!(
            "the {what} in it is damaged: `openssl pkey -in {} -check -noout` says more",
            self.word()
        ))
    }

    fn blocks(&self, blocks: &[Block]) -> Result<PrivateKey> {
        // `openssl ecparam -genkey` writes one before the key; usually the key contains its curve itself.
        let curve = blocks.iter().find(|block| block.label == "EC PARAMETERS");
        let curve = curve.and_then(|block| ObjectIdentifier::from_der(&block.der).ok());
        let is_key = |block: &&Block| block.label.ends_with("PRIVATE KEY");
        let Some(block) = blocks.iter().find(is_key) else { return self.not_a_key(blocks) };
        if block.legacy_encryption {
            return self.refused(&format!(
                "the key in it has the old, weak encryption (Proc-Type: 4,ENCRYPTED). Convert it: `openssl pkcs8 \
                 -topk8 -in {} -out NEW-FILE`, and use NEW-FILE",
                self.word()
            ));
        }
        match block.label.as_str() {
            "EC PRIVATE KEY" => self.sec1(&block.der, curve),
            "RSA PRIVATE KEY" => self.pkcs1(&block.der),
            "PRIVATE KEY" => self.pkcs8(&block.der),
            "ENCRYPTED PRIVATE KEY" => self.encrypted(&block.der),
            "OPENSSH PRIVATE KEY" => self.refused(
                "the key in it is in OpenSSH's own form. Convert it in place, after making a copy: `ssh-keygen -p -m PKCS8 -f FILE`",
            ),
            other => self.refused(&format!("\"{other}\" is not a supported kind of key: P-256, P-384 and RSA are")),
        }
    }

    fn not_a_key<T>(&self, blocks: &[Block]) -> Result<T> {
        let has = |label: &str| blocks.iter().any(|block| block.label == label);
        self.refused(&if has("CERTIFICATE") {
            "this is a certificate instead of its private key: were the two files swapped?".to_owned()
        } else if has("CERTIFICATE REQUEST") || has("NEW CERTIFICATE REQUEST") {
            "this is a certificate request instead of a private key".to_owned()
        } else if has("PUBLIC KEY") {
            "this is a public key instead of its private key".to_owned()
        } else if has("EC PARAMETERS") {
            "the file has the parameters of a curve and no key: `openssl ecparam -name prime256v1 -genkey -noout` generates one"
                .to_owned()
        } else {
            let labels: Vec<&str> = blocks.iter().map(|block| block.label.as_str()).collect();
            format!("it contains no private key, only {}", labels.join(", "))
        })
    }

    /// The first fields of DER show the type.
    fn der(&self, der: &[u8]) -> Result<PrivateKey> {
        if EncryptedPrivateKeyInfo::from_der(der).is_ok() {
            return self.encrypted(der);
        }
        if PrivateKeyInfo::from_der(der).is_ok() {
            return self.pkcs8(der);
        }
        let fields = pem::fields(der).unwrap_or_default();
        match fields.as_slice() {
            // version 1, OCTET STRING
            [(0x02, [1]), (0x04, _), ..] => self.sec1(der, None),
            // version 0, modulus
            [(0x02, [0]), (0x02, _), ..] => self.pkcs1(der),
            [(0x02, [3]), (0x30, _), ..] => self.refused(&format!(
                "this is a PKCS#12 store. Extract the key: `openssl pkcs12 -in {} -nocerts -out NEW-FILE`",
                self.word()
            )),
            [(0x30, _), (0x30, _), (0x03, _)] => self.refused(
                "this is a certificate or a request for one, instead of a private key: were the two files swapped?",
            ),
            [(0x30, _), (0x03, _)] => self.refused("this is a public key instead of its private key"),
            // Encrypted with an unknown scheme.
            [(0x30, _), (0x04, _)] => self.encrypted(der),
            _ => self.refused("this DER is not a private key in SEC1, PKCS#1 or PKCS#8"),
        }
    }

    fn sec1(&self, der: &[u8], curve: Option<ObjectIdentifier>) -> Result<PrivateKey> {
        let key = match EcPrivateKey::from_der(der) {
            Ok(key) => key,
            Err(_) if has_explicit_parameters(der) => {
                return self.refused(&format!(
                    "the key's curve is written out as numbers, which is no longer supported. Name it instead: \
                     `openssl ec -in {} -param_enc named_curve -out NEW-FILE`",
                    self.word()
                ))
            }
            Err(_) => return self.damaged("EC private key"),
        };
        let named = key.parameters.and_then(EcParameters::named_curve).or(curve);
        let by_length = match key.private_key.len() {
            48 => P384,
            _ => P256,
        };
        self.ec(&key, named.unwrap_or(by_length))
    }

    fn pkcs8(&self, der: &[u8]) -> Result<PrivateKey> {
        let Ok(info) = PrivateKeyInfo::from_der(der) else { return self.damaged("PKCS#8 private key") };
        match info.algorithm.oid {
            EC_PUBLIC_KEY => {
                let curve = info.algorithm.parameters.and_then(|any| ObjectIdentifier::try_from(any).ok());
                let Some(curve) = curve else {
                    return self.refused(&format!(
                        "the key's curve is written out as numbers, which is no longer supported. Name it instead: \
                         `openssl pkey -in {} -ec_param_enc named_curve -out NEW-FILE`",
                        self.word()
                    ));
                };
                match EcPrivateKey::from_der(info.private_key) {
                    Ok(key) => self.ec(&key, curve),
                    Err(_) => self.damaged("EC private key"),
                }
            }
            RSA_ENCRYPTION => self.pkcs1(info.private_key),
            other => self.refused(&format!("{}; P-256, P-384 and RSA can be used", algorithm_name(&other))),
        }
    }

    fn ec(&self, key: &EcPrivateKey<'_>, curve: ObjectIdentifier) -> Result<PrivateKey> {
        let (private, public) = match curve {
            P256 => {
                let Some(private) = padded::<32>(key.private_key).and_then(|key| p256::SecretKey::from_slice(&key[..]).ok())
                else {
                    return self.damaged("P-256 private key");
                };
                let public = private.public_key().to_encoded_point(false).as_bytes().to_vec();
                (PrivateKey::P256(private), public)
            }
            P384 => {
                let Some(private) = padded::<48>(key.private_key).and_then(|key| p384::SecretKey::from_slice(&key[..]).ok())
                else {
                    return self.damaged("P-384 private key");
                };
                let public = private.public_key().to_encoded_point(false).as_bytes().to_vec();
                (PrivateKey::P384(private), public)
            }
            other => {
                return self.refused(&format!(
                    "the key is on the curve {}; P-256 (prime256v1) and P-384 (secp384r1) can be used. A certificate can be \
                     signed with it by `openssl x509 -req` from the chip's request (`atecc608 csr`)",
                    curve_name(&other)
                ))
            }
        };
        // A compressed point is compared by its X coordinate.
        let differs = |told: &[u8]| match told {
            [4, ..] => told != public,
            [2 | 3, x @ ..] => public.get(1..=x.len()) != Some(x),
            _ => true,
        };
        if key.public_key.is_some_and(differs) {
            return self.refused("its public key does not belong to its private key: the file is damaged");
        }
        Ok(private)
    }

    fn pkcs1(&self, der: &[u8]) -> Result<PrivateKey> {
        self.ensure_rsa_size(der)?;
        match rsa::RsaPrivateKey::from_pkcs1_der(der) {
            Ok(key) => self.rsa(key),
            Err(_) => self.damaged("RSA private key"),
        }
    }

    /// Refuses a key that would take minutes to check.
    fn ensure_rsa_size(&self, der: &[u8]) -> Result<()> {
        match rsa::pkcs1::RsaPrivateKey::from_der(der) {
            Ok(key) if key.modulus.as_bytes().len() > MAX_RSA => self.refused(&format!(
                "RSA with more than {} bits is refused, as OpenSSL refuses it: use a smaller key",
                MAX_RSA * 8
            )),
            Ok(_) => Ok(()),
            Err(_) => self.damaged("RSA private key"),
        }
    }

    fn rsa(&self, key: rsa::RsaPrivateKey) -> Result<PrivateKey> {
        let key = PrivateKey::Rsa(Box::new(key));
        match &key {
            PrivateKey::Rsa(rsa) if rsa::traits::PublicKeyParts::size(rsa.as_ref()) < 256 => {
                self.refused(&format!("{}: AWS IoT, Azure and OpenSSL refuse less than 2048", key.kind()))
            }
            _ => Ok(key),
        }
    }

    fn encrypted(&self, der: &[u8]) -> Result<PrivateKey> {
        let convert = format!("Convert it: `openssl pkcs8 -topk8 -v2 aes-256-cbc -in {} -out NEW-FILE`", self.word());
        let Ok(info) = EncryptedPrivateKeyInfo::from_der(der) else {
            return self
                .refused(&format!("the key is encrypted in a way that is too old, or not known here. {convert}"));
        };
        let Some(parameters) = info.encryption_algorithm.pbes2() else {
            return self.refused(&format!("the key is encrypted in a way that is too old (PBES1). {convert}"));
        };
        if let Some(problem) = too_much_work(&parameters.kdf) {
            return self.refused(&format!("opening it takes {problem}. If it is your own key: {convert}"));
        }
        let passphrase = self.passphrase.get(&self.name)?;
        let Ok(key) = info.decrypt(&passphrase[..]) else {
            return self.refused("the passphrase is wrong (or the file is damaged)");
        };
        self.pkcs8(key.as_bytes())
    }
}

/// Returns the scalar, big-endian, in the length of its curve: some tools omit leading zeros, some add one.
fn padded<const LEN: usize>(scalar: &[u8]) -> Option<Zeroizing<[u8; LEN]>> {
    let zeros = scalar.iter().take_while(|byte| **byte == 0).count();
    let digits = &scalar[zeros..];
    let mut padded = Zeroizing::new([0; LEN]);
    let at = LEN.checked_sub(digits.len())?;
    padded[at..].copy_from_slice(digits);
    Some(padded)
}

/// Whether the parameters of a SEC1 key are a SEQUENCE: explicit curve parameters.
fn has_explicit_parameters(der: &[u8]) -> bool {
    let fields = pem::fields(der).unwrap_or_default();
    fields.iter().any(|(tag, value)| *tag == 0xA0 && value.first() == Some(&0x30))
}

fn curve_name(oid: &ObjectIdentifier) -> String {
    match oid.to_string().as_str() {
        "1.3.132.0.10" => "secp256k1".to_owned(),
        "1.3.132.0.33" => "secp224r1 (P-224)".to_owned(),
        "1.3.132.0.35" => "secp521r1 (P-521)".to_owned(),
        "1.2.840.10045.3.1.1" => "prime192v1 (P-192)".to_owned(),
        "1.3.36.3.3.2.8.1.1.7" => "brainpoolP256r1".to_owned(),
        other => other.to_owned(),
    }
}

fn algorithm_name(oid: &ObjectIdentifier) -> String {
    match oid.to_string().as_str() {
        "1.3.101.112" => "the key is an Ed25519 key".to_owned(),
        "1.3.101.113" => "the key is an Ed448 key".to_owned(),
        "1.3.101.110" => "the key is an X25519 key, which can't sign".to_owned(),
        "1.2.840.113549.1.1.10" => "the key is for RSASSA-PSS only".to_owned(),
        "1.2.840.10040.4.1" => "the key is a DSA key".to_owned(),
        other => format!("the key is of the algorithm {other}"),
    }
}

/// Returns the SubjectPublicKeyInfo of a point on P-256 or P-384 in canonical DER, for comparisons.
///
/// # Errors
/// A decoding error.
pub fn canonical_public_key_info(der: &[u8]) -> der::Result<Vec<u8>> {
    x509_cert::spki::SubjectPublicKeyInfoRef::from_der(der)?.to_der()
}

#[cfg(test)]
mod tests {
    use pkcs8::pkcs5::pbes2::{EncryptionScheme, Parameters, Pbkdf2Params, Pbkdf2Prf, ScryptParams};
    use pkcs8::pkcs5::EncryptionScheme as Encryption;

    use super::*;

    /// Returns the error for a key encrypted with these parameters; its passphrase's file does not exist.
    fn refusal(kdf: Kdf<'_>) -> String {
        let encryption = EncryptionScheme::Aes256Cbc { iv: &[0; 16] };
        let parameters = Encryption::Pbes2(Parameters { kdf, encryption });
        let der =
            EncryptedPrivateKeyInfo { encryption_algorithm: parameters, encrypted_data: &[0; 64] }.to_der().unwrap();
        let passphrase = Passphrase::File("/there/is/none".into());
        PrivateKey::parse("k.pem", &der, &passphrase).unwrap_err().to_string()
    }

    fn pbkdf2(iteration_count: u32) -> Kdf<'static> {
        Kdf::Pbkdf2(Pbkdf2Params { salt: &[0; 8], iteration_count, key_length: None, prf: Pbkdf2Prf::HmacWithSha256 })
    }

    fn scrypt(cost_parameter: u64, block_size: u16, parallelization: u16) -> Kdf<'static> {
        Kdf::Scrypt(ScryptParams { salt: &[0; 8], cost_parameter, block_size, parallelization, key_length: None })
    }

    #[test]
    fn a_file_that_takes_too_much_memory_or_time_to_open_is_refused_before_a_passphrase_is_read() {
        for accepted in [pbkdf2(1), pbkdf2(10_000_000), scrypt(1 << 14, 8, 1), scrypt(1 << 14, 8, 32)] {
            let refused = refusal(accepted);
            assert!(refused == "/there/is/none: No such file or directory (os error 2)", "{refused}");
        }
        for (kdf, part) in [
            (pbkdf2(10_000_001), "10000001 iterations of PBKDF2; at most 10000000"),
            (pbkdf2(u32::MAX), "4294967295 iterations"),
            (scrypt(1 << 15, 8, 1), "N = 32768, r = 8, p = 1"),
            (scrypt(1 << 24, 8, 1), "at most 32 MiB"),
            (scrypt(1 << 63, u16::MAX, u16::MAX), "N = 9223372036854775808"),
            (scrypt(1 << 14, 8, 33), "at most 32 MiB and N x r x p = 4194304"),
            (scrypt(1 << 7, 1, u16::MAX), "p = 65535"),
        ] {
            let refused = refusal(kdf);
            assert!(
                refused.contains(part) && refused.contains("openssl pkcs8 -topk8 -v2 aes-256-cbc -in k.pem"),
                "{refused}"
            );
        }
    }
}
