//! Ports that the kernel gives to nobody who does not ask for one by its number: a bind to port 0, `listen`
//! or `connect` without a bind (`ip_local_reserved_ports`, Documentation/networking/ip-sysctl.rst, v6.18).
//! As `sysctl -w net.ipv4.ip_local_reserved_ports=LIST`.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;

const NAME: &str = "ip_local_reserved_ports";

/// Of the namespace of the thread that opens it, for both families.
const PATH: &str = "/proc/sys/net/ipv4/ip_local_reserved_ports";

/// Room for every other port.
const LIST_BYTES: usize = (1 << 15) * "65535,".len();

/// The list cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("failed to {action} {PATH}")]
pub struct ReservedPortsError {
    action: &'static str,
    source: io::Error,
}

/// The ports that are reserved, by us or by others.
pub fn reserved_ports() -> Result<BTreeSet<u16>, ReservedPortsError> {
    // A second read gets nothing, however long the list is.
    let mut buffer = vec![0; LIST_BYTES];
    let read = File::open(PATH).and_then(|mut file| file.read(&mut buffer));
    let length = read.map_err(failed("read"))?;
    let text = buffer.get(..length).unwrap_or_default();
    Ok(parse(&String::from_utf8_lossy(text)))
}

/// Reserves these too.
pub fn reserve(ports: &BTreeSet<u16>) -> Result<(), ReservedPortsError> {
    tracing::info!("sysctl net.ipv4.{NAME}: also {}", format(ports));
    write(ports, 1).map_err(failed("write"))
}

/// Makes these the ones that are reserved.
pub fn set_reserved(ports: &BTreeSet<u16>) -> Result<(), ReservedPortsError> {
    tracing::info!("sysctl -w net.ipv4.{NAME}={}", format(ports));
    write(ports, 0).map_err(failed("write"))
}

/// What is written anywhere but at the beginning is added to the list (`proc_do_large_bitmap`,
/// kernel/sysctl.c, v6.18): so what others write meanwhile is not lost, and a list may be longer than the
/// page that a write takes.
fn write(ports: &BTreeSet<u16>, mut offset: u64) -> io::Result<()> {
    // At most twelve bytes each.
    const RANGES: usize = 300;
    let file = File::options().write(true).open(PATH)?;
    let ranges = ranges(ports);
    let mut pieces: Vec<&[String]> = ranges.chunks(RANGES).collect();
    if pieces.is_empty() && offset == 0 {
        pieces.push(&[]);
    }
    for part in pieces {
        let text = part.join(",") + "\n";
        if file.write_at(text.as_bytes(), offset)? != text.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        offset = 1;
    }
    Ok(())
}

/// Ports and ranges of them, as the kernel writes them.
pub fn parse(list: &str) -> BTreeSet<u16> {
    let ranges = list.trim().split(',').filter_map(|range| {
        let (first, end) = range.split_once('-').unwrap_or((range, range));
        Some(first.parse::<u16>().ok()?..=end.parse().ok()?)
    });
    ranges.flatten().collect()
}

/// As [`parse`] reads them; a range where several follow one another.
pub fn format(ports: &BTreeSet<u16>) -> String {
    ranges(ports).join(",")
}

fn ranges(ports: &BTreeSet<u16>) -> Vec<String> {
    let mut ranges: Vec<(u16, u16)> = Vec::new();
    for &port in ports {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == port => *last = port,
            _ => ranges.push((port, port)),
        }
    }
    let text = |(first, last)| {
        if first == last {
            format!("{first}")
        } else {
            format!("{first}-{last}")
        }
    };
    ranges.into_iter().map(text).collect()
}

fn failed(action: &'static str) -> impl FnOnce(io::Error) -> ReservedPortsError {
    move |source| ReservedPortsError { action, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_and_written() {
        for list in ["", "80", "80,443", "1-3,5,7-65535", "65535"] {
            assert_eq!(format(&parse(list)), list);
            assert_eq!(format(&parse(&format!("{list}\n"))), list);
        }
        assert_eq!(format(&parse("2,1,3-4")), "1-4");
    }
}
