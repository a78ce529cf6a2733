// SPDX-License-Identifier: MIT OR Apache-2.0
//! A private key in the chip, which signs there.

use atecc608_token::{Mechanism, ObjectHandle, Parameter, SignOperation, Token};
use cryptoki_sys::CKM_ECDSA_SHA256;
use x509_cert::spki::AlgorithmIdentifierOwned;

use super::{uri, ChipKeys};
use crate::error::Result;
use crate::x509::signer::{ecdsa, Signer, ECDSA_WITH_SHA256};
use atecc608_token::point::Point;
use atecc608_wire::Slot;

/// A private key in a chip. It stays there.
#[derive(Clone)]
pub struct ChipKey {
    pub(super) keys: ChipKeys,
    pub(super) handle: ObjectHandle,
    /// Where it is.
    pub slot: Slot,
    /// CKA_LABEL.
    pub label: String,
    /// CKA_ID.
    pub id: Vec<u8>,
    /// Its public key, as read from the chip when the key was looked up.
    pub point: Point,
    /// Whether it can only have been generated in the chip.
    pub born_here: bool,
    pub(super) signs: bool,
}

impl ChipKey {
    /// The token that it is on.
    pub fn token(&self) -> &Token {
        &self.keys.token
    }

    /// Its PKCS#11 URI, with the token's label.
    ///
    /// # Errors
    /// [`Error::Token`] if the chip does not respond.
    pub fn uri(&self) -> Result<String> {
        Ok(uri::private_key(&self.keys.label()?, &self.label))
    }

    /// The chip's name in messages: bus and address.
    pub fn place(&self) -> &str {
        &self.keys.place
    }
}

impl Signer for ChipKey {
    fn public_key_info(&self) -> Vec<u8> {
        self.point.public_key_info()
    }

    fn algorithm(&self) -> AlgorithmIdentifierOwned {
        ecdsa(ECDSA_WITH_SHA256)
    }

    /// Signs in the chip; the token verifies the signature.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        if !self.signs {
            return Err(self.keys.refused(&format!(
                "the configuration of slot {} does not permit signing (CKA_SIGN is false)",
                self.slot
            )));
        }
        let mechanism = Mechanism { mechanism: CKM_ECDSA_SHA256, parameter: Parameter::None };
        let token = &self.keys.token;
        let mut deadline = token.deadline();
        let signature = SignOperation::new(token, &mechanism, self.handle).and_then(|mut operation| {
            operation.update(&mut deadline, message)?;
            operation.finish(token, &mut deadline)
        });
        let signature = signature.map_err(|error| self.keys.failed(error))?;
        let signature = p256::ecdsa::Signature::from_slice(&signature);
        let signature =
            signature.map_err(|_| self.keys.refused("the numbers in the chip's signature are out of range"))?;
        Ok(signature.to_der().as_bytes().to_vec())
    }
}
