//! One task per agent that supervises its process: starts, restarts and stops it.

use super::{
    error::LocalMeshError,
    layout::LocalAgent,
    process::{self, Spawner},
};
use regionmesh_core::backoff::Backoff;
use regionmesh_protocol::identity::AgentId;
use std::{
    ffi::OsString,
    fs::{File, OpenOptions},
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tokio::{
    process::{Child, Command},
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep_until, timeout},
};

/// How long a child may take to end after SIGTERM.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// A log is put aside at a start once it is longer than this, bytes.
const LOG_LIMIT: u64 = 16 << 20;
/// A child that ran this long resets its back-off.
const GOOD_RUN: Duration = Duration::from_secs(60);

/// The command that runs an agent; the configuration file's path is added as the last argument.
#[derive(Debug, Clone)]
pub struct Program {
    pub executable: PathBuf,
    /// Arguments before the configuration file.
    pub arguments: Vec<OsString>,
}

impl Program {
    /// This binary, as an agent.
    pub fn this() -> std::io::Result<Self> {
        let arguments = ["agent", "--config"].map(OsString::from).to_vec();
        Ok(Self {
            executable: std::env::current_exe()?,
            arguments,
        })
    }

    /// This program behind a launcher: a command that executes the command it is given.
    pub fn behind(&self, launcher: &[OsString]) -> Self {
        let mut words = launcher
            .iter()
            .chain([self.executable.as_os_str().to_owned()].iter())
            .chain(&self.arguments)
            .cloned()
            .collect::<Vec<_>>();

        Self {
            executable: words.remove(0).into(),
            arguments: words,
        }
    }
}

/// What happens when a child ends unexpectedly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// It stays down until it is started by hand.
    Never,
    /// It is started again after these pauses.
    BackOff(Backoff),
}

/// State of an agent's process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChildState {
    /// Not running, as asked.
    Stopped,
    Running {
        pid: u32,
    },
    /// Ended unexpectedly, or could not be started.
    Ended {
        /// Exit status or signal, or why it could not be started.
        status: String,
    },
}

/// A process ended unexpectedly.
#[derive(Debug, Clone)]
pub struct ChildEnded {
    pub agent: AgentId,
    /// 0 if it could not be started.
    pub pid: u32,
    /// How it ended.
    pub status: String,
    /// When it will be started again, if it will.
    pub restart_in: Option<Duration>,
}

enum Order {
    Start(oneshot::Sender<Result<u32, LocalMeshError>>),
    /// SIGKILL, and no restart.
    Kill(oneshot::Sender<()>),
    /// SIGTERM, then SIGKILL, and no restart.
    Stop(oneshot::Sender<()>),
}

/// The handle of one agent's process. The process ends when this is dropped.
#[derive(Debug)]
pub struct ChildHandle {
    agent: AgentId,
    orders: mpsc::Sender<Order>,
    state: watch::Receiver<ChildState>,
}

impl ChildHandle {
    /// Supervises an agent that is not yet started.
    pub fn new(
        agent: LocalAgent,
        program: Program,
        restart: Restart,
        spawner: Spawner,
        events: mpsc::Sender<ChildEnded>,
    ) -> Self {
        let (orders, inbox) = mpsc::channel(4);
        let (state, watched) = watch::channel(ChildState::Stopped);
        let id = agent.id.clone();
        let supervisor = Supervisor {
            agent,
            program,
            restart,
            spawner,
            events,
            state,
            failures: 0,
            running: None,
            due: None,
        };

        tokio::spawn(supervisor.run(inbox));
        Self {
            agent: id,
            orders,
            state: watched,
        }
    }

    /// Starts the process, if it does not run, and gives its pid.
    pub async fn start(&self) -> Result<u32, LocalMeshError> {
        self.order(Order::Start)
            .await
            .unwrap_or_else(|| Err(LocalMeshError::NoSuchAgent(self.agent.clone())))
    }

    /// Ends the process with SIGKILL and leaves it down.
    pub async fn kill(&self) {
        self.order(Order::Kill).await;
    }

    /// Ends the process gracefully, by force after [`STOP_TIMEOUT`], and leaves it down.
    pub async fn stop(&self) {
        self.order(Order::Stop).await;
    }

    pub fn state(&self) -> ChildState {
        self.state.borrow().clone()
    }

    async fn order<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.orders.send(order(reply)).await.ok()?;
        answer.await.ok()
    }
}

struct Supervisor {
    agent: LocalAgent,
    program: Program,
    restart: Restart,
    spawner: Spawner,
    events: mpsc::Sender<ChildEnded>,
    state: watch::Sender<ChildState>,
    /// Ends in a row without a good run between.
    failures: u32,
    running: Option<(Child, u32, Instant)>,
    /// When to start it again.
    due: Option<Instant>,
}

impl Supervisor {
    async fn run(mut self, mut inbox: mpsc::Receiver<Order>) {
        loop {
            tokio::select! {
                order = inbox.recv() => match order {
                    Some(order) => self.handle(order).await,
                    // The handle is gone; dropping the child kills it.
                    None => break,
                },
                status = ended(&mut self.running) => self.ended(status),
                () = at(self.due) => {
                    self.due = None;
                    if let Err(error) = self.start().await {
                        self.failed(&error.to_string(), 0);
                    }
                }
            }
        }

        self.set_stopped();
    }

    async fn handle(&mut self, order: Order) {
        self.due = None;
        match order {
            Order::Start(reply) => {
                self.failures = 0;
                let started = match &self.running {
                    Some((_, pid, _)) => Ok(*pid),
                    None => self.start().await,
                };
                let _ = reply.send(started);
            }
            Order::Kill(reply) => {
                if let Some((mut child, ..)) = self.running.take() {
                    let _ = child.kill().await;
                }
                self.set_stopped();
                let _ = reply.send(());
            }
            Order::Stop(reply) => {
                if let Some((mut child, pid, _)) = self.running.take() {
                    process::terminate(pid);
                    if timeout(STOP_TIMEOUT, child.wait()).await.is_err() {
                        let _ = child.kill().await;
                    }
                }

                self.set_stopped();
                let _ = reply.send(());
            }
        }
    }

    async fn start(&mut self) -> Result<u32, LocalMeshError> {
        let log = open_log(&self.agent.log_file)
            .map_err(LocalMeshError::io("open", &self.agent.log_file))?;
        let errors = log
            .try_clone()
            .map_err(LocalMeshError::io("open", &self.agent.log_file))?;
        let mut command = Command::new(&self.program.executable);

        command
            .args(&self.program.arguments)
            .arg(self.agent.config_file());
        command.stdin(Stdio::null()).stdout(log).stderr(errors);

        let failed = |source| LocalMeshError::Spawn {
            agent: self.agent.id.clone(),
            program: self.program.executable.clone(),
            source,
        };
        let child = self.spawner.spawn(command).await.map_err(failed)?;
        let pid = child.id().unwrap_or_default();
        let pid_file = self.agent.pid_file();

        std::fs::write(&pid_file, format!("{pid}\n"))
            .map_err(LocalMeshError::io("write", pid_file))?;
        self.running = Some((child, pid, Instant::now()));
        self.state.send_replace(ChildState::Running { pid });
        Ok(pid)
    }

    fn ended(&mut self, status: std::io::Result<ExitStatus>) {
        let Some((_, pid, since)) = self.running.take() else {
            return;
        };
        if since.elapsed() >= GOOD_RUN {
            self.failures = 0;
        }

        let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        self.failed(&status, pid);
    }

    fn failed(&mut self, status: &str, pid: u32) {
        let pause = match self.restart {
            Restart::Never => None,
            Restart::BackOff(backoff) => Some(backoff.after(self.failures)),
        };

        self.failures = self.failures.saturating_add(1);
        self.due = pause.map(|pause| Instant::now() + pause);

        let _ = std::fs::remove_file(self.agent.pid_file());
        self.state.send_replace(ChildState::Ended {
            status: status.to_owned(),
        });

        let event = ChildEnded {
            agent: self.agent.id.clone(),
            pid,
            status: status.to_owned(),
            restart_in: pause,
        };

        // A full or closed channel is no loss: the state says the same.
        let _ = self.events.try_send(event);
    }

    fn set_stopped(&mut self) {
        let _ = std::fs::remove_file(self.agent.pid_file());
        self.state.send_replace(ChildState::Stopped);
    }
}

async fn ended(running: &mut Option<(Child, u32, Instant)>) -> std::io::Result<ExitStatus> {
    match running {
        Some((child, ..)) => child.wait().await,
        None => std::future::pending().await,
    }
}

async fn at(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

fn open_log(path: &Path) -> std::io::Result<File> {
    if std::fs::metadata(path).is_ok_and(|metadata| metadata.len() > LOG_LIMIT) {
        std::fs::rename(path, path.with_extension("log.1"))?;
    }
    OpenOptions::new().create(true).append(true).open(path)
}

/// The last lines of a log, at most 20.
pub fn tail(path: &Path) -> String {
    const LINES: usize = 20;

    const BYTES: u64 = 16 << 10;

    let read = || -> std::io::Result<String> {
        let mut file = File::open(path)?;
        let begin = file.metadata()?.len().saturating_sub(BYTES);
        file.seek(SeekFrom::Start(begin))?;

        let mut bytes = Vec::new();
        file.take(BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };

    match read() {
        Ok(text) if text.trim().is_empty() => "  (the log is empty)".into(),
        Ok(text) => {
            let lines: Vec<&str> = text.lines().collect();
            let last: Vec<String> = lines[lines.len().saturating_sub(LINES)..]
                .iter()
                .map(|line| format!("  {line}"))
                .collect();

            last.join("\n")
        }
        Err(error) => format!("  (the log can't be read: {error})"),
    }
}
