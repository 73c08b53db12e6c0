//! What becomes of the shadow's responses: `compare` and `record`.

use super::{QUANTITY, header, percent};
use crate::config::{
    Code,
    field::{Faults, Field},
    fields::{Fields, Names::Umbra},
    shadow_policy::{Compare, CompareBody, Record},
    values,
};

pub(super) fn compare(faults: &mut Faults<'_>, spec: &mut Fields<'_>) -> Option<Compare> {
    let bodies = &[("None", CompareBody::None), ("Bytes", CompareBody::Bytes), ("JSON", CompareBody::Json)];
    spec.child(faults, "compare", Umbra, |faults, fields, at| {
        let body = fields.one_of(faults, "body", bodies).map_or(CompareBody::None, |found| found.value);
        let ignore = fields.items(faults, "ignore", pointer);
        if let Some(first) = ignore.first().filter(|_| body != CompareBody::Json) {
            let what = "only bodies that are compared as JSON have parts";
            faults.add(Code::Conflict, &first.at, &fields.path_of("ignore"), what).help("write body: JSON");
        }
        Some(Compare {
            at,
            status: fields.flag(faults, "status").is_none_or(|flag| flag.value),
            headers: fields.items(faults, "headers", header),
            body,
            ignore,
            percentage: percent(faults, fields, "percentage", Umbra),
        })
    })
}

/// RFC 6901.
fn pointer(faults: &mut Faults<'_>, field: &Field<'_>) -> Option<crate::config::Located<String>> {
    let pointer = field.text(faults)?;
    if !pointer.starts_with('/') {
        let what = format!("`{}` is not a JSON pointer", pointer.value);
        field.fault(faults, Code::BadValue, what).help("write /name/0/part");
        return None;
    }
    Some(pointer)
}

pub(super) fn record(faults: &mut Faults<'_>, spec: &mut Fields<'_>) -> Option<Record> {
    spec.child(faults, "record", Umbra, |faults, fields, at| {
        Some(Record {
            at,
            headers: fields.flag(faults, "headers").is_some_and(|flag| flag.value),
            max_body: fields
                .get("maxBody")
                .and_then(|field| field.parsed(faults, QUANTITY, values::quantity)),
            percentage: percent(faults, fields, "percentage", Umbra),
        })
    })
}
