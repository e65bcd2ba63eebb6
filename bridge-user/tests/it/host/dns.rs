//! Questions, by dig(1): the second witness of every name.

use std::fs::File;
use std::io;
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use nix::sched::{CloneFlags, setns};

use super::Host;

/// What dig says of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dug {
    /// NOERROR, NXDOMAIN, ...; empty without any answer.
    pub(crate) status: String,
    /// Data of the answer section, in its order.
    pub(crate) answers: Vec<String>,
    /// Flags of the header.
    pub(crate) flags: Vec<String>,
    pub(crate) text: String,
}

impl Dug {
    /// Its answers, sorted.
    pub(crate) fn sorted(&self) -> Vec<String> {
        let mut answers = self.answers.clone();
        answers.sort();
        answers
    }
}

impl Host {
    /// Asks from a namespace, once; the words are dig's, a `@SERVER` among them.
    #[track_caller]
    pub(crate) fn dig(&self, netns: &str, words: &str) -> Dug {
        let options = "+time=6 +tries=1 +noquestion +nostats";
        let ran = self.exec(netns, &format!("dig {options} {words}")).run();
        parse(&ran.stdout)
    }

    /// Asks from the host itself.
    #[track_caller]
    pub(crate) fn dig_here(&self, words: &str) -> Dug {
        let ran = self.call(&format!("dig +time=6 +tries=1 {words}")).run();
        parse(&ran.stdout)
    }

    /// A datagram socket inside a named namespace, which waits no longer than a second.
    #[track_caller]
    pub(crate) fn socket_in(&self, netns: &str) -> UdpSocket {
        let socket = self.within(netns, || UdpSocket::bind("0.0.0.0:0"));
        let timeout = socket.set_read_timeout(Some(Duration::from_secs(1)));
        timeout.expect("it is no zero");
        socket
    }

    /// A connection to port 53 of a server, from a named namespace.
    #[track_caller]
    pub(crate) fn connection_in(&self, netns: &str, server: &str) -> TcpStream {
        self.within(netns, || TcpStream::connect((server, 53)))
    }

    /// Runs a closure in a named namespace, on a thread of its own.
    #[track_caller]
    pub(crate) fn within<T: Send>(
        &self,
        netns: &str,
        work: impl FnOnce() -> io::Result<T> + Send,
    ) -> T {
        self.inside(|| {
            let path = format!("/run/netns/{netns}");
            let file = File::open(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
            setns(file, CloneFlags::CLONE_NEWNET).expect("root enters a namespace");
            work().unwrap_or_else(|e| panic!("in {netns}: {e}"))
        })
    }

    /// Makes the host's resolv.conf have these nameservers.
    #[track_caller]
    pub(crate) fn set_nameservers(&self, addresses: &[&str]) {
        let lines = addresses
            .iter()
            .map(|address| format!("nameserver {address}\\n"));
        let script = format!("printf '{}' >/run/resolv.new", lines.collect::<String>());
        self.call("sh -c").arg(&script).ok();
        // As tools do that write it: a new file in its place.
        self.call("cp --remove-destination /run/resolv.new /etc/resolv.conf")
            .ok();
    }
}

fn parse(text: &str) -> Dug {
    let after = |line: &str, what: &str| {
        let (_, rest) = line.split_once(what)?;
        Some(rest.split([',', ';']).next()?.trim().to_owned())
    };
    let header = |what| {
        text.lines()
            .find_map(|line| after(line, what))
            .unwrap_or_default()
    };
    let section = text
        .lines()
        .skip_while(|line| *line != ";; ANSWER SECTION:")
        .skip(1);
    let data = section
        .take_while(|line| !line.is_empty())
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().skip(4).collect();
            (!words.is_empty()).then(|| words.join(" "))
        });
    Dug {
        status: header("status: "),
        answers: data.collect(),
        flags: header("flags: ")
            .split_whitespace()
            .map(str::to_owned)
            .collect(),
        text: text.to_owned(),
    }
}
