//! A fake: one namespace with Deployment `web`, its pods, a ConfigMap, a Service and perhaps a standby, and an operator
//! that does with a plan what the controller does. It exists to ask the pure plan long stories in little time.
//!
//! Not modelled: stale caches and lost watch events (facts are always the truth, except while blind), nodes and
//! scheduling, graceful termination (a pod goes at once), what is in a Secret, other namespaces, field ownership (handing back
//! always succeeds), admission and quotas (a rehearsal answers what the scenario says), a rolling update's percentages (one pod more, one pod less), and pods that
//! read a ConfigMap again without a restart.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use homeostat::api::policy::{Actions, Failback, Failover, Isolate, Mode, Rollback, TargetRef};
use homeostat::api::recovery::{Approval, ApprovalDecision, RecoverySpec, Remedy};
use homeostat::api::stable_state::{FieldOwner, Review};
use homeostat::api::via::{RouteVia, Via};
use homeostat::api::{
    Check, Duration, Journal, Outcome, Phase, Reason, RecoveryPolicySpec, RecoveryPolicyStatus, Remediation,
};
use homeostat::api::{Step, StepState};
use homeostat::plan::bonds::Bonds;
use homeostat::plan::closure::live_digest;
use homeostat::plan::cuts::{Cut, CutFacts, Network};
use homeostat::plan::facts::*;
use homeostat::plan::fleet::{Limits, Who, under_action};
use homeostat::plan::member::MemberKind;
use homeostat::plan::neighbours::NeighbourFacts;
use homeostat::plan::nodes::NodeSight;
use homeostat::plan::posture::{Place, Posture};
use homeostat::plan::pre_scale::AutoscalerFacts;
use homeostat::plan::register::{Fate, Register};
use homeostat::plan::soak::Earned;
use homeostat::plan::weights::{self, Backend};
use homeostat::plan::{self, Facts, Fleet, Memory, Plan, Receipt, Record, Rehearse, Turn, closure, content, receipt};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

/// More journal writes than this without any time passing is a loop.
const MOST_STEPS_AT_ONCE: usize = 24;

/// What a template or a ConfigMap makes of a pod.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Behaviour {
    /// Ready after so many seconds, and for good.
    Healthy(i64),
    /// Ends soon after each start.
    CrashLoop,
    /// Ready at first, and ends after so many seconds.
    CrashAfterReady(i64),
    /// Its image does not exist.
    ImagePull,
    /// Runs, and is never ready.
    NeverReady,
}

/// When the operator's process dies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Crash {
    BeforeRecord,
    AfterRecord,
    /// The effects happened, their receipts are lost.
    AfterEffects,
}

/// What a pod does inside, which nobody sees.
#[derive(Clone, Debug)]
struct Inside {
    running: bool,
    /// Since when it runs, or when it runs again.
    at: Timestamp,
    /// The configuration it read when it started.
    read: BTreeSet<String>,
}

/// An effect that reached the fake API server.
#[derive(Clone, Debug)]
pub struct Effect {
    pub step: Step,
    pub receipt: Receipt,
}

#[derive(Clone)]
pub struct World {
    pub facts: Facts,
    pub memory: Memory,
    pub now: Timestamp,
    pub effects: Vec<Effect>,
    /// Every journal that was written, in order.
    pub written: Vec<Journal>,
    /// The next step of the operator ends like this.
    pub crash: Option<Crash>,
    /// Content that does not behave well, by digest.
    pub behaviours: BTreeMap<String, Behaviour>,
    /// Single pods that are bad whatever they run, by uid.
    pub bad_pods: BTreeSet<String>,
    /// Their nodes cannot get the image that the others have.
    pub unpulled_pods: BTreeSet<String>,
    /// Why no pod is admitted that is not there yet.
    pub pods_refused: Option<String>,
    stalled_pods: BTreeSet<String>,
    /// Endpoints are behind: they still offer these.
    pub endpoints_lag: Option<BTreeSet<String>>,
    /// Something outside that every pod of the target needs is gone; cut off from it they do without.
    pub dependency_down: bool,
    /// Nodes that are ready, and make every pod crash.
    pub sick_nodes: BTreeSet<String>,
    /// What a rehearsal of a state answers, by digest of its Deployment; else it is feasible.
    pub feasibilities: BTreeMap<String, Feasibility>,
    /// All answers that were given, in order, each with whether a decision waited for it.
    pub rehearsed: Vec<(Rehearsal, bool)>,
    /// What the metrics provider answers now, whatever it is asked; `None`: the answer is under way for ever.
    pub metrics: Option<Result<f64, String>>,
    /// How often it was asked.
    pub asked: usize,
    /// Remediations that the API server refuses for good.
    pub refused: BTreeSet<Remediation>,
    /// Recoveries whose NetworkPolicy for a quarantine exists.
    pub networks: BTreeSet<String>,
    /// The story itself left something behind.
    pub left_behind: bool,
    pub last: Option<Plan>,
    /// What was earned, with its evidence.
    pub earned: Vec<Earned>,
    /// What the operator last looked at.
    seen: Option<Facts>,
    /// Objects whose fields are ours.
    owned: BTreeSet<String>,
    inside: BTreeMap<String, Inside>,
    progress: Timestamp,
    serial: u32,
    /// No further pod of the standby can be created.
    pub full: bool,
    /// The fleet that this world is one target of, if there are others.
    office: Option<Rc<RefCell<Office>>>,
}

/// What the operator knows of all of its targets.
#[derive(Default)]
pub struct Office {
    pub register: Register,
    pub bonds: Bonds,
    pub limits: Limits,
    /// Those who have to look again because of what another one did.
    pub woken: BTreeSet<Who>,
}

pub fn deployment(version: &str) -> String {
    content::digest(&format!("deployment {version}"))
}

/// The image of a version.
pub fn image(version: &str) -> String {
    format!("registry.example/shop/web:{version}")
}

pub fn template(deployment: &str) -> String {
    content::digest(&format!("template of {deployment}"))
}

pub fn config(text: &str) -> String {
    content::digest(&format!("config {text}"))
}

pub fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

fn labels(app: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("app".to_owned(), app.to_owned())])
}

fn deployment_of(name: &str, replicas: i32, version: &str) -> Workload {
    let digest = deployment(version);
    Workload {
        name: name.into(),
        uid: format!("uid-of-{name}-1"),
        generation: 1,
        template: template(&digest),
        body: digest.clone(),
        posture: posture(),
        images: BTreeSet::from([image(version)]),
        digest,
        replicas,
        rollout_keeps: replicas,
        progress_deadline: 600,
        selector: labels(name),
        labels: labels(name),
        field_owner: Some(FieldOwner { manager: "helm".into(), operation: "Update".into() }),
        ..Workload::default()
    }
}

/// What the only container of every version is allowed, unless somebody hardens it.
fn posture() -> Posture {
    let allows = ["host path /data", "privileged", "root"].map(str::to_owned).into();
    Posture(BTreeMap::from([("container web".to_owned(), Place { allows, ..Place::default() })]))
}

/// The digest of a content: that of the version, if its posture is the usual one.
fn digest_of(body: &str, allowed: &Posture) -> String {
    if *allowed == posture() { body.to_owned() } else { content::digest(&format!("{body} {allowed:?}")) }
}

fn policy() -> PolicyFacts {
    let spec: RecoveryPolicySpec = serde_json::from_value(json!({
        "mode": "Enforce",
        "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        "stability": {"soak": "60s"},
    }))
    .unwrap();
    let (uid, status) = ("uid-of-policy".into(), RecoveryPolicyStatus::default());
    PolicyFacts { uid, generation: 1, spec, status, deleting: false, rivals: vec![] }
}

fn facts(replicas: i32) -> Facts {
    let mut web = deployment_of("web", replicas, "v1");
    web.config_maps = BTreeSet::from(["settings".to_owned()]);
    web.read_at_start = BTreeSet::from([(MemberKind::ConfigMap, "settings".to_owned())]);
    let service = ServiceFacts {
        name: "web".into(),
        uid: "uid-of-service".into(),
        selector: labels("web"),
        ..ServiceFacts::default()
    };
    Facts {
        namespace: "shop".into(),
        policy_name: "web".into(),
        policy: Some(policy()),
        sight: Sight { blind: vec![], malformed: vec![] },
        ceiling: Ceiling {
            mode: Mode::Enforce,
            suspended: false,
            secrets: true,
            neighbours: true,
            pod_network: false,
            gateway_api: true,
            cluster_members: true,
        },
        target: Some(web),
        revisions: vec![],
        pods: vec![],
        quarantined: vec![],
        config_maps: BTreeMap::new(),
        objects: vec![],
        services: vec![service],
        standby: None,
        standby_pods: vec![],
        standby_autoscalers: vec![],
        neighbours: vec![],
        network: Network::default(),
        marks: vec![],
        states: vec![],
        recoveries: vec![],
        rehearsals: Rehearsals { every: Some(Duration::minutes(5)), answers: vec![] },
        checks: vec![],
        fleet: Fleet::default(),
        nodes: NodeSight::Off,
        lost: None,
    }
}

impl World {
    /// Just deployed; nothing is known of it yet.
    pub fn new(replicas: i32) -> Self {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut world = Self {
            facts: facts(replicas),
            memory: Memory::default(),
            now,
            effects: vec![],
            written: vec![],
            crash: None,
            behaviours: BTreeMap::new(),
            bad_pods: BTreeSet::new(),
            unpulled_pods: BTreeSet::new(),
            pods_refused: None,
            stalled_pods: BTreeSet::new(),
            endpoints_lag: None,
            dependency_down: false,
            sick_nodes: BTreeSet::new(),
            feasibilities: BTreeMap::new(),
            rehearsed: vec![],
            metrics: Some(Ok(0.0)),
            asked: 0,
            refused: BTreeSet::new(),
            networks: BTreeSet::new(),
            left_behind: false,
            last: None,
            earned: vec![],
            seen: None,
            owned: BTreeSet::new(),
            inside: BTreeMap::new(),
            progress: now,
            serial: 0,
            full: false,
            office: None,
        };
        world.configure("good");
        world
    }

    /// Has earned its stable state.
    pub fn stable(replicas: i32) -> Self {
        Self::new(replicas).soaked()
    }

    /// The same, by another name.
    pub fn stable_as(name: &str, replicas: i32) -> Self {
        let mut world = Self::new(replicas);
        world.target_mut().name = name.into();
        world.spec().target_ref.name = name.into();
        world.soaked()
    }

    /// With a standby and leave to use it; has earned its stable state.
    pub fn with_standby(failback: Failback) -> Self {
        let mut world = Self::new(3);
        let now = world.now;
        let mut standby = deployment_of("standby", 3, "standby");
        (standby.observed_generation, standby.available_replicas) = (1, 3);
        world.facts.standby = Some(standby);
        let pod = |n: u32| PodFacts {
            name: format!("standby-{n}"),
            uid: format!("uid-of-standby-pod-{n}"),
            labels: labels("standby"),
            created: now,
            ready: true,
            ready_since: Some(now),
            ..PodFacts::default()
        };
        world.facts.standby_pods = vec![pod(1), pod(2), pod(3)];
        let reference = TargetRef { api_version: "apps/v1".into(), kind: "Deployment".into(), name: "standby".into() };
        world.spec().actions.failover = Some(Failover {
            standby: reference,
            via: Via { service: Some("web".into()), ..Via::default() },
            failback,
            min_capacity: "100%".into(),
        });
        world.soaked()
    }

    /// The same, with traffic that is moved by the weights of a route, which belongs to the stable state.
    pub fn with_route(failback: Failback) -> Self {
        let mut world = Self::with_standby(failback);
        let standby = "standby".to_owned();
        let service =
            ServiceFacts { name: standby.clone(), uid: "uid-of-standby-service".into(), ..ServiceFacts::default() };
        world.facts.services.push(ServiceFacts { selector: labels("standby"), ..service });
        world.attach(MemberKind::HttpRoute, "web", "routed");
        let backend = |place, service: &str, weight| Backend { rule: 0, place, service: service.into(), weight };
        world.route().backends = vec![backend(0, "web", 1), backend(1, "standby", 0)];
        let steps = vec![20, 50, 100];
        let http_route = Some(RouteVia { name: "web".into(), standby_service: standby, steps });
        world.spec().actions.failover.as_mut().unwrap().via = Via { http_route, ..Via::default() };
        world.run(90);
        assert_eq!(world.facts.states.len(), 2, "the route is to be a part of the newest");
        world
    }

    pub fn route(&mut self) -> &mut ObjectFacts {
        self.facts.objects.iter_mut().find(|object| object.kind == MemberKind::HttpRoute).unwrap()
    }

    pub fn via_route(&mut self) -> &mut RouteVia {
        self.spec().actions.failover.as_mut().unwrap().via.http_route.as_mut().unwrap()
    }

    fn soaked(mut self) -> Self {
        self.run(90);
        assert_eq!(self.facts.states.len(), 1, "the soak must be over by now");
        self
    }

    /// Makes it one target among others.
    pub fn join(mut self, office: &Rc<RefCell<Office>>, namespace: &str, policy: &str) -> Self {
        self.facts.namespace = namespace.into();
        self.facts.policy_name = policy.into();
        self.office = Some(Rc::clone(office));
        self.seen = None;
        self
    }

    pub fn who(&self) -> Who {
        Who { namespace: self.facts.namespace.clone(), policy: self.facts.policy_name.clone() }
    }

    // ---- what people and the world do

    pub fn spec(&mut self) -> &mut RecoveryPolicySpec {
        &mut self.facts.policy.as_mut().unwrap().spec
    }

    pub fn mode(mut self, mode: Mode) -> Self {
        self.spec().mode = mode;
        self
    }

    pub fn actions(mut self, isolate: Option<Isolate>, rollback: Option<Rollback>) -> Self {
        self.spec().actions = Actions { isolate, rollback, failover: None };
        self
    }

    pub fn target(&self) -> &Workload {
        self.facts.target.as_ref().unwrap()
    }

    pub fn target_mut(&mut self) -> &mut Workload {
        self.facts.target.as_mut().unwrap()
    }

    /// Deploys `version`.
    pub fn release(&mut self, version: &str) {
        let digest = deployment(version);
        let now = self.now;
        let target = self.target_mut();
        target.body = digest;
        target.images = BTreeSet::from([image(version)]);
        target.digest = digest_of(&target.body, &target.posture);
        target.template = template(&target.digest);
        target.generation += 1;
        self.progress = now;
        self.behave_as_its_version();
    }

    /// Somebody changes what the target's container is allowed.
    pub fn secure(&mut self, change: impl FnOnce(&mut BTreeSet<String>)) {
        let now = self.now;
        let target = self.target_mut();
        change(&mut target.posture.0.get_mut("container web").unwrap().allows);
        target.digest = digest_of(&target.body, &target.posture);
        target.template = template(&target.digest);
        target.generation += 1;
        self.progress = now;
        self.behave_as_its_version();
    }

    /// Somebody forbids the target's container something.
    pub fn forbid(&mut self, what: &str) {
        self.secure(|allows| assert!(allows.remove(what), "{what} is forbidden already"));
    }

    pub fn allowed(&self, what: &str) -> bool {
        self.target().posture.0["container web"].allows.contains(what)
    }

    fn behave_as_its_version(&mut self) {
        let target = self.target();
        let (digest, body) = (target.digest.clone(), target.body.clone());
        if let Some(behaviour) = self.behaviours.get(&body).copied() {
            self.behaviours.insert(digest, behaviour);
        }
    }

    /// Deploys `version`, which behaves like this.
    pub fn release_bad(&mut self, version: &str, behaviour: Behaviour) {
        self.behaviours.insert(deployment(version), behaviour);
        self.release(version);
    }

    /// Changes the ConfigMap.
    pub fn configure(&mut self, text: &str) {
        let digest = config(text);
        let owner = Some(FieldOwner { manager: "helm".into(), operation: "Apply".into() });
        let map = ConfigMapFacts {
            name: "settings".into(),
            uid: "uid-of-settings".into(),
            digest,
            size: 10,
            written: Some(self.now),
            sealed_copy: None,
            serving_others: BTreeSet::new(),
            field_owner: owner,
            git_ops: None,
        };
        self.facts.config_maps.insert("settings".into(), map);
    }

    pub fn configure_bad(&mut self, text: &str, behaviour: Behaviour) {
        self.behaviours.insert(config(text), behaviour);
        self.configure(text);
    }

    /// An object that attaches itself to the target, or that the target refers to.
    pub fn attach(&mut self, kind: MemberKind, name: &str, digest: &str) {
        let (uid, digest) = (format!("uid-of-{kind}-{name}"), digest.to_owned());
        let unknown = ObjectFacts::unknown(kind, name);
        self.facts.objects.push(ObjectFacts { uid, digest, size: 1, belongs: true, ..unknown });
    }

    pub fn edit(&mut self, kind: MemberKind, name: &str, digest: &str) {
        let object = self.facts.objects.iter_mut().find(|object| object.kind == kind && object.name == name);
        object.unwrap().digest = digest.to_owned();
    }

    /// It is gone; a state may still know it.
    pub fn detach(&mut self, kind: MemberKind, name: &str) {
        let object = self.facts.objects.iter_mut().find(|object| object.kind == kind && object.name == name);
        let object = object.unwrap();
        (object.uid, object.digest, object.belongs) = (String::new(), String::new(), false);
    }

    /// What is live of it; `None` if it does not exist.
    pub fn digest(&self, kind: MemberKind, name: &str) -> Option<String> {
        self.facts.object(kind, name).map(|object| object.digest.clone()).filter(|digest| !digest.is_empty())
    }

    /// Every container starts again, and reads its configuration anew.
    pub fn restart_pods(&mut self) {
        self.restart_first(self.facts.pods.len());
    }

    /// The same for so many pods.
    pub fn restart_first(&mut self, pods: usize) {
        for pod in self.facts.pods.iter_mut().take(pods) {
            pod.restarts += 1;
            pod.most_restarts += 1;
            set_ready(pod, false, self.now);
            self.inside.insert(pod.uid.clone(), start(&self.facts.config_maps, self.now));
        }
    }

    /// One pod goes bad for good.
    pub fn break_pod(&mut self, index: usize) -> String {
        let uid = self.facts.pods[index].uid.clone();
        self.bad_pods.insert(uid.clone());
        uid
    }

    /// One pod stops getting ready, without crashing.
    pub fn stall_pod(&mut self, uid: &str) {
        self.stalled_pods.insert(uid.to_owned());
    }

    pub fn scale_to(&mut self, replicas: i32) {
        let target = self.target_mut();
        target.replicas = replicas;
        target.generation += 1;
    }

    /// A person answers the plan that is shown.
    pub fn answer(&mut self, decision: ApprovalDecision, plan_digest: &str) {
        let open = self.facts.recoveries.last_mut().unwrap();
        open.spec.approval = Some(Approval { decision, plan_digest: plan_digest.into() });
    }

    pub fn abort(&mut self) {
        self.facts.recoveries.last_mut().unwrap().spec.abort = true;
    }

    pub fn review(&mut self, version: &str, review: Option<Review>) {
        let digest = deployment(version);
        for state in &mut self.facts.states {
            if state.members.iter().any(|member| member.digest == digest) {
                state.review = review;
            }
        }
    }

    /// Deletes the target and creates another of the same name.
    pub fn replace_target(&mut self, version: &str) {
        self.serial += 1;
        let serial = self.serial;
        self.facts.pods.clear();
        self.facts.revisions.clear();
        let replicas = self.target().replicas;
        let mut fresh = deployment_of("web", replicas, version);
        fresh.uid = format!("uid-of-web-again-{serial}");
        fresh.config_maps = BTreeSet::from(["settings".to_owned()]);
        self.facts.target = Some(fresh);
        self.progress = self.now;
    }

    /// Somebody deletes the target, and its pods with it.
    pub fn delete_target(&mut self) {
        self.facts.target = None;
        self.facts.pods.clear();
        self.facts.revisions.clear();
        self.offer();
    }

    /// Somebody creates the target anew.
    pub fn create_target(&mut self, replicas: i32, version: &str) {
        self.serial += 1;
        let name = self.spec().target_ref.name.clone();
        let mut fresh = deployment_of(&name, replicas, version);
        fresh.uid = format!("uid-of-web-anew-{}", self.serial);
        fresh.config_maps = BTreeSet::from(["settings".to_owned()]);
        self.facts.target = Some(fresh);
        self.progress = self.now;
    }

    /// From now on a rehearsal of the states with this version answers so.
    pub fn rehearsal_says(&mut self, version: &str, feasibility: Feasibility) {
        self.feasibilities.insert(deployment(version), feasibility);
    }

    pub fn blind(&mut self, blind: bool) {
        self.facts.sight.blind = if blind { vec!["Pod: no event for 90s".into()] } else { vec![] };
    }

    pub fn lose_memory(&mut self) {
        self.memory = Memory::default();
        self.facts.rehearsals.answers.clear();
        self.facts.checks.clear();
        self.seen = None;
    }

    // ---- questions

    pub fn recovery(&self) -> &RecoveryFacts {
        self.facts.recoveries.last().expect("a Recovery")
    }

    pub fn journal(&self) -> &Journal {
        &self.recovery().journal
    }

    pub fn done(&self) -> Vec<Remediation> {
        self.effects
            .iter()
            .filter(|effect| effect.receipt == Receipt::Done)
            .map(|effect| effect.step.remediation)
            .collect()
    }

    pub fn count(&self, remediation: Remediation) -> usize {
        self.done().into_iter().filter(|done| *done == remediation).count()
    }

    pub fn plan(&self) -> &Plan {
        self.last.as_ref().expect("a plan")
    }

    pub fn status(&self) -> &RecoveryPolicyStatus {
        &self.facts.policy.as_ref().unwrap().status
    }

    pub fn condition(&self, name: &str) -> (String, String) {
        let found = self.status().conditions.iter().find(|condition| condition.type_ == name);
        found.map(|found| (found.status.clone(), found.reason.clone())).unwrap_or_default()
    }

    pub fn refusal(&self, remedy: Remedy) -> Option<Reason> {
        self.journal().decision.alternatives.iter().find(|other| other.remedy == remedy).map(|other| other.reason)
    }

    #[track_caller]
    pub fn assert_closed(&self, outcome: Outcome, reason: Reason) {
        let journal = self.journal();
        let found = (journal.phase, journal.outcome, journal.reason);
        assert_eq!(found, (Phase::Closed, Some(outcome), reason), "{journal:#?}");
    }

    #[track_caller]
    pub fn assert_holds(&self, reason: Reason) {
        let journal = self.journal();
        assert_eq!((journal.phase, journal.reason), (Phase::Holding, reason), "{journal:#?}");
    }

    pub fn phase(&self) -> Option<Phase> {
        self.facts.recoveries.last().map(|recovery| recovery.journal.phase)
    }

    // ---- time

    /// Lets so many seconds pass; the operator looks whenever something may have changed.
    pub fn run(&mut self, seconds: i64) {
        for _ in 0..seconds {
            self.tick();
            self.operate();
        }
    }

    /// Lets time pass until `when`, for at most so many seconds.
    #[track_caller]
    pub fn run_until(&mut self, seconds: i64, when: impl Fn(&Self) -> bool) {
        for _ in 0..seconds {
            if when(self) {
                return;
            }
            self.run(1);
        }
        assert!(
            when(self),
            "it did not happen in {seconds} s: {:#?}",
            self.facts.recoveries.last().map(|r| &r.journal)
        );
    }

    #[track_caller]
    pub fn run_until_phase(&mut self, seconds: i64, phase: Phase) {
        self.run_until(seconds, |world| world.phase() == Some(phase));
    }

    /// So many seconds in which traffic leaves and what keeps home down heals five seconds after that; the operator dies in
    /// the second `at`.
    pub fn over_and_back(&mut self, duration: i64, at: i64, crash: Crash) {
        let mut heals = None;
        for second in 0..duration {
            if self.phase() == Some(Phase::OnStandby) {
                heals = heals.or(Some(second + 5));
            }
            if heals == Some(second) {
                self.dependency_down = false;
            }
            self.tick();
            if second == at {
                self.crash = Some(crash);
                self.step();
            }
            self.operate();
        }
    }

    #[track_caller]
    pub fn run_until_closed(&mut self, seconds: i64) {
        self.run_until_phase(seconds, Phase::Closed);
    }

    /// One second of the cluster, without the operator.
    pub fn tick(&mut self) {
        self.now += seconds(1);
        self.roll();
        self.live();
        self.count_pods();
        self.autoscale();
        self.offer();
    }

    /// The operator until it rests. It must come to rest, and must not ask to be woken in the past.
    pub fn operate(&mut self) {
        let waits = self.last.as_ref().is_some_and(|plan| self.now < plan.wake_at);
        if waits && self.crash.is_none() && self.seen.as_ref().is_some_and(|seen| same(seen, &self.facts)) {
            return;
        }
        for _ in 0..MOST_STEPS_AT_ONCE {
            let before = self.progress_made();
            self.step();
            if before == self.progress_made() {
                let plan = self.plan();
                assert!(plan.wake_at > self.now, "a busy loop: at rest, and to be woken at once: {plan:#?}");
                self.seen = Some(self.facts.clone());
                return;
            }
        }
        panic!("the operator does not come to rest: {:#?}", self.written.iter().rev().take(3).collect::<Vec<_>>());
    }

    fn progress_made(&self) -> (usize, usize, usize, Vec<RecoveryFacts>) {
        let asked = self.rehearsed.len() + self.asked;
        (self.effects.len(), asked, self.facts.states.len(), self.facts.recoveries.clone())
    }

    // ---- the operator

    /// One step of the loop: plan, record, act, enter the receipts.
    pub fn step(&mut self) {
        self.step_with(|_| {});
        self.check_world();
    }

    /// A step of which something may be left behind: the API server refuses to let us clean up.
    pub fn step_unchecked(&mut self) {
        self.step_with(|_| {});
    }

    /// A step during which something happens, after it was planned and before it is written.
    pub fn step_with(&mut self, meanwhile: impl FnOnce(&mut Self)) {
        let plan = self.look();
        self.check_plan(&plan);
        // What crashes after a record does not crash after a question: the next step has the answer.
        let asks = plan.turn.as_ref().is_some_and(|turn| turn.rehearse.is_some() && turn.record.is_none());
        let crash = self.crash.take_if(|crash| *crash == Crash::BeforeRecord || !asks);
        self.memory = if crash.is_some() { Memory::default() } else { plan.memory.clone() };
        if crash.is_some() {
            self.facts.rehearsals.answers.clear();
            self.facts.checks.clear();
        }
        self.last = Some(plan.clone());
        if crash == Some(Crash::BeforeRecord) {
            return;
        }
        meanwhile(self);
        if let Some(turn) = &plan.turn {
            self.record(turn);
            if crash != Some(Crash::AfterRecord) {
                self.carry_out(turn, crash.is_some());
            }
        }
        self.settle();
        if crash.is_some() {
            return;
        }
        if let (Some(policy), Some(status)) = (&mut self.facts.policy, plan.status) {
            policy.status = status;
        }
        self.facts.states.retain(|state| !plan.expired.states.contains(&state.name));
        self.facts.recoveries.retain(|recovery| !plan.expired.recoveries.contains(&recovery.name));
        plan.earned.iter().for_each(|earned| self.keep(earned));
        plan.rehearse.iter().for_each(|request| self.rehearse(request));
        plan.ask.iter().for_each(|check| self.ask(check));
    }

    fn ask(&mut self, check: &Check) {
        let Some(found) = self.metrics.clone() else { return };
        let Check { provider, query, .. } = check.clone();
        self.asked += 1;
        self.facts.checks.retain(|known| known.provider != provider || known.query != query);
        self.facts.checks.push(CheckAnswer { provider, query, at: self.now, found });
    }

    fn rehearse(&mut self, request: &Rehearse) {
        let feasible = Feasibility::Feasible { unchecked: vec![] };
        let answer = Rehearsal {
            state: request.state.clone(),
            inputs: request.inputs.clone(),
            live: request.live.clone(),
            at: self.now,
            feasibility: self.feasibilities.get(&request.workload.to).cloned().unwrap_or(feasible),
        };
        self.rehearsed.push((answer.clone(), request.urgent));
        self.facts.rehearsals.answers.retain(|known| known.state != answer.state);
        self.facts.rehearsals.answers.push(answer);
    }

    /// Looks at all targets, plans, and enters what comes of it, as the operator's ledger does.
    fn look(&mut self) -> Plan {
        let who = self.who();
        let Some(office) = &self.office else { return plan::step(&self.facts, self.memory.clone(), self.now) };
        let mut office = office.borrow_mut();
        self.facts.fleet = office.register.fleet(&who, &office.limits, self.now);
        self.facts.fleet.ties = office.bonds.ties(&who, &self.facts);
        let plan = plan::step(&self.facts, self.memory.clone(), self.now);
        if office.register.note(&who, &self.facts, &plan, true) {
            let next = office.register.next(&office.limits, self.now);
            office.woken.extend(next);
        }
        let related = office.bonds.note(&who, &self.facts, &plan);
        office.woken.extend(related);
        plan
    }

    /// Enters what is on record after the step.
    fn settle(&self) {
        let Some(office) = &self.office else { return };
        let mut office = office.borrow_mut();
        let holds = self.facts.open_recovery().is_some_and(|open| under_action(&open.journal));
        if office.register.settle(&self.who(), holds, Fate::Known, self.now) {
            let next = office.register.next(&office.limits, self.now);
            office.woken.extend(next);
        }
    }

    /// Looks again although nothing of its own changed.
    pub fn wake(&mut self) {
        self.seen = None;
    }

    fn record(&mut self, turn: &Turn) {
        match &turn.record {
            Some(Record::Open(opening)) => {
                let spec = RecoverySpec::opened((**opening).clone());
                let (name, journal) = (turn.recovery.clone(), (**opening).clone());
                self.written.push(journal.clone());
                self.facts.recoveries.push(RecoveryFacts { name, version: String::new(), spec, journal });
            }
            Some(Record::Update(journal)) => self.write(&turn.recovery, (**journal).clone()),
            None => {}
        }
    }

    fn write(&mut self, recovery: &str, journal: Journal) {
        let found =
            self.facts.recoveries.iter_mut().find(|found| found.name == recovery).expect("a Recovery of that name");
        if found.journal != journal {
            self.written.push(journal.clone());
            found.journal = journal;
        }
    }

    fn carry_out(&mut self, turn: &Turn, lose_receipts: bool) {
        let Some(found) = self.facts.recoveries.iter().find(|found| found.name == turn.recovery) else { return };
        let before = found.journal.clone();
        let mut journal = before.clone();
        for index in &turn.effects {
            let step = journal.steps[*index].clone();
            assert_eq!(step.state, StepState::Planned, "an effect without a recorded intent: {step:?}");
            let receipt = self.apply(&turn.recovery, &step);
            self.effects.push(Effect { step, receipt: receipt.clone() });
            receipt::receive(&mut journal, *index, &receipt, self.now);
            if journal.phase != before.phase {
                break;
            }
        }
        receipt::settle(&mut journal, self.now);
        if !lose_receipts {
            self.write(&turn.recovery, journal);
        }
    }

    fn keep(&mut self, earned: &Earned) {
        self.earned.push(earned.clone());
        assert_eq!(Some(&earned.digest), closure::live_digest(&self.facts).as_ref());
        let target = self.target().clone();
        let mut members = vec![];
        let live = closure::live_members(&self.facts).unwrap_or_default().into_iter();
        let live: Vec<_> = live.map(|(kind, name, _, digest)| (kind, name.to_owned(), digest.to_owned())).collect();
        let config_maps = live.iter().filter(|(kind, ..)| *kind == MemberKind::ConfigMap).map(|(_, name, _)| name);
        let config_maps: Vec<_> = config_maps.cloned().collect();
        for (kind, name, digest) in live {
            if !kind.workload() && kind != MemberKind::ConfigMap {
                let copy = self.copy_secret(kind, &name);
                let found = self.facts.object(kind, &name);
                let posture = found.map(|found| found.posture.clone()).unwrap_or_default();
                let scaling = found.and_then(|found| found.scaling.clone());
                members.push(MemberFacts { posture, scaling, ..member(kind.name(), &name, digest, copy, None) });
            }
        }
        for name in &config_maps {
            let Some(map) = self.facts.config_maps.get(name).cloned() else { continue };
            let copy = format!("copy-{}", &map.digest[..8]);
            let kept = ConfigMapFacts { name: copy.clone(), sealed_copy: Some(true), ..map.clone() };
            self.facts.config_maps.insert(copy.clone(), kept);
            members.push(member("ConfigMap", name, map.digest, copy, map.field_owner));
        }
        let itself = member(target.kind.name(), &target.name, target.digest, String::new(), target.field_owner);
        members.push(MemberFacts { body: target.body, posture: target.posture, images: target.images, ..itself });
        self.facts.states.push(StateFacts {
            name: format!("web-{}", &earned.digest[..8]),
            uid: format!("uid-of-state-{}", self.serial),
            digest: earned.digest.clone(),
            groups: closure::groups(&self.facts),
            target: target.name.clone(),
            replicas: earned.replicas,
            members,
            created: self.now,
            time_to_ready: earned.time_to_ready,
            sealed: true,
            review: None,
        });
    }

    /// The name of the copy that is kept of a Secret; empty for what has none.
    fn copy_secret(&mut self, kind: MemberKind, name: &str) -> String {
        let found = self.facts.object(kind, name).filter(|found| kind == MemberKind::Secret && !found.uid.is_empty());
        let Some(found) = found.cloned() else { return String::new() };
        let copy = format!("copy-of-secret-{}", found.digest);
        let kept = ObjectFacts { name: copy.clone(), belongs: false, sealed_copy: Some(true), ..found };
        if self.facts.object(kind, &copy).is_none() {
            self.facts.objects.push(kept);
        }
        copy
    }

    // ---- the API server, as `act` meets it

    fn apply(&mut self, recovery: &str, step: &Step) -> Receipt {
        if self.refused.contains(&step.remediation) {
            return Receipt::Refused("no right to do so".into());
        }
        let receipt = self.answer_to(recovery, step);
        let restores = matches!(step.remediation, Remediation::RestoreTemplate | Remediation::RestoreObject);
        if restores && receipt == Receipt::Done {
            self.owned.insert(step.object.uid.clone());
        }
        receipt
    }

    fn answer_to(&mut self, recovery: &str, step: &Step) -> Receipt {
        match step.remediation {
            Remediation::FreezeRollout => self.freeze(recovery, step),
            Remediation::ReleaseFreeze => self.release_freeze(recovery, step),
            Remediation::RestoreObject if step.object.kind == "ConfigMap" => self.restore_config_map(step),
            Remediation::RestoreObject => self.restore_object(step),
            Remediation::RemoveObject => self.remove_object(step),
            Remediation::RestoreTemplate => self.restore_template(recovery, step),
            Remediation::RecreateWorkload => self.recreate(recovery, step),
            Remediation::RenewPods => self.renew(step),
            Remediation::HandBackFields => {
                let target = self.found_target(step).filter(|target| target.recreated_by.as_deref() == Some(recovery));
                let marked = target.is_some_and(|target| target.recreated_by.take().is_some());
                match self.owned.remove(&step.object.uid) || marked {
                    true => Receipt::Done,
                    false => Receipt::AlreadyDone,
                }
            }
            Remediation::QuarantinePod => self.quarantine(recovery, step),
            Remediation::EvictPod | Remediation::DeleteLostPod => self.drop_pod(step),
            Remediation::CordonNode => self.cordon(recovery, step),
            Remediation::UncordonNode => self.uncordon(recovery, step),
            Remediation::DeletePod => self.delete_pod(recovery, step),
            Remediation::SwitchService | Remediation::ReturnService => self.point_service(recovery, step),
            Remediation::SwitchRoute | Remediation::ShiftRoute | Remediation::ReturnRoute => {
                self.move_route(recovery, step)
            }
            Remediation::DenyPodNetwork => match self.networks.insert(recovery.to_owned()) {
                true => Receipt::Done,
                false => Receipt::AlreadyDone,
            },
            Remediation::AllowPodNetwork => match self.networks.remove(recovery) {
                true => Receipt::Done,
                false => Receipt::AlreadyDone,
            },
            Remediation::CutDependency => self.cut(recovery, step),
            Remediation::ReleaseDependency => self.end_cut(recovery, step),
            Remediation::StopNeighbour => self.stop_neighbour(recovery, step),
            Remediation::ReleaseNeighbour => self.release_neighbour(recovery, step),
            Remediation::PreScaleStandby => self.raise(recovery, step),
            Remediation::ReleaseStandby => self.lower(recovery, step),
        }
    }

    fn cut(&mut self, recovery: &str, step: &Step) -> Receipt {
        let name = step.object.name.clone();
        let cut = Cut::of(step).expect("a step that says what is cut off");
        let spec = cut.spec(&self.facts.namespace).expect("a cut that selects something");
        let digest = content::digest_of(MemberKind::NetworkPolicy, &json!({"spec": spec}));
        let network = &mut self.facts.network;
        let made = CutFacts { name: name.clone(), recovery: recovery.to_owned(), digest };
        match network.cuts.iter().find(|cut| cut.name == name) {
            Some(known) if *known == made => return Receipt::AlreadyDone,
            Some(_) => return Receipt::Refused("it is there already".into()),
            None => {}
        }
        assert!(network.limits.is_empty(), "a cut beside {:?} loosens", network.limits);
        network.limits.insert(name);
        network.cuts.push(made);
        Receipt::Done
    }

    fn end_cut(&mut self, recovery: &str, step: &Step) -> Receipt {
        let network = &mut self.facts.network;
        let at = network.cuts.iter().position(|cut| cut.name == step.object.name && cut.recovery == recovery);
        let Some(at) = at else { return Receipt::AlreadyDone };
        network.limits.remove(&step.object.name);
        network.cuts.remove(at);
        Receipt::Done
    }

    fn found_target(&mut self, step: &Step) -> Option<&mut Workload> {
        self.facts.target.as_mut().filter(|target| target.uid == step.object.uid)
    }

    fn freeze(&mut self, recovery: &str, step: &Step) -> Receipt {
        let Some(target) = self.found_target(step) else { return Receipt::Gone };
        let ours = target.frozen_by.as_deref() == Some(recovery);
        match (target.paused, ours) {
            (true, true) => Receipt::AlreadyDone,
            (true, false) => Receipt::Moved("paused by someone else".into()),
            (false, true) => Receipt::Moved("our pause was ended by someone else".into()),
            (false, false) => {
                (target.paused, target.frozen_by) = (true, Some(recovery.to_owned()));
                target.generation += 1;
                Receipt::Done
            }
        }
    }

    fn release_freeze(&mut self, recovery: &str, step: &Step) -> Receipt {
        let now = self.now;
        let Some(target) = self.found_target(step) else { return Receipt::Gone };
        if target.frozen_by.as_deref() != Some(recovery) {
            return Receipt::AlreadyDone;
        }
        (target.paused, target.frozen_by) = (false, None);
        target.generation += 1;
        self.progress = now;
        Receipt::Done
    }

    fn restore_template(&mut self, recovery: &str, step: &Step) -> Receipt {
        let now = self.now;
        let mut members = self.facts.states.iter().flat_map(|state| &state.members);
        let stable = members.find(|member| member.kind == step.object.kind && member.digest == step.to).cloned();
        let Some(target) = self.found_target(step) else { return Receipt::Gone };
        let ours = target.frozen_by.as_deref() == Some(recovery);
        let keeps = !step.keeps.is_empty();
        let there = stable.as_ref().is_some_and(|stable| {
            keeps && target.body == stable.body && target.posture == stable.posture.keeping(&target.posture)
        });
        if (target.digest == step.to || there) && !ours {
            return Receipt::AlreadyDone;
        }
        if target.paused && !ours {
            return Receipt::Moved("paused by someone else".into());
        }
        if target.digest != step.to && target.digest != step.from {
            return Receipt::Moved("its template was changed meanwhile".into());
        }
        // What was recorded of this version, by whichever state.
        let recorded = stable.expect("content to restore");
        target.posture = match step.keeps.is_empty() {
            true => recorded.posture,
            false => recorded.posture.keeping(&target.posture),
        };
        target.body = recorded.body;
        target.images = recorded.images;
        target.digest = if keeps { digest_of(&target.body, &target.posture) } else { step.to.clone() };
        target.template = template(&target.digest);
        (target.paused, target.frozen_by) = (false, None);
        target.generation += 1;
        self.progress = now;
        self.behave_as_its_version();
        Receipt::Done
    }

    fn recreate(&mut self, recovery: &str, step: &Step) -> Receipt {
        match &self.facts.target {
            Some(target) if target.recreated_by.as_deref() == Some(recovery) => return Receipt::AlreadyDone,
            Some(_) => return Receipt::Moved("somebody created it meanwhile".into()),
            None => {}
        }
        self.create_target(load(&step.from), "v1");
        let target = self.target_mut();
        (target.digest, target.template) = (step.to.clone(), template(&step.to));
        target.recreated_by = Some(recovery.to_owned());
        Receipt::Done
    }

    /// The template is another one for its controller, and the content the same.
    fn renew(&mut self, step: &Step) -> Receipt {
        let now = self.now;
        let fresh = template(&format!("{} renewed {}", step.from, step.to));
        let Some(target) = self.found_target(step) else { return Receipt::Gone };
        if target.template == fresh {
            return Receipt::AlreadyDone;
        }
        if target.digest != step.from {
            return Receipt::Moved("its template was changed meanwhile".into());
        }
        target.template = fresh;
        target.generation += 1;
        self.progress = now;
        Receipt::Done
    }

    fn restore_config_map(&mut self, step: &Step) -> Receipt {
        let name = &step.object.name;
        match self.facts.config_maps.get_mut(name) {
            None if step.object.uid.is_empty() => {
                let uid = "uid-of-settings-again".into();
                let map =
                    ConfigMapFacts { name: name.clone(), uid, digest: step.to.clone(), ..ConfigMapFacts::default() };
                self.facts.config_maps.insert(name.clone(), map);
                Receipt::Done
            }
            Some(map) if map.digest == step.to => Receipt::AlreadyDone,
            Some(map) if map.uid == step.object.uid && map.digest == step.from => {
                (map.digest, map.written) = (step.to.clone(), Some(self.now));
                Receipt::Done
            }
            Some(map) if map.uid == step.object.uid => Receipt::Moved("its content was changed meanwhile".into()),
            _ => Receipt::Gone,
        }
    }

    fn restore_object(&mut self, step: &Step) -> Receipt {
        let found =
            |object: &&mut ObjectFacts| object.kind.name() == step.object.kind && object.name == step.object.name;
        let copy = self.facts.objects.iter().find(|copy| copy.sealed_copy == Some(true) && copy.digest == step.to);
        let certificate = copy.and_then(|copy| copy.certificate);
        let Some(object) = self.facts.objects.iter_mut().find(found) else { return Receipt::Gone };
        if object.digest == step.to {
            return Receipt::AlreadyDone;
        }
        if object.uid != step.object.uid || object.digest != step.from {
            return Receipt::Moved("its content was changed meanwhile".into());
        }
        let recorded = self.facts.states.iter().flat_map(|state| &state.members);
        let mut recorded = recorded.filter(|member| member.kind == step.object.kind && member.name == step.object.name);
        if let Some(member) = recorded.rfind(|member| member.digest == step.to) {
            object.posture = member.posture.clone();
        }
        object.digest = step.to.clone();
        object.certificate = certificate;
        object.belongs = true;
        if object.uid.is_empty() {
            object.uid = format!("uid-of-{}-again", object.name);
        }
        Receipt::Done
    }

    fn remove_object(&mut self, step: &Step) -> Receipt {
        let before = self.facts.objects.len();
        self.facts.objects.retain(|object| object.uid != step.object.uid);
        if self.facts.objects.len() < before { Receipt::Done } else { Receipt::AlreadyDone }
    }

    fn quarantine(&mut self, recovery: &str, step: &Step) -> Receipt {
        if self.facts.quarantined.iter().any(|pod| pod.uid == step.object.uid) {
            return Receipt::AlreadyDone;
        }
        let Some(at) = self.facts.pods.iter().position(|pod| pod.uid == step.object.uid) else { return Receipt::Gone };
        let mut pod = self.facts.pods.remove(at);
        pod.quarantined_by = Some(recovery.to_owned());
        pod.inspect_until = step.to.parse().ok();
        self.facts.quarantined.push(pod);
        Receipt::Done
    }

    fn delete_pod(&mut self, recovery: &str, step: &Step) -> Receipt {
        if self.facts.pods.iter().any(|pod| pod.uid == step.object.uid) {
            return Receipt::Moved("it does not carry our quarantine label any more".into());
        }
        let ours = |pod: &PodFacts| pod.uid == step.object.uid && pod.quarantined_by.as_deref() == Some(recovery);
        let before = self.facts.quarantined.len();
        self.facts.quarantined.retain(|pod| !ours(pod));
        if self.facts.quarantined.len() < before { Receipt::Done } else { Receipt::AlreadyDone }
    }

    fn point_service(&mut self, recovery: &str, step: &Step) -> Receipt {
        let Some(service) = self.facts.services.iter_mut().find(|service| service.uid == step.object.uid) else {
            return Receipt::Gone;
        };
        let away = step.remediation == Remediation::SwitchService;
        let present = json!(service.selector).to_string();
        if present == step.to && away == service.switched_by.is_some() {
            return Receipt::AlreadyDone;
        }
        if present != step.from {
            return Receipt::Moved("its selector was changed meanwhile".into());
        }
        service.selector = serde_json::from_str(&step.to).unwrap();
        service.switched_by = away.then(|| recovery.to_owned());
        Receipt::Done
    }

    fn move_route(&mut self, recovery: &str, step: &Step) -> Receipt {
        let Some(route) = self.facts.objects.iter_mut().find(|object| object.uid == step.object.uid) else {
            return Receipt::Gone;
        };
        let away = step.remediation != Remediation::ReturnRoute;
        let present = weights::recorded(&route.backends);
        if present == step.to && away == route.switched_by.is_some() {
            return Receipt::AlreadyDone;
        }
        if present != step.from {
            return Receipt::Moved("its weights were changed meanwhile".into());
        }
        route.backends = weights::read(&step.to);
        route.switched_by = away.then(|| recovery.to_owned());
        Receipt::Done
    }

    fn neighbour(&mut self, step: &Step) -> Option<&mut NeighbourFacts> {
        self.facts.neighbours.iter_mut().find(|neighbour| neighbour.uid == step.object.uid)
    }

    fn stop_neighbour(&mut self, recovery: &str, step: &Step) -> Receipt {
        let was = load(&step.from);
        let Some(neighbour) = self.neighbour(step) else { return Receipt::Gone };
        if neighbour.stopped_by.as_deref() == Some(recovery) && neighbour.load == 0 {
            return Receipt::AlreadyDone;
        }
        if neighbour.load != was {
            return Receipt::Moved("how much of it runs was changed meanwhile".into());
        }
        (neighbour.load, neighbour.stopped_by) = (0, Some(recovery.to_owned()));
        Receipt::Done
    }

    fn release_neighbour(&mut self, recovery: &str, step: &Step) -> Receipt {
        let was = load(&step.to);
        let Some(neighbour) = self.neighbour(step) else { return Receipt::Gone };
        if neighbour.stopped_by.as_deref() != Some(recovery) {
            return Receipt::AlreadyDone;
        }
        if neighbour.load == 0 {
            neighbour.load = was;
        }
        neighbour.stopped_by = None;
        Receipt::Done
    }

    // ---- the Deployment controller and the kubelet

    // ---- the standby's autoscaler

    /// The standby has an autoscaler with these bounds.
    pub fn autoscaled(&mut self, name: &str, least: i32, most: i32) {
        self.facts.standby_autoscalers.push(AutoscalerFacts {
            name: name.into(),
            uid: format!("uid-of-{name}"),
            of_standby: true,
            least,
            most,
            field_owner: Some(FieldOwner { manager: "helm".into(), operation: "Apply".into() }),
            ..AutoscalerFacts::default()
        });
    }

    pub fn autoscaler(&mut self) -> &mut AutoscalerFacts {
        self.facts.standby_autoscalers.first_mut().expect("an autoscaler")
    }

    /// Brings what is missing, one pod a second.
    fn autoscale(&mut self) {
        let least =
            self.facts.standby_autoscalers.iter().filter(|found| found.of_standby).map(|found| found.least).max();
        let (Some(standby), Some(least)) = (&mut self.facts.standby, least) else { return };
        standby.replicas = standby.replicas.max(least);
        if self.full || standby.available_replicas >= standby.replicas {
            return;
        }
        standby.available_replicas += 1;
        let pod = PodFacts {
            name: format!("standby-more-{}", standby.available_replicas),
            uid: format!("uid-of-standby-pod-more-{}", standby.available_replicas),
            labels: labels("standby"),
            created: self.now,
            ready: true,
            ready_since: Some(self.now),
            ..PodFacts::default()
        };
        self.facts.standby_pods.push(pod);
    }

    fn raise(&mut self, recovery: &str, step: &Step) -> Receipt {
        let Some(found) = self.facts.standby_autoscalers.iter_mut().find(|found| found.uid == step.object.uid) else {
            return Receipt::Gone;
        };
        match found.scaled_by.as_deref() {
            Some(by) if by == recovery && found.least == load(&step.to) => return Receipt::AlreadyDone,
            None if found.least == load(&step.from) => {}
            _ => return Receipt::Moved("its minReplicas were changed meanwhile".into()),
        }
        found.least = load(&step.to);
        found.scaled_by = Some(recovery.to_owned());
        self.owned.insert(step.object.uid.clone());
        Receipt::Done
    }

    fn lower(&mut self, recovery: &str, step: &Step) -> Receipt {
        let Some(found) = self.facts.standby_autoscalers.iter_mut().find(|found| found.uid == step.object.uid) else {
            return Receipt::Gone;
        };
        if found.scaled_by.as_deref() != Some(recovery) {
            return Receipt::AlreadyDone;
        }
        if found.least == load(&step.from) {
            found.least = load(&step.to);
        }
        found.scaled_by = None;
        Receipt::Done
    }

    fn roll(&mut self) {
        let Some(mut target) = self.facts.target.clone() else { return };
        target.observed_generation = target.generation;
        if !target.paused && !target.deleting {
            let revision = self.revision(&target);
            self.scale(&target, &revision);
        }
        self.facts.target = Some(target);
    }

    fn revision(&mut self, target: &Workload) -> String {
        if let Some(found) = self.facts.revisions.iter().find(|revision| revision.template == target.template) {
            return found.name.clone();
        }
        let name = format!("web-{}", &target.template[..6]);
        let created = self.now;
        self.facts.revisions.push(Revision { name: name.clone(), template: target.template.clone(), created });
        name
    }

    /// One pod more and one pod less than wanted, at most.
    fn scale(&mut self, target: &Workload, revision: &str) {
        let wanted = usize::try_from(target.replicas).unwrap();
        self.facts.pods.retain(|pod| pod.revision == revision || pod.ready);
        while self.pods_refused.is_none() && self.facts.pods.len() <= wanted && self.of(revision) < wanted {
            self.create_pod(target, revision);
        }
        let ready = self.facts.pods.iter().filter(|pod| pod.ready).count();
        let old = self.facts.pods.iter().position(|pod| pod.revision != revision);
        if let Some(old) = old.filter(|_| ready >= wanted || self.of(revision) > wanted) {
            self.facts.pods.remove(old);
        }
        while self.of(revision) > wanted {
            let extra = self.facts.pods.iter().rposition(|pod| pod.revision == revision).unwrap();
            self.facts.pods.remove(extra);
        }
        if wanted == 0 {
            self.facts.pods.clear();
        }
    }

    fn of(&self, revision: &str) -> usize {
        self.facts.pods.iter().filter(|pod| pod.revision == revision).count()
    }

    fn create_pod(&mut self, target: &Workload, revision: &str) {
        self.serial += 1;
        let (name, uid) = (format!("{revision}-{}", self.serial), format!("uid-of-pod-{}", self.serial));
        self.inside.insert(uid.clone(), start(&self.facts.config_maps, self.now));
        let mut labels = target.labels.clone();
        labels.insert("pod-template-hash".into(), revision.into());
        self.facts.pods.push(PodFacts {
            name,
            uid,
            revision: revision.into(),
            labels,
            node: self.place(),
            created: self.now,
            ready_since: Some(self.now),
            ..PodFacts::default()
        });
    }

    fn live(&mut self) {
        let mut pods = std::mem::take(&mut self.facts.pods);
        for pod in &mut pods {
            let mut inside = self.inside.get(&pod.uid).cloned().expect("every pod has an inside");
            if !inside.running && self.now >= inside.at {
                inside = start(&self.facts.config_maps, self.now);
            }
            let behaviour = self.behaviour(pod, &inside);
            live(pod, &mut inside, behaviour, self.now);
            pod.started = (inside.running && pod.waiting.is_empty()).then_some(inside.at);
            self.inside.insert(pod.uid.clone(), inside);
        }
        self.facts.pods = pods;
    }

    fn behaviour(&self, pod: &PodFacts, inside: &Inside) -> Behaviour {
        if self.bad_pods.contains(&pod.uid) {
            return Behaviour::CrashLoop;
        }
        if self.sick_nodes.contains(&pod.node) {
            return Behaviour::CrashLoop;
        }
        if self.unpulled_pods.contains(&pod.uid) {
            return Behaviour::ImagePull;
        }
        let without = !self.facts.network.cuts.is_empty();
        if (self.dependency_down && !without) || self.stalled_pods.contains(&pod.uid) {
            return Behaviour::NeverReady;
        }
        let own = self.facts.revisions.iter().find(|revision| revision.name == pod.revision);
        let of_template =
            self.behaviours.iter().find(|(digest, _)| own.is_some_and(|own| own.template == template(digest)));
        let of_config = || self.behaviours.iter().find(|(digest, _)| inside.read.contains(*digest));
        of_template.or_else(of_config).map_or(Behaviour::Healthy(2), |(_, behaviour)| *behaviour)
    }

    fn count_pods(&mut self) {
        let Some(mut target) = self.facts.target.clone() else { return };
        let present: BTreeSet<String> = self.facts.present_revisions().into_iter().map(str::to_owned).collect();
        let count = |test: &dyn Fn(&PodFacts) -> bool| {
            i32::try_from(self.facts.pods.iter().filter(|pod| test(pod)).count()).unwrap()
        };
        let before = (target.updated_replicas, target.ready_replicas);
        target.updated_replicas = count(&|pod| present.contains(&pod.revision));
        target.total_replicas = count(&|_| true);
        target.ready_replicas = count(&|pod| pod.ready);
        target.available_replicas = target.ready_replicas;
        let complete = target.updated_replicas == target.replicas
            && target.total_replicas == target.replicas
            && target.available_replicas == target.replicas;
        if complete || target.paused || target.updated_replicas > before.0 || target.ready_replicas > before.1 {
            self.progress = self.now;
        }
        target.creation_failure = self.pods_refused.clone().filter(|_| target.updated_replicas < target.replicas);
        target.deadline_exceeded = self.now > self.progress + seconds(target.progress_deadline);
        self.facts.target = Some(target);
    }

    fn offer(&mut self) {
        let standby = self.facts.standby.as_ref().map(|standby| standby.labels.clone()).unwrap_or_default();
        for service in &mut self.facts.services {
            let ready = self.facts.pods.iter().filter(|pod| pod.ready && service.selects(&pod.labels));
            let mut offered: BTreeSet<String> = ready.map(|pod| pod.uid.clone()).collect();
            offered = self.endpoints_lag.clone().unwrap_or(offered);
            if service.selects(&standby) {
                offered.extend(self.facts.standby_pods.iter().filter(|pod| pod.ready).map(|pod| pod.uid.clone()));
            }
            service.offered = offered;
        }
    }

    // ---- what must hold always

    fn check_plan(&self, plan: &Plan) {
        let Some(turn) = &plan.turn else { return };
        if !self.facts.sight.blind.is_empty() {
            assert!(turn.effects.is_empty() && turn.record.is_none(), "something was done blindly: {turn:#?}");
        }
        let journal = match &turn.record {
            Some(Record::Open(journal) | Record::Update(journal)) => journal.as_ref(),
            None => match self.facts.recoveries.iter().find(|recovery| recovery.name == turn.recovery) {
                Some(recovery) => &recovery.journal,
                None => return assert!(turn.effects.is_empty(), "effects of no Recovery: {turn:#?}"),
            },
        };
        assert!(journal.steps.len() <= 64, "the API takes 64 steps: {journal:#?}");
        self.check_rehearsed(turn, journal);
        let Some(policy) = &self.facts.policy else { return };
        let observes = policy.spec.mode.min(self.facts.ceiling.mode) == Mode::Observe;
        let idle = observes || policy.spec.suspend || self.facts.ceiling.suspended || !policy.rivals.is_empty();
        for index in turn.effects.iter().filter(|_| idle) {
            let remediation = journal.steps[*index].remediation;
            assert!(releases(remediation), "only releasing is allowed now, not {remediation:?}: {journal:#?}");
        }
    }

    /// A rollback that is decided now was rehearsed for what is live, not too long ago, and was not refused.
    fn check_rehearsed(&self, turn: &Turn, journal: &Journal) {
        let decided_now = journal.timeline.decided.as_ref().is_some_and(|at| at.0 == self.now);
        let begins = turn.record.is_some() && journal.phase == Phase::Acting && decided_now;
        let asked = journal.decision.remedy.rolls_back() || journal.decision.remedy == Remedy::Recreate;
        if !begins || !asked || self.facts.rehearsals.every.is_none() {
            return;
        }
        let answer = self.answer_about(&journal.stable_state).expect("a rollback to a state that was rehearsed");
        assert!(self.now < answer.at + seconds(600), "an old answer: {answer:#?}");
        // What we create ourselves in the same second is not what was decided about.
        let live = live_digest(&self.facts).unwrap_or_default();
        let done = journal.steps.iter().any(|step| step.state == StepState::Done);
        assert!(done || answer.live == live, "an answer about other content: {answer:#?}");
        assert!(!matches!(answer.feasibility, Feasibility::Infeasible { .. }), "a refused rollback: {answer:#?}");
    }

    fn answer_about(&self, state: &str) -> Option<&Rehearsal> {
        self.rehearsed.iter().rev().map(|(answer, _)| answer).find(|answer| answer.state == state)
    }

    fn check_world(&self) {
        let open: Vec<_> = self.facts.recoveries.iter().filter(|recovery| recovery.open()).collect();
        assert!(open.len() <= 1, "two open Recoveries: {open:#?}");
        if self.left_behind {
            return self.check_recovered();
        }
        let is_open = |name: &str| open.iter().any(|recovery| recovery.name == name);
        if let Some(name) = self.facts.target.as_ref().and_then(|target| target.frozen_by.as_deref()) {
            assert!(is_open(name), "a freeze was left behind by {name}: {:#?}", self.facts.recoveries.last());
        }
        if let Some(name) = self.facts.target.as_ref().and_then(|target| target.recreated_by.as_deref()) {
            assert!(is_open(name), "a mark was left behind by {name}: {:#?}", self.facts.recoveries.last());
        }
        for route in &self.facts.objects {
            let Some(name) = &route.switched_by else { continue };
            let ours = |step: &Step| step.object.uid == route.uid && step.to == weights::recorded(&route.backends);
            let known = self.facts.recoveries.iter().find(|found| found.name == *name);
            if known.is_some_and(|known| known.journal.steps.iter().any(ours)) {
                assert!(is_open(name) || self.stays_away(name), "a route was left with moved weights by {name}");
            }
        }
        for service in &self.facts.services {
            let Some(name) = &service.switched_by else { continue };
            if self.facts.standby.as_ref().is_none_or(|standby| !service.selects(&standby.labels)) {
                // Somebody moved it elsewhere, and left our mark on it.
                continue;
            }
            assert!(is_open(name) || self.stays_away(name), "a switched Service was left behind by {name}");
        }
        for found in &self.facts.standby_autoscalers {
            let Some(name) = &found.scaled_by else { continue };
            assert!(is_open(name) || self.stays_away(name), "{} was left raised by {name}", found.name);
        }
        for pod in &self.facts.quarantined {
            let name = pod.quarantined_by.as_deref().unwrap();
            assert!(
                is_open(name) || self.has_planned_removal(name, &pod.uid),
                "pod {} was left behind by {name}",
                pod.name
            );
        }
        for name in &self.networks {
            let steps = self.facts.recoveries.iter().filter(|found| found.name == *name).flat_map(|f| &f.journal.steps);
            let ends =
                |step: &Step| step.remediation == Remediation::AllowPodNetwork && step.state == StepState::Planned;
            assert!(is_open(name) || steps.clone().any(ends), "a NetworkPolicy was left behind by {name}");
        }
        for node in self.cordoned_by_us() {
            let Some(name) = node.cordoned_by.as_deref().and_then(|by| by.strip_prefix("shop/")) else { continue };
            let planned = self.has_planned_removal(name, &node.uid);
            assert!(is_open(name) || planned, "node {} was left behind by {name}", node.name);
        }
        for cut in &self.facts.network.cuts {
            let name = &cut.recovery;
            let ends =
                |step: &Step| step.remediation == Remediation::ReleaseDependency && step.state == StepState::Planned;
            let found = self.facts.recoveries.iter().find(|found| found.name == *name);
            let planned = found.is_some_and(|found| found.journal.steps.iter().any(ends));
            assert!(is_open(name) || planned, "a cut was left behind by {name}: {found:#?}");
        }
        self.check_recovered();
    }

    /// Said, and for a reason: home could not take the traffic.
    fn stays_away(&self, recovery: &str) -> bool {
        let found = self.facts.recoveries.iter().find(|found| found.name == recovery);
        found.is_some_and(|found| found.journal.message.contains("stays on the standby"))
    }

    fn has_planned_removal(&self, recovery: &str, uid: &str) -> bool {
        let found = self.facts.recoveries.iter().find(|found| found.name == recovery);
        found.is_some_and(|found| {
            let removes = [Remediation::DeletePod, Remediation::UncordonNode];
            let of_it = |step: &&Step| removes.contains(&step.remediation) && step.object.uid == uid;
            found.journal.steps.iter().filter(of_it).any(|step| step.state == StepState::Planned)
        })
    }

    fn check_recovered(&self) {
        let Some(recovery) = self.facts.recoveries.last() else { return };
        let closed_now = recovery.journal.timeline.closed.as_ref().is_some_and(|at| at.0 == self.now);
        if !closed_now || recovery.journal.outcome != Some(Outcome::Recovered) {
            return;
        }
        // What pods were renewed for stays as it is, and nothing else may differ.
        let renewed = recovery.journal.decision.remedy == Remedy::RenewPods;
        let stays = |difference: &closure::Difference| {
            renewed && self.target().read_at_start.contains(&(difference.kind, difference.name.to_owned()))
        };
        let home = |state: &StateFacts| closure::differences(&self.facts, state).iter().all(stays);
        let known = self.facts.states.iter().any(|state| closure::at_home(&self.facts, state) || home(state));
        assert!(known, "Recovered, but not in a stable state: {recovery:#?}");
        let cut = self.facts.network.cuts.iter().any(|cut| cut.recovery == recovery.name);
        assert!(!cut, "Recovered, and cut off from a dependency: {recovery:#?}");
        let wanted = usize::try_from(self.target().replicas).unwrap();
        let ready = self.facts.live_pods().filter(|pod| pod.ready).count();
        assert!(ready >= wanted, "Recovered with {ready} of {wanted} pods ready: {recovery:#?}");
        let restored = |step: &Step| step.state == StepState::Done && step.remediation.restores();
        if recovery.journal.steps.iter().any(restored) && self.facts.rehearsals.every.is_some() {
            let answer = self.answer_about(&recovery.journal.stable_state).expect("a rehearsal of what was restored");
            let converged = recovery.journal.timeline.converged.as_ref().expect("converged").0;
            let again =
                matches!(answer.feasibility, Feasibility::Feasible { .. } | Feasibility::Unknown { lasting: true, .. });
            assert!(answer.at >= converged && again, "Recovered, and cannot be created again: {answer:#?}");
        }
    }
}

/// How much of a neighbour runs, as a step records it.
fn load(recorded: &str) -> i32 {
    let recorded: serde_json::Value = serde_json::from_str(recorded).unwrap();
    let suspended = recorded["suspend"].as_bool().map(|suspended| i64::from(!suspended));
    let number = recorded["replicas"].as_i64().or(recorded["minReplicas"].as_i64());
    i32::try_from(suspended.or(number).unwrap()).unwrap()
}

/// Nothing that a watch would tell of.
fn same(a: &Facts, b: &Facts) -> bool {
    let policy = |facts: &Facts| {
        facts.policy.as_ref().map(|policy| (policy.spec.clone(), policy.deleting, policy.rivals.clone()))
    };
    a.sight == b.sight
        && a.ceiling == b.ceiling
        && a.target == b.target
        && a.pods == b.pods
        && a.quarantined == b.quarantined
        && a.revisions == b.revisions
        && a.config_maps == b.config_maps
        && a.objects == b.objects
        && a.services == b.services
        && a.neighbours == b.neighbours
        && a.network == b.network
        && a.marks == b.marks
        && a.standby == b.standby
        && a.standby_pods == b.standby_pods
        && a.standby_autoscalers == b.standby_autoscalers
        && a.states == b.states
        && a.recoveries == b.recoveries
        && a.nodes == b.nodes
        && policy(a) == policy(b)
}

fn releases(remediation: Remediation) -> bool {
    use Remediation::{
        AllowPodNetwork, DeletePod, HandBackFields, ReleaseDependency, ReleaseFreeze, ReleaseNeighbour, ReleaseStandby,
        ReturnRoute, ReturnService, UncordonNode,
    };
    matches!(
        remediation,
        AllowPodNetwork
            | UncordonNode
            | ReleaseFreeze
            | DeletePod
            | ReturnService
            | ReturnRoute
            | HandBackFields
            | ReleaseNeighbour
            | ReleaseStandby
            | ReleaseDependency
    )
}

fn member(kind: &str, name: &str, digest: String, copy: String, owner: Option<FieldOwner>) -> MemberFacts {
    let (body, posture, images, scaling) = (String::new(), Posture::default(), BTreeSet::new(), None);
    MemberFacts {
        kind: kind.into(),
        name: name.into(),
        digest,
        absent: false,
        copy,
        owner,
        body,
        posture,
        images,
        scaling,
    }
}

fn start(config_maps: &BTreeMap<String, ConfigMapFacts>, now: Timestamp) -> Inside {
    let read = config_maps.get("settings").map(|map| map.digest.clone()).into_iter().collect();
    Inside { running: true, at: now, read }
}

fn set_ready(pod: &mut PodFacts, ready: bool, now: Timestamp) {
    if pod.ready != ready {
        (pod.ready, pod.ready_since) = (ready, Some(now));
    }
}

fn live(pod: &mut PodFacts, inside: &mut Inside, behaviour: Behaviour, now: Timestamp) {
    let waits = |reason: &str| BTreeSet::from([reason.to_owned()]);
    if !inside.running {
        return;
    }
    pod.waiting.clear();
    let ran = now.duration_since(inside.at).as_secs();
    let (ready, ends) = match behaviour {
        Behaviour::Healthy(after) => (ran >= after, false),
        Behaviour::CrashLoop => (false, ran >= 2),
        Behaviour::CrashAfterReady(after) => (ran >= 2, ran >= after),
        Behaviour::ImagePull => {
            pod.waiting = waits("ImagePullBackOff");
            (false, false)
        }
        Behaviour::NeverReady => (false, false),
    };
    set_ready(pod, ready && !ends, now);
    if ends {
        pod.restarts += 1;
        pod.most_restarts += 1;
        pod.waiting = waits("CrashLoopBackOff");
        let pause = 10 << (pod.restarts - 1).min(5);
        (inside.running, inside.at) = (false, now + seconds(pause.min(300)));
    }
}

/// A duration of a policy.
pub fn lasting(seconds: u64) -> Duration {
    Duration::seconds(seconds)
}
