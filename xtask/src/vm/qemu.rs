//! The machine itself: started, listened to, ended.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::kernel::Kernel;

/// Longer than the tests take on two slow CPUs; a machine that still runs then hangs.
const TIMEOUT: Duration = Duration::from_mins(45);

/// Lines that are repeated when something went wrong.
const TAIL: usize = 40;

/// How `init.sh` begins its last line.
const RESULT: &str = "vm-test: the tests ended with ";

/// How the machine ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The tests' exit code.
    Code(i32),
    /// It ended without a word: a panic, or no image.
    Silent,
    TimedOut,
}

/// Boots the kernel with the image; anything but tests that say that they passed is an error.
pub(super) fn run(directory: &Path, kernel: &Kernel, image: &Path) -> Result<()> {
    let path = directory.join(format!("{}.log", kernel.release));
    let mut log =
        File::create(&path).with_context(|| format!("failed to create {}", path.display()))?;
    let mut machine = command(kernel, image)
        .spawn()
        .context("failed to start qemu")?;
    let stdout = machine.stdout.take().context("the console is piped")?;
    let mut lines = Vec::new();
    let end = listen(stdout, &mut lines, &mut log);
    stop(&mut machine)?;
    match end? {
        End::Code(0) => Ok(()),
        end => {
            let tail = lines[lines.len().saturating_sub(TAIL)..].join("\n");
            let what = match end {
                End::Code(code) => format!("the tests ended with {code}"),
                End::Silent => "the machine ended before the tests did".to_owned(),
                End::TimedOut => format!("no end within {} minutes", TIMEOUT.as_secs() / 60),
            };
            bail!(
                "kernel {}: {what}; {} ends:\n{tail}",
                kernel.release,
                path.display()
            )
        }
    }
}

/// Emulation without KVM: the same everywhere.
fn command(kernel: &Kernel, image: &Path) -> Command {
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.args([
        "-accel",
        "tcg,thread=multi",
        "-cpu",
        "max",
        "-smp",
        "2",
        "-m",
        "2048",
    ])
    .args([
        "-display",
        "none",
        "-monitor",
        "none",
        "-nic",
        "none",
        "-no-reboot",
    ])
    .args(["-serial", "stdio", "-kernel"])
    .arg(&kernel.vmlinuz)
    .arg("-initrd")
    .arg(image)
    .args(["-append", "console=ttyS0 quiet panic=-1 mitigations=off"])
    .stdin(Stdio::null())
    .stdout(Stdio::piped());
    qemu
}

/// Passes the console on, line by line, until the machine ends or its time is over.
fn listen(console: ChildStdout, lines: &mut Vec<String>, log: &mut File) -> Result<End> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(console).split(b'\n').map_while(Result::ok) {
            // Nobody listens any more: the machine is being ended.
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match receiver.recv_timeout(left) {
            Ok(line) => {
                let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                eprintln!("{line}");
                writeln!(log, "{line}").context("failed to write the log")?;
                lines.push(line);
            }
            Err(RecvTimeoutError::Timeout) => return Ok(End::TimedOut),
            Err(RecvTimeoutError::Disconnected) => return Ok(result(lines)),
        }
    }
}

/// What the last line that tells a result says.
fn result(lines: &[String]) -> End {
    let code = lines
        .iter()
        .rev()
        .find_map(|line| line.strip_prefix(RESULT));
    code.and_then(|code| code.parse().ok())
        .map_or(End::Silent, End::Code)
}

fn stop(machine: &mut Child) -> Result<()> {
    // One that has ended by itself is content with it.
    machine.kill().context("failed to end qemu")?;
    machine.wait().context("qemu was lost")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    //! How a run is read.

    use super::{End, result};

    #[test]
    fn only_a_line_that_says_so_is_a_result() {
        let read =
            |lines: &[&str]| result(&lines.iter().map(|&l| l.to_owned()).collect::<Vec<_>>());
        assert_eq!(
            read(&["ok", "vm-test: the tests ended with 0"]),
            End::Code(0)
        );
        assert_eq!(
            read(&["vm-test: the tests ended with 101", ""]),
            End::Code(101)
        );
        assert_eq!(read(&["test a ... ok", "Kernel panic"]), End::Silent);
        assert_eq!(read(&[]), End::Silent);
    }
}
