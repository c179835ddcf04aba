//! A full quota is no obstacle to a pod that takes the place of another: told from one that has no room at all.

/// Whether a pod that `message` refuses for a quota would have room in the place of one of `pods` equal ones that are
/// counted in it. `None` if the message is about something else, or cannot be read.
pub(super) fn room_for_successor(message: &str, pods: usize) -> Option<bool> {
    let (_, tail) = message.split_once("exceeded quota:")?;
    let (_, tail) = tail.split_once(", requested: ")?;
    let (requested, tail) = tail.split_once(", used: ")?;
    let (used, limited) = tail.split_once(", limited: ")?;
    let mut fits = pods > 0;
    for (resource, requested) in amounts(requested) {
        let (used, limited) = (amount(used, resource)?, amount(limited, resource)?);
        fits &= requested? <= limited && used <= limited;
    }
    Some(fits)
}

/// The resources of a list such as `pods=1,requests.cpu=100m`; an amount that cannot be read is `None`.
fn amounts(list: &str) -> impl Iterator<Item = (&str, Option<f64>)> {
    let entries = list.split(',').filter_map(|entry| entry.trim().split_once('='));
    entries.map(|(resource, amount)| (resource, quantity(amount)))
}

fn amount(list: &str, resource: &str) -> Option<f64> {
    amounts(list).find(|(found, _)| *found == resource)?.1
}

/// A quantity of Kubernetes: a number with a unit, as in `100m`, `1536Mi`, `2` or `3k`.
fn quantity(text: &str) -> Option<f64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let factor = match unit {
        "" => 1.0,
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "Ki" => 1024.0,
        "Mi" => 1024.0 * 1024.0,
        "Gi" => 1024.0 * 1024.0 * 1024.0,
        "Ti" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(requested: &str, used: &str, limited: &str) -> String {
        format!(
            "pods \"web-x\" is forbidden: exceeded quota: small, requested: {requested}, used: {used}, limited: {limited}"
        )
    }

    #[test]
    fn a_full_quota_leaves_room_for_a_successor() {
        let cases = [
            ("pods=1", "pods=3", "pods=3", 3, Some(true)),
            ("pods=1", "pods=3", "pods=3", 0, Some(false)),
            // The quota was lowered below what runs.
            ("pods=1", "pods=3", "pods=1", 3, Some(false)),
            ("limits.memory=1Gi", "limits.memory=1536Mi", "limits.memory=2Gi", 1, Some(true)),
            ("limits.memory=3Gi", "limits.memory=0", "limits.memory=2Gi", 1, Some(false)),
            ("pods=1,requests.cpu=100m", "pods=1,requests.cpu=950m", "pods=9,requests.cpu=1", 1, Some(true)),
            ("pods=1", "pods=x", "pods=3", 3, None),
            ("pods=1", "cpu=1", "pods=3", 3, None),
        ];
        for (requested, used, limited, pods, room) in cases {
            assert_eq!(
                room_for_successor(&message(requested, used, limited), pods),
                room,
                "{requested} {used} {limited}"
            );
        }
        assert_eq!(room_for_successor("serviceaccount \"web\" not found", 3), None);
    }
}
