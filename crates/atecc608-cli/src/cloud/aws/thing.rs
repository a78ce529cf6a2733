// SPDX-License-Identifier: MIT OR Apache-2.0
//! The thing, its policy, and the certificate attached to both, which is activated last.

use serde_json::Value;

use super::arn::Account;
use super::calls;
use super::certificate::{Registered, Status};
use super::policy::{self, Feature};
use super::program::{text, Failure};
use super::steps::Steps;
use crate::cloud::folder::{Folder, Outcome};
use crate::error::{Error, Result};
use crate::output::note;

/// The policy's file.
pub const POLICY: &str = "policy.json";

/// The required resources at AWS.
pub struct Wanted<'a> {
    /// The thing's name.
    pub thing: &'a str,
    /// Its features.
    pub features: &'a [Feature],
    /// Greengrass's role alias.
    pub role_alias: Option<&'a str>,
    /// Whether a policy with another document is updated.
    pub update_policy: bool,
}

impl Wanted<'_> {
    /// Creates what does not exist yet; returns the policy's name, and the account.
    ///
    /// # Errors
    /// [`Error::Refused`] if the policy has another document, a call of AWS fails, or a file can't be written.
    pub fn make(
        &self,
        steps: &mut Steps<'_>,
        folder: &mut Folder,
        certificate: &Registered,
    ) -> Result<(String, Account)> {
        let account = self.account(steps)?;
        let name = self.policy(steps, &account, folder)?;
        self.attach(steps, &name, certificate)?;
        if certificate.status != Status::Active {
            steps.make("AWS IoT activates the certificate", &calls::activate_certificate(&certificate.id))?;
        }
        Ok((name, account))
    }

    /// Returns the account of the thing, after creating the thing if necessary.
    fn account(&self, steps: &mut Steps<'_>) -> Result<Account> {
        let thing = self.thing;
        let answer = match steps.ask(&calls::describe_thing(thing))? {
            Some(answer) => answer,
            None => steps.make(&format!("AWS IoT creates the thing \"{thing}\""), &calls::create_thing(thing))?,
        };
        Account::of_thing(text(&answer, "/thingArn")?)
    }

    /// Returns the thing's policy, after creating it if necessary.
    fn policy(&self, steps: &mut Steps<'_>, account: &Account, folder: &mut Folder) -> Result<String> {
        let name = policy::name(self.thing);
        let document = policy::document(account, self.thing, self.features, self.role_alias)?;
        let pretty = serde_json::to_string_pretty(&document).unwrap_or_default() + "\n";
        let file = folder.file(POLICY);
        // The file is only a record: AWS's document counts.
        let mut write = |outcome| {
            folder.note(POLICY, 0o644, outcome);
            folder.overwrite(POLICY, pretty.as_bytes(), 0o644)
        };
        let Some(answer) = steps.ask(&calls::get_policy(&name))? else {
            write(Outcome::Written)?;
            return match steps
                .make(&format!("AWS IoT creates the policy \"{name}\""), &calls::create_policy(&name, &file))
            {
                Ok(_) | Err(Failure::Exists) => Ok(name),
                Err(failure) => Err(failure.into()),
            };
        };
        let found: Option<Value> =
            text(&answer, "/policyDocument").ok().and_then(|text| serde_json::from_str(text).ok());
        if found.as_ref() == Some(&document) {
            write(Outcome::Unchanged)?;
            return Ok(name);
        }
        if !self.update_policy {
            return Err(Error::Refused(format!(
                "the policy \"{name}\" exists with another document (other features, or edited by hand): {} shows it. \
                 --update-policy adds this thing's document as a new version",
                steps.line(&calls::get_policy(&name))
            )));
        }
        write(Outcome::Written)?;
        let version = calls::create_policy_version(&name, &file);
        steps.make(&format!("AWS IoT adds a version of the policy \"{name}\""), &version)?;
        Ok(name)
    }

    fn attach(&self, steps: &mut Steps<'_>, policy: &str, certificate: &Registered) -> Result<()> {
        let arn = &certificate.arn;
        let attached = match certificate.things {
            Some(_) => steps.ask(&calls::list_attached_policies(arn))?.unwrap_or_default(),
            None => Value::Null,
        };
        let names =
            || attached["policies"].as_array().into_iter().flatten().filter_map(|policy| policy["policyName"].as_str());
        for other in names().filter(|name| *name != policy) {
            note(&format!("the certificate has another policy, too, which may allow more: \"{other}\""));
        }
        if !names().any(|name| name == policy) {
            steps.make("AWS IoT attaches the policy to the certificate", &calls::attach_policy(policy, arn))?;
        }
        if !certificate.things.iter().flatten().any(|name| name == self.thing) {
            steps.make(
                "AWS IoT attaches the certificate to the thing",
                &calls::attach_thing_principal(self.thing, arn),
            )?;
        }
        Ok(())
    }
}
