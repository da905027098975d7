//! What the process takes from its machine, read from `/proc` at every scrape. Where there is none, there
//! are no series.

use std::{fmt, fs};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};

use super::{
    descriptor,
    families::{CPU_SECONDS, OPEN_FDS, RESIDENT_BYTES},
};

/// The unit of times in `/proc`: Linux shows 100 a second to programs on every architecture we build for.
const TICKS_PER_SECOND: f64 = 100.0;

#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        if let Some(seconds) = cpu_seconds(&stat) {
            ConstCounter::new(seconds).encode(descriptor(&mut encoder, &CPU_SECONDS)?)?;
        }
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        if let Some(bytes) = resident_bytes(&status) {
            ConstGauge::new(bytes).encode(descriptor(&mut encoder, &RESIDENT_BYTES)?)?;
        }
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            // One of them is the directory itself.
            let open = open.count().saturating_sub(1);
            ConstGauge::new(open).encode(descriptor(&mut encoder, &OPEN_FDS)?)?;
        }
        Ok(())
    }
}

/// User and system time. Field 2 is the program's name, which may hold spaces and parentheses.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some((f64::from(user) + f64::from(system)) / TICKS_PER_SECOND)
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_behind_any_program_name() {
        let rest = "S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 5 0";
        for name in ["handover", "a) (b c", ")"] {
            assert_eq!(
                cpu_seconds(&format!("7 ({name}) {rest}")),
                Some(3.0),
                "{name}"
            );
        }
        assert_eq!(cpu_seconds(""), None);
        assert_eq!(cpu_seconds("7 (handover) S 1"), None);
    }

    #[test]
    fn resident_memory_is_read_in_bytes() {
        let status = "VmHWM:\t  9000 kB\nVmRSS:\t    1234 kB\n";
        assert_eq!(resident_bytes(status), Some(1234 * 1024));
        assert_eq!(resident_bytes("VmRSS:\t many\n"), None);
        assert_eq!(resident_bytes(""), None);
    }
}
