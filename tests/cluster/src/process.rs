//! The processes of a control plane: started, watched, ended, and found again after the harness was killed.
//!
//! Every process is recorded with its start time, so that a process id that was used again is never signalled.

use std::ffi::OsString;
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
/// How long the words of an [`Entry`] may take to start the program.
const ENTERED: Duration = Duration::from_secs(10);
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
        Some(Self::with_parent(pid)?.0)
    }

    /// The processes that a process has started and that still run.
    pub fn children(self) -> Vec<Self> {
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let found = ids.filter_map(Self::with_parent).filter(|(_, parent)| *parent == self.pid);
        found.map(|(child, _)| child).collect()
    }

    fn with_parent(pid: i32) -> Option<(Self, i32)> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The command name may hold anything, brackets too: what counts comes after the last one.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let state = fields.next()?;
        let parent = fields.next()?.parse().ok()?;
        let start_time = fields.nth(17)?.parse().ok()?;
        (state != "Z" && state != "X").then_some((Self { pid, start_time }, parent))
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

    /// Ends it at once.
    pub(crate) fn kill(self) {
        self.signal(Signal::KILL);
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

/// Words before a program that start it somewhere else: in a network namespace, on a node. None: right here.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entry {
    words: Vec<OsString>,
    forks: bool,
}

impl Entry {
    /// Words whose process becomes the program.
    pub(crate) fn new(words: &[&str]) -> Self {
        Self { words: words.iter().map(OsString::from).collect(), forks: false }
    }

    /// Words whose process goes on as the parent of the program, and ends with it.
    pub(crate) fn forking(words: &[&str]) -> Self {
        Self { forks: true, ..Self::new(words) }
    }

    /// The same place, and further words there whose process goes on as the parent of the program.
    pub(crate) fn forking_by(mut self, words: &[&str]) -> Self {
        self.words.extend(words.iter().map(OsString::from));
        self.forks = true;
        self
    }

    /// This program, started there.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut words = self.words.iter();
        match words.next() {
            Some(first) => {
                let mut command = Command::new(first);
                command.args(words).arg(program);
                command
            }
            None => Command::new(program),
        }
    }

    fn ending_with_parent(&self, wrapper: &Path) -> Self {
        let mut words: Vec<OsString> = vec![wrapper.into()];
        words.extend(["--pdeathsig", "KILL", "--"].map(OsString::from));
        words.extend(self.words.iter().cloned());
        Self { words, forks: self.forks }
    }
}

struct Started {
    name: String,
    /// What we started: the program, or the process that entered a place for it.
    child: Child,
    /// The program itself.
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

    /// Starts a program, here or elsewhere; its output goes to `<name>.log`.
    pub(crate) fn start(&mut self, name: &str, entry: &Entry, program: &Path, arguments: Vec<String>) -> Result<()> {
        let log = self.directory.join(format!("{name}.log"));
        let output = File::create(&log).with_context(|| format!("create {}", log.display()))?;
        let mut command = match end_with_parent().filter(|_| !self.outlive) {
            Some(wrapper) => entry.ending_with_parent(wrapper).command(program),
            None => entry.command(program),
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
        let mut child = spawn(command).with_context(|| format!("start {name} ({})", program.display()))?;
        let Some(id) = program_of(&mut child, entry)? else {
            child.kill()?;
            child.wait()?;
            bail!("{name} ended at once\n{}", last_lines(&log, 15));
        };
        self.started.push(Started { name: name.to_owned(), child, id, log });
        record(&self.directory, name, id)
    }

    /// The process of this name, if it was started.
    pub(crate) fn id(&self, name: &str) -> Option<ProcessId> {
        self.started.iter().find(|process| process.name == name).map(|process| process.id)
    }

    /// The processes, by name.
    pub(crate) fn ids(&self) -> Vec<(String, ProcessId)> {
        self.started.iter().map(|process| (process.name.clone(), process.id)).collect()
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
        if !all_ended_within(&mut self.started, GRACE)? {
            self.kill()?;
        }
        self.forget()
    }

    /// Ends all at once.
    pub(crate) fn kill(&mut self) -> Result<()> {
        for process in self.started.iter().rev() {
            process.id.signal(Signal::KILL);
        }
        if !all_ended_within(&mut self.started, AFTER_KILL)? {
            bail!("processes do not end: {:?}", self.ids());
        }
        self.forget()
    }

    /// Ends one at once, and forgets it. Its log becomes `<name>.ended.log`: it may be started again.
    pub(crate) fn end(&mut self, name: &str) -> Result<()> {
        let Some(index) = self.started.iter().position(|process| process.name == name) else {
            bail!("{name} does not run, or does not end with this program");
        };
        let ending = &mut self.started[index..=index];
        ending[0].id.kill();
        if !all_ended_within(ending, AFTER_KILL)? {
            bail!("{name} does not end: {:?}", self.ids());
        }
        let log = self.started.remove(index).log;
        std::fs::rename(&log, log.with_extension("ended.log")).with_context(|| format!("rename {}", log.display()))?;
        strike(&self.directory, name)
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
}

const POLL: Duration = Duration::from_millis(20);

fn all_ended_within(processes: &mut [Started], deadline: Duration) -> Result<bool> {
    for _ in 0..deadline.as_millis() / POLL.as_millis() {
        let mut running = false;
        for process in processes.iter_mut() {
            running |= process.child.try_wait()?.is_none();
        }
        if !running {
            return Ok(true);
        }
        std::thread::sleep(POLL);
    }
    Ok(false)
}

/// The program itself: what was started, or with a forking entry its child. None if it has ended.
fn program_of(child: &mut Child, entry: &Entry) -> Result<Option<ProcessId>> {
    let Some(first) = ProcessId::running(i32::try_from(child.id())?) else { return Ok(None) };
    if !entry.forks {
        return Ok(Some(first));
    }
    for _ in 0..ENTERED.as_millis() / POLL.as_millis() {
        if let Some(program) = first.children().first() {
            return Ok(Some(*program));
        }
        if child.try_wait()?.is_some() {
            return Ok(None);
        }
        std::thread::sleep(POLL);
    }
    Ok(None)
}

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

/// Takes a process off the record of a run directory.
fn strike(directory: &Path, name: &str) -> Result<()> {
    let mut lines = String::new();
    for (other, id) in recorded(directory).into_iter().filter(|(other, _)| other != name) {
        lines.push_str(&format!("{other} {} {}\n", id.pid, id.start_time));
    }
    let record = directory.join(RECORD);
    let whole = record.with_extension("partial");
    std::fs::write(&whole, lines).with_context(|| format!("write {}", whole.display()))?;
    std::fs::rename(&whole, &record).with_context(|| format!("write {}", record.display()))
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
