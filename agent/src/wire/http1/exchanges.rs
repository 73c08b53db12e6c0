//! What the two directions of a connection must know of each other: which requests wait for a response, and what
//! their answers decide about the client's next bytes.

use std::collections::VecDeque;

use super::{ExchangeId, PIPELINE_MAX, Unread};
use crate::wire::http2::Change;

/// What a request asked for, as far as its response's framing hangs on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    /// It carries `Upgrade`.
    pub(super) upgrade: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Head,
    Connect,
    Other,
}

/// The requests that wait for their responses, in order.
#[derive(Debug, Default)]
pub(super) struct Exchanges {
    /// The number of the oldest one waiting.
    oldest: ExchangeId,
    /// Apart from the others, so that only pipelining takes memory.
    first: Option<Asked>,
    others: VecDeque<Asked>,
    /// The newest request may change the protocol and is not answered yet.
    switching: bool,
    /// And may change it to HTTP/2: with these settings of the client.
    offer: Option<Change>,
    body: BodyPermission,
}

/// Whether the client may send the body it announced with `Expect: 100-continue` (RFC 9110 §10.1.1).
#[derive(Debug, Default, PartialEq, Eq)]
enum BodyPermission {
    /// Nothing was asked, or it was given, or the client went on without.
    #[default]
    Given,
    Asked,
    /// A final response came: some clients send the body now and some the next request.
    Refused,
}

impl Exchanges {
    pub(super) fn none_waiting(&self) -> bool {
        self.first.is_none()
    }

    /// One request waits, and not for a tunnel.
    pub(super) fn one_waits_for_an_answer(&self) -> bool {
        self.others.is_empty() && self.first.is_some_and(|asked| asked.method != Method::Connect)
    }

    /// Bytes of heap held.
    #[cfg(test)]
    pub(super) fn heap(&self) -> usize {
        self.others.capacity() * size_of::<Asked>()
    }

    /// The request the next response answers.
    pub(super) fn oldest(&self) -> Result<(ExchangeId, Asked), Unread> {
        self.first.map(|asked| (self.oldest, asked)).ok_or(Unread::UnsolicitedResponse)
    }

    /// The client begins another request.
    pub(super) fn may_ask(&self) -> Result<(), Unread> {
        if self.switching { Err(Unread::PipelinedAfterUpgrade) } else { Ok(()) }
    }

    /// A request's head is whole.
    pub(super) fn open(
        &mut self,
        asked: Asked,
        offer: Option<Change>,
        asks_permission: bool,
    ) -> Result<ExchangeId, Unread> {
        let waiting = usize::from(self.first.is_some()) + self.others.len();
        if waiting == PIPELINE_MAX {
            return Err(Unread::PipelineTooDeep);
        }
        match self.first {
            None => self.first = Some(asked),
            Some(_) => self.others.push_back(asked),
        }
        self.switching = asked.upgrade || asked.method == Method::Connect;
        self.offer = offer;
        self.body = if asks_permission { BodyPermission::Asked } else { BodyPermission::Given };
        Ok(self.oldest + waiting as u64)
    }

    /// The client sends some of the newest request's body.
    pub(super) fn body_arrives(&mut self) -> Result<(), Unread> {
        if self.body == BodyPermission::Refused {
            return Err(Unread::AfterRefusal);
        }
        self.body = BodyPermission::Given;
        Ok(())
    }

    /// A 100 came for the oldest request.
    pub(super) fn continued(&mut self) {
        if self.others.is_empty() {
            self.body = BodyPermission::Given;
        }
    }

    /// What the newest request offered with `Upgrade: h2c`. No other follows it, so a 101 answers it.
    pub(super) fn offer(&self) -> Option<Change> {
        self.offer
    }

    /// A final response that keeps the protocol began for the oldest request.
    pub(super) fn answered(&mut self) {
        if self.others.is_empty() {
            self.switching = false;
            if self.body == BodyPermission::Asked {
                self.body = BodyPermission::Refused;
            }
        }
    }

    /// The oldest request's response is whole.
    pub(super) fn close(&mut self) {
        self.oldest += 1;
        self.first = self.others.pop_front();
        if self.first.is_none() {
            self.others = VecDeque::new();
        }
    }
}
