//! Rules of routing: umbra's own, and which of somebody else's it cannot live with.

use rtnetlink::packet_route::{
    AddressFamily,
    route::RouteProtocol,
    rule::{RuleAction, RuleAttribute, RuleFlags, RuleMessage},
};

use super::netlink::{Family, LOCAL_TABLE, MARK, TABLE};

/// Of umbra's own.
pub(super) const PRIORITY: u32 = 77;

/// `RT_TABLE_MAIN` and `RT_TABLE_DEFAULT`, by which unmarked packets are routed.
const USUAL_TABLES: [u32; 2] = [254, 253];

/// What matters of a rule.
#[derive(Debug)]
pub(super) struct Rule {
    /// None where it does not look at marks.
    mark: Option<u32>,
    mask: u32,
    /// Takes what does not match.
    inverted: bool,
    priority: u32,
    table: u32,
    pub(super) number: u8,
}

impl Rule {
    pub(super) fn read(rule: &RuleMessage) -> Self {
        let table = u32::from(rule.header.table);
        let inverted = rule.header.flags.contains(RuleFlags::Invert);
        let mut read = Self { mark: None, mask: u32::MAX, inverted, priority: 0, table, number: 0 };
        for attribute in &rule.attributes {
            match attribute {
                RuleAttribute::FwMark(value) => read.mark = Some(*value),
                RuleAttribute::FwMask(value) => {
                    read.mask = *value;
                    // The kernel tells of a mark of zero by its mask alone.
                    read.mark.get_or_insert(0);
                }
                RuleAttribute::Priority(value) => read.priority = *value,
                RuleAttribute::Table(value) => read.table = *value,
                RuleAttribute::Protocol(value) => read.number = u8::from(*value),
                _ => {}
            }
        }
        read
    }

    pub(super) fn is_own(&self) -> bool {
        self.priority == PRIORITY && self.table == TABLE && self.mark == Some(MARK) && self.mask == u32::MAX
    }

    /// What else a rule looks at, such as addresses, may fit some of our packets: it counts as fitting.
    pub(super) fn is_rival(&self) -> bool {
        let takes_ours = match self.mark {
            Some(mark) => (MARK & self.mask == mark & self.mask) != self.inverted,
            None => self.table != LOCAL_TABLE,
        };
        takes_ours && !self.is_own() && self.priority <= PRIORITY
    }

    pub(super) fn leads_by_mark(&self) -> bool {
        self.mark.is_some() && !self.is_own() && !USUAL_TABLES.contains(&self.table)
    }
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "rule {}", self.priority)?;
        let Some(mark) = self.mark else { return Ok(()) };
        write!(f, " ({}fwmark {mark:#x}/{:#x})", if self.inverted { "not " } else { "" }, self.mask)
    }
}

/// The rule of umbra's own, with a number to remember.
pub(super) fn own(family: Family, number: u8) -> RuleMessage {
    let mut rule = RuleMessage::default();
    rule.header.family = if family == Family::V4 { AddressFamily::Inet } else { AddressFamily::Inet6 };
    rule.header.action = RuleAction::ToTable;
    rule.attributes = vec![
        RuleAttribute::Priority(PRIORITY),
        RuleAttribute::FwMark(MARK),
        RuleAttribute::FwMask(u32::MAX),
        RuleAttribute::Table(TABLE),
        RuleAttribute::Protocol(RouteProtocol::from(number)),
    ];
    rule
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(priority: u32, attributes: impl IntoIterator<Item = RuleAttribute>) -> Rule {
        let mut message = RuleMessage::default();
        message.attributes = attributes.into_iter().chain([RuleAttribute::Priority(priority)]).collect();
        Rule::read(&message)
    }

    #[test]
    fn rules_that_come_first_are_rivals_unless_they_take_other_marks() {
        let [table, local] = [100, LOCAL_TABLE].map(RuleAttribute::Table);
        let mark = |mark, mask| [RuleAttribute::FwMark(mark), RuleAttribute::FwMask(mask)];
        assert!(read(50, [table.clone()]).is_rival());
        assert!(!read(100, [table.clone()]).is_rival(), "ours comes first");
        assert!(!read(0, [local]).is_rival(), "the kernel's own");
        assert!(read(50, mark(MARK, 0xff)).is_rival());
        assert!(!read(50, mark(0x80, 0x80)).is_rival());
        assert!(read(50, [RuleAttribute::FwMask(0x80)]).is_rival(), "whatever lacks a bit");
        assert!(Rule { inverted: true, ..read(50, mark(0x80, 0x80)) }.is_rival());
        assert!(!Rule::read(&own(Family::V4, 0)).is_rival());
    }

    #[test]
    fn rules_by_marks_lead_elsewhere_unless_they_lead_where_all_packets_go() {
        let marked = |table| {
            let mark = [RuleAttribute::FwMark(0x200), RuleAttribute::FwMask(0xf00)];
            read(1024, mark.into_iter().chain([RuleAttribute::Table(table)]))
        };
        assert!(marked(2004).leads_by_mark());
        assert!(!marked(254).leads_by_mark());
        assert!(!read(1024, [RuleAttribute::Table(2004)]).leads_by_mark());
        assert!(!Rule::read(&own(Family::V6, 0)).leads_by_mark());
    }
}
