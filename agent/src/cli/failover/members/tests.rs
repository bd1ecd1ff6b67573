use super::*;

#[test]
fn members_other_regions_and_a_refusal_are_listed() {
    let member = |name: &str, is_member: bool, vote: &str, configured: bool| {
        json!({ "member": name, "is_member": is_member, "is_witness": name == "witness",
            "vote": vote,
            "is_configured": configured, "acceptor": null, "agents_alive": 1, "share": 0.5 })
    };
    let answer = json!({ "answered_by": "a/x", "register": "7", "seq": 4, "majority": 2,
        "automatic_refused": "automatic failover is refused: 2 regions and no witness",
        "members": [member("a", true, "counts", true), member("b", true, "joining", false),
            member("c", false, "none", true), member("witness", false, "none", true)] });
    let text = render_members(
        &serde_json::from_value(answer).unwrap(),
        Paint { is_on: false },
    );

    for part in [
        "register 7, plan #4; 2 of 2 votes decide",
        "refused: 2 regions and no witness",
        "a        counts        -         1       50 %   yes",
        "b        joining       -         1       50 %   no",
        "c        not a member",
        "witness  not a member  -         -       -      yes",
    ] {
        assert!(text.contains(part), "{part:?} is missing in:\n{text}");
    }
}
