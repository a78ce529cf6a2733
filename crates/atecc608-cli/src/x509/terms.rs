//! What a certificate is to be good for, and how long.

use std::time::{Duration, SystemTime};

use der::asn1::{GeneralizedTime, UtcTime};
use der::DateTime;
use x509_cert::time::{Time, Validity};

use crate::error::{Error, Result};

/// For how many days a certificate is valid where nothing else is said: ten years, as long as a gateway runs.
pub const DEFAULT_DAYS: u32 = 3650;
/// A certificate begins to be valid this much before it is made, for hosts whose clocks are late.
const HEAD_START: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// No clock of a machine that makes certificates shows an earlier time: one that does has no battery and was not set. 2024-01-01.
const EARLIEST_NOW: Duration = Duration::from_secs(1_704_067_200);

/// When a certificate ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// After [`DEFAULT_DAYS`], or with its issuer's if that is sooner.
    Usual,
    /// So many days after it begins.
    Days(u32),
    /// At this time, which is the last second.
    At(DateTime),
    /// Never: 9999-12-31T23:59:59Z (RFC 5280 section 4.1.2.5).
    Never,
}

/// What a certificate is to be good for, and how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// From when; an hour ago if not said.
    pub not_before: Option<DateTime>,
    /// Until when.
    pub end: End,
    /// For TLS clients (extKeyUsage clientAuth): what a device is to a cloud.
    pub client: bool,
    /// For TLS servers (serverAuth).
    pub server: bool,
    /// For a certification authority, with this many authorities below it at most if said.
    pub authority: Option<Option<u8>>,
}

impl Terms {
    /// A device's certificate: TLS client, ten years.
    pub fn device() -> Self {
        Self { not_before: None, end: End::Usual, client: true, server: false, authority: None }
    }

    /// A certification authority's: whatever its certificates are for.
    pub fn authority(path_length: Option<u8>) -> Self {
        Self { not_before: None, end: End::Usual, client: false, server: false, authority: Some(path_length) }
    }

    /// From when to when; within the issuer's time as far as the terms leave that open.
    ///
    /// # Errors
    /// [`Error::Refused`] for a time that ends before it begins or is past, and if the machine's clock is not set.
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

/// Returns a warning if a certificate lasts as long as its issuer's own, or longer: it is accepted until the issuer's ends.
pub fn end_warning(validity: &Validity, issuer: &Validity) -> Option<String> {
    let (end, issuers) = (validity.not_after, issuer.not_after);
    (end.to_unix_duration() >= issuers.to_unix_duration()).then(|| {
        format!(
            "the authority's own certificate ends at {issuers}: from then on nobody accepts the new one, which has {end} as its \
             end"
        )
    })
}

/// The time now, since 1970.
///
/// # Errors
/// [`Error::Refused`] if the clock can't be right: certificates made with it would be refused by everybody.
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

/// Reads a time: `2035-12-31T23:59:59Z`, or the date alone, which is its first second.
///
/// # Errors
/// What was expected.
pub fn parse_time(text: &str) -> Result<DateTime, String> {
    let whole = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    whole.parse().map_err(|_| "expected a date such as 2035-12-31, or a time such as 2035-12-31T23:59:59Z".to_owned())
}

/// Reads `--not-after`: a time, or `never`. A date alone is its last second.
///
/// # Errors
/// What was expected.
pub fn parse_end(text: &str) -> Result<End, String> {
    if text == "never" {
        return Ok(End::Never);
    }
    let whole = if text.len() == 10 { format!("{text}T23:59:59Z") } else { text.to_owned() };
    parse_time(&whole).map(End::At).map_err(|problem| format!("{problem}, or never"))
}
