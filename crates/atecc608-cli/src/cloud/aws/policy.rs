// SPDX-License-Identifier: MIT OR Apache-2.0
//! The policy of one thing: it may connect as itself and use its own topics, and nothing else. Each further feature is
//! requested by name.
//!
//! Actions and resources according to AWS IoT Core's "policy actions"; topics according to AWS IoT Device Client (the
//! README of each of its features) and Greengrass v2 ("Minimal AWS IoT policy for core devices"), with one difference:
//! Greengrass's own sample ends names with `*`, so that `gateway-1` can act as `gateway-10`; here only this thing's
//! exact name is allowed.

use base16ct::lower::encode_string as hex;
use clap::ValueEnum;
use serde_json::{json, Value};
use sha2::{Digest, Sha256};

use super::arn::Account;
use crate::error::{Error, Result};

/// Most characters of a policy document, white space not counted (AWS IoT Core quotas).
const MAX_LEN: usize = 2048;

/// What the thing may do beside MQTT on its own topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Feature {
    /// Remote jobs
    Jobs,
    /// The thing's shadows, named ones too
    Shadow,
    /// Device Client's remote configuration: the cloud switches its features on, among them jobs, which run commands
    ConfigShadow,
    /// Secure tunnels to this device
    Tunneling,
    /// Device Defender metrics
    Defender,
    /// A Greengrass v2 core device: health, jobs, shadows, components, and the role that --role-alias names
    Greengrass,
}

/// Returns the policy document.
///
/// # Errors
/// [`Error::Refused`] if it is longer than AWS accepts.
pub fn document(account: &Account, thing: &str, features: &[Feature], role_alias: Option<&str>) -> Result<Value> {
    let has = |feature| features.contains(&feature);
    let core = has(Feature::Greengrass);
    let ours = |rest: &str| format!("$aws/things/{thing}/{rest}");
    let mut topics = vec![format!("{thing}/*")];
    let mut received = Vec::new();
    if has(Feature::Jobs) || core {
        topics.push(ours("jobs/*"));
    }
    if has(Feature::Shadow) || core {
        topics.push(ours("shadow/*"));
    } else if has(Feature::ConfigShadow) {
        topics.push(ours("shadow/name/DeviceClientConfigShadow/*"));
    }
    if has(Feature::Defender) {
        topics.push(ours("defender/metrics/*"));
    }
    if has(Feature::Tunneling) {
        received.push(ours("tunnels/notify"));
    }
    let filters = topics.iter().chain(&received).map(|topic| account.iot("topicfilter", topic));
    let mut statements = vec![allow(&["iot:Subscribe"], filters.collect())];
    if !received.is_empty() {
        statements.push(allow(&["iot:Receive"], received.iter().map(|topic| account.iot("topic", topic)).collect()));
    }
    if core {
        // Published only, nothing is received there.
        topics.extend([ours("greengrass/health/json"), ours("greengrassv2/health/json")]);
    }
    let both = topics.iter().map(|topic| account.iot("topic", topic)).collect();
    statements.insert(0, allow(&["iot:Publish", "iot:Receive"], both));
    let mut clients = vec![account.iot("client", thing)];
    if core {
        // The nucleus's further connections: THING#2, THING#3, ...
        clients.push(account.iot("client", &format!("{thing}#*")));
    }
    statements.insert(0, allow(&["iot:Connect"], clients));
    if let Some(alias) = role_alias {
        statements.push(allow(&["iot:AssumeRoleWithCertificate"], vec![account.iot("rolealias", alias)]));
    }
    if core {
        // A core device's requests about components and its own deployments. AWS's minimal policy has them in this
        // form: they are not actions on a thing.
        let actions = [
            "greengrass:GetComponentVersionArtifact",
            "greengrass:ResolveComponentCandidates",
            "greengrass:GetDeploymentConfiguration",
            "greengrass:ListThingGroupsForCoreDevice",
        ];
        statements.push(allow(&actions, vec!["*".to_owned()]));
    }
    let document = json!({ "Version": "2012-10-17", "Statement": statements });
    let len = document.to_string().len();
    if len > MAX_LEN {
        return Err(Error::Refused(format!(
            "the policy for thing \"{thing}\" would have {len} characters, and AWS takes {MAX_LEN}: fewer features, or a \
             shorter thing name"
        )));
    }
    Ok(document)
}

fn allow(actions: &[&str], resources: Vec<String>) -> Value {
    json!({ "Effect": "Allow", "Action": actions, "Resource": resources })
}

/// The name of a thing's policy: `atecc608-THING`. A colon, which is allowed in a thing's name but not in a policy's,
/// is written as `=`, which is not allowed in a thing's name; a name that gets too long ends with a part of its digest.
pub fn name(thing: &str) -> String {
    const MAX: usize = 128;
    let name = format!("atecc608-{}", thing.replace(':', "="));
    if name.len() <= MAX {
        return name;
    }
    let digest = hex(&Sha256::digest(thing));
    format!("{}-{}", &name[..MAX - 17], &digest[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Feature; 6] = [
        Feature::Jobs,
        Feature::Shadow,
        Feature::ConfigShadow,
        Feature::Tunneling,
        Feature::Defender,
        Feature::Greengrass,
    ];

    fn account() -> Account {
        Account::of_thing("arn:aws:iot:eu-central-1:123456789012:thing/gateway-1").unwrap()
    }

    /// Every (action, resource) that is allowed.
    fn allowed(document: &Value) -> Vec<(String, String)> {
        let mut pairs = Vec::new();
        for statement in document["Statement"].as_array().unwrap() {
            assert_eq!(statement["Effect"], "Allow");
            for action in statement["Action"].as_array().unwrap() {
                for resource in statement["Resource"].as_array().unwrap() {
                    pairs.push((action.as_str().unwrap().to_owned(), resource.as_str().unwrap().to_owned()));
                }
            }
        }
        pairs
    }

    #[test]
    fn without_features_a_thing_may_only_connect_as_itself_and_use_its_own_topics() {
        let document = document(&account(), "gateway-1", &[], None).unwrap();
        let arn = |rest: &str| format!("arn:aws:iot:eu-central-1:123456789012:{rest}");
        let expected = [
            ("iot:Connect", "client/gateway-1"),
            ("iot:Publish", "topic/gateway-1/*"),
            ("iot:Receive", "topic/gateway-1/*"),
            ("iot:Subscribe", "topicfilter/gateway-1/*"),
        ];
        assert_eq!(allowed(&document), expected.map(|(action, rest)| (action.to_owned(), arn(rest))));
    }

    #[test]
    fn whatever_the_features_no_iot_action_is_a_wildcard_and_every_iot_resource_names_this_thing() {
        for features in [&ALL[..], &ALL[..1], &ALL[1..2], &ALL[2..3], &ALL[3..4], &ALL[4..5], &ALL[5..]] {
            let document = document(&account(), "gateway-1", features, Some("TokenExchange")).unwrap();
            for (action, resource) in allowed(&document) {
                assert!(!action.contains('*'), "{action}");
                if action == "iot:AssumeRoleWithCertificate" {
                    assert!(resource.ends_with(":rolealias/TokenExchange"), "{resource}");
                } else if action.starts_with("iot:") {
                    let (_, rest) = resource.split_once(":123456789012:").unwrap();
                    let (_, name) = rest.split_once('/').unwrap();
                    let name = name.strip_prefix("$aws/things/").unwrap_or(name);
                    let after = name.strip_prefix("gateway-1").unwrap();
                    assert!(after.is_empty() || after.starts_with('/') || after == "#*", "{resource}");
                } else {
                    assert!(action.starts_with("greengrass:"), "{action}");
                }
            }
        }
    }

    #[test]
    fn each_feature_allows_the_topics_that_its_client_asks_for() {
        for (feature, action, resource) in [
            (Feature::Jobs, "iot:Subscribe", "topicfilter/$aws/things/gateway-1/jobs/*"),
            (Feature::Jobs, "iot:Publish", "topic/$aws/things/gateway-1/jobs/*"),
            (Feature::Shadow, "iot:Receive", "topic/$aws/things/gateway-1/shadow/*"),
            (
                Feature::ConfigShadow,
                "iot:Publish",
                "topic/$aws/things/gateway-1/shadow/name/DeviceClientConfigShadow/*",
            ),
            (Feature::Tunneling, "iot:Subscribe", "topicfilter/$aws/things/gateway-1/tunnels/notify"),
            (Feature::Tunneling, "iot:Receive", "topic/$aws/things/gateway-1/tunnels/notify"),
            (Feature::Defender, "iot:Publish", "topic/$aws/things/gateway-1/defender/metrics/*"),
            (Feature::Greengrass, "iot:Publish", "topic/$aws/things/gateway-1/greengrassv2/health/json"),
            (Feature::Greengrass, "iot:Connect", "client/gateway-1#*"),
        ] {
            let wanted = (action.to_owned(), format!("arn:aws:iot:eu-central-1:123456789012:{resource}"));
            let with = document(&account(), "gateway-1", &[feature], None).unwrap();
            assert!(allowed(&with).contains(&wanted), "{feature:?}: {wanted:?}");
            let without = document(&account(), "gateway-1", &[], None).unwrap();
            assert!(!allowed(&without).contains(&wanted), "{feature:?}: {wanted:?}");
        }
    }

    #[test]
    fn a_policy_that_aws_would_not_take_is_refused_here() {
        assert!(document(&account(), "gateway-1", &ALL, Some("GreengrassV2TokenExchangeRoleAlias")).is_ok());
        let refused = document(&account(), &"x".repeat(128), &ALL, None).unwrap_err().to_string();
        assert!(refused.contains("2048"), "{refused}");
    }

    #[test]
    fn policy_names_have_only_what_aws_allows_and_differ_where_thing_names_do() {
        assert_eq!(name("a:b_c-1"), "atecc608-a=b_c-1");
        let (one, two) = (name(&"y".repeat(128)), name(&format!("{}z", "y".repeat(127))));
        assert!(one.len() == 128 && two.len() == 128 && one != two, "{one} {two}");
    }
}
