//! The part of Go's templates (text/template) that Docker's users type after `--format`:
//! `{{.Field}}`, `{{.A.B}}`, `{{json .X}}`, `{{.}}`, `\t` and `\n`.

use serde_json::Value;

/// A template, read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Field { path: Vec<String>, json: bool },
}

/// Why a template cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum TemplateError {
    /// An opening without its end.
    #[error("format template is invalid: {{{{ without }}}} in {0:?}")]
    Unclosed(String),
    /// Something else than a field, or `json` and a field.
    #[error("format template is invalid: {{{{{0}}}}} is neither .FIELD nor json .FIELD")]
    Action(String),
    /// The data has no such field.
    #[error("format template is invalid: there is no field .{0}")]
    Field(String),
}

impl Template {
    pub(super) fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find("{{") {
            push_text(&mut parts, &rest[..open]);
            let action = &rest[open + 2..];
            let close = action
                .find("}}")
                .ok_or_else(|| TemplateError::Unclosed(rest.into()))?;
            parts.push(field(action[..close].trim())?);
            rest = &action[close + 2..];
        }
        push_text(&mut parts, rest);
        Ok(Self { parts })
    }

    /// The template filled in with `data`, an object. Scalars stand as they are, lists and
    /// objects as JSON.
    pub(super) fn render(&self, data: &Value) -> Result<String, TemplateError> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Field { path, json } => {
                    let value = lookup(data, path)?;
                    match value {
                        Value::String(string) if !json => text.push_str(string),
                        value => text.push_str(&value.to_string()),
                    }
                }
            }
        }
        Ok(text)
    }

    /// Upper-case heads of the columns, for `table` templates: those of the command's own table, for
    /// other fields their last names, in words.
    pub(super) fn heads(&self, columns: &[(&str, &str)]) -> String {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Field { path, .. } => {
                    let field = path.last().map_or("", String::as_str);
                    let own = columns.iter().find(|(_, column)| *column == field);
                    text.push_str(&own.map_or_else(|| words(field), |(head, _)| (*head).into()));
                }
            }
        }
        text
    }
}

fn push_text(parts: &mut Vec<Part>, text: &str) {
    if !text.is_empty() {
        parts.push(Part::Text(text.replace("\\t", "\t").replace("\\n", "\n")));
    }
}

fn field(action: &str) -> Result<Part, TemplateError> {
    let refuse = || TemplateError::Action(action.to_owned());
    let (json, path) = match action.strip_prefix("json ") {
        Some(path) => (true, path.trim()),
        None => (false, action),
    };
    let path = path.strip_prefix('.').ok_or_else(refuse)?;
    if path.is_empty() {
        return Ok(Part::Field {
            path: Vec::new(),
            json,
        });
    }
    let path: Vec<String> = path.split('.').map(str::to_owned).collect();
    let valid = |part: &String| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'))
    };
    if path.iter().all(valid) {
        Ok(Part::Field { path, json })
    } else {
        Err(refuse())
    }
}

fn lookup<'v>(data: &'v Value, path: &[String]) -> Result<&'v Value, TemplateError> {
    let mut value = data;
    for part in path {
        value = value
            .get(part)
            .ok_or_else(|| TemplateError::Field(path.join(".")))?;
    }
    Ok(value)
}

/// `CreatedAt` -> `CREATED AT`.
fn words(field: &str) -> String {
    let mut text = String::new();
    let mut previous_lower = false;
    for c in field.chars() {
        if c.is_uppercase() && previous_lower {
            text.push(' ');
        }
        previous_lower = c.is_lowercase();
        text.extend(c.to_uppercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn render(template: &str) -> Result<String, TemplateError> {
        let data = json!({"Name": "web", "IPAM": {"Config": [{"Subnet": "10.0.0.0/24"}]}, "N": 2});
        Template::parse(template)?.render(&data)
    }

    #[test]
    fn fields_are_filled_in() {
        assert_eq!(render(r"{{.Name}}\t{{ .N }}").unwrap(), "web\t2");
        assert_eq!(render("{{json .Name}}").unwrap(), "\"web\"");
        assert_eq!(
            render("{{.IPAM.Config}}").unwrap(),
            r#"[{"Subnet":"10.0.0.0/24"}]"#
        );
        assert_eq!(render("plain").unwrap(), "plain");
    }

    #[test]
    fn bad_templates_are_refused() {
        assert!(matches!(render("{{.Name"), Err(TemplateError::Unclosed(_))));
        assert!(matches!(
            render("{{range .X}}"),
            Err(TemplateError::Action(_))
        ));
        assert!(matches!(render("{{.Nope}}"), Err(TemplateError::Field(_))));
    }

    #[test]
    fn heads_are_words() {
        let template = Template::parse(r"{{.ID}}\t{{.Name}}\t{{.CreatedAt}}").unwrap();
        let columns = [("NETWORK ID", "ID")];
        assert_eq!(template.heads(&columns), "NETWORK ID\tNAME\tCREATED AT");
    }
}
