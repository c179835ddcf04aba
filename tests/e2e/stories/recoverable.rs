//! Is the past still possible? Told while all is well, asked before it is used, and proven before anything is called
//! recovered; and nothing of it leaves a trace.

use anyhow::{Context, Result, bail, ensure};
use cluster::{eventually, service_account};
use homeostat::api::{Journal, Outcome, Phase, Reason, RecoveryPolicyStatus};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount};
use kube::api::{Api, DeleteParams, PostParams};
use serde_json::{Value, json};

use crate::story::app::{self, SETTINGS, WEB};
use crate::story::operator::ACCOUNT;
use crate::story::{SOON, Story, lines};

/// The account that the application runs under.
const IDENTITY: &str = "shop";
const OFTEN: [&str; 2] = ["--rehearsal-interval", "1s"];

/// The usual application, with more in its pods' spec.
async fn deploy(story: &Story, tag: &str, pod: Value, policy: Value) -> Result<()> {
    let mut deployment = app::deployment(WEB, tag, 3);
    app::merge(&mut deployment["spec"]["template"]["spec"], pod);
    story.create::<ConfigMap>(app::config_map("5s")).await?;
    story.create::<Service>(app::service()).await?;
    story.create::<Deployment>(deployment).await?;
    story.create::<homeostat::api::RecoveryPolicy>(app::policy(policy)).await.map(drop)
}

async fn create_identity(story: &Story) -> Result<()> {
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": IDENTITY}});
    story.create::<ServiceAccount>(account).await.map(drop)
}

async fn delete_identity(story: &Story) -> Result<()> {
    Ok(story.api::<ServiceAccount>().delete(IDENTITY, &DeleteParams::default()).await.map(drop)?)
}

/// The application runs under an account of its own, and has earned its state.
async fn with_identity(story: &mut Story, arguments: &[&str], policy: Value) -> Result<()> {
    create_identity(story).await?;
    story.start_operator(arguments).await?;
    deploy(story, "v1", json!({"serviceAccountName": IDENTITY}), policy).await?;
    story.await_stable().await.map(drop)
}

/// Waits until the policy says this of being recoverable; gives the message.
async fn says(story: &Story, status: &str, reason: Reason) -> Result<String> {
    let recoverable = |policy: &RecoveryPolicyStatus| {
        let mut conditions = policy.conditions.clone().into_iter();
        conditions.find(|condition| condition.type_ == "Recoverable")
    };
    let so = |policy: &RecoveryPolicyStatus| {
        recoverable(policy).is_some_and(|found| found.status == status && found.reason == reason.as_str())
    };
    let policy = story.policy(&format!("to say Recoverable={status}, {reason}"), so).await?;
    let found = policy.status.as_ref().and_then(recoverable).context("no condition")?;
    Ok(found.message)
}

async fn no_workload_write(story: &Story) -> Result<()> {
    let writes = story.workload_writes().await?;
    ensure!(writes.is_empty(), "{:?}", lines(&writes));
    Ok(())
}

/// Waits until it was refused so many times more.
async fn more_refusals(story: &Story, expected: usize) -> Result<()> {
    let asked = refusals(story).await?;
    eventually("some more refusals", SOON, async || {
        let more = refusals(story).await? - asked;
        ensure!(more >= expected, "{more}");
        Ok(())
    })
    .await
}

pub async fn a_deleted_service_account_is_told_before_it_matters(story: &mut Story) -> Result<()> {
    with_identity(story, &OFTEN, json!({})).await?;
    says(story, "True", Reason::StateReady).await?;
    delete_identity(story).await?;
    let message = says(story, "False", Reason::PodRefused).await?;
    ensure!(message.contains("serviceaccount \"shop\" not found"), "{message}");
    // The same answer again and again is written once. Numbers of the status may come a moment later.
    more_refusals(story, 2).await?;
    let written = story.writes().await?.len();
    more_refusals(story, 3).await?;
    let more = story.writes().await?.split_off(written);
    ensure!(more.is_empty(), "{:?}", lines(&more));
    let healthy = |policy: &RecoveryPolicyStatus| {
        policy.conditions.iter().any(|found| found.type_ == "TargetHealthy" && found.status == "True")
    };
    story.policy("to be healthy all the while", healthy).await?;
    create_identity(story).await?;
    says(story, "True", Reason::StateReady).await?;
    no_workload_write(story).await?;
    // All of it was asked in dry runs: without an answer that this was one, the API server would have stored it.
    let asked = story.cluster.audit_of(&service_account(story.namespace.name(), ACCOUNT)).await?;
    let pods: Vec<_> = asked.iter().filter(|event| event.verb == "create" && event.resource == "pods").collect();
    ensure!(pods.len() >= 3 && pods.iter().all(|event| event.dry_run), "{} pods were asked for", pods.len());
    let there = story.pods(WEB).await?;
    ensure!(there.len() == 3, "{} pods", there.len());
    let metrics = story.metrics().await?;
    ensure!(metrics.contains("homeostat_rehearsals_total{result=\"Infeasible\"}"), "{metrics}");
    Ok(())
}

/// How often a pod was refused to the operator in a dry run.
async fn refusals(story: &Story) -> Result<usize> {
    let asked = story.cluster.audit_of(&service_account(story.namespace.name(), ACCOUNT)).await?;
    Ok(asked.iter().filter(|event| event.resource == "pods" && event.dry_run && event.code == 403).count())
}

/// An admission policy for one kind in this namespace.
struct Forbidden<'a> {
    group: &'a str,
    resource: &'a str,
    operation: &'a str,
    /// What is still allowed, in CEL.
    unless: &'a str,
    message: &'a str,
}

impl Forbidden<'_> {
    fn name(&self, story: &Story) -> String {
        format!("no-{}-{}", self.resource, story.namespace.name())
    }

    async fn begin(&self, story: &Story) -> Result<()> {
        let here = json!({"matchLabels": {"kubernetes.io/metadata.name": story.namespace.name()}});
        let rules = json!([{
            "apiGroups": [self.group],
            "apiVersions": ["v1"],
            "operations": [self.operation],
            "resources": [self.resource],
        }]);
        let policy = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": self.name(story)},
            "spec": {
                "matchConstraints": {"namespaceSelector": here, "resourceRules": rules},
                "validations": [{"expression": self.unless, "message": self.message}],
            },
        });
        let binding = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": self.name(story)},
            "spec": {"policyName": self.name(story), "validationActions": ["Deny"]},
        });
        for object in [policy, binding] {
            story.cluster.kubectl_with_input(&["apply", "-f", "-"], &object.to_string()).await?;
        }
        Ok(())
    }

    async fn end(&self, story: &Story) -> Result<()> {
        for kind in ["validatingadmissionpolicybinding", "validatingadmissionpolicy"] {
            story.cluster.kubectl(&["delete", kind, &self.name(story)]).await?;
        }
        Ok(())
    }
}

/// First one that refuses the pods of the state, then one that refuses the write which would restore it.
pub async fn policies_that_refuse_the_past_are_told(story: &mut Story) -> Result<()> {
    story.start_operator(&OFTEN).await?;
    deploy(story, "v1", json!({}), json!({})).await?;
    story.await_stable().await?;
    says(story, "True", Reason::StateReady).await?;
    let pods = Forbidden {
        group: "",
        resource: "pods",
        operation: "CREATE",
        unless: "object.spec.containers.all(c, !c.image.endsWith(':v1'))",
        message: "v1 has a known hole",
    };
    let workload = Forbidden {
        group: "apps",
        resource: "deployments",
        operation: "UPDATE",
        unless: "request.userInfo.username.startsWith('system:kube')",
        message: "nothing changes before the holidays",
    };
    for (policy, reason) in [(pods, Reason::PodRefused), (workload, Reason::RestoreRefused)] {
        policy.begin(story).await?;
        let message = says(story, "False", reason).await?;
        ensure!(message.contains(policy.message), "{message}");
        policy.end(story).await?;
        says(story, "True", Reason::StateReady).await?;
    }
    no_workload_write(story).await
}

/// A quota that is full of our own pods has room for their successors; one that was lowered below them has none.
pub async fn a_full_quota_is_no_obstacle_and_a_lowered_one_is(story: &mut Story) -> Result<()> {
    let quota = |pods: &str| {
        json!({
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "small"},
            "spec": {"hard": {"pods": pods}},
        })
    };
    story.apply(quota("3")).await?;
    story.start_operator(&OFTEN).await?;
    deploy(story, "v1", json!({}), json!({})).await?;
    story.await_stable().await?;
    says(story, "True", Reason::StateReady).await?;
    eventually("a pod to be asked for that the quota refuses", SOON, async || {
        ensure!(refusals(story).await? > 0, "none");
        Ok(())
    })
    .await?;
    says(story, "True", Reason::StateReady).await?;
    story.apply(quota("1")).await?;
    let message = says(story, "False", Reason::PodRefused).await?;
    ensure!(message.contains("exceeded quota"), "{message}");
    no_workload_write(story).await
}

/// A volume that is bound without a provisioner.
async fn create_claim(story: &Story) -> Result<()> {
    let name = format!("data-{}", story.namespace.name());
    let size = json!({"storage": "1Mi"});
    let volume = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": size,
            "accessModes": ["ReadWriteMany"],
            "storageClassName": "",
            "hostPath": {"path": "/nowhere"},
            "claimRef": {"namespace": story.namespace.name(), "name": "data"},
        },
    });
    story.cluster.kubectl_with_input(&["apply", "-f", "-"], &volume.to_string()).await?;
    let claim = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data"},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "storageClassName": "",
            "volumeName": name,
            "resources": {"requests": size},
        },
    });
    story.create::<PersistentVolumeClaim>(claim).await.map(drop)
}

/// A claim in use goes only when its last pod does; new pods cannot have it from the moment of its deletion.
pub async fn a_claim_that_goes_is_told_and_a_secret_is_left_alone(story: &mut Story) -> Result<()> {
    create_claim(story).await?;
    story.create::<Secret>(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "token"}})).await?;
    story.start_operator(&OFTEN).await?;
    let volumes = json!({"volumes": [
        {"name": "data", "persistentVolumeClaim": {"claimName": "data"}},
        {"name": "token", "secret": {"secretName": "token"}},
    ]});
    deploy(story, "v1", volumes, json!({})).await?;
    story.await_stable().await?;
    let message = says(story, "True", Reason::StateReady).await?;
    ensure!(message.contains("not checked: Secret token (no right to read it)"), "{message}");
    story.api::<PersistentVolumeClaim>().delete("data", &DeleteParams::default()).await?;
    let message = says(story, "False", Reason::ReferenceMissing).await?;
    ensure!(message.contains("PersistentVolumeClaim data, which its pods need, is being deleted"), "{message}");
    no_workload_write(story).await
}

/// Takes a capability away, as if the chart had been installed without it.
async fn revoke(story: &Story, capability: &str) -> Result<()> {
    let (name, namespace) = (format!("homeostat-{capability}"), story.namespace.name());
    story.cluster.kubectl(&["delete", "rolebinding,role", &name, "-n", namespace]).await.map(drop)
}

pub async fn a_missing_right_is_named(story: &mut Story) -> Result<()> {
    story.start_operator(&OFTEN).await?;
    deploy(story, "v1", json!({}), json!({})).await?;
    story.await_stable().await?;
    says(story, "True", Reason::StateReady).await?;
    revoke(story, "rollback").await?;
    let message = says(story, "False", Reason::RightMissing).await?;
    ensure!(message.contains("no right to patch configmaps"), "{message}");
    no_workload_write(story).await
}

pub async fn without_the_right_to_ask_it_is_said_and_nothing_is_blocked(story: &mut Story) -> Result<()> {
    revoke(story, "rehearse").await?;
    story.start_operator(&OFTEN).await?;
    deploy(story, "v1", json!({}), json!({})).await?;
    story.await_stable().await?;
    let message = says(story, "True", Reason::StateReady).await?;
    ensure!(message.contains("not checked: whether its pods could be created"), "{message}");
    story.change::<Deployment>(WEB, app::new_image("crash")).await?;
    story.closed(Outcome::Recovered).await?;
    story.await_serving("v1", 3).await
}

/// The trap: the account goes while the rollback is under way, and the policy leaves accounts to others. The Deployment is
/// as it was, every pod runs and is offered; and not one of them could be created again.
pub async fn what_could_not_be_created_again_is_not_called_recovered(story: &mut Story) -> Result<()> {
    with_identity(story, &[], json!({"objective": "8s", "closure": {"serviceAccounts": "Ignore"}})).await?;
    says(story, "True", Reason::StateReady).await?;
    let hold = story.proxy.hold_before_write_to("/deployments/web");
    story.change::<Deployment>(WEB, app::new_image("crash")).await?;
    hold.reached(SOON).await?;
    delete_identity(story).await?;
    story.proxy.release();
    let trapped = |journal: &Journal| journal.reason == Reason::VerificationTimedOut;
    let recovery = story.recovery("to see that it is not over", trapped).await?;
    let journal = recovery.journal();
    ensure!(journal.outcome == Some(Outcome::Escalated) && journal.phase == Phase::Holding, "{:?}", journal.outcome);
    let said = "its pods could not be created again";
    ensure!(journal.message.contains(said) && journal.message.contains("not found"), "{}", journal.message);
    story.await_serving("v1", 3).await?;
    let available = story.web().await?.status.and_then(|status| status.available_replicas);
    ensure!(available == Some(3), "{available:?} available: the trap was not set");
    says(story, "False", Reason::PodRefused).await?;
    create_identity(story).await?;
    story.closed(Outcome::Recovered).await?;
    says(story, "True", Reason::StateReady).await.map(drop)
}

/// The same without the trap: the account is part of what is put back.
pub async fn an_account_that_is_gone_is_put_back_with_the_rest(story: &mut Story) -> Result<()> {
    with_identity(story, &OFTEN, json!({})).await?;
    says(story, "True", Reason::StateReady).await?;
    delete_identity(story).await?;
    says(story, "False", Reason::PodRefused).await?;
    story.change::<Deployment>(WEB, app::new_image("crash")).await?;
    story.closed(Outcome::Recovered).await?;
    story.await_serving("v1", 3).await?;
    let writes = lines(&story.workload_writes().await?);
    ensure!(writes.first().map(String::as_str) == Some("create serviceaccounts/shop"), "{writes:?}");
    says(story, "True", Reason::StateReady).await.map(drop)
}

pub async fn an_older_state_is_used_where_the_newest_is_not_possible(story: &mut Story) -> Result<()> {
    story.start_operator(&OFTEN).await?;
    deploy(story, "v1", json!({}), json!({"closure": {"serviceAccounts": "Ignore"}})).await?;
    let first = story.await_stable().await?.metadata.name;
    create_identity(story).await?;
    let mut second = app::new_image("v2");
    second["spec"]["template"]["spec"]["serviceAccountName"] = json!(IDENTITY);
    story.change::<Deployment>(WEB, second).await?;
    story.await_serving("v2", 3).await?;
    eventually("the second state", SOON, async || {
        let second = story.await_stable().await?.metadata.name;
        ensure!(second != first, "still the first");
        Ok(())
    })
    .await?;
    delete_identity(story).await?;
    says(story, "False", Reason::PodRefused).await?;
    let mut bad = app::new_image("crash");
    bad["spec"]["template"]["spec"]["serviceAccountName"] = Value::Null;
    bad["spec"]["template"]["spec"]["serviceAccount"] = Value::Null;
    story.change::<Deployment>(WEB, bad).await?;
    let recovery = story.closed(Outcome::Recovered).await?;
    ensure!(Some(&recovery.journal().stable_state) == first.as_ref(), "restored {}", recovery.journal().stable_state);
    story.await_serving("v1", 3).await?;
    let map = story.api::<ConfigMap>().get(SETTINGS).await?.data.unwrap_or_default();
    ensure!(map.get("TIMEOUT").map(String::as_str) == Some("5s"), "{map:?}");
    Ok(())
}

/// The right to create pods is fenced: tried with the operator's own credentials.
pub async fn the_operator_cannot_create_a_real_pod(story: &mut Story) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(story.operator_client().await?, story.namespace.name());
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "real-"},
        "spec": {"containers": [{"name": "main", "image": app::image("v1")}]},
    });
    let pod: Pod = serde_json::from_value(pod)?;
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    pods.create(&dry, &pod).await.context("a dry run")?;
    // A new admission policy needs a moment to be in force.
    let refused =
        eventually("a real pod to be refused", SOON, async || match pods.create(&PostParams::default(), &pod).await {
            Ok(created) => bail!("{:?} was created", created.metadata.name),
            Err(kube::Error::Api(status)) => Ok(status),
            Err(error) => Err(error.into()),
        })
        .await?;
    ensure!(refused.code == 403 && refused.message.contains("in a dry run only"), "{refused:?}");
    pods.create(&dry, &pod).await.context("a dry run, with the fence in force")?;
    // Nobody else is bound by it.
    let free: Api<Pod> = story.api();
    free.create(&PostParams::default(), &pod).await.context("a pod of somebody else")?;
    for _ in 0..3 {
        ensure!(pods.create(&PostParams::default(), &pod).await.is_err(), "a real pod was created");
    }
    Ok(())
}
