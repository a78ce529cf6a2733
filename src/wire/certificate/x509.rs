//! The few X.509 structures (RFC 5280) that the certificates of section 7.4 are made of, to encode.

use der::asn1::{
    AnyRef, BitString, BitStringRef, GeneralizedTime, ObjectIdentifier, OctetString, OctetStringRef, SetOf, UintRef,
    UtcTime,
};
use der::{DateTime, Decode, Encode, Sequence, Tag, TagMode, TagNumber, ValueOrd};
use sha1::Sha1;
use sha2::Digest;

use super::CertificateError;
use crate::wire::{PUBLIC_KEY_LEN, SIGNATURE_LEN};

const ORGANIZATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const SERIAL_NUMBER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.5");
const SUBJECT_KEY_IDENTIFIER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.14");
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const AUTHORITY_KEY_IDENTIFIER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.35");

const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const PRIME256V1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const ECDSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");

/// The organisation in every name.
const MICROCHIP: &str = "Microchip Technology Inc";

/// AttributeTypeAndValue.
#[derive(Clone, Sequence, ValueOrd)]
struct Attribute<'a> {
    kind: ObjectIdentifier,
    value: AnyRef<'a>,
}

type RelativeName<'a> = SetOf<Attribute<'a>, 1>;

fn relative_name(kind: ObjectIdentifier, tag: Tag, text: &[u8]) -> der::Result<RelativeName<'_>> {
    let mut name = SetOf::new();
    name.insert(Attribute { kind, value: AnyRef::new(tag, text)? })?;
    Ok(name)
}

/// O = Microchip Technology Inc, CN = this: both UTF8String.
fn name(common_name: &str) -> der::Result<[RelativeName<'_>; 2]> {
    Ok([
        relative_name(ORGANIZATION, Tag::Utf8String, MICROCHIP.as_bytes())?,
        relative_name(COMMON_NAME, Tag::Utf8String, common_name.as_bytes())?,
    ])
}

/// AlgorithmIdentifier of a signature: ECDSA has no parameters.
#[derive(Sequence)]
struct SignatureAlgorithm {
    algorithm: ObjectIdentifier,
}

const SIGNATURE_ALGORITHM: SignatureAlgorithm = SignatureAlgorithm { algorithm: ECDSA_WITH_SHA256 };

/// The same in DER.
pub(super) const SIGNATURE_ALGORITHM_DER: [u8; 12] =
    [0x30, 0x0A, 0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03, 0x02];

/// AlgorithmIdentifier of a key.
#[derive(Sequence)]
struct KeyAlgorithm {
    algorithm: ObjectIdentifier,
    curve: ObjectIdentifier,
}

/// SubjectPublicKeyInfo.
#[derive(Sequence)]
struct PublicKeyInfo<'a> {
    algorithm: KeyAlgorithm,
    key: BitStringRef<'a>,
}

/// From when to when. The end is a GeneralizedTime even where RFC 5280 wants a UTCTime: that is what was signed.
#[derive(Sequence)]
struct Validity {
    not_before: UtcTime,
    not_after: GeneralizedTime,
}

/// Extension.
#[derive(Sequence)]
pub(crate) struct Extension {
    id: ObjectIdentifier,
    #[asn1(default = "Default::default")]
    critical: bool,
    value: OctetString,
}

impl Extension {
    fn new(id: ObjectIdentifier, critical: bool, value: &impl Encode) -> der::Result<Self> {
        Ok(Self { id, critical, value: OctetString::new(value.to_der()?)? })
    }

    /// basicConstraints of an authority, at most so many authorities below it.
    pub(crate) fn authority(path_length: Option<u8>) -> der::Result<Self> {
        Self::new(BASIC_CONSTRAINTS, true, &BasicConstraints { authority: true, path_length })
    }

    /// basicConstraints of everybody else.
    pub(crate) fn no_authority() -> der::Result<Self> {
        Self::new(BASIC_CONSTRAINTS, true, &BasicConstraints { authority: false, path_length: None })
    }

    /// keyUsage: the bits from the left, with the number of those that do not count.
    pub(crate) fn key_usage(bits: u8, unused: u8) -> der::Result<Self> {
        Self::new(KEY_USAGE, true, &BitString::new(unused, [bits])?)
    }

    /// subjectKeyIdentifier.
    pub(crate) fn subject_key(public_key: &[u8; PUBLIC_KEY_LEN]) -> der::Result<Self> {
        Self::new(SUBJECT_KEY_IDENTIFIER, false, &OctetStringRef::new(&key_identifier(public_key))?)
    }

    /// authorityKeyIdentifier.
    pub(crate) fn authority_key(public_key: &[u8; PUBLIC_KEY_LEN]) -> der::Result<Self> {
        let id = key_identifier(public_key);
        Self::new(AUTHORITY_KEY_IDENTIFIER, false, &[tagged(0, TagMode::Implicit, OctetStringRef::new(&id)?)])
    }

    /// subjectAltName with a directoryName that is a serialNumber, a PrintableString whatever is in it.
    pub(crate) fn alternative_serial_number(text: &[u8]) -> der::Result<Self> {
        let name = [relative_name(SERIAL_NUMBER, Tag::PrintableString, text)?];
        Self::new(SUBJECT_ALT_NAME, false, &[tagged(4, TagMode::Explicit, name)])
    }
}

/// BasicConstraints.
#[derive(Sequence)]
struct BasicConstraints {
    #[asn1(default = "Default::default")]
    authority: bool,
    #[asn1(optional = "true")]
    path_length: Option<u8>,
}

fn tagged<T>(number: u8, tag_mode: TagMode, value: T) -> der::asn1::ContextSpecific<T> {
    der::asn1::ContextSpecific { tag_number: TagNumber::new(number), tag_mode, value }
}

/// The identifier of a public key (X ‖ Y): SHA-1 over the uncompressed point (section 7.3).
pub fn key_identifier(public_key: &[u8; PUBLIC_KEY_LEN]) -> [u8; 20] {
    Sha1::new().chain_update([0x04]).chain_update(public_key).finalize().into()
}

/// What a certificate is about.
pub(crate) struct Contents<'a> {
    pub(crate) serial: &'a [u8],
    pub(crate) issuer: &'a str,
    pub(crate) not_before: DateTime,
    pub(crate) not_after: DateTime,
    pub(crate) subject: &'a str,
    pub(crate) public_key: &'a [u8; PUBLIC_KEY_LEN],
    pub(crate) extensions: Vec<Extension>,
}

/// TBSCertificate.
#[derive(Sequence)]
struct ToBeSigned<'a> {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    version: u8,
    serial: UintRef<'a>,
    signature: SignatureAlgorithm,
    issuer: [RelativeName<'a>; 2],
    validity: Validity,
    subject: [RelativeName<'a>; 2],
    public_key: PublicKeyInfo<'a>,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT")]
    extensions: Vec<Extension>,
}

impl Contents<'_> {
    /// The TBSCertificate in DER: what is signed.
    pub(crate) fn encode(self) -> Result<Vec<u8>, CertificateError> {
        let mut point = [0x04; 1 + PUBLIC_KEY_LEN];
        point[1..].copy_from_slice(self.public_key);
        let signed = ToBeSigned {
            // v3
            version: 2,
            serial: UintRef::new(self.serial)?,
            signature: SIGNATURE_ALGORITHM,
            issuer: name(self.issuer)?,
            validity: Validity {
                not_before: UtcTime::from_date_time(self.not_before).map_err(|_| CertificateError::Date)?,
                not_after: GeneralizedTime::from_date_time(self.not_after),
            },
            subject: name(self.subject)?,
            public_key: PublicKeyInfo {
                algorithm: KeyAlgorithm { algorithm: EC_PUBLIC_KEY, curve: PRIME256V1 },
                key: BitStringRef::from_bytes(&point)?,
            },
            extensions: self.extensions,
        };
        Ok(signed.to_der()?)
    }
}

/// ECDSA-Sig-Value.
#[derive(Sequence)]
struct SignatureValue<'a> {
    r: UintRef<'a>,
    s: UintRef<'a>,
}

/// Certificate.
#[derive(Sequence)]
struct Signed<'a> {
    to_be_signed: AnyRef<'a>,
    algorithm: SignatureAlgorithm,
    signature: BitStringRef<'a>,
}

/// The certificate in DER: what was signed, and its signature (R ‖ S).
pub(crate) fn signed(to_be_signed: &[u8], signature: &[u8; SIGNATURE_LEN]) -> Result<Vec<u8>, CertificateError> {
    let (r, s) = signature.split_at(SIGNATURE_LEN / 2);
    let signature = SignatureValue { r: UintRef::new(r)?, s: UintRef::new(s)? }.to_der()?;
    let certificate = Signed {
        to_be_signed: AnyRef::from_der(to_be_signed)?,
        algorithm: SIGNATURE_ALGORITHM,
        signature: BitStringRef::from_bytes(&signature)?,
    };
    Ok(certificate.to_der()?)
}
