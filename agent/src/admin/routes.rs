//! `GET /api/v1/routes`: the rules in force, by mirrored service and port. Pages of `route::RuleRow`.

use std::sync::Arc;

use axum::{
    extract::{RawQuery, State},
    response::Response,
};

use super::{
    View,
    page::{self, Wanted},
    problem::Problem,
};

/// Host and port of a service, and the place of the rule among those for it.
type Key = (String, u16, usize);

pub(super) async fn get(State(view): State<Arc<View>>, query: RawQuery) -> Result<Response, Problem> {
    let wanted = Wanted::<Key>::read(&query)?;
    page::make(move || {
        let rules = (view.rules)();
        let services = rules.services().into_iter();
        let after = wanted.after.as_ref().map(|(service, port, place)| ((service.as_str(), *port), *place));
        let from = services.skip_while(|s| after.is_some_and(|(after, _)| (s.service, s.port) < after));
        let rows = from.flat_map(|service| {
            let begun = after.filter(|(after, _)| *after == (service.service, service.port));
            let skip = begun.map_or(0, |(_, place)| place + 1);
            let key = move |place| (service.service.to_owned(), service.port, place);
            service.rules().enumerate().skip(skip).map(move |(place, row)| (key(place), row))
        });
        page::json(&wanted.page(rows))
    })
    .await
}
