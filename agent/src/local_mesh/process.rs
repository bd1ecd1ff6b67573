//! System calls: children that die with this process, signals, other processes.

use std::{
    io,
    sync::mpsc,
    time::{Duration, Instant},
};
use tokio::{
    process::{Child, Command},
    runtime::Handle,
    sync::oneshot,
};

/// Starts children from one thread that lives as long as the mesh.
///
/// Linux ends a child with PR_SET_PDEATHSIG when the *thread* that started it ends (prctl(2)); a
/// runtime's threads may end long before the process does.
#[derive(Debug, Clone)]
pub struct Spawner(mpsc::Sender<Order>);

#[derive(Debug)]
struct Order {
    command: Command,
    reply: oneshot::Sender<io::Result<Child>>,
}

impl Spawner {
    /// Starts the thread. Must be called within a runtime.
    pub fn start() -> io::Result<Self> {
        let (orders, inbox) = mpsc::channel::<Order>();
        let runtime = Handle::current();
        std::thread::Builder::new()
            .name("spawner".into())
            .spawn(move || {
                let _runtime = runtime.enter();
                for Order { mut command, reply } in inbox {
                    // If the caller is gone, the child is dropped and thereby killed.
                    let _ = reply.send(command.spawn());
                }
            })?;

        Ok(Self(orders))
    }

    /// Starts a child in its own process group, so that a Ctrl-C does not reach it; it ends with
    /// this process.
    pub async fn spawn(&self, mut command: Command) -> io::Result<Child> {
        let ended = || io::Error::other("the thread that starts processes has ended");
        command.process_group(0).kill_on_drop(true);
        die_with_parent(&mut command);

        let (reply, answer) = oneshot::channel();
        self.0.send(Order { command, reply }).map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}

/// Makes the kernel kill the child when this process ends for any reason. Linux only; elsewhere the
/// next start finds the leftovers by their pid files.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn die_with_parent(command: &mut Command) {
    let parent = std::process::id();
    let set = move || {
        // SAFETY: both are plain system calls without pointers.
        let (result, now) = unsafe {
            (
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL),
                libc::getppid(),
            )
        };

        if result != 0 {
            return Err(io::Error::last_os_error());
        }

        // If the parent ended between fork and prctl, the kernel sends no signal.
        if u32::try_from(now) != Ok(parent) {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }

        Ok(())
    };

    // SAFETY: between fork and exec the closure makes async-signal-safe system calls only and
    // allocates nothing.
    unsafe { command.pre_exec(set) };
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_: &mut Command) {}

/// Asks a process to end (SIGTERM).
pub(crate) fn terminate(pid: u32) {
    signal(pid, libc::SIGTERM);
}

/// Kills a process (SIGKILL).
pub fn kill(pid: u32) {
    signal(pid, libc::SIGKILL);
}

#[allow(unsafe_code)]
fn signal(pid: u32, number: libc::c_int) {
    // Not 0 and not 1: these would be our own group and init.
    if let Ok(pid @ 2..) = libc::pid_t::try_from(pid) {
        // SAFETY: kill(2) takes two integers. The only failures are a process gone or not ours:
        // nothing to do either way.
        unsafe { libc::kill(pid, number) };
    }
}

/// A process's command line; none if there is no such process.
pub(crate) fn command_line(pid: u32) -> Option<String> {
    #[cfg(target_os = "linux")]
    {
        // A zombie's is empty.
        let bytes = std::fs::read(format!("/proc/{pid}/cmdline"))
            .ok()
            .filter(|bytes| !bytes.is_empty())?;
        Some(String::from_utf8_lossy(&bytes).replace('\0', " "))
    }

    #[cfg(not(target_os = "linux"))]
    {
        let output = std::process::Command::new("ps")
            .args(["-o", "command=", "-p", &pid.to_string()])
            .output()
            .ok()?;

        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// Ends a process that is not our child: SIGTERM, then SIGKILL. Returns whether it is gone.
pub(crate) async fn end(pid: u32, timeout: Duration) -> bool {
    for stop in [terminate, kill] {
        stop(pid);
        let deadline = Instant::now() + timeout;
        while Instant::now() < deadline {
            if command_line(pid).is_none() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    false
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
