//! What matches of TCP's flags say of segments that pass by: those have ACK (RFC 9293, 3.1), nothing that begins
//! or ends a connection, and any of the others.

use serde_json::Value;

const ACK: u8 = 1 << 4;
/// FIN, SYN and RST.
const ENDS: u8 = 1 << 0 | 1 << 1 | 1 << 2;

/// Each flag's word, from the lowest bit up.
const WORDS: [&str; 8] = ["fin", "syn", "rst", "psh", "ack", "urg", "ecn", "cwr"];

/// Whether an expression is the flags, or some of them.
pub(super) fn is_flags(expression: &Value) -> bool {
    let payload = match expression.get("&") {
        Some(parts) => &parts[0]["payload"],
        None => &expression["payload"],
    };
    payload["protocol"] == "tcp" && payload["field"] == "flags" && payload.get("tunnel").is_none()
}

/// Whether such an expression is the same of all segments that pass by.
pub(super) fn is_same(expression: &Value) -> bool {
    mask(expression).is_some_and(|mask| mask & !(ACK | ENDS) == 0)
}

/// Whether a match takes the segments that pass by; `None`: some of them, or it is not understood.
pub(super) fn takes(asked: &Value) -> Option<bool> {
    let mask = mask(&asked["left"])?;
    let right = &asked["right"];
    let values: Vec<u8> = match right["set"].as_array() {
        Some(set) => set.iter().map(bits).collect::<Option<_>>()?,
        None => vec![bits(right)?],
    };
    let operator = asked["op"].as_str()?;
    let is_taken = |segment: u8| {
        let has = segment & mask;
        let is_one = values.contains(&has);
        let has_some = values.iter().any(|value| has & value != 0);
        match operator {
            "==" => Some(is_one),
            "!=" => Some(!is_one),
            "in" => Some(has_some),
            "!" => Some(!has_some),
            _ => None,
        }
    };
    let all = (0..=u8::MAX).filter(|flags| flags & (ACK | ENDS) == ACK);
    let mut taken = all.map(is_taken);
    let first = taken.next()??;
    taken.all(|next| next == Some(first)).then_some(first)
}

/// Which flags an expression is of.
fn mask(expression: &Value) -> Option<u8> {
    match expression.get("&") {
        Some(parts) => bits(&parts[1]),
        None => Some(u8::MAX),
    }
}

/// Flags by their words, or as a number.
fn bits(value: &Value) -> Option<u8> {
    let all = |values: &Vec<Value>| {
        let each: Option<Vec<u8>> = values.iter().map(bits).collect();
        each.map(|each| each.iter().fold(0, |all, one| all | one))
    };
    match value {
        Value::String(word) => {
            let at = WORDS.iter().position(|known| known == word)?;
            Some(1 << at)
        }
        Value::Number(number) => number.as_u64()?.try_into().ok(),
        Value::Array(values) => all(values),
        Value::Object(object) => all(object.get("|")?.as_array()?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_passes_by_has_ack_and_perhaps_psh() {
        let flags = json!({"payload": {"protocol": "tcp", "field": "flags"}});
        let masked = |mask: Value| json!({"&": [flags, mask]});
        let all = json!(["fin", "syn", "rst", "psh", "ack", "urg"]);
        let ends = json!({"|": [{"|": ["fin", "syn"]}, {"|": ["rst", "ack"]}]});
        for (left, op, right, expected) in [
            (flags.clone(), "in", json!("urg"), None),
            (flags.clone(), "in", json!(["syn", "ack"]), Some(true)),
            (flags.clone(), "in", json!(["syn", "rst"]), Some(false)),
            (flags.clone(), "==", json!("ack"), None),
            (flags.clone(), "==", json!("syn"), Some(false)),
            (flags.clone(), "!=", json!("syn"), Some(true)),
            (flags.clone(), "!", json!("psh"), None),
            (flags.clone(), "!", all.clone(), Some(false)),
            (
                flags.clone(),
                "==",
                json!({"set": ["syn", "fin"]}),
                Some(false),
            ),
            (flags.clone(), "==", json!({"set": ["syn", "ack"]}), None),
            (masked(all.clone()), "==", json!(0), Some(false)),
            (
                masked(all.clone()),
                "==",
                json!(["fin", "psh", "urg"]),
                Some(false),
            ),
            (masked(all.clone()), "==", json!(["psh", "ack"]), None),
            (masked(all), "==", json!("ack"), None),
            (masked(ends.clone()), "==", json!("ack"), Some(true)),
            (masked(ends.clone()), "!=", json!("syn"), Some(true)),
            (masked(ends), "<", json!("syn"), None),
            (masked(json!("unheard-of")), "==", json!(0), None),
        ] {
            let asked = json!({"left": left, "op": op, "right": right});
            assert_eq!(takes(&asked), expected, "{asked}");
        }
    }
}
