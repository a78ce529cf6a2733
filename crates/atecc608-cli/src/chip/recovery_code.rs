//! `atecc608 recovery-code`: a new recovery code, for a security officer who wants another (C_SetPIN as CKU_SO).

use serde::Serialize;
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::output::Output;
use atecc608_token::pin::code::RecoveryCode;

#[derive(Serialize)]
struct Code<'a> {
    recovery_code: &'a str,
}

/// Prints one. No chip knows it yet.
///
/// # Errors
/// [`Error::HostRandom`]
pub fn run() -> Result<Output> {
    let mut random = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *random).map_err(Error::HostRandom)?;
    let code = RecoveryCode::new(&random).text();
    Output::new(format!("{}\n", *code), &Code { recovery_code: &code })
}
