//! The processes of a control plane: started, watched, ended, and found again after the harness was killed.
//!
//! Every process is recorded with its start time, so that a process id that was used again is never signalled.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How long processes may take to end by themselves. Nothing of a test cluster is worth waiting for.
const GRACE: Duration = Duration::from_secs(1);
const AFTER_KILL: Duration = Duration::from_secs(10);
const RECORD: &str = "processes";

/// A process id that cannot be mistaken: ids are used again, start times are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessId {
    /// The id.
    pub pid: i32,
    /// When it started, in clock ticks since boot.
    pub start_time: u64,
}

impl ProcessId {
    /// The process with this id, if there is one that still runs.
    pub fn running(pid: i32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The command name may hold anything, brackets too: what counts comes after the last one.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let state = fields.next()?;
        let start_time = fields.nth(18)?.parse().ok()?;
        (state != "Z" && state != "X").then_some(Self { pid, start_time })
    }

    /// This very process.
    pub fn own() -> Result<Self> {
        let pid = i32::try_from(std::process::id())?;
        Self::running(pid).context("cannot read /proc: the test cluster needs Linux")
    }

    /// Whether it still runs.
    pub fn is_running(self) -> bool {
        Self::running(self.pid) == Some(self)
    }

    fn signal(self, signal: Signal) {
        if self.is_running()
            && let Some(pid) = Pid::from_raw(self.pid)
        {
            // An error here means that it is gone already.
            let _ = kill_process(pid, signal);
        }
    }
}

struct Started {
    name: &'static str,
    child: Child,
    id: ProcessId,
    log: PathBuf,
}

/// The processes of one run, in the order of their start.
pub(crate) struct Processes {
    directory: PathBuf,
    outlive: bool,
    started: Vec<Started>,
    left: bool,
}

impl Processes {
    /// None yet. With `outlive` they go on when this process ends, else they end with it.
    pub(crate) fn new(directory: &Path, outlive: bool) -> Self {
        Self { directory: directory.to_owned(), outlive, started: Vec::new(), left: false }
    }

    /// Starts a program; its output goes to `<name>.log`.
    pub(crate) fn start(&mut self, name: &'static str, program: &Path, arguments: Vec<String>) -> Result<()> {
        let log = self.directory.join(format!("{name}.log"));
        let output = File::create(&log).with_context(|| format!("create {}", log.display()))?;
        let mut command = match end_with_parent().filter(|_| !self.outlive) {
            Some(wrapper) => {
                let mut command = Command::new(wrapper);
                command.args(["--pdeathsig", "KILL", "--"]).arg(program);
                command
            }
            None => Command::new(program),
        };
        command
            .args(arguments)
            .current_dir(&self.directory)
            .env_remove("KUBECONFIG")
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            // Ctrl-C is for the harness, which ends them in order.
            .process_group(0);
        let child = spawn(command).with_context(|| format!("start {name} ({})", program.display()))?;
        let pid = i32::try_from(child.id())?;
        let Some(id) = ProcessId::running(pid) else {
            bail!("{name} ended at once\n{}", last_lines(&log, 15));
        };
        self.started.push(Started { name, child, id, log });
        record(&self.directory, name, id)
    }

    /// The processes, by name.
    pub(crate) fn ids(&self) -> Vec<(String, ProcessId)> {
        self.started.iter().map(|process| (process.name.to_owned(), process.id)).collect()
    }

    /// An error if one has ended: its name, its last words, its log.
    pub(crate) fn check(&mut self) -> Result<()> {
        for process in &mut self.started {
            if let Some(status) = process.child.try_wait()? {
                let words = last_lines(&process.log, 15);
                bail!("{} ended ({status}); log: {}\n{words}", process.name, process.log.display());
            }
        }
        Ok(())
    }

    /// What the process of this name said last, for errors.
    pub(crate) fn last_words(&self, name: &str) -> String {
        let log = self.directory.join(format!("{name}.log"));
        format!("last lines of {}:\n{}", log.display(), last_lines(&log, 15))
    }

    /// Whether a process could not have the port it was told to use: someone was quicker.
    pub(crate) fn lost_a_port(&self) -> bool {
        self.started.iter().any(|process| last_lines(&process.log, 50).contains("address already in use"))
    }

    /// Ends all: asks first, then insists.
    pub(crate) fn stop(&mut self) -> Result<()> {
        for process in self.started.iter().rev() {
            process.id.signal(Signal::TERM);
        }
        if !self.all_ended_within(GRACE)? {
            self.kill()?;
        }
        self.forget()
    }

    /// Ends all at once.
    pub(crate) fn kill(&mut self) -> Result<()> {
        for process in self.started.iter().rev() {
            process.id.signal(Signal::KILL);
        }
        if !self.all_ended_within(AFTER_KILL)? {
            bail!("processes do not end: {:?}", self.ids());
        }
        self.forget()
    }

    /// Leaves them running, and on record, when this value goes.
    pub(crate) fn leave(&mut self) {
        self.started.clear();
        self.left = true;
    }

    fn forget(&mut self) -> Result<()> {
        self.started.clear();
        remove_record(&self.directory)
    }

    fn all_ended_within(&mut self, deadline: Duration) -> Result<bool> {
        for _ in 0..deadline.as_millis() / POLL.as_millis() {
            let mut running = false;
            for process in &mut self.started {
                running |= process.child.try_wait()?.is_none();
            }
            if !running {
                return Ok(true);
            }
            std::thread::sleep(POLL);
        }
        Ok(false)
    }
}

const POLL: Duration = Duration::from_millis(20);

impl Drop for Processes {
    fn drop(&mut self) {
        if !self.left
            && let Err(error) = self.kill()
        {
            eprintln!("cluster: {error:#}");
        }
    }
}

/// Puts a process on the record of a run directory.
pub(crate) fn record(directory: &Path, name: &str, id: ProcessId) -> Result<()> {
    let record = directory.join(RECORD);
    let mut file = OpenOptions::new().create(true).append(true).open(&record)?;
    writeln!(file, "{name} {} {}", id.pid, id.start_time).with_context(|| format!("write {}", record.display()))
}

/// The processes that a run directory has on record, also those that have ended.
pub(crate) fn recorded(directory: &Path) -> Vec<(String, ProcessId)> {
    let record = std::fs::read_to_string(directory.join(RECORD)).unwrap_or_default();
    let parse = |line: &str| {
        let mut words = line.split_whitespace();
        let name = words.next()?.to_owned();
        Some((name, ProcessId { pid: words.next()?.parse().ok()?, start_time: words.next()?.parse().ok()? }))
    };
    record.lines().filter_map(parse).collect()
}

/// Ends what a run directory has on record; gives how many still ran.
pub(crate) fn end_recorded(directory: &Path) -> Result<usize> {
    let running: Vec<_> = recorded(directory).into_iter().map(|(_, id)| id).filter(|id| id.is_running()).collect();
    for (signal, deadline) in [(Signal::TERM, GRACE), (Signal::KILL, AFTER_KILL)] {
        running.iter().for_each(|id| id.signal(signal));
        for _ in 0..deadline.as_millis() / POLL.as_millis() {
            if !running.iter().any(|id| id.is_running()) {
                remove_record(directory)?;
                return Ok(running.len());
            }
            std::thread::sleep(POLL);
        }
    }
    bail!("processes of {} do not end: {running:?}", directory.display())
}

fn remove_record(directory: &Path) -> Result<()> {
    match std::fs::remove_file(directory.join(RECORD)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// The last lines of a log, for an error text.
pub(crate) fn last_lines(log: &Path, count: usize) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(log)?;
        let from = file.metadata()?.len().saturating_sub(32 * 1024);
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_else(|error| format!("(no log: {error})"));
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// util-linux' `setpriv`, where there is one: without unsafe code nothing else can set the parent-death signal.
/// Elsewhere the record alone has to do.
fn end_with_parent() -> Option<&'static Path> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || {
        let path = std::env::var_os("PATH")?;
        let candidate =
            std::env::split_paths(&path).map(|directory| directory.join("setpriv")).find(|p| p.is_file())?;
        let help = Command::new(&candidate).arg("--help").output().ok()?;
        String::from_utf8_lossy(&help.stdout).contains("--pdeathsig").then_some(candidate)
    };
    FOUND.get_or_init(find).as_deref()
}

/// Starts a child from a thread that never ends: the parent-death signal is sent when the *thread* that started the
/// child ends, and the threads of a test or of a runtime do.
fn spawn(command: Command) -> Result<Child> {
    type Job = (Command, mpsc::SyncSender<std::io::Result<Child>>);
    static SPAWNER: OnceLock<mpsc::Sender<Job>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, jobs) = mpsc::channel::<Job>();
        std::thread::spawn(move || {
            for (mut command, answer) in jobs {
                // Nobody waits any more if this fails: the child's handle is dropped, its record is not written.
                let _ = answer.send(command.spawn());
            }
        });
        sender
    });
    let (answer, child) = mpsc::sync_channel(1);
    spawner.send((command, answer)).ok().context("the thread that starts processes has ended")?;
    Ok(child.recv().context("the thread that starts processes has ended")??)
}
