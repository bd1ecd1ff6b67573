#![allow(clippy::unwrap_used)]

use super::*;

#[tokio::test]
async fn each_round_runs_once_and_a_failing_mesh_is_reported() {
    let mut report = Report::default();
    let measure = |number: u8, rounds: Arc<Rounds>| async move {
        let mut mine = Vec::new();
        while let Some(round) = rounds.take() {
            anyhow::ensure!(number != 1, "broken");
            mine.push(round);
            rounds.done();
            tokio::task::yield_now().await;
        }

        Ok(mine)
    };

    let mut all = side_by_side(&mut report, "rounds", 1, 20, measure)
        .await
        .concat();
    all.sort_unstable();
    assert_eq!(all, (0..20).collect::<Vec<_>>());
    assert!(report.holds());
    side_by_side(&mut report, "rounds", 3, 200, measure).await;
    assert!(!report.holds());
}

#[tokio::test]
async fn turns_do_not_overlap() {
    let taken = AtomicU32::new(0);
    let done = AtomicU32::new(0);
    let rounds = Rounds {
        name: "",
        total: 0,
        taken,
        done,
        next_turn: Mutex::new(Instant::now()),
    };

    let begin = Instant::now();
    for _ in 0..4 {
        rounds.turn().await;
    }
    assert!(begin.elapsed() >= GAP * 3, "{:?}", begin.elapsed());
}

#[test]
fn the_machine_reports_its_load() {
    let before = ticks().unwrap();
    assert!(before.0 > 0 && before.0 <= before.1, "{before:?}");
    assert_eq!(busy_percent((10, 100), (20, 200)), Some(90.0));
    assert_eq!(busy_percent((10, 100), (10, 100)), None);
}
