//! How many bytes this machine's network devices carried, by the kernel's count.
//!
//! One small file is read for it. (`sysinfo` can tell it too, by a dozen files for each device, and counts a container's traffic again
//! on its bridge and on each half of its pair.)

use std::{fs, path::Path};

/// Bytes since the machine started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    /// In.
    pub(crate) received: u64,
    /// Out.
    pub(crate) transmitted: u64,
}

/// What all hardware devices carried; in a container, which sees none, all but loopback.
pub(crate) fn traffic() -> Option<Traffic> {
    let text = fs::read_to_string("/proc/net/dev").ok()?;
    let is_hardware = |name: &str| {
        Path::new("/sys/class/net")
            .join(name)
            .join("device")
            .exists()
    };
    Some(sum(&text, is_hardware))
}

/// Adds devices up: hardware if there is any, else all but loopback.
fn sum(text: &str, is_hardware: impl Fn(&str) -> bool) -> Traffic {
    let devices: Vec<(&str, Traffic)> = text
        .lines()
        .filter_map(|line| {
            let (name, numbers) = line.split_once(':')?;
            // Eight columns in, then eight out; the first of each is bytes.
            let mut numbers = numbers.split_whitespace().map(|n| n.parse().ok());
            let (received, transmitted) = (numbers.next()??, numbers.nth(7)??);
            Some((
                name.trim(),
                Traffic {
                    received,
                    transmitted,
                },
            ))
        })
        .filter(|(name, _)| *name != "lo")
        .collect();
    let any = devices.iter().any(|(name, _)| is_hardware(name));
    devices
        .iter()
        .filter(|(name, _)| !any || is_hardware(name))
        .fold(Traffic::default(), |all, (_, one)| Traffic {
            received: all.received.saturating_add(one.received),
            transmitted: all.transmitted.saturating_add(one.transmitted),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEVICES: &str = "Inter-|   Receive                                                |  Transmit\n \
        face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n    \
        lo: 1000 1 0 0 0 0 0 0 1000 1 0 0 0 0 0 0\n  \
        eth0: 200 1 0 0 0 0 0 0 30 1 0 0 0 0 0 0\n\
        docker0:50 1 0 0 0 0 0 0 7 1 0 0 0 0 0 0\nbroken: x\n";

    #[test]
    fn hardware_counts_once_and_in_a_container_whatever_there_is() {
        let traffic = |received, transmitted| Traffic {
            received,
            transmitted,
        };
        assert_eq!(sum(DEVICES, |name| name == "eth0"), traffic(200, 30));
        assert_eq!(sum(DEVICES, |_| false), traffic(250, 37));
        assert_eq!(sum("", |_| true), traffic(0, 0));
    }
}
