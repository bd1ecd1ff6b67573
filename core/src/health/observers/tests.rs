use super::*;
use crate::gossip::{AgentView, SeenStatus};
use crate::health::judge::FRESH;
use proptest::{collection::vec, prelude::*};
use regionmesh_protocol::status::{
    Observations, StatusEntry, StatusKind, condition::Observation, entry::EntryVersion,
};
use std::{collections::BTreeMap, sync::Arc};

fn agent(index: usize) -> AgentId {
    format!("r/node-{index}").parse().unwrap()
}

/// The agents of a region, each with its role, and the board that all of them have.
struct Region {
    board: BoardView,
    roles: BTreeMap<AgentId, Role>,
    now: Instant,
}

#[derive(Debug, Clone)]
enum Step {
    Up(usize),
    Down(usize),
    /// Observers that have probed since the step before conclude and publish, after this time.
    Publish(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..9usize).prop_map(Step::Up),
        (0..9usize).prop_map(Step::Down),
        (1..2_000u64).prop_map(Step::Publish),
    ]
}

impl Region {
    fn new() -> Self {
        Self {
            board: BoardView::default(),
            roles: BTreeMap::new(),
            now: Instant::now(),
        }
    }

    /// With agents 0 to `count` - 1, all of which have settled.
    fn settled(count: usize) -> Self {
        let mut region = Self::new();
        for index in 0..count {
            region.step(&Step::Up(index));
        }
        region.step(&Step::Publish(1));
        region
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Up(index) => self.come_up(agent(*index)),
            Step::Down(index) => self.go_down(&agent(*index)),
            Step::Publish(after_ms) => {
                self.now += Duration::from_millis(*after_ms);
                for observer in self.observing() {
                    self.publish(&observer, Some(Condition::Healthy));
                }
            }
        }

        self.update();
    }

    fn come_up(&mut self, id: AgentId) {
        if !self.roles.contains_key(&id) {
            self.board.agents.entry(id.clone()).or_default().is_alive = true;
            self.roles.insert(id.clone(), Role::default());
            self.publish(&id, Some(Condition::Unknown));
        }
    }

    fn go_down(&mut self, id: &AgentId) {
        if self.roles.remove(id).is_some() {
            self.board.agents.get_mut(id).unwrap().is_alive = false;
        }
    }

    /// Gives the board to every living agent; those that cease to observe withdraw their opinions.
    fn update(&mut self) {
        let board = self.board.clone();
        let before = self.observing();
        for (id, role) in &mut self.roles {
            role.update(id, &board, self.now);
        }

        let after = self.observing();
        for ceased in before.iter().filter(|id| !after.contains(id)) {
            self.publish(ceased, None);
        }
        for begun in after.iter().filter(|id| !before.contains(id)) {
            self.publish(begun, Some(Condition::Unknown));
        }
    }

    fn publish(&mut self, id: &AgentId, condition: Option<Condition>) {
        let observation = |condition| Observation {
            region: "other".parse().unwrap(),
            condition,
            is_definite: false,
            evidence: String::new(),
            since_ms: 0,
            round_trip_us: None,
            addresses: Vec::new(),
        };
        let observations = Observations {
            regions: condition.map(observation).into_iter().collect(),
            own: None,
            own_address: None,
        };

        let seen = SeenStatus {
            status_entry: Arc::new(StatusEntry::Observations(observations)),
            version: EntryVersion::default(),
            seen_at: self.now,
        };
        let view: &mut AgentView = self.board.agents.get_mut(id).unwrap();
        view.status_entries.insert(StatusKind::Observations, seen);
    }

    fn observing(&self) -> Vec<AgentId> {
        let observing = self.roles.iter().filter(|(_, role)| role.is_observing());
        observing.map(|(id, _)| id.clone()).collect()
    }

    /// The living agents whose opinions have a vote.
    fn voters(&self) -> Vec<AgentId> {
        let living = self.roles.keys();
        living
            .filter(|id| has_concluded(id, &self.board, self.now))
            .cloned()
            .collect()
    }

    fn chosen(&self) -> Vec<AgentId> {
        let role = self.roles.values().next();
        role.map(|role| role.chosen.clone()).unwrap_or_default()
    }

    fn is_observing(&self, index: usize) -> bool {
        self.roles[&agent(index)].is_observing()
    }
}

fn index(id: &AgentId) -> usize {
    id.agent.as_str()["node-".len()..].parse().unwrap()
}

proptest! {
    #[test]
    fn at_most_three_are_chosen_and_all_agents_agree(steps in vec(step(), 1..40)) {
        let mut region = Region::new();
        for step in &steps {
            region.step(step);
            let chosen = region.chosen();

            prop_assert_eq!(chosen.len(), region.roles.len().min(OBSERVERS_MAX));
            prop_assert!(region.roles.values().all(|role| role.chosen == chosen));
            prop_assert!(chosen.iter().all(|id| region.roles[id].is_observing()));
        }
    }

    #[test]
    fn a_region_with_a_living_agent_always_has_an_observer(steps in vec(step(), 1..40)) {
        let mut region = Region::new();
        for step in &steps {
            region.step(step);
            prop_assert_eq!(region.observing().is_empty(), region.roles.is_empty());
        }
    }

    #[test]
    fn only_death_takes_a_regions_vote(steps in vec(step(), 1..40)) {
        let mut region = Region::new();
        for step in &steps {
            let had_vote = !region.voters().is_empty();
            region.step(step);
            let is_death = matches!(step, Step::Down(_));

            prop_assert!(!had_vote || is_death || !region.voters().is_empty());
        }
    }

    #[test]
    fn a_death_moves_the_role_of_the_dead_alone(count in 4..9usize, dead in 0..9usize) {
        let mut region = Region::settled(count);
        let before = region.chosen();
        let is_chosen = before.contains(&agent(dead));
        region.step(&Step::Down(dead));

        let after = region.chosen();
        let new = after.iter().filter(|id| !before.contains(id)).count();
        prop_assert_eq!(new, usize::from(is_chosen));
        prop_assert!(before.iter().all(|id| after.contains(id) || *id == agent(dead)));
    }

    #[test]
    fn a_settled_region_has_three_observers_at_most(count in 1..9usize) {
        let region = Region::settled(count);
        prop_assert_eq!(region.observing().len(), count.min(OBSERVERS_MAX));
    }
}

#[test]
fn an_agent_without_a_board_observes() {
    let mut role = Role::default();
    assert!(role.is_observing());
    role.update(&agent(0), &BoardView::default(), Instant::now());
    assert!(role.is_observing());
}

#[test]
fn a_successor_observes_at_once_and_hands_back_only_to_one_that_has_concluded() {
    let mut region = Region::settled(6);
    let before = region.chosen();
    let first = index(&before[0]);
    region.step(&Step::Down(first));
    let chosen = region.chosen();
    let successor = chosen.iter().find(|id| !before.contains(id)).unwrap();
    assert!(region.is_observing(index(successor)));

    region.step(&Step::Publish(100));
    region.step(&Step::Up(first));
    assert_eq!(region.chosen(), before);
    assert!(region.is_observing(index(successor)));

    region.step(&Step::Publish(100));
    assert!(!region.is_observing(index(successor)));
}

#[test]
fn a_hand_over_ends_although_the_successor_concludes_nothing() {
    let mut region = Region::settled(6);
    let before = region.chosen();
    let first = before[0].clone();
    region.step(&Step::Down(index(&first)));
    region.step(&Step::Publish(100));
    let chosen = region.chosen();
    let substitute = index(chosen.iter().find(|id| !before.contains(id)).unwrap());

    region.step(&Step::Up(index(&first)));
    region.now += HAND_OVER - Duration::from_millis(1);
    region.update();
    assert!(region.is_observing(substitute));

    region.now += Duration::from_millis(1);
    region.update();
    assert!(!region.is_observing(substitute));
}

#[test]
fn an_old_conclusion_of_a_successor_ends_no_hand_over() {
    let mut region = Region::settled(6);
    let before = region.chosen();
    let first = before[0].clone();
    region.step(&Step::Down(index(&first)));
    let chosen = region.chosen();
    let substitute = index(chosen.iter().find(|id| !before.contains(id)).unwrap());
    region.now += FRESH;
    region.step(&Step::Publish(1));

    // It is alive again, and its entry is the one of before.
    region.board.agents.get_mut(&first).unwrap().is_alive = true;
    region.update();
    assert!(
        !region.roles[&agent(substitute)]
            .chosen()
            .contains(&agent(substitute))
    );
    assert!(region.is_observing(substitute));
}
