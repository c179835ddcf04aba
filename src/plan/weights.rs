//! The weights of a route of the Gateway API: what share of the traffic of each rule goes to which Service.
//!
//! `observe` reads them, the plan moves them and `act` writes them; all mean the same by it, so it is said once, here, over
//! plain JSON.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::content::{each, text};

/// One backend of one rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Backend {
    /// Which rule of the route, from 0.
    pub rule: usize,
    /// Which backend of that rule, from 0.
    pub place: usize,
    /// The Service of the route's namespace; empty for anything else.
    pub service: String,
    /// Its weight.
    pub weight: i64,
}

/// The backends of a route in `namespace`, in their order.
#[must_use]
pub fn of(route: &Value, namespace: &str) -> Vec<Backend> {
    let rules = each(route, "/spec/rules").enumerate();
    rules
        .flat_map(|(rule, content)| {
            let backends = each(content, "/backendRefs").enumerate();
            backends.map(move |(place, backend)| {
                let weight = backend.get("weight").and_then(Value::as_i64).unwrap_or(1);
                Backend { rule, place, service: service(backend, namespace), weight }
            })
        })
        .collect()
}

fn service(backend: &Value, namespace: &str) -> String {
    let is = |key: &str, expected: &str| text(backend, key).is_none_or(|given| given == expected);
    let here = is("/kind", "Service") && is("/group", "") && is("/namespace", namespace);
    text(backend, "/name").filter(|_| here).unwrap_or_default()
}

/// Weights as a step records them.
#[must_use]
pub fn recorded(backends: &[Backend]) -> String {
    json!(backends).to_string()
}

/// Weights that a step records; none if it records something else.
#[must_use]
pub fn read(text: &str) -> Vec<Backend> {
    serde_json::from_str(text).unwrap_or_default()
}

/// Those of `live` that lead to a Service of `recorded`: what has to be compared with it, so that a place that was added
/// is seen.
#[must_use]
pub fn same_services(live: &[Backend], recorded: &[Backend]) -> Vec<Backend> {
    let services: BTreeSet<&str> = recorded.iter().map(|backend| backend.service.as_str()).collect();
    live.iter().filter(|backend| services.contains(backend.service.as_str())).cloned().collect()
}

/// What there is when `percent` of the traffic goes home, and the rest to `standby`.
#[must_use]
pub fn shared(recorded: &[Backend], standby: &str, percent: i64) -> Vec<Backend> {
    let weight = |backend: &Backend| if backend.service == standby { 100 - percent } else { percent };
    recorded.iter().map(|backend| Backend { weight: weight(backend), ..backend.clone() }).collect()
}

/// What share of the traffic goes to `standby`, in percent, of the rule that sends least of it there.
#[must_use]
pub fn share_of(backends: &[Backend], standby: &str) -> i64 {
    let rules: BTreeSet<usize> = backends.iter().map(|backend| backend.rule).collect();
    let share = |rule: usize| {
        let of_rule = || backends.iter().filter(move |backend| backend.rule == rule);
        let all: i64 = of_rule().map(|backend| backend.weight).sum();
        let away: i64 = of_rule().filter(|backend| backend.service == standby).map(|backend| backend.weight).sum();
        away.saturating_mul(100).checked_div(all).unwrap_or(0)
    };
    rules.into_iter().map(share).min().unwrap_or(0)
}

/// The places by which the traffic of these `homes` could go to `standby`: in each rule that leads to one of them.
///
/// # Errors
/// Why it could not, as the end of a sentence about the route.
pub fn pairs(backends: &[Backend], homes: &BTreeSet<&str>, standby: &str) -> Result<Vec<Backend>, String> {
    let leads_home = |backend: &&Backend| homes.contains(backend.service.as_str());
    let rules: BTreeSet<usize> = backends.iter().filter(leads_home).map(|backend| backend.rule).collect();
    let mut found = vec![];
    for rule in rules {
        let of_rule = || backends.iter().filter(move |backend| backend.rule == rule);
        let ours: Vec<Backend> =
            of_rule().filter(|backend| leads_home(backend) || backend.service == standby).cloned().collect();
        let away = ours.iter().filter(|backend| backend.service == standby).count();
        if away != 1 || ours.len() != 2 {
            return Err(format!("does not name Service {standby} once beside one of the target in rule {rule}"));
        }
        // To move the weights of two would move the share of a third as well.
        if of_rule().any(|backend| !ours.contains(backend) && backend.weight > 0) {
            return Err(format!("sends traffic of rule {rule} to something else as well"));
        }
        found.extend(ours);
    }
    if found.iter().filter(leads_home).all(|backend| backend.weight == 0) {
        return Err("does not lead to the target".to_owned());
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(rules: Value) -> Vec<Backend> {
        of(&json!({"spec": {"rules": rules}}), "shop")
    }

    fn pair(home: i64, standby: i64) -> Value {
        json!([{"backendRefs": [{"name": "web", "weight": home}, {"name": "spare", "weight": standby}]}])
    }

    fn found(rules: Value) -> Result<Vec<Backend>, String> {
        pairs(&route(rules), &BTreeSet::from(["web"]), "spare")
    }

    #[test]
    fn backends_are_read_with_the_defaults_of_the_api() {
        let backends = route(json!([{}, {"backendRefs": [
            {"name": "web"},
            {"name": "far", "namespace": "elsewhere", "weight": 3},
            {"name": "many", "kind": "ServiceImport", "group": "multicluster.x-k8s.io"},
        ]}]));
        let shown: Vec<_> = backends.iter().map(|b| (b.rule, b.place, b.service.as_str(), b.weight)).collect();
        assert_eq!(shown, [(1, 0, "web", 1), (1, 1, "", 3), (1, 2, "", 1)]);
        assert_eq!(read(&recorded(&backends)), backends);
        assert!(route(json!("odd")).is_empty() && read("odd").is_empty());
    }

    #[test]
    fn each_rule_that_leads_home_needs_the_standby_and_nothing_else() {
        assert_eq!(found(pair(1, 0)).map(|pair| pair.len()), Ok(2));
        assert_eq!(found(pair(0, 0)), Err("does not lead to the target".to_owned()));
        let beside = json!([{"backendRefs": [{"name": "web"}, {"name": "spare", "weight": 0}]},
            {"backendRefs": [{"name": "static"}]}]);
        assert_eq!(found(beside).map(|pair| pair.len()), Ok(2), "other rules are left alone");
        for (rules, why) in [
            (json!([{"backendRefs": [{"name": "web"}]}]), "rule 0"),
            (json!([pair(1, 0)[0], {"backendRefs": [{"name": "web"}]}]), "rule 1"),
            (json!([{"backendRefs": [{"name": "web"}, {"name": "spare"}, {"name": "canary"}]}]), "something else"),
            (json!([{"backendRefs": [{"name": "web"}, {"name": "spare"}, {"name": "web"}]}]), "once"),
            (json!([{"backendRefs": [{"name": "spare"}]}]), "does not lead to the target"),
        ] {
            let said = found(rules.clone()).unwrap_err();
            assert!(said.contains(why), "{rules}: {said}");
        }
        let idle = json!([{"backendRefs": [{"name": "web"}, {"name": "spare"}, {"name": "canary", "weight": 0}]}]);
        assert_eq!(found(idle).map(|pair| pair.len()), Ok(2));
    }

    #[test]
    fn shares_are_moved_and_told() {
        let home = found(pair(1, 0)).unwrap();
        let weights = |percent| shared(&home, "spare", percent).iter().map(|b| b.weight).collect::<Vec<_>>();
        assert_eq!([weights(0), weights(20), weights(100)], [[0, 100], [20, 80], [100, 0]]);
        assert_eq!(share_of(&shared(&home, "spare", 20), "spare"), 80);
        assert_eq!((share_of(&home, "spare"), share_of(&[], "spare")), (0, 0));
    }

    #[test]
    fn a_place_that_was_added_is_a_difference() {
        let home = found(pair(1, 0)).unwrap();
        let more = route(json!([pair(1, 0)[0], {"backendRefs": [{"name": "web"}, {"name": "other"}]}]));
        assert_ne!(same_services(&more, &home), home);
        let other = route(json!([pair(1, 0)[0], {"backendRefs": [{"name": "other"}]}]));
        assert_eq!(same_services(&other, &home), home);
    }
}
