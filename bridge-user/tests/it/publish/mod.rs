//! Published ports: from outside, from the host, from endpoints of all networks, and who may not.

mod chosen;
mod flows;
mod flows_clsact;
mod flows_judged;
mod flows_links;
pub(crate) mod flows_rules;
mod flows_tracked;
mod given;
mod hairpin;
mod hairpin_odd;
mod internal;
mod kept;
mod outside;
mod pins;
mod refused;
mod shadow;
mod udp;

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use nix::sys::socket::sockopt::{ReceiveTimeout, ReuseAddr};
use nix::sys::socket::{
    self, AddressFamily, SockFlag, SockType, SockaddrStorage, bind, setsockopt, socket,
};
use nix::sys::time::{TimeVal, TimeValLike as _};
use serde_json::Value;

use crate::host::{Host, Running, wait_until};

/// What the servers serve.
const WWW: &str = "/run/www";

/// A web server in a namespace, that says who asks it: /cgi-bin/who.
#[track_caller]
pub(crate) fn serve(host: &Host, netns: &str, port: u16) -> Running {
    host.inside(|| {
        let script = format!("{WWW}/cgi-bin/who");
        fs::create_dir_all(format!("{WWW}/cgi-bin")).expect("/run is the host's");
        fs::write(format!("{WWW}/index.html"), "hello\n").expect("it is there");
        fs::write(&script, "#!/bin/sh\necho\necho $REMOTE_ADDR\n").expect("it is there");
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&script, executable).expect("it is ours");
    });
    let httpd = format!("busybox httpd -f -p {port} -h {WWW}");
    let server = host.exec(netns, &httpd).spawn();
    wait_until("the web server listens", || {
        let listening = host
            .exec(netns, "ss -Hltn")
            .arg(&format!("sport = :{port}"));
        !listening.run().stdout.is_empty()
    });
    server
}

/// Who a web server takes a client in a namespace for, or the host where there is none; `None` where
/// there is no answer.
pub(crate) fn who(host: &Host, netns: Option<&str>, at: &str) -> Option<String> {
    let curl = format!("curl -s -m 2 http://{at}/cgi-bin/who");
    let ran = match netns {
        Some(netns) => host.exec(netns, &curl).run(),
        None => host.call(&curl).run(),
    };
    let text = ran.stdout.trim().trim_matches(['[', ']']);
    let text = text.trim_start_matches("::ffff:").to_owned();
    (ran.code == Some(0)).then_some(text)
}

/// A server in a namespace that answers each datagram with the address that it came from.
struct UdpServer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl UdpServer {
    #[track_caller]
    fn start(host: &Host, netns: &str, port: u16) -> Self {
        let socket = host.inside(|| {
            let netns = File::open(format!("/run/netns/{netns}")).expect("it was made");
            setns(netns, CloneFlags::CLONE_NEWNET).expect("root enters a namespace");
            UdpSocket::bind(("::", port)).expect("the port is free there")
        });
        let timeout = Some(Duration::from_millis(50));
        socket.set_read_timeout(timeout).expect("it is no zero");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut bytes = [0; 100];
            while !stopped.load(Ordering::Relaxed) {
                if let Ok((_, from)) = socket.recv_from(&mut bytes) {
                    let answer = from.ip().to_canonical().to_string();
                    let _ = socket.send_to(answer.as_bytes(), from);
                }
            }
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for UdpServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// What netcat in a namespace, or on the host, is answered by UDP; empty without an answer.
fn say(host: &Host, netns: Option<&str>, address: &str, port: u16) -> String {
    let words = format!("echo who | nc -u -w 1 {address} {port}");
    let call = match netns {
        Some(netns) => host.exec(netns, "sh -c").arg(&words),
        None => host.call("sh -c").arg(&words),
    };
    call.run().stdout
}

/// A connection from a port of the caller's choice, which others may use, too.
fn connect_from(port: u16, to: &str) -> io::Result<TcpStream> {
    let to: SocketAddr = to.parse().expect("it is an address and a port");
    let family = if to.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    };
    let any: SocketAddr = if to.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, port).into()
    } else {
        (Ipv6Addr::UNSPECIFIED, port).into()
    };
    let socket = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&socket, ReuseAddr, &true)?;
    setsockopt(&socket, ReceiveTimeout, &TimeVal::seconds(2))?;
    bind(socket.as_raw_fd(), &SockaddrStorage::from(any))?;
    socket::connect(socket.as_raw_fd(), &SockaddrStorage::from(to))?;
    Ok(socket.into())
}

/// One of the host's addresses with a port, as in a URL.
pub(crate) fn url(address: &str, port: u16) -> String {
    if address.contains(':') {
        format!("[{address}]:{port}")
    } else {
        format!("{address}:{port}")
    }
}

/// Makes a namespace and connects it to a network: options, network and name.
#[track_caller]
pub(crate) fn publish(host: &Host, arguments: &str) -> Value {
    let name = arguments.split_whitespace().last().unwrap_or_default();
    host.netns(name);
    connect(host, arguments)
}

/// The same for a namespace that is there.
#[track_caller]
fn connect(host: &Host, arguments: &str) -> Value {
    host.bridge_user(&format!("net connect --format json {arguments}"))
        .json()
}

/// Elements of a set or map of our table, as nft tells them.
#[track_caller]
fn elements(host: &Host, kind: &str, name: &str) -> Vec<Value> {
    let listed = host
        .call(&format!("nft -j list {kind} inet bridge_user {name}"))
        .json();
    let found = listed["nftables"].as_array().and_then(|entries| {
        let set = entries.iter().find_map(|entry| entry.get(kind))?;
        set["elem"].as_array().cloned()
    });
    found.unwrap_or_default()
}
