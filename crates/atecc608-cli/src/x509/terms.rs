// SPDX-License-Identifier: MIT OR Apache-2.0
//! The purpose and validity of a certificate.

use std::time::{Duration, SystemTime};

use der::asn1::{GeneralizedTime, UtcTime};
use der::DateTime;
use x509_cert::time::{Time, Validity};

use crate::error::{Error, Result};

/// The default validity of a certificate in days: ten years, the lifetime of a gateway.
pub const DEFAULT_DAYS: u32 = 3650;
/// A certificate's validity starts this much before its creation, for hosts with slow clocks.
const HEAD_START: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Earlier times mean that the machine's clock was never set (no battery). 2024-01-01.
const EARLIEST_NOW: Duration = Duration::from_secs(1_704_067_200);

/// The end of a certificate's validity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// After [`DEFAULT_DAYS`], or with its issuer's end if that is sooner.
    Usual,
    /// This many days after its start.
    Days(u32),
    /// At this time, inclusive.
    At(DateTime),
    /// Never: 9999-12-31T23:59:59Z (RFC 5280 section 4.1.2.5).
    Never,
}

/// The purpose and validity of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The start; `None` for an hour ago.
    pub not_before: Option<DateTime>,
    /// The end.
    pub end: End,
    /// For TLS clients (extKeyUsage clientAuth), as devices of a cloud are.
    pub client: bool,
    /// For TLS servers (serverAuth).
    pub server: bool,
    /// For a certification authority, with at most this many authorities below it, if given.
    pub authority: Option<Option<u8>>,
}

impl Terms {
    /// A device's certificate: TLS client, ten years.
    pub fn device() -> Self {
        Self { not_before: None, end: End::Usual, client: true, server: false, authority: None }
    }

    /// A certification authority's certificate, for any purpose.
    pub fn authority(path_length: Option<u8>) -> Self {
        Self { not_before: None, end: End::Usual, client: false, server: false, authority: Some(path_length) }
    }

    /// Returns start and end, limited to the issuer's validity unless the terms set them.
    ///
    /// # Errors
    /// [`Error::Refused`] for an end before the start or in the past, and if the machine's clock is not set.
    pub fn validity(&self, issuer: Option<&Validity>) -> Result<Validity> {
        let now = now()?;
        let failed = |_| Error::Refused("the certificate's time is beyond the year 9999".to_owned());
        let issuers_begin = issuer.map(|validity| validity.not_before.to_unix_duration());
        let begin = match self.not_before {
            Some(begin) => begin.unix_duration(),
            None => (now - HEAD_START).max(issuers_begin.unwrap_or_default()),
        };
        let after = |days: u32| begin.checked_add(DAY * days).and_then(|end| DateTime::from_unix_duration(end).ok());
        let end = match self.end {
            End::Days(days) => after(days).ok_or(()).map_err(failed)?,
            End::At(end) => end,
            End::Never => DateTime::INFINITY,
            End::Usual => {
                let usual = after(DEFAULT_DAYS).ok_or(()).map_err(failed)?;
                issuer.map_or(usual, |validity| usual.min(validity.not_after.to_date_time()))
            }
        };
        let begin = DateTime::from_unix_duration(begin).map_err(|_| failed(()))?;
        if end.unix_duration() <= begin.unix_duration() {
            return Err(Error::Refused(format!("the certificate would end ({end}) before it begins ({begin})")));
        }
        if end.unix_duration() < now {
            return Err(Error::Refused(format!("the certificate would be expired already: it would end at {end}")));
        }
        Ok(Validity { not_before: time(begin)?, not_after: time(end)? })
    }
}

/// Returns a warning if a certificate is valid as long as its issuer's, or longer: it is accepted until the issuer's
/// ends.
pub fn end_warning(validity: &Validity, issuer: &Validity) -> Option<String> {
    let (end, issuers) = (validity.not_after, issuer.not_after);
    (end.to_unix_duration() >= issuers.to_unix_duration()).then(|| {
        format!(
            "the authority's own certificate ends at {issuers}: from then on verifiers refuse the new one, which ends \
             at {end}"
        )
    })
}

/// Returns the present time, since 1970.
///
/// # Errors
/// [`Error::Refused`] if the clock was never set: verifiers would refuse such certificates.
pub fn now() -> Result<Duration> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    if now < EARLIEST_NOW {
        return Err(Error::Refused(
            "this machine's clock is not set: it shows a year before 2024, and a certificate's dates are made from it. Set it \
             (`timedatectl set-ntp true`, or `date -s`)"
                .to_owned(),
        ));
    }
    Ok(now)
}

/// UTCTime until 2049, GeneralizedTime from 2050 on (RFC 5280 section 4.1.2.5).
fn time(at: DateTime) -> Result<Time> {
    let utc = if at.year() < 2050 { UtcTime::from_date_time(at).ok() } else { None };
    Ok(utc.map_or_else(|| Time::GeneralTime(GeneralizedTime::from_date_time(at)), Time::UtcTime))
}

/// Parses a time: `2035-12-31T23:59:59Z`, or a date alone, which means its first second.
///
/// # Errors
/// The expected form.
pub fn parse_time(text: &str) -> Result<DateTime, String> {
    let whole = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    whole.parse().map_err(|_| "expected a date such as 2035-12-31, or a time such as 2035-12-31T23:59:59Z".to_owned())
}

/// Parses `--not-after`: a time, or `never`. A date alone means its last second.
///
/// # Errors
/// The expected form.
pub fn parse_end(text: &str) -> Result<End, String> {
    if text == "never" {
        return Ok(End::Never);
    }
    let whole = if text.len() == 10 { format!("{text}T23:59:59Z") } else { text.to_owned() };
    parse_time(&whole).map(End::At).map_err(|problem| format!("{problem}, or never"))
}
