//! Which requests somebody wants to see, in the words of hubble and linkerd. Of one word any of its values must fit, of
//! several words each.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{
    Seen,
    line::{VERDICTS, verdict},
};
use crate::record::{Serving, Workload};

/// Values of all words together.
const MOST: usize = 32;

/// Everything, until something is added.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    method: Vec<String>,
    path: Vec<String>,
    status: Vec<Statuses>,
    to: Vec<String>,
    from: Vec<From>,
    verdict: Vec<&'static str>,
    rule: Vec<String>,
}

/// `404`, or `4xx` for all of the class.
#[derive(Clone, Copy, Debug)]
enum Statuses {
    One(u16),
    Class(u16),
}

/// Who sent it.
#[derive(Clone, Debug)]
enum From {
    Network(IpNet),
    /// The name, `namespace/name` or `app` of a workload.
    Workload(String),
}

impl Filter {
    pub const WORDS: [&str; 7] = ["method", "path", "status", "to", "from", "verdict", "rule"];

    /// One value more of a word.
    ///
    /// # Errors
    /// What is wrong with it, and what is wanted.
    pub fn add(&mut self, word: &str, value: &str) -> Result<(), String> {
        if value.is_empty() {
            return Err(format!("{word} is empty"));
        }
        let wrong = |wanted: &str| format!("{word}={value} is not {wanted}");
        match word {
            "method" => self.method.push(value.to_owned()),
            "path" => self.path.push(value.to_owned()),
            "status" => {
                self.status.push(Statuses::read(value).ok_or_else(|| wrong("a status such as 404 or 5xx"))?);
            }
            "to" => self.to.push(value.to_owned()),
            "from" => self.from.push(From::read(value)),
            "verdict" => {
                let known = VERDICTS.iter().find(|known| **known == value);
                self.verdict.push(known.ok_or_else(|| wrong(&format!("one of {}", VERDICTS.join(", "))))?);
            }
            "rule" => self.rule.push(value.to_owned()),
            _ => return Err(format!("`{word}` is no filter; there are {}", Self::WORDS.join(", "))),
        }
        let Self { method, path, status, to, from, verdict, rule } = self;
        let values = [method, path, to, rule].map(|values| values.len()).iter().sum::<usize>()
            + status.len()
            + from.len()
            + verdict.len();
        if values > MOST { Err(format!("there are more than {MOST} filters")) } else { Ok(()) }
    }

    /// Whether a request is wanted. What is not known of it fits nothing.
    pub fn fits(&self, seen: &Seen) -> bool {
        let (primary, copy) = (&*seen.primary, seen.copy.as_ref());
        let text = primary.text.as_deref();
        let key = primary.rule.as_ref().map(|rule| &*rule.key);
        any(&self.verdict, |wanted| verdict(primary, copy) == *wanted)
            && any(&self.status, |wanted| {
                wanted.fit(primary.status) || copy.is_some_and(|copy| wanted.fit(copy.status))
            })
            && any(&self.method, |wanted| text.is_some_and(|text| text.method().eq_ignore_ascii_case(wanted)))
            && any(&self.path, |wanted| text.is_some_and(|text| path_fits(text.path(), wanted)))
            && any(&self.rule, |wanted| {
                key.is_some_and(|key| {
                    let parts =
                        wanted.strip_prefix(&*key.virtual_service).and_then(|rest| rest.strip_prefix(' '));
                    key.rule == *wanted || *key.virtual_service == **wanted || parts == Some(&key.rule)
                })
            })
            && any(&self.to, |wanted| {
                let served = |served: &Option<_>| {
                    served.as_ref().is_some_and(|it: &std::sync::Arc<Serving>| it.service.contains(&**wanted))
                };
                let mirror = copy
                    .is_some_and(|copy| copy.mirror.key.mirror.contains(&**wanted) || served(&copy.served));
                mirror || served(&primary.served)
            })
            && any(&self.from, |wanted| wanted.fits(primary.client.ip(), primary.source.as_deref()))
    }
}

fn any<T>(wanted: &[T], fits: impl FnMut(&T) -> bool) -> bool {
    wanted.is_empty() || wanted.iter().any(fits)
}

impl Statuses {
    fn read(text: &str) -> Option<Self> {
        let digits = text.strip_suffix("xx");
        let number: u16 = digits.unwrap_or(text).parse().ok()?;
        match digits {
            Some(_) => (1..=5).contains(&number).then_some(Self::Class(number)),
            None => (number == 0 || (100..1000).contains(&number)).then_some(Self::One(number)),
        }
    }

    fn fit(self, status: u16) -> bool {
        match self {
            Self::One(one) => status == one,
            Self::Class(class) => status / 100 == class,
        }
    }
}

impl From {
    fn read(text: &str) -> Self {
        let address = text.parse::<IpAddr>().map(IpNet::from).or_else(|_| text.parse::<IpNet>());
        address.map_or_else(|_| Self::Workload(text.to_owned()), Self::Network)
    }

    fn fits(&self, client: IpAddr, workload: Option<&Workload>) -> bool {
        match self {
            Self::Network(network) => network.contains(&client.to_canonical()),
            Self::Workload(wanted) => workload.is_some_and(|workload| {
                let name = workload.name.as_deref();
                let full = wanted.strip_prefix(&*workload.namespace).and_then(|rest| rest.strip_prefix('/'));
                name == Some(wanted)
                    || workload.app.as_deref() == Some(wanted)
                    || (full.is_some() && full == name)
            }),
        }
    }
}

/// What the path begins with; with a `*`, which stands for anything, all of it.
fn path_fits(path: &str, wanted: &str) -> bool {
    let Some((start, rest)) = wanted.split_once('*') else { return path.starts_with(wanted) };
    let Some(mut path) = path.strip_prefix(start) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    // There is at least one: what follows the last `*` must be the end.
    let end = parts.pop().unwrap_or_default();
    for part in parts {
        match path.find(part) {
            Some(at) => path = &path[at + part.len()..],
            None => return false,
        }
    }
    path.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        observe::testing::{copy, primary},
        record::{DropReason, Outcome},
    };

    fn filter(words: &[(&str, &str)]) -> Filter {
        let mut filter = Filter::default();
        words.iter().for_each(|(word, value)| filter.add(word, value).unwrap());
        filter
    }

    #[test]
    fn a_path_is_a_beginning_or_a_pattern() {
        for (path, wanted, fits) in [
            ("/cart/7", "/cart", true),
            ("/cart/7", "/cart*", true),
            ("/cart/7", "/cart/", true),
            ("/cart/7", "cart", false),
            ("/cart/7", "*7", true),
            ("/cart/7", "*/7*", true),
            ("/cart/7?q=1", "/cart/*?q=*", true),
            ("/cart/7", "/*/8", false),
            ("/aXbXc", "/a*X*c", true),
            ("/ab", "/ab*b", false),
            ("/a", "*", true),
        ] {
            assert_eq!(path_fits(path, wanted), fits, "{path} {wanted}");
        }
    }

    #[test]
    fn each_word_must_fit_and_of_one_word_any_value() {
        let seen = Seen::new(primary("GET", "/cart", 200), Some(copy(Outcome::Completed { status: 503 })));
        for (words, fits) in [
            (&[][..], true),
            (&[("method", "get")], true),
            (&[("method", "POST")], false),
            (&[("method", "POST"), ("method", "GET")], true),
            (&[("method", "GET"), ("path", "/orders")], false),
            (&[("status", "200")], true),
            (&[("status", "5xx")], true),
            (&[("status", "404"), ("status", "3xx")], false),
            (&[("to", "shop")], true),
            (&[("to", "v2")], true),
            (&[("to", "elsewhere")], false),
            (&[("from", "10.0.0.0/8")], true),
            (&[("from", "10.0.0.9")], true),
            (&[("from", "10.0.0.8")], false),
            (&[("from", "web")], true),
            (&[("from", "front/web")], true),
            (&[("from", "back/web")], false),
            (&[("verdict", "completed")], true),
            (&[("verdict", "failed")], false),
            (&[("rule", "all")], true),
            (&[("rule", "shop/cart")], true),
            (&[("rule", "shop/cart all")], true),
            (&[("rule", "shop/cart 1")], false),
        ] {
            assert_eq!(filter(words).fits(&seen), fits, "{words:?}");
        }
    }

    #[test]
    fn a_request_without_a_copy_has_a_verdict_too() {
        let fits = |verdict, seen: &Seen| filter(&[("verdict", verdict)]).fits(seen);
        let dropped = Seen::new(primary("GET", "/", 200), Some(copy(Outcome::Dropped(DropReason::Paused))));
        assert!(fits("dropped", &dropped) && !fits("none", &dropped));
        let sampled_out = Seen::new(primary("GET", "/", 200), None);
        assert!(fits("sampled_out", &sampled_out));
        let mut plain = (*primary("GET", "/", 200)).clone();
        plain.mirrors = 0;
        assert!(fits("none", &Seen::new(plain.into(), None)));
    }

    #[test]
    fn what_is_no_filter_is_refused_with_the_reason() {
        for (word, value, part) in [
            ("status", "6xx", "such as 404 or 5xx"),
            ("status", "99", "such as 404 or 5xx"),
            ("verdict", "lost", "one of completed, failed, dropped, sampled_out, none"),
            ("methud", "GET", "there are method, path"),
            ("path", "", "path is empty"),
        ] {
            let why = Filter::default().add(word, value).unwrap_err();
            assert!(why.contains(part), "{why}");
        }
        let mut filter = Filter::default();
        (0..MOST).for_each(|_| filter.add("method", "GET").unwrap());
        assert!(filter.add("path", "/").unwrap_err().contains("more than 32"));
    }
}
