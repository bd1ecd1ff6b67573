//! Membership: SWIM with suspicion (Das et al. 2002, by foca) as a state machine without sockets,
//! clocks or tasks.
//!
//! Bytes, the time and a random number generator go in; packets, member events and the time of the
//! next wake-up come out. This adds to foca:
//! - a suspect is notified immediately, and again until it answers ("buddy system" of Lifeguard,
//!   Dadgar et al. 2018): with foca alone it learns of the suspicion by chance, which in a mesh of
//!   200 agents takes longer than a suspicion lasts;
//! - a lost join is retried every second;
//! - a process that was paused (SIGSTOP, a frozen VM) gives the others time to answer before it
//!   declares them dead;
//! - a check of each packet's sender, and a limit on the number of members.

mod member;

use foca::{
    Codec, Config, Foca, Header, Incarnation, Member, Message, NoCustomBroadcast, Notification,
    PeriodicParams, PostcardCodec, Runtime, State, Timer,
};
use member::MemberId;
use rand::rngs::StdRng;
use regionmesh_protocol::identity::AgentId;
use std::{
    collections::{BTreeMap, BTreeSet},
    num::{NonZeroU8, NonZeroUsize},
    sync::Arc,
    time::{Duration, Instant},
};
use strum::IntoStaticStr;

/// Largest packet, bytes. A QUIC datagram holds 1,162 bytes on a path with the smallest MTU that
/// QUIC allows; the envelope takes 270 with the longest names.
const PACKET_MAX: usize = 880;
/// Limit of members, including dead ones.
const MEMBERS_MAX: usize = 2048;
/// Probe period: each member is probed about once in it.
const PROBE_PERIOD: Duration = Duration::from_millis(400);
/// After this long without an answer, other members are asked to probe. Round trips between
/// continents take 150 to 280 ms, so some of these requests are unnecessary: they cost a few
/// packets, and the direct answer still counts until the period ends.
const PROBE_ROUND_TRIP: Duration = Duration::from_millis(200);
/// A suspect that does not answer for this long is dead. Measured by simulation from kill -9 to
/// "down" at every member: 3 to 5 members 1.5 s (half of the runs) and 2.4 s (all); 20 members 1.7
/// s and 2.9 s; 100 members up to 3.9 s. No death and no rejoin in 40 minutes of three members with
/// 250 to 310 ms round trips and 1 % loss. Enough for three attempts over 300 ms round trips.
const SUSPICION: Duration = Duration::from_millis(800);
/// How often a suspect is notified.
const BUDDY_PERIOD: Duration = Duration::from_millis(200);
/// How often we announce our new generation after the mesh had declared us dead.
const REJOIN_ATTEMPTS: u8 = 3;
/// How often a connected peer that is not a member is asked to let us join.
const ANNOUNCE_PERIOD: Duration = Duration::from_secs(1);
/// A wake-up this late means that the process was paused.
const PAUSE: Duration = Duration::from_millis(800);
/// How long dead members are kept.
const REMEMBER_DEAD: Duration = Duration::from_secs(3600);

/// Custom broadcasts are not used: what must arrive goes through the board.
type Swim = Foca<MemberId, PostcardCodec, StdRng, NoCustomBroadcast>;

/// Why a packet was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum PacketError {
    /// Not a SWIM packet, or too large.
    #[error("malformed SWIM packet: {0}")]
    Malformed(String),
    /// The packet's sender is not the connection's agent.
    #[error("a SWIM packet in the name of {claimed} came from {from}")]
    WrongSender {
        /// According to the packet.
        claimed: AgentId,
        /// According to the connection.
        from: AgentId,
    },
    /// The packet names new members beyond the limit.
    #[error("the mesh has {MEMBERS_MAX} members, the limit of an agent")]
    Full,
}

impl PacketError {
    /// For a metric label.
    pub fn as_str(&self) -> &'static str {
        self.into()
    }
}

/// Something happened to a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum MemberEvent {
    /// It joined or came back.
    Up(AgentId),
    /// The mesh declared it dead.
    Down(AgentId),
    /// It restarted before its death was detected.
    Restarted(AgentId),
    /// Peers had declared this agent dead; it rejoined with this generation.
    Rejoined(u64),
}

/// What foca refused to do; it continues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SwimFault {
    /// A timer.
    Timer(String),
    /// An announcement to this peer.
    Announcement { peer: AgentId, error: String },
}

/// The effects of an input.
#[derive(Debug, Default)]
pub(super) struct Outputs {
    /// Packets to send.
    pub(super) sends: Vec<(AgentId, Vec<u8>)>,
    /// What changed.
    pub(super) events: Vec<MemberEvent>,
    pub(super) faults: Vec<SwimFault>,
}

enum Alarm {
    Swim(Timer<MemberId>),
    Buddy(MemberId, Incarnation),
    Announce,
    Rejoin(u8),
}

/// The members of the mesh as one agent sees them.
pub(super) struct Membership {
    foca: Swim,
    alarms: BTreeMap<(Instant, u64), Alarm>,
    alarms_set: u64,
    alive: BTreeSet<AgentId>,
    links: BTreeSet<AgentId>,
    suspects: Vec<MemberId>,
}

struct Collector<'a> {
    own: Arc<AgentId>,
    outputs: &'a mut Outputs,
    timers: Vec<(Duration, Timer<MemberId>)>,
}

impl Runtime<MemberId> for Collector<'_> {
    fn notify(&mut self, notification: Notification<'_, MemberId>) {
        let event = match notification {
            Notification::MemberUp(member) => MemberEvent::Up((*member.agent).clone()),
            Notification::MemberDown(member) => MemberEvent::Down((*member.agent).clone()),
            Notification::Rename(_, member) => MemberEvent::Restarted((*member.agent).clone()),
            Notification::Rejoin(own) => MemberEvent::Rejoined(own.generation),
            Notification::Active | Notification::Idle | Notification::Defunct => return,
        };

        self.outputs.events.push(event);
    }

    fn send_to(&mut self, to: MemberId, data: &[u8]) {
        if to.agent != self.own {
            self.outputs
                .sends
                .push(((*to.agent).clone(), data.to_vec()));
        }
    }

    fn submit_after(&mut self, event: Timer<MemberId>, after: Duration) {
        self.timers.push((after, event));
    }
}

fn swim_config() -> Config {
    const fn some(count: usize) -> NonZeroUsize {
        match NonZeroUsize::new(count) {
            Some(count) => count,
            None => NonZeroUsize::MIN,
        }
    }

    let every = |frequency, count| {
        Some(PeriodicParams {
            frequency,
            num_members: some(count),
        })
    };

    Config {
        probe_period: PROBE_PERIOD,
        probe_rtt: PROBE_ROUND_TRIP,
        num_indirect_probes: some(3),
        // 4 log10(members): enough for 200 members and generous for three.
        max_transmissions: NonZeroU8::new(10).unwrap_or(NonZeroU8::MIN),
        suspect_to_down_after: SUSPICION,
        remove_down_after: Some(REMEMBER_DEAD),
        max_packet_size: some(PACKET_MAX),
        notify_down_members: true,
        // A feed holds about 15 members: in a larger mesh the others come from further feeds.
        periodic_announce: every(Duration::from_secs(3), 1),
        // Heals a partition between members without a direct connection; connected ones get an
        // announcement every second.
        periodic_announce_to_down_members: every(Duration::from_secs(5), 2),
        // Sent only while there is news.
        periodic_gossip: every(Duration::from_millis(200), 3),
    }
}

impl Membership {
    /// Agent `own`, started at `generation` (Unix milliseconds, and above the last
    /// [`Self::generation`]).
    pub(super) fn new(own: AgentId, generation: u64, rng: StdRng, now: Instant) -> Self {
        let identity = MemberId {
            agent: Arc::new(own),
            generation,
            renewals: 0,
        };
        let mut membership = Self {
            foca: Foca::new(identity, swim_config(), rng, PostcardCodec),
            alarms: BTreeMap::new(),
            alarms_set: 0,
            alive: BTreeSet::new(),
            links: BTreeSet::new(),
            suspects: Vec::new(),
        };

        membership.set_alarm(now + ANNOUNCE_PERIOD, Alarm::Announce);
        membership
    }

    /// Our current generation; grows when the mesh declares us dead.
    pub(super) fn generation(&self) -> u64 {
        self.foca.identity().generation
    }

    /// The live members without ourselves; suspects are alive.
    pub(super) fn alive(&self) -> &BTreeSet<AgentId> {
        &self.alive
    }

    /// When to call [`Self::wake`] next.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        self.alarms.first_key_value().map(|((at, _), _)| *at)
    }

    /// A connection to `peer` opened: asks it to let us join, now and every second until it is a
    /// member.
    pub(super) fn link_up(&mut self, peer: &AgentId, now: Instant, outputs: &mut Outputs) {
        if *peer != *self.foca.identity().agent {
            self.links.insert(peer.clone());
            self.announce(peer, now, outputs);
        }
    }

    /// The connection to `peer` closed, which does not mean that it is dead.
    pub(super) fn link_down(&mut self, peer: &AgentId) {
        self.links.remove(peer);
    }

    /// Handles a packet from `from`, the connection's agent.
    pub(super) fn receive(
        &mut self,
        from: &AgentId,
        packet: &[u8],
        now: Instant,
        outputs: &mut Outputs,
    ) -> Result<(), PacketError> {
        if packet.len() > PACKET_MAX {
            return Err(PacketError::Malformed(format!(
                "{} bytes, the limit is {PACKET_MAX}",
                packet.len()
            )));
        }

        let mut rest = packet;
        let header: Header<MemberId> = PostcardCodec
            .decode_header(&mut rest)
            .map_err(|error| PacketError::Malformed(error.to_string()))?;

        if *header.src.agent != *from {
            return Err(PacketError::WrongSender {
                claimed: (*header.src.agent).clone(),
                from: from.clone(),
            });
        }

        if self.foca.iter_membership_state().len() >= MEMBERS_MAX
            && self.names_unknown_members(&header.src, rest)
        {
            return Err(PacketError::Full);
        }

        self.with_foca(now, outputs, |foca, runtime| {
            foca.handle_data(packet, runtime)
        })
        .map_err(|error| PacketError::Malformed(error.to_string()))
    }

    /// Runs the timers that are due.
    pub(super) fn wake(&mut self, now: Instant, outputs: &mut Outputs) {
        let late = self
            .next_wake()
            .map_or(Duration::ZERO, |first| now.saturating_duration_since(first));
        if late > PAUSE {
            // The process was paused: answers are unread and peers got none. All deadlines move by
            // the pause.
            let alarms = std::mem::take(&mut self.alarms);
            self.alarms = alarms
                .into_iter()
                .map(|((at, order), alarm)| ((at + late, order), alarm))
                .collect();
        }

        while let Some(due) = self
            .alarms
            .first_entry()
            .filter(|entry| entry.key().0 <= now)
        {
            match due.remove() {
                // foca 2.0 declares a member dead when the time is up, even if it refuted its
                // suspicion.
                Alarm::Swim(Timer::ChangeSuspectToDown {
                    member_id,
                    incarnation,
                    ..
                }) if !self.is_suspect(&member_id, incarnation) => {}
                Alarm::Swim(timer) => {
                    if let Err(error) = self.with_foca(now, outputs, |foca, runtime| {
                        foca.handle_timer(timer, runtime)
                    }) {
                        outputs.faults.push(SwimFault::Timer(error.to_string()));
                    }
                }
                Alarm::Buddy(member, incarnation) => {
                    self.notify_suspect(member, incarnation, now, outputs)
                }
                Alarm::Announce => {
                    let missing: Vec<_> = self.links.difference(&self.alive).cloned().collect();
                    missing
                        .iter()
                        .for_each(|peer| self.announce(peer, now, outputs));
                    self.set_alarm(now + ANNOUNCE_PERIOD, Alarm::Announce);
                }
                Alarm::Rejoin(attempts) => {
                    let links: Vec<_> = self.links.iter().cloned().collect();
                    links
                        .iter()
                        .for_each(|peer| self.announce(peer, now, outputs));
                    if attempts > 1 {
                        self.set_alarm(now + BUDDY_PERIOD, Alarm::Rejoin(attempts - 1));
                    }
                }
            }
        }
    }

    fn announce(&mut self, peer: &AgentId, now: Instant, outputs: &mut Outputs) {
        // An announcement is for any generation of the peer.
        let to = MemberId {
            agent: Arc::new(peer.clone()),
            generation: 0,
            renewals: 0,
        };

        if let Err(error) = self.with_foca(now, outputs, |foca, runtime| foca.announce(to, runtime))
        {
            outputs.faults.push(SwimFault::Announcement {
                peer: peer.clone(),
                error: error.to_string(),
            });
        }
    }

    fn with_foca<R>(
        &mut self,
        now: Instant,
        outputs: &mut Outputs,
        act: impl FnOnce(&mut Swim, &mut Collector<'_>) -> Result<R, foca::Error>,
    ) -> Result<R, foca::Error> {
        let events_before = outputs.events.len();
        let mut collector = Collector {
            own: self.foca.identity().agent.clone(),
            outputs,
            timers: Vec::new(),
        };
        let mut result = act(&mut self.foca, &mut collector);

        if collector.outputs.events[events_before..]
            .iter()
            .any(|event| matches!(event, MemberEvent::Down(_)))
        {
            // A death spreads as fast as packets travel, not at the pace of the periodic gossip.
            result = result.and_then(|done| self.foca.gossip(&mut collector).map(|()| done));
        }

        let timers = collector.timers;
        for event in &outputs.events[events_before..] {
            match event {
                MemberEvent::Up(agent) => drop(self.alive.insert(agent.clone())),
                MemberEvent::Down(agent) => drop(self.alive.remove(agent)),
                MemberEvent::Restarted(_) => {}
                // The packets that announce our new generation may be lost, and those for the old
                // one no longer reach us.
                MemberEvent::Rejoined(_) => self.set_alarm(now, Alarm::Rejoin(REJOIN_ATTEMPTS)),
            };
        }

        for (after, timer) in timers {
            if let Timer::ChangeSuspectToDown {
                member_id,
                incarnation,
                ..
            } = &timer
                && !self.suspects.contains(member_id)
            {
                self.suspects.push(member_id.clone());
                self.notify_suspect(member_id.clone(), *incarnation, now, outputs);
            }

            self.set_alarm(now + after, Alarm::Swim(timer));
        }

        result
    }

    /// Pings a suspect with the suspicion attached, which it refutes in its answer one round trip
    /// later.
    fn notify_suspect(
        &mut self,
        suspect: MemberId,
        incarnation: Incarnation,
        now: Instant,
        outputs: &mut Outputs,
    ) {
        if !self.is_suspect(&suspect, incarnation) {
            self.suspects.retain(|member| *member != suspect);
            return;
        }

        // foca does not expose our own incarnation. Zero carries no information for a member that
        // knows us.
        let header = Header {
            src: self.foca.identity().clone(),
            src_incarnation: 0,
            dst: suspect.clone(),
            message: Message::Ping(0),
        };
        let update = Member::new(suspect.clone(), incarnation, State::Suspect);
        let mut packet = Vec::with_capacity(256);

        let encoded = PostcardCodec
            .encode_header(&header, &mut packet)
            .and_then(|()| {
                packet.extend(1u16.to_be_bytes());
                PostcardCodec.encode_member(&update, &mut packet)
            });

        if encoded.is_ok() {
            outputs.sends.push(((*suspect.agent).clone(), packet));
        }
        self.set_alarm(now + BUDDY_PERIOD, Alarm::Buddy(suspect, incarnation));
    }

    fn is_suspect(&self, suspect: &MemberId, incarnation: Incarnation) -> bool {
        self.foca.iter_members().any(|member| {
            member.id() == suspect
                && member.state() == State::Suspect
                && member.incarnation() == incarnation
        })
    }

    fn names_unknown_members(&self, sender: &MemberId, mut rest: &[u8]) -> bool {
        let known: BTreeSet<&AgentId> = self
            .foca
            .iter_membership_state()
            .map(|member| &*member.id().agent)
            .collect();
        let Some(count) = rest
            .split_off(..2)
            .map(|count| u16::from_be_bytes([count[0], count[1]]))
        else {
            return !known.contains(&*sender.agent);
        };

        !known.contains(&*sender.agent)
            || (0..count).any(|_| match PostcardCodec.decode_member(&mut rest) {
                Ok(member) => {
                    let member: Member<MemberId> = member;
                    !known.contains(&*member.id().agent)
                }
                Err(_) => true,
            })
    }

    fn set_alarm(&mut self, at: Instant, alarm: Alarm) {
        self.alarms_set += 1;
        self.alarms.insert((at, self.alarms_set), alarm);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
