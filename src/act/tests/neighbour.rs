//! Stopping a neighbour, and letting it go on.

use super::*;
use crate::api::mark::STOPPED_BY;

const SCANNER: &str = "/apis/apps/v1/namespaces/shop/deployments/scanner";
const TUNER: &str = "/apis/batch/v1/namespaces/shop/cronjobs/tuner";

fn marked(by: Option<&str>) -> Value {
    by.map_or(json!({}), |name| json!({"annotations": {STOPPED_BY: name, "a": "b"}}))
}

fn deployment(replicas: i32, by: Option<&str>) -> Server {
    let spec = json!({"spec": {"replicas": replicas}});
    Server::with([(SCANNER, object("Deployment", "scanner", marked(by), spec))])
}

fn cron_job(suspend: bool, by: Option<&str>) -> Server {
    let spec = json!({"spec": {"suspend": suspend}});
    Server::with([(TUNER, object("CronJob", "tuner", marked(by), spec))])
}

fn scale(remediation: Remediation) -> Step {
    let (running, stopped) = (r#"{"owner":{"manager":"helm","operation":"Update"},"replicas":2}"#, r#"{"replicas":0}"#);
    match remediation {
        Remediation::StopNeighbour => step(remediation, "Deployment", "scanner", running, stopped),
        _ => step(remediation, "Deployment", "scanner", stopped, running),
    }
}

fn suspend(remediation: Remediation) -> Step {
    let (running, stopped) = (r#"{"suspend":false}"#, r#"{"suspend":true}"#);
    match remediation {
        Remediation::StopNeighbour => step(remediation, "CronJob", "tuner", running, stopped),
        _ => step(remediation, "CronJob", "tuner", stopped, running),
    }
}

#[tokio::test]
async fn a_stop_is_one_guarded_patch_and_happens_once() {
    for (server, step, path, value) in [
        (deployment(2, None), scale(Remediation::StopNeighbour), "/spec/replicas", json!(0)),
        (cron_job(false, None), suspend(Remediation::StopNeighbour), "/spec/suspend", json!(true)),
    ] {
        assert_eq!(receipt(&server, &step).await, Receipt::Done);
        let expected = guarded([
            json!({"op": "replace", "path": path, "value": value}),
            json!({"op": "add", "path": "/metadata/annotations", "value": {}}),
            json!({"op": "add", "path": "/metadata/annotations/homeostat.dev~1stopped-by", "value": RECOVERY}),
        ]);
        assert_eq!(server.only_write().body, expected);
        assert_eq!(receipt(&server, &step).await, Receipt::AlreadyDone);
        server.only_write();
    }
}

#[tokio::test]
async fn what_is_not_as_it_was_is_not_stopped() {
    // Somebody else stopped it, or another Recovery, or somebody let it go on, or it runs more than was seen.
    for (replicas, by) in [(0, None), (0, Some("other")), (2, Some(RECOVERY)), (3, None)] {
        let server = deployment(replicas, by);
        let found = receipt(&server, &scale(Remediation::StopNeighbour)).await;
        assert!(matches!(found, Receipt::Moved(_)), "{replicas} {by:?}: {found:?}");
        assert_eq!(server.writes(), []);
    }
}

#[tokio::test]
async fn a_release_puts_back_what_it_was_and_takes_our_mark() {
    let mark = json!({"op": "remove", "path": "/metadata/annotations/homeostat.dev~1stopped-by"});
    let server = deployment(0, Some(RECOVERY));
    assert_eq!(receipt(&server, &scale(Remediation::ReleaseNeighbour)).await, Receipt::Done);
    let back = json!({"op": "replace", "path": "/spec/replicas", "value": 2});
    assert_eq!(server.only_write().body, guarded([back, mark.clone()]));
    let server = cron_job(true, Some(RECOVERY));
    assert_eq!(receipt(&server, &suspend(Remediation::ReleaseNeighbour)).await, Receipt::Done);
    let back = json!({"op": "replace", "path": "/spec/suspend", "value": false});
    assert_eq!(server.only_write().body, guarded([back, mark.clone()]));
    // A person let it go on already: only the mark goes.
    let server = deployment(5, Some(RECOVERY));
    assert_eq!(receipt(&server, &scale(Remediation::ReleaseNeighbour)).await, Receipt::Done);
    assert_eq!(server.only_write().body, guarded([mark]));
    // Not ours, or not any more.
    for by in [None, Some("other")] {
        let server = deployment(0, by);
        assert_eq!(receipt(&server, &scale(Remediation::ReleaseNeighbour)).await, Receipt::AlreadyDone);
        assert_eq!(server.writes(), []);
    }
}

#[tokio::test]
async fn gone_is_said_and_nonsense_refused() {
    let server = Server::with([]);
    assert_eq!(receipt(&server, &scale(Remediation::StopNeighbour)).await, Receipt::Gone);
    let server = deployment(2, None);
    let nonsense = step(Remediation::StopNeighbour, "Deployment", "scanner", "many", "none");
    assert!(matches!(perform(&server, &nonsense).await, Err(Error::Invalid(_))));
    let pod = step(Remediation::StopNeighbour, "Pod", "scanner", "{}", "{}");
    assert!(matches!(perform(&server, &pod).await, Err(Error::Invalid(_))));
    assert_eq!(server.writes(), []);
}
