//! Connection limits: which connection gets a place, and which one gives way.
//!
//! A connection is *idle* while it waits for its client (for the head of a request, for the next
//! request) and *busy* while a request is being answered. A new connection is admitted as long as
//! one that may give way is idle: at its client's limit the client's longest idle one, at the total
//! limit the longest idle one of the client that holds the most. So idle connections block no one,
//! however many there are and from however many addresses; a busy connection never gives way.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

/// Limits on connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlaceLimits {
    /// In all.
    pub total: usize,
    /// Of one client.
    pub per_client: usize,
}

/// Why a new connection gets no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Its client holds as many as one client may, and all of them are busy.
    Client,
    /// Every place is taken, and no client that holds at least as many has an idle one.
    Full,
}

/// A place that was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admitted {
    /// Identifies the connection; never reused.
    pub id: u64,
    /// The connection that gave way, and because of which limit.
    pub evicted: Option<(u64, Refused)>,
}

#[derive(Debug)]
struct Connection<C> {
    client: C,
    /// When it became idle, as a count of changes; none while it is busy.
    idle_since: Option<u64>,
}

#[derive(Debug, Default)]
struct Held {
    count: usize,
    /// Idle connections, longest idle first.
    idle: BTreeSet<(u64, u64)>,
}

/// The places. `C` identifies a client.
#[derive(Debug)]
pub struct Places<C> {
    limits: PlaceLimits,
    connections: BTreeMap<u64, Connection<C>>,
    clients: BTreeMap<C, Held>,
    /// Clients with an idle connection, by how many they hold, then by how long the longest idle
    /// one has been idle.
    greediest: BTreeSet<(usize, Reverse<u64>, C)>,
    last_id: u64,
    changes: u64,
}

impl<C: Ord + Clone> Places<C> {
    /// Empty places.
    pub fn new(limits: PlaceLimits) -> Self {
        Self {
            limits,
            connections: BTreeMap::new(),
            clients: BTreeMap::new(),
            greediest: BTreeSet::new(),
            last_id: 0,
            changes: 0,
        }
    }

    /// Connections that have a place.
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// Whether no connection has a place.
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// Gives a new connection of `client` a place, idle at first.
    pub fn admit(&mut self, client: C) -> Result<Admitted, Refused> {
        let evicted = self.make_room(&client)?;
        if let Some((id, _)) = evicted {
            self.release(id);
        }

        self.last_id += 1;
        let id = self.last_id;
        self.connections.insert(
            id,
            Connection {
                client: client.clone(),
                idle_since: None,
            },
        );

        self.change(&client, |held| held.count += 1);
        self.set_idle(id);
        Ok(Admitted { id, evicted })
    }

    /// Which connection must give way to a new one of `client`.
    fn make_room(&self, client: &C) -> Result<Option<(u64, Refused)>, Refused> {
        let own = self.clients.get(client);
        let held = own.map_or(0, |held| held.count);
        if held >= self.limits.per_client {
            let own_idle = own.and_then(|held| held.idle.first());
            return own_idle
                .map(|(_, id)| Some((*id, Refused::Client)))
                .ok_or(Refused::Client);
        }

        if self.connections.len() < self.limits.total {
            return Ok(None);
        }

        let (count, _, greediest) = self.greediest.last().ok_or(Refused::Full)?;
        if *count < held {
            // The client that holds the most must not displace those that hold less.
            return Err(Refused::Full);
        }

        let idle = self
            .clients
            .get(greediest)
            .and_then(|held| held.idle.first());

        idle.map(|(_, id)| Some((*id, Refused::Full)))
            .ok_or(Refused::Full)
    }

    /// A request of the connection is being answered.
    pub fn set_busy(&mut self, id: u64) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let Some(since) = connection.idle_since.take() else {
            return;
        };
        let client = connection.client.clone();

        self.change(&client, |held| {
            held.idle.remove(&(since, id));
        });
    }

    /// The connection waits for its client from now on.
    pub fn set_idle(&mut self, id: u64) {
        self.changes += 1;
        let now = self.changes;
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let before = connection.idle_since.replace(now);
        let client = connection.client.clone();

        self.change(&client, |held| {
            if let Some(before) = before {
                held.idle.remove(&(before, id));
            }
            held.idle.insert((now, id));
        });
    }

    /// The connection has ended, or is counted elsewhere from now on.
    pub fn release(&mut self, id: u64) {
        let Some(Connection { client, idle_since }) = self.connections.remove(&id) else {
            return;
        };
        self.change(&client, |held| {
            held.count -= 1;
            if let Some(since) = idle_since {
                held.idle.remove(&(since, id));
            }
        });
    }

    /// Changes what a client holds, and its place among the greediest.
    fn change(&mut self, client: &C, change: impl FnOnce(&mut Held)) {
        let mut held = self.clients.remove(client).unwrap_or_default();
        if let Some((since, _)) = held.idle.first() {
            self.greediest
                .remove(&(held.count, Reverse(*since), client.clone()));
        }

        change(&mut held);

        if let Some((since, _)) = held.idle.first() {
            self.greediest
                .insert((held.count, Reverse(*since), client.clone()));
        }

        if held.count > 0 {
            self.clients.insert(client.clone(), held);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
