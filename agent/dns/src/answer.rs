//! Answers queries: RFC 1034 §4.3.2 for one zone that is never delegated, with EDNS (RFC 6891),
//! negative answers (RFC 2308), minimal answers to ANY (RFC 8482) and client subnets (RFC 7871).
//! Pure.

use crate::{
    nearness::{BadSubnet, Client, Networks},
    wire::format::UDP_PAYLOAD,
    zone::{
        INFRASTRUCTURE_TTL_S, Node, Zone,
        region::{Family, ZoneRegion, address_record},
    },
};
use hickory_proto::{
    op::{Edns, Message, MessageType, Metadata, OpCode, ResponseCode},
    rr::{
        DNSClass, Name, RData, Record, RecordType,
        rdata::{
            HINFO, NS, TXT,
            opt::{EdnsCode, EdnsOption, NSIDPayload},
        },
    },
};
use std::net::IpAddr;

/// TTL of the answer to ANY, seconds (RFC 8482 §4.2's example).
const ANY_TTL_S: u32 = 3_789;

/// An answer, and its region for the metrics.
#[derive(Debug, Clone)]
pub(crate) struct Answer<'zone> {
    /// The message to send.
    pub(crate) message: Message,
    /// The region whose addresses were answered for `serving`, if it was one.
    pub(crate) region: Option<&'zone ZoneRegion>,
}

impl Zone {
    /// Answers one query that came from `source`. `random` draws the region of a `serving` answer.
    pub(crate) fn answer(&self, query: &Message, source: IpAddr, random: u32) -> Answer<'_> {
        let mut message = Message::response(query.metadata.id, query.metadata.op_code);
        message.metadata = Metadata::response_from_request(&query.metadata);
        message.metadata.checking_disabled = false;
        message.queries.clone_from(&query.queries);
        message.edns = query.edns.as_ref().map(|asked| self.edns(asked));

        let mut answer = Answer {
            message,
            region: None,
        };

        match (self.refusal(query), Client::of(query, source)) {
            (Some(code), _) => answer.message.metadata.response_code = code,
            (None, Err(BadSubnet)) => answer.message.metadata.response_code = ResponseCode::FormErr,
            (None, Ok(client)) => {
                let networks = self.resolve(&mut answer, &client, random);
                if let (Some(edns), Some(option)) =
                    (&mut answer.message.edns, client.option(networks))
                {
                    edns.options_mut().insert(option);
                }
            }
        }

        answer
    }

    fn edns(&self, asked: &Edns) -> Edns {
        let mut edns = Edns::new();
        edns.set_max_payload(UDP_PAYLOAD)
            .set_version(0)
            .set_dnssec_ok(asked.flags().dnssec_ok);
        if asked.option(EdnsCode::NSID).is_some()
            && let Ok(payload) = NSIDPayload::new(self.identifier.as_bytes())
        {
            edns.options_mut().insert(EdnsOption::NSID(payload));
        }

        edns
    }

    /// The error for a query that is not looked up.
    fn refusal(&self, query: &Message) -> Option<ResponseCode> {
        if query.metadata.op_code != OpCode::Query {
            return Some(ResponseCode::NotImp);
        }
        if query.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
            return Some(ResponseCode::BADVERS);
        }

        let [question] = &query.queries[..] else {
            return Some(ResponseCode::FormErr);
        };
        if query.metadata.message_type != MessageType::Query {
            return Some(ResponseCode::FormErr);
        }

        let is_transfer = matches!(question.query_type(), RecordType::AXFR | RecordType::IXFR);
        let is_ours = question.query_class() == DNSClass::IN && self.apex.zone_of(question.name());
        (is_transfer || !is_ours).then_some(ResponseCode::Refused)
    }

    /// Looks the question up. Returns the networks if the answer depended on the client's network.
    fn resolve<'zone>(
        &'zone self,
        answer: &mut Answer<'zone>,
        client: &Client,
        random: u32,
    ) -> Option<&'zone Networks> {
        answer.message.metadata.authoritative = true;
        let [question] = &answer.message.queries[..] else {
            return None;
        };

        // The answer repeats the question's spelling: resolvers check it
        // (draft-vixie-dnsext-dns0x20).
        let name = question.name().clone();
        let kind = question.query_type();
        let Some(node) = self.nodes.get(&name) else {
            answer.message.metadata.response_code = ResponseCode::NXDomain;
            self.add_soa_to_authority(&mut answer.message);
            return None;
        };

        if kind == RecordType::ANY && *node != Node::Empty {
            let hinfo = RData::HINFO(HINFO::new("RFC8482".into(), String::new()));
            answer
                .message
                .add_answer(Record::from_rdata(name, ANY_TTL_S, hinfo));
            return None;
        }

        self.look_up(answer, &name, node, kind, client, random);
        if answer.message.answers.is_empty() {
            self.add_soa_to_authority(&mut answer.message);
        }

        let is_tailored =
            *node == Node::Serving && matches!(kind, RecordType::A | RecordType::AAAA);
        self.tailoring().filter(|_| is_tailored)
    }

    fn look_up<'zone>(
        &'zone self,
        answer: &mut Answer<'zone>,
        name: &Name,
        node: &'zone Node,
        kind: RecordType,
        client: &Client,
        random: u32,
    ) {
        let family = match kind {
            RecordType::A => Some(Family::V4),
            RecordType::AAAA => Some(Family::V6),
            _ => None,
        };
        let message = &mut answer.message;
        let mut add =
            |ttl_s, data| _ = message.add_answer(Record::from_rdata(name.clone(), ttl_s, data));

        match (node, kind, family) {
            (Node::Apex, RecordType::SOA, _) => {
                add(INFRASTRUCTURE_TTL_S, RData::SOA(self.soa.clone()))
            }
            (Node::Apex, RecordType::NS, _) => {
                self.name_servers
                    .iter()
                    .for_each(|server| add(INFRASTRUCTURE_TTL_S, RData::NS(NS(server.clone()))));
                self.add_glue(message);
            }
            (Node::Serving, _, Some(family)) if self.is_weighted() => {
                if let Some(region) = self.nearest(client, family, random) {
                    region
                        .addresses(family)
                        .iter()
                        .for_each(|data| add(self.ttl_s, data.clone()));
                    answer.region = Some(region);
                }
            }
            // No region has a share: all of them, so that a client can try one after the other.
            (Node::Serving, _, Some(family)) => self
                .candidates(family)
                .flat_map(|(region, _)| region.addresses(family))
                .for_each(|data| add(self.ttl_s, data.clone())),
            (Node::Region(index), _, Some(family)) => {
                let addresses = self
                    .regions
                    .get(*index)
                    .map(|region| region.addresses(family))
                    .unwrap_or_default();

                addresses
                    .iter()
                    .for_each(|data| add(self.ttl_s, data.clone()));
            }
            (Node::NameServer(addresses), _, Some(_)) => addresses
                .iter()
                .map(|address| address_record(*address))
                .filter(|data| data.record_type() == kind)
                .for_each(|data| add(INFRASTRUCTURE_TTL_S, data)),
            // Never cached: operators need the current plan.
            (Node::Plan, RecordType::TXT, _) => {
                add(0, RData::TXT(TXT::new(self.plan_text.clone())))
            }
            _ => {}
        }
    }

    fn add_glue(&self, message: &mut Message) {
        for server in &self.name_servers {
            if let Some(Node::NameServer(addresses)) = self.nodes.get(server) {
                for address in addresses {
                    let data = address_record(*address);
                    message.add_additional(Record::from_rdata(
                        server.clone(),
                        INFRASTRUCTURE_TTL_S,
                        data,
                    ));
                }
            }
        }
    }

    /// RFC 2308 §3: the SOA's TTL in a negative answer is how long it may be cached.
    fn add_soa_to_authority(&self, message: &mut Message) {
        let soa = Record::from_rdata(
            self.apex.clone(),
            self.soa.minimum,
            RData::SOA(self.soa.clone()),
        );

        message.add_authority(soa);
    }
}
