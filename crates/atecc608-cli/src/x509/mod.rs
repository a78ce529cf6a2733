//! Certificates and requests for them (RFC 5280, RFC 2986), as plain functions on bytes: what `key`, `csr` and `cert` are made of,
//! and whatever else of the tool makes certificates (setting up clouds, provisioning many chips).
//!
//! - [`pem`]: files, PEM or DER;
//! - [`key_file`]: a private key in a file, in any of the usual forms, encrypted or not;
//! - [`signer`]: whatever signs, a key in a file or one in the chip ([`crate::chip_keys`]);
//! - [`subject`], [`alternative`]: names;
//! - [`request`]: a certificate signing request;
//! - [`certificate`]: a certificate that is there; [`issue`] makes new ones, [`terms`] is what they are to be good for and how long;
//! - [`authority`]: a certification authority: its certificate and its key, which belong together;
//! - [`verify`]: signatures, checked.
//!
//! From a key in the chip to a certificate:
//!
//! ```no_run
//! use std::path::Path;
//! use atecc608_pkcs11::cli::chip_keys::{ChipKeys, LoginArguments, NewKeyNames};
//! use atecc608_pkcs11::cli::target::Selection;
//! use atecc608_pkcs11::cli::x509::authority::Authority;
//! use atecc608_pkcs11::cli::x509::issue::{self, Applicant};
//! use atecc608_pkcs11::cli::x509::key_file::Passphrase;
//! use atecc608_pkcs11::cli::x509::signer::Signer;
//! use atecc608_pkcs11::cli::x509::subject::Subject;
//! use atecc608_pkcs11::cli::x509::terms::Terms;
//! use atecc608_pkcs11::cli::x509::request;
//!
//! # fn f() -> atecc608_pkcs11::cli::Result<()> {
//! // Whoever has a token of its own: ChipKeys::new(token, "/dev/i2c-1 at 0x60").
//! let keys = ChipKeys::open_logged_in(&Selection::default(), &LoginArguments::default())?;
//! let key = keys.generate(&NewKeyNames { label: Some("gateway".to_owned()), ..NewKeyNames::default() })?;
//! let subject = Subject::parse("/O=Acme/CN=gateway-1")?;
//! let csr: Vec<u8> = request::build(&subject, &[], &key)?;
//! println!("{}", request::to_pem(&csr));
//! let authority = Authority::read(Path::new("ca.pem"), Path::new("ca.key"), &Passphrase::Ask)?;
//! let applicant = Applicant { subject, public_key_info: key.public_key_info(), alternative: Vec::new() };
//! let certificate: Vec<u8> = issue::issue(&applicant, &Terms::device(), &authority)?;
//! keys.store_certificate(&certificate, Some(&key.label), Some(&key.id))?;
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
