//! `homeostat plan`: what would be done now for a policy, and why. Against the current cluster, or offline from a
//! folder of recorded objects. It reads and computes; it never writes.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Output;
use super::eyes::{self, NO_SECRETS};
use super::report::Report;
use crate::api::{GROUP, Mode, VERSION};
use crate::observe::folder::read_folder;
use crate::observe::{Kind, PolicyKey, Stores};
use crate::plan::facts::{Ceiling, Facts};
use crate::plan::journal::Record;
use crate::plan::{self, Memory, Plan as Step};
use crate::{client, clock};

/// So many looks into the future at most.
const MOST_LOOKS: usize = 32;
/// Further ahead nothing is foretold.
const FURTHEST: jiff::SignedDuration = jiff::SignedDuration::from_mins(15);

/// Arguments of `homeostat plan`.
#[derive(Args, Clone, Debug)]
pub struct Plan {
    /// The policy, as YAML or JSON. It need not be applied.
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Namespace of the policy. Default: the file's, else that of the kubeconfig.
    #[arg(short, long)]
    namespace: Option<String>,
    /// Folder of recorded objects to use instead of the cluster: what `kubectl get … -o yaml` wrote.
    #[arg(long, value_name = "FOLDER")]
    facts: Option<PathBuf>,
    /// The moment to judge at, in RFC 3339. Default: now.
    #[arg(long, value_name = "TIME", requires = "facts")]
    at: Option<Timestamp>,
    /// Namespace of the operator, where the key lies that tells whether a stable state is genuine.
    #[arg(long, default_value = "homeostat-system")]
    operator_namespace: String,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

/// Prints the plan.
///
/// # Errors
/// If the policy, the cluster or the folder cannot be read.
pub async fn run(args: &Plan) -> anyhow::Result<()> {
    let mut policy = read_policy(&args.file)?;
    let namespace = args.namespace.clone().or_else(|| text(&policy, "/metadata/namespace"));
    let (facts, mut notes) = match &args.facts {
        Some(folder) => {
            let key = name_it(&mut policy, namespace.unwrap_or_else(|| "default".into()))?;
            offline(folder, &policy, &key)?
        }
        None => {
            let namespace = match namespace {
                Some(namespace) => namespace,
                None => eyes::default_namespace().await?,
            };
            let key = name_it(&mut policy, namespace)?;
            online(&policy, &key, &args.operator_namespace).await?
        }
    };
    notes.push("other targets are not looked at, so neither a budget nor the brake holds anything here".to_owned());
    notes.push("no rehearsal: whether a stable state could still be restored was not asked".to_owned());
    let checked = facts.policy.as_ref().is_some_and(|policy| !policy.spec.stability.checks.is_empty());
    notes.extend(checked.then(|| "checks of metrics are not asked, so the target is not called healthy".to_owned()));
    let now = args.at.unwrap_or_else(clock::now);
    let report = Report::of(&facts, &foresee(&facts, now), now, notes);
    match args.output {
        Output::Text => super::print(&report.to_string()),
        Output::Json => super::print(&format!("{}\n", serde_json::to_string_pretty(&report)?)),
    }
}

/// The steps of the loop from `now` on, as they come if no fact changes: the last is the one that acts, or rests.
fn foresee(facts: &Facts, now: Timestamp) -> Vec<(Timestamp, Step)> {
    let (mut memory, mut at, mut steps) = (Memory::default(), now, vec![]);
    for _ in 0..MOST_LOOKS {
        let step = plan::step(facts, memory, at);
        memory = step.memory.clone();
        let decided = matches!(step.turn.as_ref().and_then(|turn| turn.record.as_ref()), Some(Record::Open(_)));
        let (here, next) = (at, step.wake_at);
        let waits = step.assessment.look_again.is_some() || facts.open_recovery().is_some();
        steps.push((here, step));
        if decided || !waits || next <= here || next.duration_since(now) > FURTHEST {
            break;
        }
        at = next;
    }
    steps
}

fn offline(folder: &Path, policy: &Value, key: &PolicyKey) -> anyhow::Result<(Facts, Vec<String>)> {
    // The key of the seal is never among recorded objects.
    let stores = Stores::new(|_| true);
    let found = read_folder(folder, &stores)?;
    ensure!(found > 0, "{} has no object of a kind that matters: no .yaml, .yml or .json of one", folder.display());
    let facts = facts(&stores, policy, key, false, vec![])?;
    let mut notes = vec!["offline: the seals of stable states are taken for genuine".to_owned()];
    notes.extend(asks_for_secrets(policy).then(|| NO_SECRETS.to_owned()));
    Ok((facts, notes))
}

fn asks_for_secrets(policy: &Value) -> bool {
    policy.pointer("/spec/closure/secrets").is_some_and(|word| word != "Ignore")
}

async fn online(policy: &Value, key: &PolicyKey, operator: &str) -> anyhow::Result<(Facts, Vec<String>)> {
    let (client, mut notes) = (client::connect().await?, vec![]);
    let sealer = eyes::key(&client, operator, &mut notes).await;
    // Unless they are asked for, Secrets are not even read.
    let wanted = asks_for_secrets(policy);
    let secrets = wanted && sealer.is_some();
    notes.extend((wanted && !secrets).then(|| NO_SECRETS.to_owned()));
    let (observer, _reflectors) = eyes::open(&client, &key.namespace, sealer, secrets).await?;
    notes.extend(eyes::see_namespace(&client, &observer, &key.namespace).await);
    let facts = facts(observer.stores(), policy, key, secrets, observer.blind(clock::monotonic()))?;
    Ok((facts, notes))
}

/// The facts as they would be with this policy applied.
fn facts(stores: &Stores, policy: &Value, key: &PolicyKey, secrets: bool, blind: Vec<String>) -> anyhow::Result<Facts> {
    let mut policy = policy.clone();
    // As if it were applied this moment: newer than what is there.
    policy["metadata"]["resourceVersion"] = json!(u64::MAX.to_string());
    stores.absorb(Kind::RecoveryPolicy, &policy.to_string());
    let ceiling = Ceiling {
        mode: Mode::Enforce,
        suspended: false,
        secrets,
        neighbours: false,
        pod_network: false,
        gateway_api: false,
        cluster_members: false,
    };
    let facts = stores.facts(key, ceiling, blind).context("the policy cannot be read")?;
    match facts.policy {
        Some(_) => Ok(facts),
        None => bail!("the policy is not one: {}", facts.sight.blind.join("; ")),
    }
}

fn read_policy(file: &Path) -> anyhow::Result<Value> {
    let text = std::fs::read_to_string(file).with_context(|| format!("failed to read {}", file.display()))?;
    let policy: Value = serde_saphyr::from_str(&text).with_context(|| format!("{} is not YAML", file.display()))?;
    let kind = (policy["apiVersion"].as_str(), policy["kind"].as_str());
    let expected = format!("{GROUP}/{VERSION}");
    ensure!(
        kind == (Some(expected.as_str()), Some("RecoveryPolicy")),
        "{} is not one RecoveryPolicy of {expected}; give a file with exactly one",
        file.display()
    );
    // Read once as its type, for an error that names the field.
    serde_json::from_value::<crate::api::RecoveryPolicy>(policy.clone())
        .with_context(|| format!("{} is not a valid RecoveryPolicy", file.display()))?;
    Ok(policy)
}

fn name_it(policy: &mut Value, namespace: String) -> anyhow::Result<PolicyKey> {
    let name = text(policy, "/metadata/name").context("the policy has no metadata.name")?;
    policy["metadata"]["namespace"] = json!(namespace);
    Ok(PolicyKey::new(&namespace, &name))
}

fn text(value: &Value, pointer: &str) -> Option<String> {
    value.pointer(pointer).and_then(Value::as_str).map(str::to_owned)
}
