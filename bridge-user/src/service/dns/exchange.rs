//! Asking one nameserver one question: by UDP, and by TCP what does not fit.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use hickory_proto::op::{Message, MessageType, ResponseCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

/// Answers that a server gives without reading the question, or without repeating it.
const FAILURES: [ResponseCode; 4] = [
    ResponseCode::FormErr,
    ResponseCode::ServFail,
    ResponseCode::NotImp,
    ResponseCode::Refused,
];

/// Asks and waits for the answer, as long as it takes. A socket a question: the kernel draws its
/// port, which a forger has to guess besides the id (RFC 5452, 9.2). So each is asked with its own id.
pub(super) async fn ask(server: SocketAddr, mut question: Message) -> io::Result<Message> {
    let answer = ask_once(server, &mut question).await?;
    // One that does not know EDNS may say so (RFC 6891, 6.2.2 and 7).
    if answer.metadata.response_code == ResponseCode::FormErr && question.edns.take().is_some() {
        return ask_once(server, &mut question).await;
    }
    Ok(answer)
}

async fn ask_once(server: SocketAddr, question: &mut Message) -> io::Result<Message> {
    question.metadata.id = Message::query().metadata.id;
    let bytes = question.to_vec().map_err(io::Error::other)?;
    let answer = by_udp(server, question, &bytes).await?;
    if answer.metadata.truncation {
        return by_tcp(server, question, &bytes).await;
    }
    Ok(answer)
}

async fn by_udp(server: SocketAddr, question: &Message, bytes: &[u8]) -> io::Result<Message> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    // Others' datagrams do not reach it, and an ICMP error does.
    socket.connect(server).await?;
    socket.send(bytes).await?;
    let mut buffer = vec![0; 4096];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if let Some(answer) = answer_to(question, &buffer[..length]) {
            return Ok(answer);
        }
    }
}

async fn by_tcp(server: SocketAddr, question: &Message, bytes: &[u8]) -> io::Result<Message> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
    stream
        .write_all(&[&length.to_be_bytes(), bytes].concat())
        .await?;
    let length = stream.read_u16().await?;
    let mut buffer = vec![0; length.into()];
    stream.read_exact(&mut buffer).await?;
    answer_to(question, &buffer)
        .ok_or_else(|| io::Error::other("the answer is to another question"))
}

/// The message, if it answers this question (RFC 5452, 9.1).
fn answer_to(question: &Message, bytes: &[u8]) -> Option<Message> {
    let answer = Message::from_vec(bytes).ok()?;
    // Who fails may not say at what.
    let is_bare_failure =
        answer.queries.is_empty() && FAILURES.contains(&answer.metadata.response_code);
    let fits = answer.metadata.id == question.metadata.id
        && answer.metadata.message_type == MessageType::Response
        && (answer.queries == question.queries || is_bare_failure);
    fits.then_some(answer)
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::Query;
    use hickory_proto::rr::{Name, RecordType};

    use super::*;

    fn message(kind: MessageType, name: &str) -> Message {
        let mut message = Message::query();
        message.metadata.id = 7;
        message.metadata.message_type = kind;
        let name = Name::from_ascii(name).unwrap();
        message.queries.push(Query::query(name, RecordType::A));
        message
    }

    #[test]
    fn an_answer_has_the_id_and_the_question() {
        let question = message(MessageType::Query, "www.example.");
        let response = |name| message(MessageType::Response, name);
        let fits = |answer: &Message| answer_to(&question, &answer.to_vec().unwrap()).is_some();
        assert!(fits(&response("www.example.")));
        assert!(fits(&response("WWW.example.")));
        let mut forged = response("www.example.");
        forged.metadata.id ^= 1;
        assert!(!fits(&forged));
        assert!(!fits(&response("other.example.")));
        assert!(!fits(&message(MessageType::Query, "www.example.")));
        let mut bare = response("www.example.");
        bare.queries.clear();
        assert!(!fits(&bare));
        for (code, expected) in [
            (ResponseCode::FormErr, true),
            (ResponseCode::ServFail, true),
            (ResponseCode::NotImp, true),
            (ResponseCode::Refused, true),
            (ResponseCode::NXDomain, false),
        ] {
            bare.metadata.response_code = code;
            assert_eq!(fits(&bare), expected, "{code}");
        }
        bare.metadata.id ^= 1;
        assert!(!fits(&bare));
        assert!(answer_to(&question, b"no message").is_none());
    }
}
