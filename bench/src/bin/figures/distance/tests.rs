#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn a_packet_reaches_its_addressee_after_half_a_round_trip() {
    let first = u32::from(Ipv4Addr::new(10, 88, 3, 11));
    let packet = |to: [u8; 4]| [[0x45; 16].as_slice(), to.as_slice(), [0; 8].as_slice()].concat();

    assert_eq!(receiver(&packet([10, 88, 3, 11]), first), Some(0));
    assert_eq!(receiver(&packet([10, 88, 3, 13]), first), Some(2));
    assert_eq!(receiver(&packet([10, 88, 3, 1]), first), Some(REGIONS));
    for other in [
        [10, 88, 3, 14],
        [10, 88, 3, 10],
        [10, 88, 4, 11],
        [224, 0, 0, 1],
    ] {
        assert_eq!(receiver(&packet(other), first), None, "{other:?}");
    }

    assert_eq!(receiver(&[0x60; 40], first), None);
    assert_eq!(receiver(&[0x45; 18], first), None);
    assert_eq!(receiver(&[], first), None);
    assert_eq!(delay(2, 0), Duration::from_millis(110));
    assert_eq!(delay(REGIONS, 1), Duration::ZERO);
}
