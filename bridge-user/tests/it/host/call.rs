//! Commands on a host: started, timed out, and judged.

use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::Host;

/// No command of these tests takes longer.
const TIMEOUT: &str = "60";

/// What `timeout` exits with.
const TIMED_OUT: i32 = 124;

/// A command that is to be run on a host.
#[derive(Debug)]
pub(crate) struct Call<'h> {
    host: &'h Host,
    words: Vec<String>,
    variables: Vec<String>,
}

/// What came of a command.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) command: String,
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A command that runs in the background until it is dropped.
#[derive(Debug)]
pub(crate) struct Running(Option<Child>);

impl<'h> Call<'h> {
    pub(super) fn new(host: &'h Host, words: &str) -> Self {
        let words = words.split_whitespace().map(str::to_owned).collect();
        Self {
            host,
            words,
            variables: Vec::new(),
        }
    }

    /// Adds a word as it is.
    pub(crate) fn arg(mut self, word: &str) -> Self {
        self.words.push(word.into());
        self
    }

    /// Sets an environment variable.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.variables.push(format!("{name}={value}"));
        self
    }

    /// Puts a command that runs another one (setpriv, env, ...) before it.
    pub(crate) fn under(mut self, words: &str) -> Self {
        self.words
            .splice(0..0, words.split_whitespace().map(str::to_owned));
        self
    }

    /// What sets the variables, where there are any.
    fn environment(&self) -> Vec<&str> {
        let variables = self.variables.iter().map(String::as_str);
        let env = (!self.variables.is_empty()).then_some("env");
        env.into_iter().chain(variables).collect()
    }

    fn command(&self, prefix: &[&str]) -> Command {
        let mut words = prefix
            .iter()
            .copied()
            .chain(self.words.iter().map(String::as_str));
        let mut command = Command::new(words.next().expect("a command has a word"));
        command
            .args(words)
            .stdin(Stdio::null())
            .env_remove("BRIDGE_USER_STATE_DIR")
            .env_remove("BRIDGE_USER_CONFIG");
        command
    }

    /// Runs it to its end.
    #[track_caller]
    pub(crate) fn run(&self) -> Ran {
        let mut prefix = vec!["timeout", "--kill-after=2", TIMEOUT];
        prefix.extend(self.environment());
        let mut command = self.command(&prefix);
        let output = self
            .host
            .inside(move || command.output())
            .expect("timeout is there");
        let ran = Ran::new(self.words.join(" "), &output);
        assert_ne!(
            ran.code,
            Some(TIMED_OUT),
            "{} did not end in time: {ran:?}",
            ran.command
        );
        ran
    }

    /// Runs it, expects success, and gives its standard output.
    #[track_caller]
    pub(crate) fn ok(&self) -> String {
        let ran = self.run();
        assert_eq!(ran.code, Some(0), "{ran}");
        ran.stdout
    }

    /// Runs it and expects success and JSON. Tools of the kernel print nothing for an empty list.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        let text = self.ok();
        if text.trim().is_empty() {
            return Value::Array(Vec::new());
        }
        serde_json::from_str(&text)
            .unwrap_or_else(|e| panic!("{} printed no JSON: {e}: {text}", self.words.join(" ")))
    }

    /// Runs it and expects a refusal in the form that every error has.
    #[track_caller]
    pub(crate) fn fails_with(&self, code: i32, parts: &[&str]) -> Ran {
        let ran = self.run();
        ran.assert_failure(code, parts);
        ran
    }

    /// Runs it and expects that its words are refused before anything is done.
    #[track_caller]
    pub(crate) fn fails_with_usage(&self) {
        let ran = self.run();
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{ran}");
        assert!(ran.stderr.contains("error: "), "{ran}");
    }

    /// Starts it in the background.
    pub(crate) fn spawn(&self) -> Running {
        self.spawn_over(Stdio::piped())
    }

    /// Starts it in the background with this as its standard input.
    pub(crate) fn spawn_over(&self, stdin: Stdio) -> Running {
        let mut command = self.command(&self.environment());
        command
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let started = self.host.inside(move || command.spawn());
        Running(Some(
            started.unwrap_or_else(|e| panic!("{}: {e}", self.words.join(" "))),
        ))
    }
}

impl Ran {
    fn new(command: String, output: &Output) -> Self {
        Self {
            command,
            code: output.status.code(),
            signal: output.status.signal(),
            stdout: String::from_utf8_lossy(&output.stdout).into(),
            stderr: String::from_utf8_lossy(&output.stderr).into(),
        }
    }

    /// One `error: ` line that has all the parts, nothing on standard output.
    #[track_caller]
    pub(crate) fn assert_failure(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, Some(code), "{self}");
        // What was wrong before the command is told first, and stands in nobody's way.
        let is_warning = |line: &&str| line.starts_with("warning: ");
        let mut lines = self.stderr.lines().skip_while(is_warning);
        let first = lines.next().unwrap_or_default();
        assert!(
            first.starts_with("error: "),
            "the first line is no error: {self}"
        );
        let errors = self
            .stderr
            .lines()
            .filter(|line| line.starts_with("error: "))
            .count();
        assert_eq!(errors, 1, "{self}");
        for part in parts {
            assert!(self.stderr.contains(part), "{part:?} is not named: {self}");
        }
        assert_eq!(self.stdout, "", "{self}");
    }

    /// Whether the process killed itself, as a fault point does.
    pub(crate) fn was_killed(&self) -> bool {
        self.signal == Some(libc::SIGKILL)
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            f,
            "`{}`: code {:?}, signal {:?}",
            self.command, self.code, self.signal
        )?;
        writeln!(f, "stdout: {}", self.stdout)?;
        write!(f, "stderr: {}", self.stderr)
    }
}

impl Running {
    /// Reads standard error until a line has this, and gives the line; what is read is not given again.
    #[track_caller]
    pub(crate) fn wait_for_error_line(&mut self, part: &str) -> String {
        let child = self.0.as_mut().expect("it is taken only when it ends");
        let stderr = child.stderr.as_mut().expect("it is piped");
        let mut line = Vec::new();
        let mut byte = [0];
        // A byte at a time: what follows the line stays in the pipe.
        while stderr.read(&mut byte).expect("a pipe is readable") == 1 {
            line.push(byte[0]);
            if byte[0] == b'\n' {
                let text = String::from_utf8_lossy(&line);
                if text.contains(part) {
                    return text.into();
                }
                line.clear();
            }
        }
        panic!("it ended without saying {part:?}");
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let child = self.0.as_ref().expect("it is taken only when it ends");
        send(child, signal);
    }

    /// Ends it by a signal and gives what came of it.
    pub(crate) fn end(mut self, signal: Signal) -> Ran {
        let child = self.0.take().expect("it is taken only when it ends");
        send(&child, signal);
        let output = child.wait_with_output().expect("the process is our child");
        Ran::new("a command in the background".into(), &output)
    }

    /// Ends it politely and gives what it printed.
    pub(crate) fn stop(mut self) -> String {
        let child = self.0.take().expect("it is taken only here and in drop");
        send(&child, Signal::SIGTERM);
        self::wait(child)
    }

    /// Writes to its standard input.
    pub(crate) fn write(&mut self, text: &str) {
        use std::io::Write as _;

        let child = self.0.as_mut().expect("it is taken only at its end");
        let stdin = child.stdin.as_mut().expect("it is piped");
        stdin.write_all(text.as_bytes()).expect("it reads");
    }

    /// Ends its standard input, and waits for its own end.
    pub(crate) fn stop_input(mut self) -> Ran {
        let child = self.0.as_mut().expect("it is taken only at its end");
        drop(child.stdin.take());
        self.ended()
    }

    /// Waits for its own end and gives what came of it.
    pub(crate) fn ended(mut self) -> Ran {
        let child = self.0.take().expect("it is taken only here and in drop");
        let output = child.wait_with_output().expect("the process is our child");
        Ran::new("in the background".into(), &output)
    }

    /// Waits for its own end and gives what it printed.
    pub(crate) fn wait(mut self) -> String {
        wait(self.0.take().expect("it is taken only here and in drop"))
    }
}

fn wait(child: Child) -> String {
    let output = child.wait_with_output().expect("the process is our child");
    String::from_utf8_lossy(&output.stdout).into()
}

fn send(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id()).expect("process ids are positive i32");
    let _ = kill(Pid::from_raw(pid), signal);
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
