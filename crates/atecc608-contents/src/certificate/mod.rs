// SPDX-License-Identifier: MIT OR Apache-2.0
//! The certificates of Trust&GO and TrustFLEX chips (fact sheet section 7): the 72 bytes that the chip keeps, and the
//! X.509 certificate that is rebuilt from them.
//!
//! A chip has no space for whole certificates. It keeps the fields that differ between certificates (signature, dates,
//! the signer's number); the rest is in a [`Definition`]. The steps of rebuilding:
//!
//! 1. the code in the OTP zone names the device's definition ([`Definition::of_device`]);
//! 2. slot 12 is the signer's compressed certificate, slot 11 its public key; with the root's public key they are the
//!    signer's certificate;
//! 3. slot 10 is the device's compressed certificate; with the public key of slot 0 and the signer's they are the
//!    device's.
//!
//! [`Parts`] builds a certificate: `to_be_signed` is the part that is signed, `certificate` the whole.
//! [`template::Template`] does the same for certificates of other vendors' layouts. Nothing here verifies a signature.

pub mod compressed;
pub mod definition;
pub mod root;
pub mod template;
pub mod x509;

pub use compressed::{CompressedCertificate, IssueDate};
pub use definition::{Definition, Device, Parts, Place, Places};
pub use root::Root;

/// Why a certificate can't be decoded or built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// The format version of a compressed certificate: 0 to 2 are known.
    #[error("compressed certificate of format {0}; formats 0 to 2 are known")]
    Format(u8),
    /// Template id, chain id or serial number source differ from the definition's.
    #[error("the compressed certificate is of another kind than the chip's code says")]
    Definition,
    /// A date that does not exist, or that does not fit its field.
    #[error("the certificate has an impossible date")]
    Date,
    /// A template does not fit its example.
    #[error("the template's certificate: {0}")]
    Example(&'static str),
}
