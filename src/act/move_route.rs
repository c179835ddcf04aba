//! Move the weights of a route from the target's Service to the standby's, and back. Nothing else of it is written: others
//! have their rules and backends in the same route.

use serde_json::json;

use super::live::{Edit, Live};
use super::{Change, Error, Task};
use crate::api::Remediation;
use crate::api::mark::SWITCHED_BY;
use crate::plan::weights::{self, Backend};

pub(super) fn change(task: &Task<'_>, live: &Live) -> Result<Change, Error> {
    let (from, to) = (recorded(task, &task.step.from)?, recorded(task, &task.step.to)?);
    let present = weights::same_services(&weights::of(live.object(), task.namespace), &to);
    let ends = task.step.remediation == Remediation::ReturnRoute;
    let mark = live.annotation(SWITCHED_BY);
    let ours = mark == Some(task.recovery);
    let mut edit = Edit::of(live);
    if present == to && ours != ends {
        return Ok(Change::AlreadyDone);
    }
    if present == to && ends {
        edit.remove(&["metadata", "annotations", SWITCHED_BY]);
        return Ok(Change::Write(edit));
    }
    if present != from {
        return Ok(Change::Moved("its weights were changed meanwhile".to_owned()));
    }
    if let Some(other) = mark.filter(|_| !ours) {
        return Ok(Change::Moved(format!("moved by Recovery {other}")));
    }
    for backend in &to {
        let [rule, place] = [backend.rule, backend.place].map(|index| index.to_string());
        let path = |key: &'static str| ["spec", "rules", &rule, "backendRefs", &place, key];
        edit.expect(&path("name"), json!(backend.service));
        edit.put(&path("weight"), json!(backend.weight));
    }
    match ends {
        true => edit.remove(&["metadata", "annotations", SWITCHED_BY]),
        false => edit.set(&["metadata", "annotations", SWITCHED_BY], json!(task.recovery)),
    }
    Ok(Change::Write(edit))
}

/// The weights that the step names. None, and weights that would send the traffic nowhere, are refused.
fn recorded(task: &Task<'_>, text: &str) -> Result<Vec<Backend>, Error> {
    let backends = weights::read(text);
    let sends = backends.iter().any(|backend| backend.weight > 0);
    match sends && backends.iter().all(|backend| !backend.service.is_empty() && backend.weight >= 0) {
        true => Ok(backends),
        false => Err(Error::Invalid(format!("{text:?} are no weights for {}", task.step.object))),
    }
}
