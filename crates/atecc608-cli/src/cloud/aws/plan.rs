// SPDX-License-Identifier: MIT OR Apache-2.0
//! `aws setup --dry-run`: the calls in the order in which they are made if nothing exists yet, and their requirements.

use serde_json::json;

use super::arn::Account;
use super::calls::{self, Call};
use super::certificate::{Source, REQUEST};
use super::clients::Clients;
use super::device_client::{CERTIFICATE, CERTIFICATE_MODE};
use super::policy::{self, Feature};
use super::program::Access;
use super::setup::{CREDENTIALS_ENDPOINT, MQTT_ENDPOINT};
use super::thing::POLICY;
use crate::cloud::folder::{self, Folder, Outcome};
use crate::error::Result;
use crate::output::Output;

/// A placeholder for the id of a certificate that does not exist yet.
const ID: &str = "CERTIFICATE-ID";

/// A setup that is only shown.
pub struct Plan<'a> {
    /// The thing's name.
    pub thing: &'a str,
    /// The key's label.
    pub key: &'a str,
    /// Whether the chip has the key already.
    pub key_exists: bool,
    /// Account and region.
    pub access: &'a Access,
    /// The source of the certificate.
    pub source: &'a Source,
    /// The thing's features.
    pub features: &'a [Feature],
    /// Greengrass's role alias.
    pub role_alias: Option<&'a str>,
    /// Whether AWS is queried for the MQTT endpoint.
    pub asks_endpoint: bool,
    /// Whether AWS is queried for the credentials endpoint.
    pub asks_credentials_endpoint: bool,
    /// Whether the thing may have certificates for other keys.
    pub existing_thing: bool,
    /// Whether the policy may get a new document.
    pub update_policy: bool,
    /// Whether Greengrass is the nucleus lite.
    pub lite: bool,
}

impl Plan<'_> {
    /// Returns what would be done; `folder` is one of a dry run.
    ///
    /// # Errors
    /// [`Error::Refused`](crate::Error::Refused) if such a policy is not possible.
    pub fn output(&self, folder: &mut Folder) -> Result<Output> {
        let account = Account::placeholder(self.access.region.as_deref());
        let document = policy::document(&account, self.thing, self.features, self.role_alias)?;
        let calls = self.calls(folder, &account);
        let permissions = self.permissions(&calls, folder);
        let commands: Vec<String> = calls.iter().map(|call| self.access.line(call)).collect();
        self.note_files(folder);

        let key = if self.key_exists { "is there" } else { "would be generated" };
        let mut text =
            format!("Nothing was done, and AWS was not called.\n\nThe key \"{}\" {key} in the chip.\n\n", self.key);
        if commands.is_empty() {
            text += "AWS is not called: no credentials are needed.\n";
        } else {
            text += "Calls, in this order, for a new set-up:\n";
            commands.iter().for_each(|line| text += &format!("  {line}\n"));
            text += &format!(
                "\nThey need\n  credentials  {}\n  region       {}\n  permissions  {}\n",
                self.access.credentials(),
                self.access.region_source(),
                permissions.join("\n               ")
            );
        }
        text += &format!("\nThe policy:\n{}\n\n", serde_json::to_string_pretty(&document).unwrap_or_default());
        text += &folder::text(folder.placed());
        let answer = json!({
            "dry_run": true,
            "thing": self.thing,
            "key": self.key,
            "key_exists": self.key_exists,
            "commands": commands,
            "permissions": permissions,
            "policy": document,
            "files": folder.placed(),
        });
        Output::new(text, &answer)
    }

    fn calls(&self, folder: &Folder, account: &Account) -> Vec<Call> {
        let (thing, policy) = (self.thing, policy::name(self.thing));
        let arn = account.iot("cert", ID);
        let mut calls = Vec::new();
        calls.extend(self.asks_endpoint.then(|| calls::describe_endpoint(MQTT_ENDPOINT)));
        calls.extend(self.asks_credentials_endpoint.then(|| calls::describe_endpoint(CREDENTIALS_ENDPOINT)));
        if self.source.just_in_time() {
            calls.extend(self.asks_endpoint.then(|| calls::describe_ca_certificate("CA-ID")));
            return calls;
        }
        if !(self.existing_thing || self.key_exists) {
            calls.push(calls::list_thing_principals(thing));
        }
        calls.extend(self.source.calls(thing, folder, ID, &arn));
        calls.push(calls::describe_thing(thing));
        calls.push(calls::create_thing(thing));
        calls.push(calls::get_policy(&policy));
        calls.push(calls::create_policy(&policy, &folder.file(POLICY)));
        if !self.source.by_aws() {
            calls.push(calls::list_attached_policies(&arn));
        }
        calls.push(calls::attach_policy(&policy, &arn));
        calls.push(calls::attach_thing_principal(thing, &arn));
        calls.push(calls::activate_certificate(ID));
        calls
    }

    /// Returns the IAM permissions of these calls, and of those for existing resources.
    fn permissions(&self, calls: &[Call], folder: &Folder) -> Vec<String> {
        let mut others = Vec::new();
        if !self.source.just_in_time() {
            others.push(calls::list_thing_principals(self.thing));
            others.push(calls::describe_certificate(ID));
            others.push(calls::list_principal_things(ID));
            others.push(calls::list_attached_policies(ID));
            others.extend(self.source.call_for_a_known_ca(folder));
            others.extend(self.update_policy.then(|| calls::create_policy_version(self.thing, &folder.file(POLICY))));
        }
        let mut permissions = Vec::new();
        for permission in calls.iter().chain(&others).map(permission) {
            if !permissions.contains(&permission) {
                permissions.push(permission);
            }
        }
        permissions
    }

    fn note_files(&self, folder: &mut Folder) {
        folder.note(CERTIFICATE, CERTIFICATE_MODE, Outcome::Planned);
        if self.source.by_aws() {
            folder.note(REQUEST, 0o600, Outcome::Planned);
        }
        if !self.source.just_in_time() {
            folder.note(POLICY, 0o644, Outcome::Planned);
        }
        Clients::note_planned(folder, self.role_alias.is_some(), self.lite);
    }
}

/// Returns the IAM permission of a call: `iot create-thing` needs `iot:CreateThing`.
fn permission(call: &Call) -> String {
    let words = call.get(1).map(String::as_str).unwrap_or_default().split('-');
    let capital = |word: &str| match word {
        "ca" => "CA".to_owned(),
        word => word[..1].to_uppercase() + &word[1..],
    };
    format!("iot:{}", words.map(capital).collect::<String>())
}
