//! Answers that go on: server-sent events, one after the other (HTML §9.2), until one side has had enough.

use std::ops::ControlFlow;

use anyhow::bail;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::Value;

/// No event is longer: a line of the live view has some kilobytes.
const LONGEST: usize = 1 << 20;

/// What comes of such an answer.
#[derive(Debug)]
pub(in crate::cli) enum Event {
    /// The agent has answered; events follow when they happen.
    Begun,
    Told {
        name: String,
        data: Value,
    },
}

/// What was read and is no whole event yet.
#[derive(Debug, Default)]
struct Events {
    unread: Vec<u8>,
    name: String,
}

pub(super) async fn read(
    mut body: Incoming,
    mut each: impl FnMut(Event) -> anyhow::Result<ControlFlow<()>>,
) -> anyhow::Result<()> {
    let mut events = Events::default();
    if each(Event::Begun)?.is_break() {
        return Ok(());
    }
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { bail!("the agent has ended, or the way to it") };
        events.unread.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
        while let Some(event) = events.next() {
            if each(event)?.is_break() {
                return Ok(());
            }
        }
        if events.unread.len() > LONGEST {
            bail!("what answers is no agent of this version: a line of more than {LONGEST} bytes");
        }
    }
    super::super::out::note("the agent has ended the view");
    Ok(())
}

impl Events {
    /// The next whole one. Every event of an agent has its data in one line.
    fn next(&mut self) -> Option<Event> {
        let mut read = 0;
        let mut found = None;
        while let Some(end) = memchr::memchr(b'\n', &self.unread[read..]) {
            let line = String::from_utf8_lossy(&self.unread[read..read + end]).into_owned();
            read += end + 1;
            if let Some(name) = line.strip_prefix("event:") {
                name.trim().clone_into(&mut self.name);
            } else if let Some(data) =
                line.strip_prefix("data:").and_then(|data| serde_json::from_str(data).ok())
            {
                found = Some(Event::Told { name: std::mem::take(&mut self.name), data });
                break;
            }
        }
        self.unread.drain(..read);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_whole_however_they_are_cut() {
        let text =
            ": here\n\nevent: exchange\ndata: {\"a\":1}\n\nevent: dropped\ndata: {\"dropped\":7}\n\n:\n\n";
        for size in 1..text.len() {
            let (mut events, mut found) = (Events::default(), Vec::new());
            for piece in text.as_bytes().chunks(size) {
                events.unread.extend_from_slice(piece);
                while let Some(Event::Told { name, data }) = events.next() {
                    found.push(format!("{name} {data}"));
                }
            }
            assert_eq!(found, ["exchange {\"a\":1}", "dropped {\"dropped\":7}"], "{size}");
        }
    }
}
