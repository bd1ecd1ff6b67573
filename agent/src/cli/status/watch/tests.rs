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
fn a_failed_agent_is_named_above_the_answer_of_the_next_one() {
    let mut view = View {
        last: None,
        paint: PLAIN,
    };
    let view_text = view.after(
        Ok(Answer {
            value: status(),
            failures: vec![failure()],
        }),
        Instant::now(),
    );

    assert!(
        view_text.starts_with("no answer: http://127.0.0.11:9080: Connection refused\nmesh "),
        "{view_text}"
    );
}

#[test]
fn while_no_agent_answers_the_last_view_stays_with_its_age() {
    let mut view = View {
        last: None,
        paint: PLAIN,
    };
    let now = Instant::now();
    let no_answer = || {
        Err(ClientError::NoAgent {
            tried: vec![failure()],
        })
    };
    let first = view.after(no_answer(), now);

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
    let later = view.after(no_answer(), now + Duration::from_secs(7));

    assert!(
        later.starts_with(&first) && later.ends_with(&seen),
        "{later}"
    );

    assert!(later.contains("this view is 7 s old"), "{later}");
}

#[test]
fn a_view_is_cut_to_the_terminal() {
    let view_text = frame("abcdefgh\n2\n3\n4\n", 4, 5);
    assert_eq!(
        view_text,
        "\x1b[Habcd…\x1b[0m\x1b[K\r\n2\x1b[0m\x1b[K\r\n… 2 …\x1b[J"
    );

    assert_eq!(frame("1\n", 40, 100), "\x1b[H1\x1b[0m\x1b[K\r\n\x1b[J");
}
