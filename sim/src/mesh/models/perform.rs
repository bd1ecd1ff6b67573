//! Between the cores' replication, the work that it asks for, and the world.

use super::{
    context::{Context, Request, Response, is_works},
    objects::{Operation, Outcome},
    serve,
    work::{self, Done, Work, WorkEvent},
};
use crate::mesh::{
    event::{Event, Process},
    node::{NodeInput, Question, Ticket},
    sometimes::Sometimes,
    store::STORE_TIMEOUT_MS,
    world::World,
};
use rand::RngExt;
use regionmesh_core::replication::{self, Effect, Notice};
use regionmesh_protocol::{codec, models::digest::Digest};
use std::task::Poll;

impl World {
    /// Carries out what an agent's replication decides.
    pub(crate) fn replicate(&mut self, agent: usize, effect: Effect) {
        let context = self.machines[agent].models.context.clone();
        match effect {
            Effect::OwnCatalogue { catalogue, .. } => {
                let document = codec::encode_document(&*catalogue).ok();
                let pages = document.map(|document| (Digest::of(&document), document));
                context.with(|it| it.pages = pages);
            }
            Effect::PeerCatalogue(region, digest, catalogue) => {
                context.with(|it| it.peers.insert(region, (digest, catalogue)));
            }
            Effect::Notice(notice) => self.replication_noticed(agent, &notice),
            effect => {
                let work = work::of_effect(context, effect);
                self.begin_work(self.process(agent), work);
            }
        }
    }

    fn replication_noticed(&mut self, agent: usize, notice: &Notice) {
        let id = &self.machines[agent].id;
        self.trace.note(self.now_ms, || format!("{id}: {notice:?}"));
        let state = match notice {
            Notice::FetchFailed { .. } => Sometimes::FetchFailed,
            Notice::CatalogueUnread { .. } => Sometimes::CatalogueUnread,
            Notice::ConvergeFailed(_) => Sometimes::ConvergeFailed,
            _ => return,
        };
        self.reached.count(state);
    }

    pub(super) fn begin_work(&mut self, process: Process, work: Work) {
        let models = &mut self.machines[process.agent].models;
        models.begun += 1;
        let number = models.begun;
        models.running.insert(number, work);
        self.poll_work(process, number);
    }

    fn poll_work(&mut self, process: Process, number: u64) {
        let unix_ms = self.clocks(process.agent).unix_ms;
        let models = &mut self.machines[process.agent].models;
        let context = models.context.clone();
        let Some(work) = models.running.get_mut(&number) else {
            return;
        };
        let done = match context.poll(number, work, self.now_ms, unix_ms) {
            Poll::Ready(done) => {
                models.running.remove(&number);
                Some(done)
            }
            Poll::Pending => None,
        };

        for (ticket, request) in context.take_requests() {
            self.begin_request(process, ticket, request);
        }
        self.report_work(process, &context);
        if let Some(done) = done {
            self.work_done(process, done);
        }
    }

    /// Does what work wants done.
    fn begin_request(&mut self, process: Process, ticket: Ticket, request: Request) {
        let region = self.machines[process.agent].region;
        match request {
            Request::Store(_) if self.refuses_store(process.agent) => {
                let response = Response::Store(Outcome::Failed);
                let event = WorkEvent::Responded(ticket, response);
                self.after(1, Event::Work(process, event));
            }
            Request::Store(operation) => {
                let way_ms = self.stores[region].way_ms();
                let event = WorkEvent::Run(ticket, operation);
                self.after(way_ms, Event::Work(process, event));
            }
            Request::Ask {
                to,
                question,
                timeout_ms,
            } => self.ask(process, &to, question, ticket, timeout_ms),
            Request::Sleep(ms) => {
                let event = WorkEvent::Responded(ticket, Response::Slept);
                self.after(ms, Event::Work(process, event));
            }
            Request::Linked => {
                let linked = (0..self.machines.len()).filter(|peer| {
                    self.machines[*peer].region != region && self.links.is_up(process.agent, *peer)
                });
                let linked = linked.map(|peer| self.machines[peer].id.clone()).collect();
                let event = WorkEvent::Responded(ticket, Response::Linked(linked));
                self.after(0, Event::Work(process, event));
            }
        }
    }

    /// What the core learns of work that goes on, before it learns of its end.
    fn report_work(&mut self, process: Process, context: &Context) {
        let (reached, notes, has_changed, has_leftovers) = context.with(|it| {
            (
                std::mem::take(&mut it.reached),
                std::mem::take(&mut it.notes),
                std::mem::take(&mut it.has_changed),
                it.has_leftovers,
            )
        });
        let id = &self.machines[process.agent].id;
        for line in notes {
            self.trace.note(self.now_ms, || format!("{id}: {line}"));
        }
        for state in reached {
            self.reached.count(state);
        }

        if has_changed {
            self.inform(process, replication::Input::StoreChanged);
        }
        let models = &mut self.machines[process.agent].models;
        if std::mem::replace(&mut models.had_leftovers, has_leftovers) != has_leftovers {
            self.inform(process, replication::Input::Leftovers(has_leftovers));
        }
    }

    fn inform(&mut self, process: Process, input: replication::Input) {
        let input = Box::new(NodeInput::Replication(Box::new(input)));
        self.after(0, Event::Input(process, input));
    }

    fn work_done(&mut self, process: Process, done: Done) {
        match done {
            Done::Replication(input) => self.inform(process, *input),
            Done::Answer(ticket, answer) => self.answer(process.agent, ticket, *answer),
            Done::Published(number, outcome) => self.published(number, *outcome),
            Done::Deleted(outcome) => self.deleted(*outcome),
            Done::Named(outcome) => self.named(*outcome),
        }
    }

    pub(crate) fn work_event(&mut self, process: Process, event: WorkEvent) {
        match event {
            WorkEvent::Run(ticket, operation) => self.run_on_objects(process, ticket, &operation),
            WorkEvent::Responded(ticket, response) if self.runs(process) => {
                self.respond(process, ticket, response);
            }
            WorkEvent::Responded(..) => {}
        }
    }

    fn respond(&mut self, process: Process, ticket: Ticket, response: Response) {
        let context = &self.machines[process.agent].models.context;
        if let Some(number) = context.respond(ticket, response) {
            self.poll_work(process, number);
        }
    }

    /// An operation reaches its store, perhaps after the death of its process, but not once the
    /// next process runs.
    fn run_on_objects(&mut self, process: Process, ticket: Ticket, operation: &Operation) {
        let is_over = !self.runs(process) && self.machines[process.agent].is_up();
        if is_over {
            return;
        }

        let region = self.machines[process.agent].region;
        let (outcome, change) = self.stores[region].run_on_objects(operation, self.now_ms);
        let kind = 60 + outcome.kind();
        self.trace
            .event(self.now_ms, kind, region as u64, process.agent as u64);
        if let Some(change) = change {
            self.trace.bytes(change.path.as_bytes());
            self.check_change(region, &change);
        }

        let delay_ms = match outcome {
            Outcome::Failed => STORE_TIMEOUT_MS,
            _ => self.stores[region].way_back_ms().min(STORE_TIMEOUT_MS),
        };
        let event = WorkEvent::Responded(ticket, Response::Store(outcome));
        self.after(delay_ms, Event::Work(process, event));
    }

    /// Takes what is meant for the work of an agent; returns what its core takes.
    pub(crate) fn take_work(&mut self, agent: usize, input: NodeInput) -> Option<NodeInput> {
        let process = self.process(agent);
        match input {
            NodeInput::Answered { ticket, answer } if is_works(ticket) => {
                self.trace.event(self.now_ms, 70, agent as u64, 0);
                self.respond(process, ticket, Response::Answer(answer));
            }
            NodeInput::Asked {
                question, ticket, ..
            } if serve::is_about_models(&question) => {
                self.trace.event(self.now_ms, 71, agent as u64, 0);
                self.asked_about_models(process, question, ticket);
            }
            input => return Some(input),
        }
        None
    }

    fn asked_about_models(&mut self, process: Process, question: Question, ticket: Ticket) {
        let is_thief = self.shape.liar == Some(process.agent) && self.healed_ms.is_none();
        let machine = &mut self.machines[process.agent];
        let context = machine.models.context.clone();
        if is_thief
            && machine.rng.random_bool(0.5)
            && let Some(lie) = context.lie(&question, &mut machine.rng)
        {
            return self.answer(process.agent, ticket, lie);
        }

        let work = work::of_question(context, question, ticket);
        self.begin_work(process, work);
    }
}
