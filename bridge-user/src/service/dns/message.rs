//! Questions in, answers out: bytes to messages and back, with every bad one answered as the
//! standards say, or not at all. Pure.

use std::net::IpAddr;

use hickory_proto::op::{Edns, Message, MessageType, Metadata, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, Record, RecordType};
use hickory_proto::serialize::binary::{BinEncodable as _, BinEncoder};

/// Bytes of a header (RFC 1035, 4.1.1).
const HEADER_BYTES: usize = 12;

/// Largest answer by UDP without EDNS (RFC 1035, 4.2.1).
pub(super) const UDP_BYTES: u16 = 512;

/// Largest answer by UDP with it: more may come in fragments (RFC 9715, 3.2).
pub(super) const UDP_EDNS_BYTES: u16 = 1232;

/// A question that can be answered.
#[derive(Debug, Clone)]
pub(super) struct Question {
    metadata: Metadata,
    pub(super) query: Query,
    edns: Option<Edns>,
}

impl Question {
    /// Reads a question, or gives the answer to what is none; `None` where there should be none.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Option<Box<Message>>> {
        let header: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or(None)?;
        let id = u16::from_be_bytes([header[0], header[1]]);
        // QR: an answer to an answer would go on for ever.
        if header[2] & 0x80 != 0 {
            return Err(None);
        }
        let op_code = OpCode::from_u8(header[2] >> 3 & 0xf);
        let refuse = |code| Err(Some(Box::new(Message::error_msg(id, op_code, code))));
        if op_code != OpCode::Query {
            return refuse(ResponseCode::NotImp);
        }
        // One question, nothing that belongs into an answer (RFC 9619); so what the header counts
        // cannot make us set memory aside.
        let count = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        if (count(4), count(6), count(8)) != (1, 0, 0) || count(10) > 8 {
            return refuse(ResponseCode::FormErr);
        }
        let Ok(mut message) = Message::from_vec(bytes) else {
            return refuse(ResponseCode::FormErr);
        };
        let Some(query) = message.queries.pop() else {
            return refuse(ResponseCode::FormErr);
        };
        let question = Self {
            metadata: message.metadata,
            query,
            edns: message.edns,
        };
        if question
            .edns
            .as_ref()
            .is_some_and(|edns| edns.version() != 0)
        {
            return Err(Some(Box::new(question.answer_with(ResponseCode::BADVERS))));
        }
        Ok(question)
    }

    /// Whether the asker wants others to be asked.
    pub(super) fn recursion_desired(&self) -> bool {
        self.metadata.recursion_desired
    }

    /// An answer without records.
    pub(super) fn answer_with(&self, code: ResponseCode) -> Message {
        let mut message = Message::response(self.metadata.id, OpCode::Query);
        message.metadata = Metadata::response_from_request(&self.metadata);
        message.metadata.recursion_available = true;
        message.metadata.response_code = code;
        message.queries.push(self.query.clone());
        message.edns = self.edns.as_ref().map(our_edns);
        message
    }

    /// An answer that nobody knows better.
    pub(super) fn answer_own(&self, records: Vec<Record>) -> Message {
        let mut message = self.answer_with(ResponseCode::NoError);
        message.metadata.authoritative = true;
        message.answers = records;
        message
    }

    /// What tells it from other questions, when these are asked, or the host's nameservers.
    pub(super) fn key(&self, nameservers: Vec<IpAddr>) -> QuestionKey {
        QuestionKey {
            nameservers,
            name: self.query.name().to_lowercase(),
            kind: self.query.query_type(),
            dnssec: self
                .edns
                .as_ref()
                .is_some_and(|edns| edns.flags().dnssec_ok),
            checking_disabled: self.metadata.checking_disabled,
        }
    }

    /// The same question, to others. What else came with it stays here: who asks, for one
    /// (RFC 7871), and cookies that are between two (RFC 7873).
    pub(super) fn for_others(&self) -> Message {
        let mut message = Message::new(0, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.metadata.checking_disabled = self.metadata.checking_disabled;
        message.metadata.authentic_data = self.metadata.authentic_data;
        message.queries.push(self.query.clone());
        message.edns = self.edns.as_ref().map(our_edns);
        message
    }

    /// An answer of others, which is `age_secs` old.
    pub(super) fn answer_of_others(&self, answer: &Message, age_secs: u32) -> Message {
        let mut message = self.answer_with(answer.metadata.response_code);
        message.metadata.authentic_data = answer.metadata.authentic_data;
        let aged = |records: &[Record]| {
            let mut records = records.to_vec();
            for record in &mut records {
                record.ttl = record.ttl.saturating_sub(age_secs);
            }
            records
        };
        message.answers = aged(&answer.answers);
        message.authorities = aged(&answer.authorities);
        message.additionals = aged(&answer.additionals);
        message
    }

    /// Bytes of an answer that the asker takes by UDP.
    pub(super) fn udp_limit(&self) -> u16 {
        let limit = |edns: &Edns| edns.max_payload().clamp(UDP_BYTES, UDP_EDNS_BYTES);
        self.edns.as_ref().map_or(UDP_BYTES, limit)
    }
}

/// What has the same answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct QuestionKey {
    /// Who is asked; none: the host's nameservers.
    pub(super) nameservers: Vec<IpAddr>,
    name: Name,
    kind: RecordType,
    dnssec: bool,
    checking_disabled: bool,
}

/// What we say of ourselves to who says so of itself.
fn our_edns(theirs: &Edns) -> Edns {
    let mut edns = Edns::new();
    edns.set_max_payload(UDP_EDNS_BYTES);
    edns.set_dnssec_ok(theirs.flags().dnssec_ok);
    edns
}

/// Writes an answer in at most so many bytes. One that does not fit says so, and nothing else: what
/// is asked for again by TCP need not come twice.
pub(super) fn write(message: &Message, limit: u16) -> Option<Vec<u8>> {
    let bytes = emit(message, limit)?;
    let is_cut = |bytes: &[u8]| bytes.get(2).is_some_and(|flags| flags & 0x02 != 0);
    if !is_cut(&bytes) || message.metadata.truncation {
        return Some(bytes);
    }
    let mut short = Message::response(message.metadata.id, OpCode::Query);
    short.metadata = message.metadata;
    short.metadata.truncation = true;
    short.queries.clone_from(&message.queries);
    short.edns.clone_from(&message.edns);
    emit(&short, limit)
}

fn emit(message: &Message, limit: u16) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(UDP_BYTES.into());
    let mut encoder = BinEncoder::new(&mut bytes);
    encoder.set_max_size(limit);
    match message.emit(&mut encoder) {
        Ok(()) => Some(bytes),
        Err(error) => {
            tracing::debug!("an answer cannot be written: {error}");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use hickory_proto::rr::RData;
    use hickory_proto::rr::rdata::A;

    use super::*;

    /// A question for the address of `www.example.`, without EDNS.
    fn bytes() -> Vec<u8> {
        let mut message = Message::query();
        let name = Name::from_ascii("www.example.").unwrap();
        message.queries.push(Query::query(name, RecordType::A));
        message.to_vec().unwrap()
    }

    fn question() -> Question {
        Question::read(&bytes()).unwrap()
    }

    fn records(count: u8) -> Vec<Record> {
        let name = Name::from_ascii("www.example.").unwrap();
        let record = |n| {
            let data = RData::A(A(Ipv4Addr::new(198, 51, 100, n)));
            Record::from_rdata(name.clone(), 60, data)
        };
        (0..count).map(record).collect()
    }

    #[test]
    fn what_is_no_question_has_no_answer_or_says_why() {
        let with = |at: usize, value: u8| {
            let mut bytes = bytes();
            bytes[at] = value;
            bytes
        };
        for nothing in [vec![], vec![0; 11], with(2, 0x81), with(2, 0x80)] {
            assert_eq!(Question::read(&nothing).err(), Some(None), "{nothing:?}");
        }
        for (bad, code) in [
            // Opcodes IQUERY and UPDATE.
            (with(2, 1 << 3), ResponseCode::NotImp),
            (with(2, 5 << 3), ResponseCode::NotImp),
            // Questions: none, two; an answer; an authority; more than can be.
            (with(5, 0), ResponseCode::FormErr),
            (with(5, 2), ResponseCode::FormErr),
            (with(7, 1), ResponseCode::FormErr),
            (with(9, 1), ResponseCode::FormErr),
            (with(10, 1), ResponseCode::FormErr),
            (with(11, 9), ResponseCode::FormErr),
            (bytes()[..20].to_vec(), ResponseCode::FormErr),
        ] {
            let refusal = Question::read(&bad).unwrap_err().unwrap();
            assert_eq!(refusal.metadata.response_code, code, "{bad:?}");
            assert_eq!(refusal.metadata.id.to_be_bytes(), bad[..2]);
            assert_eq!(refusal.metadata.message_type, MessageType::Response);
        }
    }

    /// The same question with an OPT record of this version and payload (RFC 6891, 6.1.2).
    fn with_edns(version: u8, payload: u16) -> Vec<u8> {
        let mut bytes = bytes();
        bytes[11] = 1;
        let [high, low] = payload.to_be_bytes();
        bytes.extend([0, 0, 41, high, low, 0, version, 0, 0, 0, 0]);
        bytes
    }

    #[test]
    fn edns_of_another_version_is_refused_and_payloads_are_bounded() {
        let refusal = Question::read(&with_edns(1, 1232)).unwrap_err().unwrap();
        assert_eq!(refusal.metadata.response_code, ResponseCode::BADVERS);
        assert_eq!(question().udp_limit(), 512);
        for (payload, limit) in [(0, 512), (600, 600), (4096, 1232)] {
            let question = Question::read(&with_edns(0, payload)).unwrap();
            assert_eq!(question.udp_limit(), limit);
            assert!(question.answer_own(Vec::new()).edns.is_some());
        }
        assert!(question().answer_own(Vec::new()).edns.is_none());
    }

    #[test]
    fn what_is_asked_of_others_is_the_question_alone() {
        let mut asked = with_edns(0, 4096);
        // An option of the asker's: its subnet (RFC 7871).
        let length = asked.len();
        asked[length - 1] = 8;
        asked.extend([0, 8, 0, 4, 0, 1, 0, 0]);
        let question = Question::read(&asked).unwrap();
        let others = question.for_others();
        assert_eq!(others.queries, std::slice::from_ref(&question.query));
        let edns = others.edns.unwrap();
        assert!(edns.options().as_ref().is_empty(), "{edns:?}");
        assert!(others.metadata.recursion_desired);
    }

    #[test]
    fn answers_grow_old() {
        let mut answer = question().answer_own(Vec::new());
        answer.answers = records(2);
        let aged = question().answer_of_others(&answer, 25);
        assert!(aged.answers.iter().all(|record| record.ttl == 35));
        let aged = question().answer_of_others(&answer, 61);
        assert!(aged.answers.iter().all(|record| record.ttl == 0));
        assert!(!aged.metadata.authoritative && aged.metadata.recursion_available);
    }

    #[test]
    fn nameservers_tell_questions_apart() {
        let given = ["192.0.2.1".parse().unwrap()];
        assert_eq!(question().key(vec![]), question().key(vec![]));
        assert_ne!(question().key(vec![]), question().key(given.into()));
    }

    #[test]
    fn what_does_not_fit_says_so_and_nothing_else() {
        let mut answer = question().answer_own(records(20));
        let whole = write(&answer, 512).unwrap();
        assert_eq!(Message::from_vec(&whole).unwrap().answers.len(), 20);
        answer.answers = records(100);
        let cut = write(&answer, 512).unwrap();
        assert!(cut.len() <= 512);
        let cut = Message::from_vec(&cut).unwrap();
        assert!(cut.metadata.truncation && cut.answers.is_empty());
        assert_eq!(cut.queries, answer.queries);
        assert_eq!(write(&answer, u16::MAX).unwrap()[2] & 0x02, 0);
    }
}
