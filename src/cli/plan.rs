//! `homeostat plan`: what would be done now for a policy, and why. Against the current cluster, or offline from a
//! folder of recorded objects. It reads and computes; it never writes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use kube::{Client, Config};
use serde_json::{Value, json};

use super::report::Report;
use crate::act::Sealer;
use crate::api::{GROUP, Mode, VERSION};
use crate::observe::folder::read_folder;
use crate::observe::{Kind, Observer, PolicyKey, SecretDigest, Stores};
use crate::plan::facts::{Ceiling, Facts};
use crate::plan::journal::Record;
use crate::plan::{self, Memory, Plan as Step};
use crate::{client, clock};

/// How long the cluster may take to show everything.
const PATIENCE: Duration = Duration::from_secs(20);
/// So many looks into the future at most.
const MOST_LOOKS: usize = 32;
/// Further ahead nothing is foretold.
const FURTHEST: jiff::SignedDuration = jiff::SignedDuration::from_mins(15);

/// Said where nobody can tell whether a Secret changed.
const NO_SECRETS: &str = "Secrets are not compared: that takes the key of the seal";

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

/// Form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people, at most 80 columns where names allow it.
    Text,
    /// For programs.
    Json,
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
            let default = || async { Config::infer().await.map(|config| config.default_namespace) };
            let namespace = match namespace {
                Some(namespace) => namespace,
                None => default().await.context("failed to find a cluster: set KUBECONFIG, or give --facts FOLDER")?,
            };
            let key = name_it(&mut policy, namespace)?;
            online(&policy, &key, &args.operator_namespace).await?
        }
    };
    notes.push("other targets are not looked at, so neither a budget nor the brake holds anything here".to_owned());
    notes.push("no rehearsal: whether a stable state could still be restored was not asked".to_owned());
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
    let client = client::connect().await?;
    let sealer = Sealer::read(&client, operator, "homeostat-seal").await;
    let mut notes = vec![];
    if let Err(error) = &sealer {
        notes.push(format!("the seals of stable states are taken for genuine: {error}"));
    }
    let sealer = sealer.ok().flatten();
    // Unless they are asked for, Secrets are not even read.
    let wanted = asks_for_secrets(policy);
    if wanted && sealer.is_none() {
        notes.push(NO_SECRETS.to_owned());
    }
    let sealer = sealer.map(Arc::new);
    let secrets = sealer.clone().filter(|_| wanted);
    let facts = see(&client, policy, key, sealer, secrets).await?;
    Ok((facts, notes))
}

async fn see(
    client: &Client,
    policy: &Value,
    key: &PolicyKey,
    sealer: Option<Arc<Sealer>>,
    secrets: Option<Arc<Sealer>>,
) -> anyhow::Result<Facts> {
    let verify = move |state: &_| sealer.as_ref().is_none_or(|sealer| sealer.verify(state));
    let looked_at = secrets.is_some();
    let secrets = secrets.map(|sealer| -> Box<SecretDigest> {
        Box::new(move |namespace, name, content| sealer.secret_digest(namespace, name, content))
    });
    let (observer, _reflectors) = Observer::start(client, std::slice::from_ref(&key.namespace), verify, secrets);
    let seen = tokio::time::timeout(PATIENCE, observer.ready()).await;
    if seen.is_err() {
        let matter = observer.blind(clock::monotonic()).join("; ");
        bail!("failed to see namespace {} within {} s: {matter}", key.namespace, PATIENCE.as_secs());
    }
    facts(observer.stores(), policy, key, looked_at, observer.blind(clock::monotonic()))
}

/// The facts as they would be with this policy applied.
fn facts(stores: &Stores, policy: &Value, key: &PolicyKey, secrets: bool, blind: Vec<String>) -> anyhow::Result<Facts> {
    let mut policy = policy.clone();
    // As if it were applied this moment: newer than what is there.
    policy["metadata"]["resourceVersion"] = json!(u64::MAX.to_string());
    stores.absorb(Kind::RecoveryPolicy, &policy.to_string());
    let ceiling = Ceiling { mode: Mode::Enforce, suspended: false, secrets };
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
