//! What rules of others ask of flows to published ports.

/// Whether the rules of others decide the same for every packet of a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OthersRules {
    /// They do: what they let through may pass them by.
    LetFlowsPass,
    /// This has to see each packet; somebody reads it.
    SeeEachPacket(String),
}

impl OthersRules {
    /// What it is that has to see each packet; empty for nothing.
    pub fn as_str(&self) -> &str {
        match self {
            Self::LetFlowsPass => "",
            Self::SeeEachPacket(rule) => rule,
        }
    }
}

impl From<String> for OthersRules {
    fn from(rule: String) -> Self {
        if rule.is_empty() {
            Self::LetFlowsPass
        } else {
            Self::SeeEachPacket(rule)
        }
    }
}
