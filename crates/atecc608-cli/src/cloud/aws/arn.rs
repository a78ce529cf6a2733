// SPDX-License-Identifier: MIT OR Apache-2.0
//! Names in AWS: the thing's, and the account in an ARN.

use crate::error::{Error, Result};

/// Checks a thing's name, which is also its MQTT client id.
///
/// # Errors
/// [`Error::Refused`] if AWS IoT does not accept it (ThingName: 1 to 128 of `[a-zA-Z0-9:_-]`).
pub fn check_thing_name(name: &str) -> Result<()> {
    let wrong = name.chars().find(|char| !(char.is_ascii_alphanumeric() || ":_-".contains(*char)));
    let problem = match wrong {
        Some(wrong) => format!("{wrong:?} is not allowed"),
        None if name.is_empty() => "it is empty".to_owned(),
        None if name.len() > 128 => format!("it has {} characters", name.len()),
        // Programs would parse it as an option.
        None if name.starts_with('-') => "it begins with a hyphen".to_owned(),
        None => return Ok(()),
    };
    Err(Error::Refused(format!(
        "\"{name}\" can't be a thing's name: {problem}. AWS IoT takes 1 to 128 of a-z A-Z 0-9 : _ - (and this tool none that begins \
         with -)"
    )))
}

/// Checks an endpoint's host; `option` is its command-line option.
///
/// # Errors
/// [`Error::Refused`] if it is not exactly a host name.
pub fn check_host(option: &str, host: &str) -> Result<()> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
    if (1..=253).contains(&host.len()) && host.bytes().all(fits) && !host.starts_with(['-', '.']) {
        return Ok(());
    }
    Err(Error::Refused(format!(
        "{option} {host}: expected a host name, without https:// and port, as `aws iot describe-endpoint \
         --endpoint-type iot:Data-ATS` prints it"
    )))
}

/// Returns the region in an endpoint's name: PREFIX-ats.iot.REGION.amazonaws.com.
pub fn region_of(endpoint: &str) -> Option<&str> {
    let mut parts = endpoint.split('.').skip(1);
    (parts.next() == Some("iot")).then(|| parts.next()).flatten()
}

/// The account and region of a thing: the common part of its resources' ARNs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// `aws`, `aws-cn`, `aws-us-gov`.
    pub partition: String,
    /// The region.
    pub region: String,
    /// 12 digits.
    pub number: String,
}

impl Account {
    /// Returns the account in a thing's ARN.
    ///
    /// # Errors
    /// [`Error::Refused`] if it is not an ARN of a thing.
    pub fn of_thing(arn: &str) -> Result<Self> {
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        match parts.as_slice() {
            ["arn", partition, "iot", region, number, _] => Ok(Self {
                partition: (*partition).to_owned(),
                region: (*region).to_owned(),
                number: (*number).to_owned(),
            }),
            _ => Err(Error::Refused(format!("AWS named a thing \"{arn}\", which is not an ARN of AWS IoT"))),
        }
    }

    /// A placeholder if AWS is not called (`--dry-run`).
    pub fn placeholder(region: Option<&str>) -> Self {
        Self {
            partition: "aws".to_owned(),
            region: region.unwrap_or("REGION").to_owned(),
            number: "ACCOUNT".to_owned(),
        }
    }

    /// Returns the ARN of an AWS IoT resource.
    pub fn iot(&self, kind: &str, name: &str) -> String {
        format!("arn:{}:iot:{}:{}:{kind}/{name}", self.partition, self.region, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thing_names_are_what_aws_takes() {
        for good in ["a", "Gateway:1_x-y", &"x".repeat(128)] {
            check_thing_name(good).unwrap();
        }
        for (bad, part) in [("", "empty"), ("a b", "' '"), ("gerät", "'ä'"), ("a/b", "'/'"), ("-x", "hyphen")] {
            let refused = check_thing_name(bad).unwrap_err().to_string();
            assert!(refused.contains(part), "{refused}");
        }
        assert!(check_thing_name(&"x".repeat(129)).unwrap_err().to_string().contains("129"));
    }

    #[test]
    fn an_endpoint_is_a_host_and_names_its_region() {
        let host = "a1b2-ats.iot.eu-central-1.amazonaws.com";
        check_host("--endpoint", host).unwrap();
        assert_eq!(region_of(host), Some("eu-central-1"));
        assert_eq!(region_of("localhost"), None);
        assert_eq!(region_of("mqtt.acme.example.com"), None);
        for wrong in ["", "https://a.b", "a.b:8883", "-a", "a b", &"x".repeat(254)] {
            assert!(check_host("--endpoint", wrong).unwrap_err().to_string().contains("describe-endpoint"), "{wrong}");
        }
    }

    #[test]
    fn an_arn_tells_partition_region_and_account() {
        let account = Account::of_thing("arn:aws-cn:iot:cn-north-1:123456789012:thing/a:b").unwrap();
        assert_eq!(account.iot("cert", "00ff"), "arn:aws-cn:iot:cn-north-1:123456789012:cert/00ff");
        assert!(Account::of_thing("arn:aws:s3:::bucket").is_err());
    }
}
