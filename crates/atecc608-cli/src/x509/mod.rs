// SPDX-License-Identifier: MIT OR Apache-2.0
//! Certificates and certificate requests (RFC 5280, RFC 2986), as plain functions on bytes: for `key`, `csr` and
//! `cert`, and other parts of the tool that create certificates (cloud setups, batches).
//!
//! - [`pem`]: files, PEM or DER;
//! - [`key_file`]: a private key in a file, in any of the usual forms, encrypted or not;
//! - [`signer`]: a key that signs, in a file or in the chip (`chip_keys`);
//! - [`subject`], [`alternative`]: names;
//! - [`request`]: a certificate signing request;
//! - [`certificate`]: an existing certificate; [`issue`] creates new ones, [`terms`] are their purpose and validity;
//! - [`authority`]: a certification authority: its certificate and its key, which belong together;
//! - [`verify`]: checks signatures.
//!
//! From a key to a request, and from the request to a certificate:
//!
//! ```
//! use atecc608_cli::x509::authority::Authority;
//! use atecc608_cli::x509::certificate::Certificate;
//! use atecc608_cli::x509::key_file::PrivateKey;
//! use atecc608_cli::x509::subject::Subject;
//! use atecc608_cli::x509::terms::Terms;
//! use atecc608_cli::x509::{issue, request};
//! use rsa::rand_core::OsRng;
//!
//! # fn main() -> atecc608_cli::Result<()> {
//! let key = PrivateKey::P256(p256::SecretKey::random(&mut OsRng));
//! let csr = request::build(&Subject::parse("/O=Acme/CN=gateway-1")?, &[], &key)?;
//! let applicant = request::parse("the request", &csr)?;
//!
//! let ca_key = PrivateKey::P256(p256::SecretKey::random(&mut OsRng));
//! let ca = issue::self_sign(&Subject::parse("/O=Acme/CN=CA")?, &[], &Terms::authority(None), &ca_key)?;
//! let authority = Authority::new(Certificate::from_der("the CA", &ca)?, Box::new(ca_key))?;
//! let certificate = Certificate::from_der("the device's", &issue::issue(&applicant, &Terms::device(), &authority)?)?;
//! assert!(certificate.is_signed_by(authority.certificate()));
//! # Ok(())
//! # }
//! ```

pub mod alternative;
pub mod authority;
pub mod certificate;
pub mod issue;
pub mod key_file;
pub mod pem;
pub mod request;
pub mod signer;
pub mod subject;
pub mod terms;
pub mod verify;
