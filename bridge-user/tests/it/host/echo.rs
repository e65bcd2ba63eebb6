//! A server inside a sandbox that tells who asks which address it came from.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::Host;

/// How long a thread waits before it looks whether to stop.
const LOOK: Duration = Duration::from_millis(20);

/// A server, until it is dropped.
pub(crate) struct Echo {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Host {
    /// Starts one in a named namespace, of both families: by TCP it speaks HTTP, by UDP it answers each
    /// datagram.
    #[track_caller]
    pub(crate) fn echo(&self, netns: &str, port: u16) -> Echo {
        let (tcp, udp) = self.within(netns, || {
            let tcp = TcpListener::bind(("::", port))?;
            tcp.set_nonblocking(true)?;
            let udp = UdpSocket::bind(("::", port))?;
            udp.set_read_timeout(Some(LOOK))?;
            Ok((tcp, udp))
        });
        let stop = Arc::new(AtomicBool::new(false));
        let (tcp_stop, udp_stop) = (Arc::clone(&stop), Arc::clone(&stop));
        let threads = vec![
            thread::spawn(move || serve_tcp(&tcp, &tcp_stop)),
            thread::spawn(move || serve_udp(&udp, &udp_stop)),
        ];
        Echo { stop, threads }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn serve_tcp(listener: &TcpListener, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let Ok((mut stream, from)) = listener.accept() else {
            thread::sleep(LOOK);
            continue;
        };
        let mut exchange = || -> std::io::Result<()> {
            stream.set_nonblocking(false)?;
            stream.set_read_timeout(Some(Duration::from_secs(2)))?;
            let _ = stream.read(&mut [0; 1024])?;
            let from = from.ip().to_canonical();
            write!(stream, "HTTP/1.0 200 OK\r\n\r\n{from}")
        };
        // Who asked may have gone again.
        let _ = exchange();
    }
}

fn serve_udp(socket: &UdpSocket, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        if let Ok((_, from)) = socket.recv_from(&mut [0; 1024]) {
            let told = from.ip().to_canonical().to_string();
            let _ = socket.send_to(told.as_bytes(), from);
        }
    }
}
