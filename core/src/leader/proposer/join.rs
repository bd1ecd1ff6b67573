//! How an acceptor joins the register.

use super::{
    Phase, Proposer,
    leading::Joining,
    types::{Effect, NoJoin, ProposerError},
};
use regionmesh_protocol::{
    identity::RegionName,
    register::{acceptor::AcceptorRequest, members::Incarnation},
};

impl Proposer {
    /// Resets an acceptor to `incarnation` and to what is decided, so that it can be counted:
    /// anything that it kept from another register, or from before it lost its state, is gone then.
    /// Ends with [`Effect::Joined`] or [`Effect::NotJoined`], unless this proposer steps down
    /// first.
    pub fn join(
        &mut self,
        region: RegionName,
        incarnation: Incarnation,
        now_ms: u64,
    ) -> Result<Vec<Effect>, ProposerError> {
        let Phase::Leading(leading) = &mut self.phase else {
            return Err(ProposerError::NotLeading);
        };
        if let Some(joining) = &leading.joining {
            return Err(ProposerError::Joining(joining.region.clone()));
        }
        if leading.decided.is_none() {
            return Err(ProposerError::NotLeading);
        }

        leading.joining = Some(Joining {
            region,
            incarnation,
            since_ms: now_ms,
            asked_ms: now_ms,
        });

        Ok(self.ask_to_join().into_iter().collect())
    }

    fn ask_to_join(&self) -> Option<Effect> {
        let leading = self.lead()?;
        let joining = leading.joining.as_ref()?;
        let (stamp, value) = leading.decided.as_ref()?;
        let request = AcceptorRequest::Join(joining.incarnation, stamp.clone(), value.clone());

        Some(Effect::Send {
            to: joining.region.clone(),
            request,
        })
    }

    pub(super) fn joined(
        &mut self,
        from: &RegionName,
        outcome: Result<Incarnation, NoJoin>,
    ) -> Vec<Effect> {
        let Phase::Leading(leading) = &mut self.phase else {
            return Vec::new();
        };
        let is_awaited = leading.joining.as_ref().is_some_and(|joining| {
            joining.region == *from
                && outcome
                    .as_ref()
                    .map_or(true, |joined| *joined == joining.incarnation)
        });

        if !is_awaited {
            return Vec::new();
        }
        leading.joining = None;
        match outcome {
            Ok(incarnation) => vec![Effect::Joined(from.clone(), incarnation)],
            Err(why) => vec![Effect::NotJoined(from.clone(), why)],
        }
    }

    pub(super) fn tick_join(&mut self, now_ms: u64) -> Vec<Effect> {
        let retry_ms = self.settings.retry_ms;
        let limit_ms = self.settings.prepare_ms;
        let Phase::Leading(leading) = &mut self.phase else {
            return Vec::new();
        };
        let Some(joining) = &mut leading.joining else {
            return Vec::new();
        };

        if now_ms.saturating_sub(joining.since_ms) >= limit_ms {
            let region = joining.region.clone();
            leading.joining = None;
            return vec![Effect::NotJoined(region, NoJoin::Silent(limit_ms))];
        }

        if now_ms.saturating_sub(joining.asked_ms) < retry_ms {
            return Vec::new();
        }
        joining.asked_ms = now_ms;
        self.ask_to_join().into_iter().collect()
    }
}
