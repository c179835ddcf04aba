//! The course of a recovery: whether the drift falls or grows after everything was done.
//!
//! A recovery that gets worse is not waited for until its deadline. One that is slow is: pods that are still starting are
//! no symptom, and without a symptom nothing diverges. This module must not decide what is tried next.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::journal::View;
use super::memory::Memory;
use super::{drift, states};
use crate::api::recovery::Journal;

/// So many times in a row the drift has to grow.
const GROWS: u32 = 3;

/// How the drift went since the last step was acknowledged, in hundredths.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Course {
    /// When that was.
    pub acted: Timestamp,
    /// The drift then.
    pub from: u32,
    /// The drift when it was last looked at.
    pub last: u32,
    /// How often it grew since it last fell.
    pub grown: u32,
}

/// Looks again, and says how it diverges, if it does: a symptom counts, and the drift is greater than when everything was
/// done, and grew several times without falling.
pub(super) fn diverges(view: &View, journal: &Journal, acted: Timestamp, memory: &mut Memory) -> Option<String> {
    let restored = view.facts.states.iter().find(|state| state.name == journal.stable_state);
    let state = restored.or_else(|| states::reference(view.facts).ok())?;
    let distance = drift::total(&drift::distance(view.facts, state)?);
    let course = follow(memory.course.take(), acted, distance);
    let Course { from, last, grown, .. } = course;
    memory.course = Some(course);
    let diverges = view.assessment.symptom.is_some() && grown >= GROWS && last > from;
    let shown = |hundredths: u32| format!("{}.{:02}", hundredths / 100, hundredths % 100);
    diverges.then(|| format!("the drift grew from {} to {} after all was done", shown(from), shown(last)))
}

fn follow(before: Option<Course>, acted: Timestamp, distance: u32) -> Course {
    let fresh = Course { acted, from: distance, last: distance, grown: 0 };
    let mut course = before.filter(|before| before.acted == acted).unwrap_or(fresh);
    course.grown = match distance.cmp(&course.last) {
        std::cmp::Ordering::Less => 0,
        std::cmp::Ordering::Equal => course.grown,
        std::cmp::Ordering::Greater => course.grown + 1,
    };
    course.last = distance;
    course
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fall_begins_the_count_anew_and_so_does_another_attempt() {
        let acted: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let run =
            |distances: &[u32]| distances.iter().fold(None, |before, distance| Some(follow(before, acted, *distance)));
        let grown = |distances: &[u32]| run(distances).map(|course| (course.grown, course.last > course.from));
        assert_eq!(grown(&[30]), Some((0, false)));
        assert_eq!(grown(&[30, 35, 35, 40, 45]), Some((3, true)));
        assert_eq!(grown(&[30, 35, 34, 40]), Some((1, true)));
        assert_eq!(grown(&[30, 10, 15, 20, 25]), Some((3, false)));
        let later = acted + jiff::SignedDuration::from_secs(1);
        assert_eq!(follow(run(&[30, 35, 40]), later, 50).grown, 0);
    }
}
