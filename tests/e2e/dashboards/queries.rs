//! Takes a query apart into its selectors: as much of PromQL as rules about dashboards need. Whether a query is valid at all, Prometheus'
//! own parser is asked (`rules`).

/// `name{label="value"}[range]`, inside of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    pub name: String,
    /// Label, operator, value.
    pub matchers: Vec<(String, String, String)>,
    /// As written: a length of time, or a variable.
    pub range: Option<String>,
    /// The function it is an argument of; empty if it is none's.
    pub function: String,
}

impl Selector {
    /// Its name with its matchers.
    pub fn text(&self) -> String {
        let matchers = self.matchers.iter();
        let matchers: Vec<_> = matchers.map(|(l, op, v)| format!("{l}{op}{v:?}")).collect();
        format!("{}{{{}}}", self.name, matchers.join(","))
    }

    /// The value a label must be equal to or match.
    pub fn matched(&self, label: &str, operator: &str) -> Option<&str> {
        let found = self
            .matchers
            .iter()
            .find(|(l, op, _)| l == label && op == operator);
        found.map(|(_, _, value)| value.as_str())
    }
}

/// Words that are followed by a list of labels.
const LISTS: [&str; 6] = [
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
];
/// Words that are neither metrics nor functions.
const WORDS: [&str; 6] = ["and", "or", "unless", "offset", "bool", "inf"];

/// The selectors of a query, in order.
///
/// # Errors
/// Says what it did not understand, and where.
pub fn selectors(query: &str) -> Result<Vec<Selector>, String> {
    Scanner { left: query, query }.all()
}

struct Scanner<'a> {
    left: &'a str,
    query: &'a str,
}

impl<'a> Scanner<'a> {
    fn all(mut self) -> Result<Vec<Selector>, String> {
        let (mut found, mut inside) = (Vec::new(), Vec::new());
        while let Some(next) = self.left.chars().next() {
            if next.is_ascii_alphabetic() || next == '_' || next == ':' {
                let word = self.take(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':');
                self.blanks();
                if LISTS.contains(&word) {
                    self.until(')')?;
                } else if WORDS.contains(&word) || self.is_before_a_list() {
                    // An operator, or an aggregation whose labels come before what it is of.
                } else if self.left.starts_with('(') {
                    self.left = &self.left[1..];
                    inside.push(word.to_owned());
                } else {
                    let matchers = self.matchers()?;
                    let range = self.range()?;
                    let function = inside.last().cloned().unwrap_or_default();
                    found.push(Selector {
                        name: word.to_owned(),
                        matchers,
                        range,
                        function,
                    });
                }
            } else if next.is_ascii_digit() {
                self.take(|c| c.is_ascii_alphanumeric() || c == '.');
                // The exponent of 1e-9.
                if self.query[..self.query.len() - self.left.len()].ends_with('e') {
                    self.take(|c| c.is_ascii_digit() || c == '-' || c == '+');
                }
            } else {
                match next {
                    '(' => inside.push(String::new()),
                    ')' if inside.pop().is_none() => {
                        return Err(self.wrong("a parenthesis too many"));
                    }
                    '[' | '{' | '"' | '\'' => return Err(self.wrong("nothing to stand behind")),
                    _ => {}
                }
                self.left = &self.left[next.len_utf8()..];
            }
            self.blanks();
        }
        match inside.is_empty() {
            true => Ok(found),
            false => Err(self.wrong("a parenthesis is open")),
        }
    }

    fn is_before_a_list(&self) -> bool {
        let next = self
            .left
            .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        next.take(1).any(|word| LISTS.contains(&word))
    }

    fn matchers(&mut self) -> Result<Vec<(String, String, String)>, String> {
        let mut matchers = Vec::new();
        if !self.left.starts_with('{') {
            return Ok(matchers);
        }
        self.left = &self.left[1..];
        loop {
            self.take(|c| c.is_whitespace() || c == ',');
            if let Some(left) = self.left.strip_prefix('}') {
                self.left = left;
                return Ok(matchers);
            }
            let label = self.take(|c| c.is_ascii_alphanumeric() || c == '_');
            let operator = self.take(|c| "=!~".contains(c));
            let Some(left) = self.left.strip_prefix('"').filter(|_| !label.is_empty()) else {
                return Err(self.wrong("no label=\"value\""));
            };
            self.left = left;
            let value = self.until('"')?;
            matchers.push((label.to_owned(), operator.to_owned(), value.to_owned()));
        }
    }

    fn range(&mut self) -> Result<Option<String>, String> {
        let Some(left) = self.left.strip_prefix('[') else {
            return Ok(None);
        };
        self.left = left;
        Ok(Some(self.until(']')?.to_owned()))
    }

    fn take(&mut self, fits: impl Fn(char) -> bool) -> &'a str {
        let end = self.left.find(|c| !fits(c)).unwrap_or(self.left.len());
        let (word, left) = self.left.split_at(end);
        self.left = left;
        word
    }

    fn blanks(&mut self) {
        self.left = self.left.trim_start();
    }

    /// What is before `end`, which is taken too.
    fn until(&mut self, end: char) -> Result<&'a str, String> {
        let Some((before, left)) = self.left.split_once(end) else {
            return Err(self.wrong(&format!("no {end} follows")));
        };
        self.left = left;
        Ok(before)
    }

    fn wrong(&self, what: &str) -> String {
        format!("{what} at {:?} of {:?}", self.left, self.query)
    }
}

#[test]
fn a_query_is_taken_apart_into_its_selectors() {
    let found = selectors(
        r#"sum by (state, le) (rate(a_total{job=~"$job", state!="x"}[$__rate_interval])) / clamp_min(b:c:d, 1e-9) * 60 > 0
           and on (job) d_total offset 5m or (e + 2.5)"#,
    );
    let found = found.unwrap();
    let told: Vec<_> = found
        .iter()
        .map(|s| (s.text(), s.range.as_deref(), s.function.as_str()))
        .collect();
    let text = |s: &str| s.to_owned();
    assert_eq!(
        told,
        [
            (
                text(r#"a_total{job=~"$job",state!="x"}"#),
                Some("$__rate_interval"),
                "rate"
            ),
            (text("b:c:d{}"), None, "clamp_min"),
            (text("d_total{}"), None, ""),
            (text("e{}"), None, ""),
        ]
    );
    for wrong in ["sum(a", "a)", "a{b}", "a[5m", "(1)[5m:1m]"] {
        assert!(selectors(wrong).is_err(), "{wrong}");
    }
}
