//! Certificates and requests for them (RFC 5280, RFC 2986), as plain functions on bytes: what `key`, `csr` and `cert` are made of,
//! and whatever else of the tool makes certificates (setting up clouds, provisioning many chips).
//!
//! - [`pem`]: files, PEM or DER;
//! - [`key_file`]: a private key in a file, in any of the usual forms, encrypted or not;
//! - [`signer`]: whatever signs, a key in a file or one in the chip (`chip_keys`);
//! - [`subject`], [`alternative`]: names;
//! - [`request`]: a certificate signing request;
//! - [`certificate`]: a certificate that is there; [`issue`] makes new ones, [`terms`] is what they are to be good for and how long;
//! - [`authority`]: a certification authority: its certificate and its key, which belong together;
//! - [`verify`]: signatures, checked.
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
