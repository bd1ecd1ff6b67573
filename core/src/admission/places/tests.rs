use super::*;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    Admit(u8),
    Busy(usize),
    Idle(usize),
    Release(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u8..6).prop_map(Step::Admit),
        2 => any::<usize>().prop_map(Step::Busy),
        1 => any::<usize>().prop_map(Step::Idle),
        1 => any::<usize>().prop_map(Step::Release),
    ]
}

/// The same rules over a plain list: id, client, idle since.
#[derive(Default)]
struct Model(Vec<(u64, u8, Option<u64>)>);

impl Model {
    fn held(&self, client: u8) -> usize {
        self.0
            .iter()
            .filter(|(_, other, _)| *other == client)
            .count()
    }

    fn idle(&self, client: u8) -> Option<(u64, u64)> {
        let idle = self.0.iter().filter(|(_, other, _)| *other == client);
        idle.filter_map(|(id, _, since)| Some(((*since)?, *id)))
            .min()
    }

    fn at(&self, index: usize) -> Option<u64> {
        (!self.0.is_empty()).then(|| self.0[index % self.0.len()].0)
    }
}

fn held_by(places: &Places<u8>, client: u8) -> usize {
    places.clients.get(&client).map_or(0, |held| held.count)
}

proptest! {
    #[test]
    fn newcomers_displace_the_longest_idle_connection_of_the_largest_client(
        total in 1usize..8,
        per_client in 1usize..5,
        steps in proptest::collection::vec(step(), 0..200),
    ) {
        let mut places = Places::new(PlaceLimits { total, per_client });
        let mut model = Model::default();
        let mut tick = 0u64;

        for step in steps {
            tick += 1;
            match step {
                Step::Admit(client) => {
                    let held = model.held(client);
                    let greediest = (0..6)
                        .filter_map(|other| {
                            Some((model.held(other), Reverse(model.idle(other)?.0), other))
                        })
                        .max()
                        .filter(|(count, ..)| *count >= held);
                    let admitted = places.admit(client);
                    let expected = if held >= per_client {
                        model
                            .idle(client)
                            .map(|(_, id)| Some((id, Refused::Client)))
                            .ok_or(Refused::Client)
                    } else if model.0.len() < total {
                        Ok(None)
                    } else {
                        let idle = greediest.and_then(|(_, _, other)| model.idle(other));
                        idle.map(|(_, id)| Some((id, Refused::Full)))
                            .ok_or(Refused::Full)
                    };

                    prop_assert_eq!(admitted.map(|admitted| admitted.evicted), expected);
                    if let Ok(Admitted { id, evicted }) = admitted {
                        model.0.retain(|(other, ..)| {
                            evicted.is_none_or(|(evicted, _)| evicted != *other)
                        });
                        model.0.push((id, client, Some(tick)));
                    }
                }
                Step::Busy(index) => {
                    let Some(id) = model.at(index) else { continue };
                    places.set_busy(id);
                    model
                        .0
                        .iter_mut()
                        .filter(|(other, ..)| *other == id)
                        .for_each(|entry| entry.2 = None);
                }
                Step::Idle(index) => {
                    let Some(id) = model.at(index) else { continue };
                    places.set_idle(id);
                    model
                        .0
                        .iter_mut()
                        .filter(|(other, ..)| *other == id)
                        .for_each(|entry| entry.2 = Some(tick));
                }
                Step::Release(index) => {
                    let Some(id) = model.at(index) else { continue };
                    places.release(id);
                    model.0.retain(|(other, ..)| *other != id);
                }
            }

            prop_assert_eq!(places.len(), model.0.len());
            prop_assert!(places.len() <= total);
            for client in 0..6 {
                prop_assert_eq!(held_by(&places, client), model.held(client));
                prop_assert!(held_by(&places, client) <= per_client);
            }
        }
    }

    #[test]
    fn a_client_without_connections_is_admitted_while_any_is_idle(
        silent in proptest::collection::vec(0u16..400, 0..600),
    ) {
        let mut places = Places::new(PlaceLimits {
            total: 64,
            per_client: 8,
        });

        for client in silent {
            prop_assert!(places.admit(client).is_ok());
        }
        prop_assert!(places.admit(1_000).is_ok());
    }
}

#[test]
fn busy_connections_are_never_displaced() {
    let mut places = Places::new(PlaceLimits {
        total: 2,
        per_client: 2,
    });

    for client in ["a", "b"] {
        let id = places.admit(client).unwrap().id;
        places.set_busy(id);
    }

    assert_eq!(places.admit("c"), Err(Refused::Full));
    assert_eq!(places.len(), 2);
}
