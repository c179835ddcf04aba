//! How many pods a workload's own rollout keeps available. Nothing here says whether there may be one.

use serde_json::Value;

use super::member::MemberKind;

/// How many of `replicas` pods that are available a rollout never takes away before others are. A StatefulSet's goes by
/// number, whatever a pod does.
#[must_use]
pub fn keeps(kind: MemberKind, spec: &Value, replicas: i32) -> i32 {
    let at = |pointer: &str| spec.pointer(pointer);
    let taken = match kind {
        MemberKind::Deployment if at("/strategy/type").and_then(Value::as_str) == Some("Recreate") => replicas,
        MemberKind::Deployment => {
            let surge = share(at("/strategy/rollingUpdate/maxSurge"), replicas, "25%", true);
            let taken = share(at("/strategy/rollingUpdate/maxUnavailable"), replicas, "25%", false);
            if surge == 0 { taken.max(1) } else { taken }
        }
        MemberKind::DaemonSet if at("/updateStrategy/type").and_then(Value::as_str) == Some("OnDelete") => replicas,
        MemberKind::DaemonSet => share(at("/updateStrategy/rollingUpdate/maxUnavailable"), replicas, "1", true),
        _ => replicas,
    };
    replicas.saturating_sub(taken).max(0)
}

/// A number or a percentage; what is neither is all of them.
fn share(value: Option<&Value>, replicas: i32, default: &str, up: bool) -> i32 {
    let text = match value {
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => default.to_owned(),
    };
    let all = i64::from(replicas);
    let found = match text.strip_suffix('%') {
        Some(percent) => percent.parse::<i64>().ok().map(|percent| {
            let parts = all.saturating_mul(percent);
            if up { parts.saturating_add(99) / 100 } else { parts / 100 }
        }),
        None => text.parse().ok(),
    };
    found.and_then(|found| i32::try_from(found).ok()).unwrap_or(replicas)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rollout_keeps_what_its_strategy_says() {
        let rolling = |surge: Value, taken: Value| json!({"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": taken}}});
        let deployment = [
            (json!({}), 3, 3),
            (json!({}), 8, 6),
            (rolling(json!("25%"), json!("25%")), 1, 1),
            (rolling(json!(0), json!("25%")), 1, 0),
            (rolling(json!(0), json!("25%")), 3, 2),
            (rolling(json!(1), json!("100%")), 3, 0),
            (rolling(json!(1), json!(5)), 3, 0),
            (rolling(json!(1), json!("odd")), 3, 0),
            (json!({"strategy": {"type": "Recreate"}}), 3, 0),
        ];
        for (spec, replicas, kept) in deployment {
            assert_eq!(keeps(MemberKind::Deployment, &spec, replicas), kept, "{spec} of {replicas}");
        }
        let daemon = |taken: Value| json!({"updateStrategy": {"rollingUpdate": {"maxUnavailable": taken}}});
        assert_eq!(keeps(MemberKind::DaemonSet, &json!({}), 3), 2);
        assert_eq!(keeps(MemberKind::DaemonSet, &daemon(json!("34%")), 3), 1);
        assert_eq!(keeps(MemberKind::DaemonSet, &daemon(json!(0)), 3), 3);
        assert_eq!(keeps(MemberKind::StatefulSet, &json!({}), 3), 0);
    }
}
