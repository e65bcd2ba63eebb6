//! nfnetlink: messages of netfilter's subsystems (net/netfilter/nfnetlink.c, v6.18), their attributes
//! as bytes. Who sends one knows what is in it.

use std::convert::Infallible;
use std::io;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader, NetlinkSerializable, NlaBuffer,
    NlasIterator,
};
use netlink_sys::protocols::NETLINK_NETFILTER;

use super::Netlink;

/// `sizeof(struct nfgenmsg)` (include/uapi/linux/netfilter/nfnetlink.h, v6.18): family, version 0,
/// and a resource id, which is 0.
const HEADER_BYTES: usize = 4;

/// A message of one subsystem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetfilterMessage {
    /// Number of the subsystem, and in the low byte that of the message in it.
    pub kind: u16,
    /// `NFPROTO_*`.
    pub family: u8,
    /// Its attributes.
    pub attributes: Attributes,
}

/// Attributes, one after the other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes(Vec<u8>);

impl Attributes {
    /// Attributes of text: number and text of each.
    pub fn of_text(texts: &[(u16, &str)]) -> Self {
        let mut attributes = Self::default();
        for (kind, text) in texts {
            attributes.push(*kind, &Self([text.as_bytes(), &[0]].concat()));
        }
        attributes
    }

    /// A value.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// The values with this number.
    pub fn all(&self, kind: u16) -> impl Iterator<Item = Self> {
        let attributes = NlasIterator::new(self.0.as_slice()).map_while(Result::ok);
        let wanted = attributes.filter(move |attribute| attribute.kind() == kind);
        wanted.map(|attribute: NlaBuffer<&[u8]>| Self(attribute.value().to_vec()))
    }

    /// The first value with this number.
    pub fn first(&self, kind: u16) -> Option<Self> {
        self.all(kind).next()
    }

    /// Adds one, a value or attributes again.
    pub fn push(&mut self, kind: u16, value: &Self) {
        let length = u16::try_from(4 + value.0.len()).expect("attributes are short");
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(&value.0);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    /// A value as it is.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// A value that is text, without the zeros at its end.
    pub fn text(&self) -> Option<&str> {
        let text = self.0.split(|byte| *byte == 0).next()?;
        str::from_utf8(text).ok()
    }
}

/// A socket for them, in the namespace of the thread that opened it.
#[derive(Debug)]
pub struct Netfilter(Netlink);

impl Netfilter {
    /// Opens one.
    pub fn open() -> io::Result<Self> {
        Netlink::connect(NETLINK_NETFILTER).map(Self)
    }

    /// Asks for a change and waits for the kernel's word on it.
    pub fn change(&mut self, message: &NetfilterMessage) -> io::Result<()> {
        let flags = NLM_F_REQUEST | NLM_F_ACK;
        self.0.exchange(message.clone(), flags).map(drop)
    }

    /// Asks for one object.
    pub fn read(&mut self, message: &NetfilterMessage) -> io::Result<Vec<NetfilterMessage>> {
        let flags = NLM_F_REQUEST | NLM_F_ACK;
        self.0.exchange(message.clone(), flags)
    }

    /// Asks for all objects that a message selects.
    pub fn dump(&mut self, message: &NetfilterMessage) -> io::Result<Vec<NetfilterMessage>> {
        self.0.dump(message)
    }
}

impl NetlinkSerializable for NetfilterMessage {
    fn message_type(&self) -> u16 {
        self.kind
    }

    fn buffer_len(&self) -> usize {
        HEADER_BYTES + self.attributes.0.len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        let (header, attributes) = buffer.split_at_mut(HEADER_BYTES);
        header.copy_from_slice(&[self.family, 0, 0, 0]);
        attributes.copy_from_slice(&self.attributes.0);
    }
}

impl NetlinkDeserializable for NetfilterMessage {
    type Error = Infallible;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, Infallible> {
        Ok(Self {
            kind: header.message_type,
            family: payload.first().copied().unwrap_or_default(),
            attributes: Attributes(payload.get(HEADER_BYTES..).unwrap_or_default().to_vec()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_written_and_found() {
        let attributes = Attributes::of_text(&[(1, "bridge_user"), (2, "a"), (2, "bcd")]);
        assert_eq!(attributes.0.len() % 4, 0);
        assert_eq!(attributes.first(1).unwrap().text(), Some("bridge_user"));
        let twos: Vec<_> = attributes.all(2).collect();
        assert_eq!(
            twos.iter().map(Attributes::text).collect::<Vec<_>>(),
            [Some("a"), Some("bcd")]
        );
        assert_eq!(attributes.first(3), None);
    }

    #[test]
    fn an_attribute_that_is_cut_off_is_none() {
        let mut attributes = Attributes::of_text(&[(1, "bridge_user")]);
        attributes.0.truncate(8);
        assert_eq!(attributes.first(1), None);
    }
}
