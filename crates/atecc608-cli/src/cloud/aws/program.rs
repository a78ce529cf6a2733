// SPDX-License-Identifier: MIT OR Apache-2.0
//! The AWS CLI, version 1 or 2: calls it, parses its JSON, and explains its errors.

use std::io::ErrorKind;

use clap::Args;
use serde_json::Value;

use super::calls::Call;
use crate::cloud::program::{self, Said};
use crate::error::{Error, Result};
use crate::output::shell;

/// Which account and region, as the AWS CLI is told.
#[derive(Clone, Debug, Default, Args)]
pub struct Access {
    /// The AWS CLI's profile; the default is what its configuration and AWS_PROFILE say
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// The AWS region; the default is what the AWS CLI's configuration and AWS_DEFAULT_REGION say
    #[arg(long)]
    pub region: Option<String>,
}

/// Why a call failed, as far as a setup handles it.
#[derive(Debug)]
pub enum Failure {
    /// ResourceNotFoundException.
    NotFound,
    /// ResourceAlreadyExistsException.
    Exists,
    /// Any other failure, with its message.
    Other(Error),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NotFound => Self::Refused("AWS: the resource does not exist".to_owned()),
            Failure::Exists => Self::Refused("AWS: the resource exists already".to_owned()),
            Failure::Other(error) => error,
        }
    }
}

impl Access {
    fn arguments(&self, call: &Call) -> Vec<String> {
        let mut arguments = call.clone();
        for (option, value) in [("--profile", &self.profile), ("--region", &self.region)] {
            if let Some(value) = value {
                arguments.extend([option.to_owned(), value.clone()]);
            }
        }
        arguments
    }

    /// Returns where the AWS CLI gets its credentials, as text.
    pub fn credentials(&self) -> String {
        match &self.profile {
            Some(profile) => format!("those of the AWS CLI's profile \"{profile}\""),
            None => "those of the AWS CLI (`aws configure`, AWS_PROFILE or AWS_ACCESS_KEY_ID)".to_owned(),
        }
    }

    /// Returns the source of the region, as text.
    pub fn region_source(&self) -> String {
        match &self.region {
            Some(region) => region.clone(),
            None => "that of the AWS CLI (`aws configure`, AWS_DEFAULT_REGION), or --region".to_owned(),
        }
    }

    /// Returns the call as a shell command.
    pub fn line(&self, call: &Call) -> String {
        shell::line("aws", &self.arguments(call))
    }

    /// Makes a call; returns AWS's response, null if it is empty.
    ///
    /// # Errors
    /// [`Failure`] if the AWS CLI can't be run or reports an error.
    pub fn call(&self, call: &Call) -> Result<Value, Failure> {
        let mut arguments = self.arguments(call);
        let fixed = ["--output", "json", "--cli-connect-timeout", "15", "--cli-read-timeout", "30"];
        arguments.extend(fixed.map(str::to_owned));
        // Version 1 has no --no-cli-pager, and both heed the variable (empty: none).
        let variables = [("AWS_PAGER", ""), ("AWS_MAX_ATTEMPTS", "3")];
        let what = call.iter().take(2).cloned().collect::<Vec<_>>().join(" ");
        let said = program::run("aws", &arguments, &variables).map_err(|error| {
            Failure::Other(Error::Refused(match error.kind() {
                ErrorKind::NotFound => {
                    "the AWS CLI (`aws`) is not installed, or not in PATH: sudo apt install awscli. Without it, --dry-run \
                     shows the commands for another machine"
                        .to_owned()
                }
                _ => format!("aws {what}: {error}"),
            }))
        })?;
        if !said.success {
            return Err(failure(&what, &said.stderr));
        }
        answer(&what, &said)
    }
}

fn answer(what: &str, said: &Said) -> Result<Value, Failure> {
    if said.stdout.iter().all(u8::is_ascii_whitespace) {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&said.stdout).map_err(|error| {
        Failure::Other(Error::Refused(format!("aws {what} returned something else than JSON: {error}")))
    })
}

/// Error texts of the AWS CLI, and their remedies; the first match counts. Its versions exit with 253, 254 or 255 for
/// the same error, and print another server's errors unchanged, so the text decides.
const REMEDIES: [(&[&str], &str); 8] = [
    (
        &["AccessDenied", "UnauthorizedException", "ForbiddenException"],
        "these credentials do not permit this call: docs/aws-iot.md lists the IAM permissions that a set-up needs",
    ),
    (
        &[
            "ExpiredToken",
            "InvalidClientTokenId",
            "UnrecognizedClientException",
            "InvalidSignatureException",
            "SignatureDoesNotMatch",
            "InvalidAccessKeyId",
            "AuthFailure",
        ],
        "AWS does not accept these credentials: log in again (`aws configure`, `aws sso login`), check the clock",
    ),
    (
        &["VersionsLimitExceededException"],
        "a policy has at most five versions: delete one (`aws iot list-policy-versions`, `aws iot \
         delete-policy-version`), then run this again",
    ),
    (&["ThrottlingException", "LimitExceededException"], "AWS limits the rate of calls: run it again in a minute"),
    (
        &["Unable to locate credentials", "Partial credentials"],
        "the AWS CLI has no credentials: `aws configure`, or AWS_PROFILE",
    ),
    (&["The config profile"], "`aws configure list-profiles` lists the profiles"),
    (&["You must specify a region"], "use --region, or set one with `aws configure set region ...`"),
    (
        &["Could not connect to the endpoint URL", "Connect timeout", "Read timeout", "Connection was closed", "proxy"],
        "cannot reach AWS: check the network and the region. Running this again continues where it stopped",
    ),
];

/// Returns the failure, in the AWS CLI's words and with a remedy.
fn failure(what: &str, stderr: &str) -> Failure {
    let has = |part: &str| stderr.contains(part);
    if has("(ResourceNotFoundException)") {
        return Failure::NotFound;
    }
    if has("(ResourceAlreadyExistsException)") {
        return Failure::Exists;
    }
    let last = stderr.trim().lines().last().unwrap_or("it said nothing").trim();
    let remedy = REMEDIES.iter().find(|(words, _)| words.iter().any(|word| has(word)));
    let remedy = remedy.map(|(_, remedy)| format!(" -- {remedy}")).unwrap_or_default();
    Failure::Other(Error::Refused(format!("aws {what}: {last}{remedy}")))
}

/// Returns a text in a response of AWS.
///
/// # Errors
/// [`Error::Refused`] if it is missing.
pub fn text<'v>(answer: &'v Value, path: &str) -> Result<&'v str> {
    answer
        .pointer(path)
        .and_then(Value::as_str)
        .ok_or_else(|| Error::Refused(format!("AWS's response has no text at {path}: {answer}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines as aws-cli 1.46 and 2.9 print them.
    #[test]
    fn failures_say_what_to_do() {
        for (said, part) in [
            ("\nAn error occurred (AccessDenied) when calling the CreateThing operation: User: x is not authorized", "IAM"),
            ("An error occurred (UnrecognizedClientException) when calling the DescribeEndpoint operation: The security token", "log in"),
            ("Unable to locate credentials. You can configure credentials by running \"aws configure\".", "no credentials"),
            ("\nThe config profile (nope) could not be found", "list-profiles"),
            ("You must specify a region. You can also configure your region by running \"aws configure\".", "--region"),
            ("\nCould not connect to the endpoint URL: \"https://iot.eu-central-1.amazonaws.com/\"", "network"),
            ("An error occurred (InternalFailureException) when calling the CreateThing operation: oops", "oops"),
        ] {
            let Failure::Other(error) = failure("iot create-thing", said) else { panic!("{said}") };
            let text = error.to_string();
            assert!(text.contains(part) && text.contains("iot create-thing"), "{text}");
        }
        let found = failure("iot x", "An error occurred (ResourceNotFoundException) when calling the X operation: y");
        assert!(matches!(found, Failure::NotFound));
    }
}
