//! The closure of the live target, and how it differs from a stable state.
//!
//! Equality is by content only. This module must not decide what to do about a difference.

use super::content;
use super::facts::{ConfigMapFacts, Facts, MemberFacts, StateFacts};
use crate::api::policy::MemberPolicy;

/// One member whose live content is not what the state recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference<'a> {
    /// What the state recorded.
    pub stable: &'a MemberFacts,
    /// Uid of the live object; empty if it does not exist.
    pub uid: String,
    /// Digest of the live content; empty if it does not exist.
    pub live: String,
}

/// The digest of the live closure: the target and the ConfigMaps its template refers to. `None` without a target.
#[must_use]
pub fn live_digest(facts: &Facts) -> Option<String> {
    let target = facts.target.as_ref()?;
    let with_config_maps = config_map_policy(facts) != MemberPolicy::Ignore;
    let config_maps = target.config_maps.iter().filter(|_| with_config_maps).map(|name| {
        ("ConfigMap", name.as_str(), facts.config_maps.get(name).map_or("", |found| found.digest.as_str()))
    });
    let members = config_maps.chain([("Deployment", target.name.as_str(), target.digest.as_str())]);
    Some(content::closure_digest(members))
}

/// The members of `state` that differ in the live closure, configuration first: it must be there before its consumers.
#[must_use]
pub fn differences<'a>(facts: &Facts, state: &'a StateFacts) -> Vec<Difference<'a>> {
    let mut found: Vec<_> = state.members.iter().filter_map(|stable| difference(facts, stable)).collect();
    found.sort_by_key(|difference| difference.stable.kind == "Deployment");
    found
}

fn difference<'a>(facts: &Facts, stable: &'a MemberFacts) -> Option<Difference<'a>> {
    let (uid, live) = match stable.kind.as_str() {
        "Deployment" => facts.target.as_ref().map(|target| (&target.uid, &target.digest)),
        _ if config_map_policy(facts) == MemberPolicy::Ignore => return None,
        _ => facts.config_maps.get(&stable.name).map(|ConfigMapFacts { uid, digest, .. }| (uid, digest)),
    }
    .map(|(uid, digest)| (uid.clone(), digest.clone()))
    .unwrap_or_default();
    (live != stable.digest).then_some(Difference { stable, uid, live })
}

/// What the policy says about ConfigMaps; without a policy nothing is looked at but the target.
#[must_use]
pub fn config_map_policy(facts: &Facts) -> MemberPolicy {
    facts.policy.as_ref().map_or(MemberPolicy::Restore, |policy| policy.spec.closure.config_maps)
}
