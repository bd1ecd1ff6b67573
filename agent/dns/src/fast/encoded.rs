//! `serving` answers, encoded when the plan is committed.

use crate::{wire::format::HEADER, zone::region::ZoneRegion};
use hickory_proto::rr::{Name, RData};

/// What a name in the answer is: a pointer to the question's.
const QUESTION_NAME: [u8; 2] = [0xc0, HEADER as u8];

/// `serving` answers, encoded beforehand.
#[derive(Debug, Clone, Default)]
pub(crate) struct Encoded {
    /// The name as in a packet, in lower case; empty: nothing is answered this way.
    pub(super) name: Vec<u8>,
    /// For each region its records of both families.
    pub(super) regions: Vec<[Records; 2]>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Records {
    pub(super) count: u16,
    pub(super) bytes: Vec<u8>,
}

impl Encoded {
    /// Encodes what is answered for `name`, a name in lower case.
    pub(crate) fn new(name: &Name, regions: &[ZoneRegion], ttl_s: u32) -> Self {
        let mut wire = Vec::new();
        for label in name.iter() {
            wire.push(label.len() as u8);
            wire.extend_from_slice(&label.to_ascii_lowercase());
        }

        wire.push(0);
        let encode = |data: &[RData]| {
            let mut bytes = Vec::new();
            for data in data {
                let octets = match data {
                    RData::A(address) => address.octets().to_vec(),
                    RData::AAAA(address) => address.octets().to_vec(),
                    _ => continue,
                };

                bytes.extend_from_slice(&QUESTION_NAME);
                bytes.extend_from_slice(&u16::from(data.record_type()).to_be_bytes());
                bytes.extend_from_slice(&[0, 1]);
                bytes.extend_from_slice(&ttl_s.to_be_bytes());
                bytes.extend_from_slice(&[0, octets.len() as u8]);
                bytes.extend_from_slice(&octets);
            }

            Records {
                count: u16::try_from(data.len()).unwrap_or(u16::MAX),
                bytes,
            }
        };

        let regions = regions
            .iter()
            .map(|region| [encode(&region.v4), encode(&region.v6)])
            .collect();

        Self {
            name: wire,
            regions,
        }
    }
}
