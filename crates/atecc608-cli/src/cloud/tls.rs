// SPDX-License-Identifier: MIT OR Apache-2.0
//! TLS with a cloud's server, without its vendor's programs: the server is verified against the given CAs only; the
//! client's key is in a file, or in the chip, which then signs the handshake.

use std::sync::Arc;

use p256::pkcs8::EncodePrivateKey;
use rustls::client::ResolvesClientCert;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};
use rustls::{CertificateError, ClientConfig, RootCertStore, SignatureAlgorithm, SignatureScheme};

use crate::chip_keys::ChipKey;
use crate::error::{Error, Result};
use crate::x509::certificate::Certificate;
use crate::x509::key_file::PrivateKey;
use crate::x509::signer::Signer;

/// The key that authenticates a client.
pub type ClientKey = Arc<dyn SigningKey>;

/// A key from a file; `name` is its name in messages.
///
/// # Errors
/// [`Error::Refused`] for a key that TLS can't use: RSA with less than 2048 or more than 8192 bits.
pub fn key_of_file(name: &str, key: &PrivateKey) -> Result<ClientKey> {
    let refused = |error: &dyn std::fmt::Display| {
        Error::Refused(format!("{name}: this key ({}) can't be used for TLS: {error}", key.kind()))
    };
    let der = match key {
        PrivateKey::P256(key) => key.to_pkcs8_der(),
        PrivateKey::P384(key) => key.to_pkcs8_der(),
        PrivateKey::Rsa(key) => key.to_pkcs8_der(),
    };
    let der = der.map_err(|error| refused(&error))?;
    let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der.as_bytes()));
    ring::sign::any_supported_type(&der).map_err(|error| refused(&error))
}

/// A key in the chip.
pub fn key_in_chip(key: ChipKey) -> ClientKey {
    Arc::new(InChip(key))
}

#[derive(Clone)]
struct InChip(ChipKey);

impl std::fmt::Debug for InChip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "InChip({:?})", self.0.label)
    }
}

/// The only scheme of the chip's keys.
const IN_CHIP: SignatureScheme = SignatureScheme::ECDSA_NISTP256_SHA256;

impl SigningKey for InChip {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn rustls::sign::Signer>> {
        offered.contains(&IN_CHIP).then(|| Box::new(self.clone()) as Box<dyn rustls::sign::Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl rustls::sign::Signer for InChip {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        self.0.sign(message).map_err(|error| rustls::Error::General(error.to_string()))
    }

    fn scheme(&self) -> SignatureScheme {
        IN_CHIP
    }
}

/// Configures a client that trusts these CAs, and presents this chain of certificates, the first for `key`. TLS 1.2 or
/// 1.3; `protocol` is an ALPN protocol to request.
///
/// # Errors
/// [`Error::Refused`] if a CA's certificate can't be trusted (version 1).
pub fn client(
    authorities: &[Certificate],
    chain: &[Certificate],
    key: ClientKey,
    protocol: Option<&[u8]>,
) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(CertificateDer::from(authority.der())).map_err(|error| {
            Error::Refused(format!("the CA \"{}\" can't certify a TLS server: {error}", authority.subject()))
        })?;
    }
    let chain = chain.iter().map(|certificate| CertificateDer::from(certificate.der().to_vec())).collect();
    let identity: Arc<dyn ResolvesClientCert> = Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain, key)));
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Refused(format!("TLS can't be set up: {error}")))?;
    let mut config = config.with_root_certificates(roots).with_client_cert_resolver(identity);
    config.alpn_protocols = protocol.into_iter().map(<[u8]>::to_vec).collect();
    Ok(Arc::new(config))
}

/// Remedies for a server's errors, in the terms of its cloud.
#[derive(Clone, Copy, Debug)]
pub struct Remedies {
    /// Its certificate is for another name.
    pub other_name: &'static str,
    /// It refuses the client's certificate.
    pub refused: &'static str,
}

/// Returns the problem and its remedy.
pub fn explain(error: &rustls::Error, remedies: Remedies) -> (String, &'static str) {
    use rustls::Error::{AlertReceived, General, InvalidCertificate};
    use CertificateError as Certificate;
    match error {
        InvalidCertificate(problem) => match problem {
            Certificate::Expired
            | Certificate::ExpiredContext { .. }
            | Certificate::NotValidYet
            | Certificate::NotValidYetContext { .. } => (
                format!("the server's certificate is not valid at the time that this machine's clock shows: {problem}"),
                "set the clock (`timedatectl`)",
            ),
            Certificate::UnknownIssuer | Certificate::BadSignature => (
                format!("the server's certificate is not signed by a trusted CA ({problem})"),
                "pass the right CA with --root-ca; a proxy that intercepts TLS can't be used",
            ),
            Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => {
                (format!("the server's certificate is for another name: {problem}"), remedies.other_name)
            }
            other => (format!("the server's certificate is refused: {other}"), "check that this is the cloud's server"),
        },
        AlertReceived(alert) => {
            (format!("the server refuses this client's certificate (TLS alert {alert:?})"), remedies.refused)
        }
        // The chip's own error text.
        General(text) => (text.clone(), "`atecc608 doctor` checks the chip"),
        other => (format!("TLS failed: {other}"), "check that this is a port for MQTT over TLS"),
    }
}
