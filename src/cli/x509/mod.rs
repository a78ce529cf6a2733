//! Certificates and requests for them (RFC 5280, RFC 2986), as plain functions on bytes: what `key`, `csr` and `cert` are made of,
//! and whatever else of the tool makes certificates (setting up clouds, provisioning many chips).
//!
//! - [`pem`]: files, PEM or DER;
//! - [`key_file`]: a private key in a file, in any of the usual forms, encrypted or not;
//! - [`signer`]: whatever signs, a key in a file or one in the chip ([`crate::cli::chip_keys`]);
//! - [`subject`], [`alternative`]: names;
//! - [`request`]: a certificate signing request;
//! - [`certificate`]: a certificate, read or made; [`terms`] is what it is to be good for and how long;
//! - [`authority`]: a certification authority: its certificate and its key, which belong together.
//!
//! From a key in the chip to a certificate:
//!
//! ```text
//! let keys = ChipKeys::new(token, place);
//! let key = keys.generate(&NewKeyNames { label: Some("gateway".into()), .. })?;
//! let subject = Subject::parse("/O=Acme/CN=gateway-1")?;
//! let csr: Vec<u8> = request::build(&subject, &[], &key)?;                             // DER
//! let authority = Authority::read("ca.pem", AuthorityKey::File("ca.key"), None)?;
//! let applicant = Applicant { subject, public_key_info: key.public_key_info(), alternative: vec![] };
//! let der: Vec<u8> = issue::issue(&applicant, &Terms::device(), &authority)?;
//! keys.store_certificate(&der, None, None)?;
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
