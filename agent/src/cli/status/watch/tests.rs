use super::{super::render::tests::status, *};
use regionmesh_client::Failure;

const PLAIN: Paint = Paint { is_on: false };

fn failure() -> Failure {
    Failure {
        agent: "http://127.0.0.11:9080".parse().unwrap(),
        why: "Connection refused".into(),
    }
}

#[test]
fn an_agent_that_is_gone_is_named_above_what_the_next_one_says() {
    let mut view = View {
        last: None,
        paint: PLAIN,
    };
    let shown = view.after(
        Ok(Answer {
            value: status(),
            failures: vec![failure()],
        }),
        Instant::now(),
    );

    assert!(
        shown.starts_with("no answer: http://127.0.0.11:9080: Connection refused\nmesh "),
        "{shown}"
    );
}

#[test]
fn while_nobody_answers_the_last_view_stays_with_its_age() {
    let mut view = View {
        last: None,
        paint: PLAIN,
    };
    let now = Instant::now();
    let nobody = || {
        Err(ClientError::NoAgent {
            tried: vec![failure()],
        })
    };
    let first = view.after(nobody(), now);

    assert_eq!(
        first,
        "error: no agent of the mesh can be reached\n  http://127.0.0.11:9080: Connection \
            refused\n"
    );

    let seen = view.after(
        Ok(Answer {
            value: status(),
            failures: Vec::new(),
        }),
        now,
    );
    let later = view.after(nobody(), now + Duration::from_secs(7));

    assert!(
        later.starts_with(&first) && later.ends_with(&seen),
        "{later}"
    );

    assert!(later.contains("what follows is 7 s old"), "{later}");
}

#[test]
fn a_view_is_cut_to_the_terminal() {
    let shown = frame("abcdefgh\n2\n3\n4\n", 4, 5);
    assert_eq!(
        shown,
        "\x1b[Habcd…\x1b[0m\x1b[K\r\n2\x1b[0m\x1b[K\r\n… 2 …\x1b[J"
    );

    assert_eq!(frame("1\n", 40, 100), "\x1b[H1\x1b[0m\x1b[K\r\n\x1b[J");
}
