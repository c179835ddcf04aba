//! Floors: which images of a stable state may not run again, and which of them an exception lets pass.
//!
//! An image that cannot be compared with its floor is below it. This module must not decide what follows.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use jiff::Timestamp;

use super::closure;
use super::facts::{Facts, StateFacts};
use super::member::MemberKind;
use crate::api::policy::RecoveryPolicySpec;
use crate::api::{FloorException, ImageFloor};

/// What a rollback to a state comes to by the floors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finding {
    /// Images below their floor, each with the floor, for people.
    pub below: Vec<String>,
    /// Those that an exception lets pass, each with the exception.
    pub excepted: Vec<String>,
}

/// An image reference, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Image<'a> {
    name: &'a str,
    tag: Option<&'a str>,
    digest: Option<&'a str>,
}

/// Which images a rollback to `state` would bring back that are below a floor. What runs now anyway is not brought back.
#[must_use]
pub fn judge(facts: &Facts, state: &StateFacts, now: Timestamp) -> Finding {
    let (Some(policy), Some(target)) = (&facts.policy, &facts.target) else { return Finding::default() };
    if policy.spec.floors.images.is_empty() {
        return Finding::default();
    }
    let restored = closure::differences(facts, state).iter().any(|difference| difference.kind.workload());
    let workload = |kind: &str| MemberKind::of(kind).is_some_and(MemberKind::workload);
    let images =
        state.members.iter().filter(|member| restored && workload(&member.kind)).flat_map(|member| &member.images);
    let brought: BTreeSet<&String> = images.filter(|image| !target.images.contains(*image)).collect();
    let mut finding = Finding::default();
    for image in brought {
        let Some(why) = below(&policy.spec, image) else { continue };
        match exception(&policy.spec, image, now) {
            Some(by) => {
                let FloorException { by, because, until, .. } = by;
                finding.excepted.push(format!("{why}; {by} lets it pass until {}: {because}", until.0));
            }
            None => finding.below.push(why),
        }
    }
    finding
}

/// The first floor that an image is below, in a sentence.
fn below(spec: &RecoveryPolicySpec, image: &str) -> Option<String> {
    let parts = Image::of(image);
    let floors = spec.floors.images.iter().filter(|floor| plain(&floor.image) == plain(parts.name));
    let mut refused = floors.filter_map(|floor| {
        let what = parts.refused_by(floor)?;
        let because = if floor.because.is_empty() { String::new() } else { format!(" ({})", floor.because) };
        Some(format!("image {image} {what}{because}"))
    });
    refused.next()
}

fn exception<'a>(spec: &'a RecoveryPolicySpec, image: &str, now: Timestamp) -> Option<&'a FloorException> {
    let parts = Image::of(image);
    spec.floors.exceptions.iter().find(|exception| {
        let same = plain(&exception.image) == plain(parts.name);
        same && parts.is(&exception.version) && now < exception.until.0
    })
}

/// Without what a runtime adds by itself.
fn plain(name: &str) -> &str {
    name.strip_prefix("docker.io/library/").or_else(|| name.strip_prefix("docker.io/")).unwrap_or(name)
}

impl<'a> Image<'a> {
    fn of(reference: &'a str) -> Self {
        let (rest, digest) = match reference.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (reference, None),
        };
        // A colon before the last slash is that of a port.
        match rest.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')) {
            Some((name, tag)) => Self { name, tag: Some(tag), digest },
            None => Self { name: rest, tag: digest.is_none().then_some("latest"), digest },
        }
    }

    fn is(&self, version: &str) -> bool {
        self.tag == Some(version) || self.digest == Some(version)
    }

    fn refused_by(&self, floor: &ImageFloor) -> Option<String> {
        if let Some(denied) = floor.deny.iter().find(|denied| self.is(denied)) {
            return Some(format!("is denied: {denied}"));
        }
        let minimum = floor.minimum.as_deref()?;
        match self.tag.and_then(version).zip(version(minimum)) {
            Some((found, minimum)) if compare(&found, &minimum) != Ordering::Less => None,
            Some(_) => Some(format!("is below the minimum {minimum}")),
            None => Some(format!("cannot be compared with the minimum {minimum}")),
        }
    }
}

/// The numbers of a version, and whether it is one from before the release of that number.
fn version(tag: &str) -> Option<(Vec<u64>, bool)> {
    let tag = tag.strip_prefix('v').unwrap_or(tag);
    let (numbers, rest) = tag.split_at(tag.find(['-', '+', '_']).unwrap_or(tag.len()));
    let numbers: Option<Vec<u64>> = numbers.split('.').map(|number| number.parse().ok()).collect();
    let early = ["alpha", "beta", "rc", "pre", "dev", "snapshot"];
    let rest = rest.trim_start_matches('-').to_lowercase();
    Some((numbers?, early.iter().any(|word| rest.starts_with(word) && !rest.starts_with("alpine"))))
}

fn compare(a: &(Vec<u64>, bool), b: &(Vec<u64>, bool)) -> Ordering {
    let longest = a.0.len().max(b.0.len());
    let padded =
        |version: &[u64]| version.iter().copied().chain(std::iter::repeat(0)).take(longest).collect::<Vec<_>>();
    padded(&a.0).cmp(&padded(&b.0)).then(b.1.cmp(&a.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_taken_apart() {
        let cases = [
            ("nginx", ("nginx", Some("latest"), None)),
            ("nginx:1.2", ("nginx", Some("1.2"), None)),
            ("host:5000/a/b", ("host:5000/a/b", Some("latest"), None)),
            ("host:5000/a/b:1@sha256:c", ("host:5000/a/b", Some("1"), Some("sha256:c"))),
            ("a@sha256:c", ("a", None, Some("sha256:c"))),
        ];
        for (reference, (name, tag, digest)) in cases {
            assert_eq!(Image::of(reference), Image { name, tag, digest }, "{reference}");
        }
        assert_eq!(plain("docker.io/library/nginx"), plain("nginx"));
    }

    #[test]
    fn what_cannot_be_compared_is_below() {
        let floor = ImageFloor {
            image: "a".into(),
            minimum: Some("1.4.2".into()),
            deny: vec!["1.5.0".into()],
            because: String::new(),
        };
        let good = ["a:1.4.2", "a:v1.4.3", "a:1.10", "a:2", "a:1.4.2-alpine", "a:1.4.2+build7"];
        let bad = ["a:1.4.1", "a:1.4", "a:1.4.2-rc1", "a:1.5.0", "a", "a:stable", "a@sha256:c", "a:1.4.x"];
        for image in good {
            assert_eq!(Image::of(image).refused_by(&floor), None, "{image}");
        }
        for image in bad {
            assert!(Image::of(image).refused_by(&floor).is_some(), "{image}");
        }
    }
}
