//! Several agents of another region, which read their store at different times.

use super::*;

#[test]
fn what_one_agent_announced_before_is_no_news_after_another() {
    let mut alone = Alone::new();
    let before = holding(&[version("1", 1, "b")]);
    let after = holding(&[version("1", 1, "b"), version("2", 2, "b")]);
    let announced = |alone: &mut Alone, first: &Catalogue, second: &Catalogue| {
        let agents = [
            (agent("b/m"), seen(true, Some(first))),
            (agent("b/n"), seen(true, Some(second))),
        ];
        let board = BoardView {
            agents: agents.into(),
        };
        alone.give(Input::Board(Arc::new(board)))
    };

    alone.scanned(&Catalogue::default());
    assert_eq!(
        reads(&announced(&mut alone, &before, &before)),
        [&region("b")]
    );
    alone.read("b", &before);

    // The second has published, and the first does not know yet.
    assert_eq!(
        reads(&announced(&mut alone, &before, &after)),
        [&region("b")]
    );
    let is_learnt = |effect: &Effect| matches!(effect, Effect::PeerCatalogue(..));
    assert!(has(&alone.read("b", &after), is_learnt));
    for _ in 0..3 {
        let effects = alone.tick_after(Duration::from_millis(500));
        assert!(reads(&effects).is_empty() && !has(&effects, is_learnt));
    }
    let effects = announced(&mut alone, &after, &after);
    assert!(reads(&effects).is_empty() && !has(&effects, is_learnt));
}

#[test]
fn a_catalogue_other_than_the_announced_one_is_read_again() {
    let mut alone = Alone::new();
    let announced = holding(&[version("1", 1, "b")]);
    let other = holding(&[version("2", 1, "b")]);

    alone.scanned(&Catalogue::default());
    alone.announced(&[("b", &announced)]);
    alone.read("b", &other);
    let effects = alone.tick_after(Duration::from_millis(500));
    assert_eq!(reads(&effects), [&region("b")]);
}
