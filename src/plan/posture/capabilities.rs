//! Linux capabilities, as bits.

use serde_json::Value;

use crate::plan::content::each;

/// All of them, by the number that Linux gives them; and whether a container runtime gives them by itself.
const CAPABILITIES: [(&str, bool); 41] = [
    ("CHOWN", true),
    ("DAC_OVERRIDE", true),
    ("DAC_READ_SEARCH", false),
    ("FOWNER", true),
    ("FSETID", true),
    ("KILL", true),
    ("SETGID", true),
    ("SETUID", true),
    ("SETPCAP", true),
    ("LINUX_IMMUTABLE", false),
    ("NET_BIND_SERVICE", true),
    ("NET_BROADCAST", false),
    ("NET_ADMIN", false),
    ("NET_RAW", true),
    ("IPC_LOCK", false),
    ("IPC_OWNER", false),
    ("SYS_MODULE", false),
    ("SYS_RAWIO", false),
    ("SYS_CHROOT", true),
    ("SYS_PTRACE", false),
    ("SYS_PACCT", false),
    ("SYS_ADMIN", false),
    ("SYS_BOOT", false),
    ("SYS_NICE", false),
    ("SYS_RESOURCE", false),
    ("SYS_TIME", false),
    ("SYS_TTY_CONFIG", false),
    ("MKNOD", true),
    ("LEASE", false),
    ("AUDIT_WRITE", true),
    ("AUDIT_CONTROL", false),
    ("SETFCAP", true),
    ("MAC_OVERRIDE", false),
    ("MAC_ADMIN", false),
    ("SYSLOG", false),
    ("WAKE_ALARM", false),
    ("BLOCK_SUSPEND", false),
    ("AUDIT_READ", false),
    ("PERFMON", false),
    ("BPF", false),
    ("CHECKPOINT_RESTORE", false),
];

/// What a container with this security context has.
pub(super) fn of(context: &Value) -> u64 {
    let named = |pointer: &str| each(context, pointer).filter_map(Value::as_str).fold(0, |all, name| all | bits(name));
    let given = CAPABILITIES.iter().filter(|(_, given)| *given).fold(0, |all, (name, _)| all | bits(name));
    (given & !named("/capabilities/drop")) | named("/capabilities/add")
}

/// The names of these bits.
pub(super) fn names(set: u64) -> impl Iterator<Item = &'static str> {
    let present = CAPABILITIES.iter().enumerate().filter(move |(number, _)| set & (1 << number) != 0);
    present.map(|(_, (name, _))| *name)
}

/// One that is not known is nothing that a container could have.
fn bits(name: &str) -> u64 {
    let name = name.trim_start_matches("CAP_");
    let found = |(number, (known, _)): (usize, &(&str, bool))| if *known == name { 1 << number } else { 0 };
    match name {
        "ALL" => (1 << CAPABILITIES.len()) - 1,
        _ => CAPABILITIES.iter().enumerate().map(found).sum(),
    }
}
