//! Nodes are dead or sick, and who may touch them.

use homeostat::api::recovery::{Remedy, Step, Suspect};
use homeostat::api::{Outcome, Phase, Reason, Remediation};
use homeostat::plan::Receipt;
use homeostat::plan::member::MemberKind;
use homeostat::plan::nodes::{NodeFacts, NodeSight, Nodes};

use crate::world::{World, lasting, seconds};

/// Pods on a dead node go on saying that they are ready: nobody is there to say anything else.
/// Nodes as the world has them: the scheduler, `kubectl cordon`, and the API server as `act` meets it.
impl World {
    /// From now on there are so many nodes, and pods are spread over them.
    pub fn with_nodes(mut self, count: usize) -> Self {
        let node = |n: usize| NodeFacts {
            name: format!("node-{n}"),
            uid: format!("uid-of-node-{n}"),
            ready: true,
            since: Some(self.now - seconds(100)),
            zone: format!("zone-{}", n.div_ceil(2)),
            ..NodeFacts::default()
        };
        let known = (1..=count).map(node).collect();
        self.facts.nodes = NodeSight::Seen(Nodes { known, ..Nodes::default() });
        self.recount();
        for index in 0..self.facts.pods.len() {
            self.facts.pods[index].node = format!("node-{}", index % count + 1);
        }
        for (index, pod) in self.facts.standby_pods.iter_mut().enumerate() {
            pod.node = format!("node-{}", count - index % count);
        }
        self.facts.fleet.limits.max_cordoned = 1;
        self
    }

    fn nodes(&self) -> &Nodes {
        self.facts.nodes.seen().expect("nodes")
    }

    pub fn node(&self, name: &str) -> &NodeFacts {
        self.nodes().known(name).expect("a node of that name")
    }

    pub fn change_node(&mut self, name: &str, change: impl FnOnce(&mut NodeFacts)) {
        let NodeSight::Seen(nodes) = &mut self.facts.nodes else { panic!("no nodes") };
        change(nodes.known.iter_mut().find(|node| node.name == name).expect("a node of that name"));
        self.recount();
    }

    fn recount(&mut self) {
        let NodeSight::Seen(nodes) = &mut self.facts.nodes else { return };
        let count = |test: &dyn Fn(&NodeFacts) -> bool| {
            u32::try_from(nodes.known.iter().filter(|node| test(node)).count()).unwrap()
        };
        (nodes.all, nodes.ready) = (count(&|_| true), count(&|node| node.ready));
        nodes.last_back = nodes.known.iter().filter(|node| node.ready).filter_map(|node| node.since).max();
        nodes.schedulable = count(&NodeFacts::schedulable);
        let ours = nodes.known.iter().filter(|node| node.unschedulable && node.cordoned_by.is_some());
        nodes.cordoned = ours.map(|node| node.name.clone()).collect();
    }

    pub fn set_ready(&mut self, name: &str, ready: bool) {
        let now = self.now;
        self.change_node(name, |node| (node.ready, node.since) = (ready, Some(now)));
    }

    fn sick(&mut self, name: &str, others: u32) {
        self.sick_nodes.insert(name.to_owned());
        self.change_node(name, |node| node.sick_others = others);
    }

    pub fn place(&self) -> String {
        let Some(nodes) = self.facts.nodes.seen() else { return "node-1".into() };
        let on = |name: &str| self.facts.pods.iter().filter(|pod| pod.node == name).count();
        let free = nodes.known.iter().filter(|node| node.schedulable()).map(|node| node.name.as_str());
        free.min_by_key(|name| on(name)).unwrap_or_default().to_owned()
    }

    pub fn cordoned_by_us(&self) -> Vec<NodeFacts> {
        let known = self.facts.nodes.seen().map(|nodes| nodes.known.clone()).unwrap_or_default();
        known.into_iter().filter(|node| node.unschedulable && node.cordoned_by.is_some()).collect()
    }

    pub fn drop_pod(&mut self, step: &Step) -> Receipt {
        let before = self.facts.pods.len();
        self.facts.pods.retain(|pod| pod.uid != step.object.uid);
        if self.facts.pods.len() < before { Receipt::Done } else { Receipt::AlreadyDone }
    }

    pub fn cordon(&mut self, recovery: &str, step: &Step) -> Receipt {
        let mark = format!("{}/{recovery}", self.facts.namespace);
        let node = self.node(&step.object.name);
        match (node.unschedulable, node.cordoned_by.as_ref() == Some(&mark)) {
            (true, true) => return Receipt::AlreadyDone,
            (true, false) => return Receipt::Moved("it is cordoned already".into()),
            (false, true) => return Receipt::Moved("somebody uncordoned it".into()),
            (false, false) => {}
        }
        self.change_node(&step.object.name, |node| (node.unschedulable, node.cordoned_by) = (true, Some(mark)));
        Receipt::Done
    }

    pub fn uncordon(&mut self, recovery: &str, step: &Step) -> Receipt {
        let mark = format!("{}/{recovery}", self.facts.namespace);
        if self.node(&step.object.name).cordoned_by.as_ref() != Some(&mark) {
            return Receipt::AlreadyDone;
        }
        self.change_node(&step.object.name, |node| (node.unschedulable, node.cordoned_by) = (false, None));
        Receipt::Done
    }

    fn untouched(&self) {
        assert_eq!(self.count(Remediation::CordonNode), 0, "{:#?}", self.facts.recoveries.last());
    }
}

fn stable(replicas: i32, nodes: usize) -> World {
    World::stable(replicas).with_nodes(nodes)
}

#[test]
fn a_dead_node_is_cordoned_its_pods_are_moved_and_it_is_let_go_when_it_is_back() {
    let mut world = stable(3, 3);
    world.set_ready("node-2", false);
    world.run_until_closed(300);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    assert_eq!((world.journal().suspect, world.journal().decision.reason), (Suspect::Node, Reason::NodeIsolated));
    assert_eq!(world.done(), [Remediation::CordonNode, Remediation::DeleteLostPod]);
    assert!(world.facts.pods.iter().all(|pod| pod.node != "node-2"));
    world.run(600);
    assert!(world.node("node-2").unschedulable, "it is not back");
    world.set_ready("node-2", true);
    let back = world.now;
    world.run_until(200, |world| !world.node("node-2").unschedulable);
    assert_eq!(world.now, back + seconds(60), "the soak");
    assert_eq!(world.node("node-2").cordoned_by, None);
    world.run(100);
    assert_eq!(world.count(Remediation::UncordonNode), 1);
}

#[test]
fn a_node_that_is_back_for_less_than_the_soak_stays_cordoned() {
    let mut world = stable(3, 3);
    world.set_ready("node-2", false);
    world.run_until_closed(300);
    world.set_ready("node-2", true);
    world.run(50);
    world.set_ready("node-2", false);
    world.run(5);
    world.set_ready("node-2", true);
    world.run(50);
    assert!(world.node("node-2").unschedulable);
}

#[test]
fn one_bad_pod_on_a_ready_node_is_the_pods_own() {
    let mut world = stable(5, 5);
    world.break_pod(2);
    world.run_until_closed(300);
    assert_eq!(world.journal().suspect, Suspect::Pod);
    world.untouched();
}

#[test]
fn a_node_that_makes_others_sick_as_well_is_isolated_and_tried_again_after_the_inspection() {
    let mut world = stable(3, 3);
    world.spec().actions.isolate.as_mut().unwrap().inspection = lasting(300);
    world.sick("node-1", 1);
    world.run_until_closed(300);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    assert_eq!(world.journal().suspect, Suspect::Node);
    assert_eq!(world.done(), [Remediation::CordonNode, Remediation::EvictPod]);
    world.sick_nodes.clear();
    world.run_until(400, |world| !world.node("node-1").unschedulable);
    world.run(60);
    assert_eq!(world.count(Remediation::CordonNode), 1);
}

#[test]
fn several_copies_that_fail_on_one_ready_node_and_nowhere_else_are_the_nodes() {
    let mut world = stable(6, 3);
    world.sick("node-1", 0);
    world.run_until_closed(300);
    assert_eq!(world.journal().suspect, Suspect::Node);
    assert_eq!(world.count(Remediation::EvictPod), 2);
}

#[test]
fn a_node_with_a_good_copy_is_not_to_blame() {
    let mut world = stable(9, 3);
    let there: Vec<usize> = (0..9).filter(|index| world.facts.pods[*index].node == "node-1").collect();
    for index in &there[..2] {
        world.break_pod(*index);
    }
    world.change_node("node-1", |node| node.sick_others = 3);
    world.run(100);
    assert_ne!(world.journal().suspect, Suspect::Node);
    world.untouched();
}

#[test]
fn most_nodes_gone_say_nothing_about_the_target() {
    let mut world = stable(3, 3);
    for name in ["node-1", "node-2"] {
        world.set_ready(name, false);
    }
    world.run(300);
    assert_eq!(world.journal().suspect, Suspect::Observer);
    world.assert_holds(Reason::MostNodesLost);
    assert!(world.effects.is_empty());
}

#[test]
fn while_most_nodes_are_gone_no_change_is_taken_back_either() {
    let mut world = stable(3, 3);
    for name in ["node-1", "node-2", "node-3"] {
        world.set_ready(name, false);
    }
    world.configure("new");
    world.run(900);
    assert_eq!(world.refusal(Remedy::Rollback), Some(Reason::MostNodesLost));
    assert!(world.effects.is_empty());
}

/// After an outage the last one to come back is not to blame.
#[test]
fn nodes_that_come_back_one_after_the_other_are_left_alone() {
    let mut world = stable(3, 3);
    for name in ["node-1", "node-2", "node-3"] {
        world.set_ready(name, false);
    }
    world.run(60);
    for name in ["node-1", "node-2", "node-3"] {
        world.set_ready(name, true);
        world.run(5);
    }
    world.run_until_closed(120);
    world.assert_closed(Outcome::Held, Reason::HealedItself);
    assert!(world.effects.is_empty());
}

#[test]
fn a_zone_is_held_and_no_node_of_it_is_cordoned() {
    let mut world = stable(6, 6);
    for name in ["node-1", "node-2"] {
        world.set_ready(name, false);
    }
    world.run(300);
    assert_eq!(world.journal().suspect, Suspect::Zone);
    world.assert_holds(Reason::ZoneSuspected);
    assert!(world.effects.is_empty());
}

#[test]
fn two_dead_nodes_of_two_zones_are_no_zone() {
    let mut world = stable(6, 6);
    for name in ["node-1", "node-3"] {
        world.set_ready(name, false);
    }
    world.run(300);
    assert!(!matches!(world.journal().suspect, Suspect::Zone | Suspect::Node), "{:?}", world.journal().suspect);
    world.untouched();
}

#[test]
fn a_node_that_is_away_for_a_moment_is_not_cordoned() {
    let mut world = stable(3, 3);
    world.set_ready("node-2", false);
    world.run(8);
    world.set_ready("node-2", true);
    world.run(120);
    assert!(world.facts.recoveries.is_empty(), "{:#?}", world.facts.recoveries);
}

#[test]
fn without_a_budget_no_node_is_touched_and_the_pod_is_moved_at_least() {
    let mut world = stable(3, 3);
    world.facts.fleet.limits.max_cordoned = 0;
    world.set_ready("node-2", false);
    world.run_until_closed(300);
    assert_eq!(world.refusal(Remedy::IsolateNode), Some(Reason::NotAllowed));
    assert_eq!(world.journal().suspect, Suspect::Node);
    assert_eq!(world.done(), [Remediation::QuarantinePod]);
}

#[test]
fn without_the_right_to_look_all_is_as_before_and_the_refusal_says_so() {
    let mut world = World::stable(3);
    world.break_pod(1);
    world.run_until_closed(300);
    assert_eq!(world.journal().suspect, Suspect::Pod);
    assert_eq!(world.refusal(Remedy::IsolateNode), Some(Reason::RightMissing));
}

#[test]
fn a_full_budget_holds() {
    let mut world = stable(3, 4);
    world.change_node("node-4", |node| (node.unschedulable, node.cordoned_by) = (true, Some("other/web-1".into())));
    world.set_ready("node-2", false);
    world.run_until_phase(100, Phase::Holding);
    world.assert_holds(Reason::NodesExhausted);
    world.untouched();
}

#[test]
fn the_last_node_that_takes_pods_is_not_cordoned() {
    let mut world = stable(2, 2);
    world.change_node("node-2", |node| node.tainted = true);
    world.sick("node-1", 2);
    world.run_until_phase(100, Phase::Holding);
    world.assert_holds(Reason::LastSchedulableNode);
    world.untouched();
}

#[test]
fn what_a_person_cordoned_stays_theirs_and_pods_are_moved_off_it() {
    let mut world = stable(3, 3);
    world.change_node("node-2", |node| node.unschedulable = true);
    world.set_ready("node-2", false);
    world.run_until_closed(300);
    assert_eq!(world.done(), [Remediation::DeleteLostPod]);
    world.set_ready("node-2", true);
    world.run(300);
    assert!(world.node("node-2").unschedulable && world.node("node-2").cordoned_by.is_none());
}

#[test]
fn a_node_that_another_recovery_cordoned_is_shared() {
    let mut world = stable(3, 3);
    world.change_node("node-2", |node| (node.unschedulable, node.cordoned_by) = (true, Some("else/web-1".into())));
    world.set_ready("node-2", false);
    world.run_until_closed(300);
    assert_eq!(world.done(), [Remediation::DeleteLostPod]);
    assert_eq!(world.node("node-2").cordoned_by.as_deref(), Some("else/web-1"));
}

#[test]
fn a_person_who_uncordons_it_while_we_verify_takes_over() {
    let mut world = stable(3, 3);
    world.set_ready("node-2", false);
    world.run_until_phase(100, Phase::Verifying);
    world.change_node("node-2", |node| node.unschedulable = false);
    world.run_until_closed(60);
    assert_eq!(world.journal().outcome, Some(Outcome::Superseded));
    assert_eq!(world.node("node-2").cordoned_by, None, "our mark is left behind");
}

#[test]
fn a_person_who_uncordons_it_afterwards_is_not_contradicted() {
    let mut world = stable(3, 3);
    world.set_ready("node-2", false);
    world.run_until_closed(300);
    world.change_node("node-2", |node| node.unschedulable = false);
    world.run(5);
    assert_eq!(world.node("node-2").cordoned_by, None, "our mark is left behind");
    // What they cordon now is theirs.
    world.change_node("node-2", |node| node.unschedulable = true);
    world.set_ready("node-2", true);
    world.run(300);
    assert!(world.node("node-2").unschedulable);
}

#[test]
fn a_persons_fix_of_the_target_uncordons() {
    let mut world = stable(3, 3);
    world.set_ready("node-2", false);
    world.run_until(120, |world| world.count(Remediation::CordonNode) == 1);
    world.run(2);
    world.set_ready("node-2", true);
    world.release("fixed");
    world.operate();
    world.assert_closed(Outcome::Superseded, Reason::Superseded);
    assert!(!world.node("node-2").unschedulable);
    let before = world.effects.len();
    world.run(120);
    assert_eq!(world.effects.len(), before, "nothing is written after it");
    assert_eq!(world.facts.pods.iter().filter(|pod| pod.ready).count(), 3, "the fix takes effect");
}

#[test]
fn an_abort_uncordons() {
    let mut world = stable(3, 3);
    world.set_ready("node-2", false);
    world.run_until_phase(100, Phase::Verifying);
    world.abort();
    world.run_until_closed(30);
    assert!(!world.node("node-2").unschedulable);
}

#[test]
fn a_suspended_or_deleted_policy_leaves_no_fence() {
    for delete in [false, true] {
        let mut world = stable(3, 3);
        world.set_ready("node-2", false);
        world.run_until_closed(300);
        assert!(world.node("node-2").unschedulable);
        match delete {
            true => world.facts.policy = None,
            false => world.spec().suspend = true,
        }
        world.run(5);
        assert!(!world.node("node-2").unschedulable, "deleted: {delete}");
    }
}

#[test]
fn while_nodes_are_out_of_sight_a_fence_stays() {
    let mut world = stable(3, 3);
    world.set_ready("node-2", false);
    world.run_until_closed(300);
    world.set_ready("node-2", true);
    let seen = std::mem::replace(&mut world.facts.nodes, NodeSight::Blind);
    world.run(300);
    assert_eq!(world.count(Remediation::UncordonNode), 0);
    world.facts.nodes = seen;
    world.run(5);
    assert_eq!(world.count(Remediation::UncordonNode), 1);
}

#[test]
fn a_cordon_that_is_refused_is_held_and_nothing_is_moved() {
    let mut world = stable(3, 3);
    world.refused.insert(Remediation::CordonNode);
    world.set_ready("node-2", false);
    world.run_until_phase(100, Phase::Holding);
    world.assert_holds(Reason::WriteRefused);
    assert!(world.done().is_empty());
    assert!(world.journal().steps.iter().all(|step| step.state == homeostat::api::StepState::Skipped));
}

#[test]
fn a_refused_removal_of_a_pod_keeps_the_fence() {
    let mut world = stable(3, 3);
    world.refused.insert(Remediation::DeleteLostPod);
    world.set_ready("node-2", false);
    world.run_until_phase(100, Phase::Holding);
    assert!(world.node("node-2").unschedulable);
    world.set_ready("node-2", true);
    world.run(200);
    assert!(!world.node("node-2").unschedulable, "{:#?}", world.journal());
}

/// Who asks from a node without a pod gets no answer. Without nodes in sight nobody can tell.
#[test]
fn a_service_that_offers_nodes_only_their_own_pods_is_put_back_where_some_have_none() {
    for (nodes_with_pods, seen, cut_off) in [(1, true, true), (1, false, false), (2, true, false)] {
        let mut world = World::new(2);
        world.attach(MemberKind::Service, "web", "good");
        world.run(90);
        let mut world = world.with_nodes(2);
        if nodes_with_pods == 1 {
            world.facts.pods.iter_mut().for_each(|pod| pod.node = "node-1".into());
        }
        if !seen {
            world.facts.nodes = NodeSight::Off;
        }
        world.facts.services[0].local_only = true;
        world.edit(MemberKind::Service, "web", "local only");
        world.run(60);
        let told = world.facts.recoveries.last().map(|recovery| recovery.journal.symptom.reason);
        assert_eq!(told, cut_off.then_some(Reason::CutOff), "{nodes_with_pods} {seen}");
        assert_eq!(world.count(Remediation::RestoreObject), usize::from(cut_off));
    }
}
