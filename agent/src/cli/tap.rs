//! `umbra tap`: requests as they end, with their copies, of a running agent.

mod show;

use std::{ops::ControlFlow, process::ExitCode};

use clap::{Args, ValueEnum};

use self::show::Show;
use super::{
    agent::{Agent, Event},
    out, table,
    view::items,
};

#[derive(Debug, Args)]
#[command(after_help = "\
Of one filter given several times any value must fit, of several filters each:
  umbra tap --path '/cart*' --status 5xx         by the primary's status or the shadow's
  umbra tap --verdict failed --verdict dropped   copies that did not complete
  umbra tap --from 10.1.0.0/16 --to cart -o wide
  umbra tap --last 20 --status 5xx               the last ones, then ends; --follow goes on
A request with several copies is several lines. VERDICT is what became of the copy; `sampled_out` where the share left it out,
`none` where no rule mirrors it. Times: of the primary from its head on, of the copy from where a connection took it. Whoever reads
too slowly loses lines, and is told how many. --last finds what was kept: while somebody looks on (another tap, the dashboard), or
always with spec.admin.keepExchanges.")]
pub(super) struct Arguments {
    /// GET, POST, …
    #[arg(long, value_name = "METHOD")]
    method: Vec<String>,
    /// What the path begins with; with a *, which stands for anything, the whole path and query.
    #[arg(long, value_name = "PATH")]
    path: Vec<String>,
    /// 404, or 4xx for the class; 0: no answer.
    #[arg(long, value_name = "STATUS")]
    status: Vec<String>,
    /// A part of the name of the service or the mirror.
    #[arg(long, value_name = "NAME")]
    to: Vec<String>,
    /// The client: an address, a network, or a workload (name, namespace/name or app).
    #[arg(long, value_name = "CLIENT")]
    from: Vec<String>,
    /// completed, failed, dropped, sampled_out or none.
    #[arg(long, value_name = "VERDICT")]
    verdict: Vec<String>,
    /// A rule by its name, its object (namespace/name), or both: 'shop/cart all'.
    #[arg(long, value_name = "RULE")]
    rule: Vec<String>,
    /// So many of the last requests, 1 to 1000, instead of those to come.
    #[arg(long, value_name = "N")]
    last: Option<usize>,
    /// After the last ones, those to come.
    #[arg(long, short, requires = "last")]
    follow: bool,
    #[command(flatten)]
    agent: Agent,
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// For a person, cut to the terminal's width.
    Table,
    /// The same with more columns.
    Wide,
    /// One object a line, as in the audit log.
    Json,
}

impl Arguments {
    pub(super) fn execute(self) -> anyhow::Result<ExitCode> {
        let mut show = Show::new(self.output, table::width(), out::colours());
        if let Some(last) = self.last {
            let found = self.agent.get(&self.question("/api/v1/exchanges", Some(last)))?;
            if found["kept"] == 0 {
                out::note(
                    "nothing is kept while nobody looks on: spec.admin.keepExchanges keeps the last requests",
                );
            }
            for line in items(&found) {
                if out::print_on(&show.line(line))?.is_break() {
                    return Ok(ExitCode::SUCCESS);
                }
            }
            if !self.follow {
                return Ok(ExitCode::SUCCESS);
            }
        }
        self.agent.follow(&self.question("/api/v1/tap", None), |event| match event {
            Event::Begun => out::print_on(&show.heading()),
            Event::Told { name, data } if name == "exchange" => out::print_on(&show.line(&data)),
            Event::Told { name, data } if name == "dropped" => {
                out::note(&format!(
                    "{} lines are missing here: they came faster than they were read",
                    data["dropped"]
                ));
                Ok(ControlFlow::Continue(()))
            }
            // Of a later version.
            Event::Told { .. } => Ok(ControlFlow::Continue(())),
        })?;
        Ok(ExitCode::SUCCESS)
    }

    fn question(&self, path: &str, last: Option<usize>) -> String {
        let Self { method, path: paths, status, to, from, verdict, rule, .. } = self;
        let mut query = form_urlencoded::Serializer::new(String::new());
        let words = [
            ("method", method),
            ("path", paths),
            ("status", status),
            ("to", to),
            ("from", from),
            ("verdict", verdict),
            ("rule", rule),
        ];
        for (word, values) in words {
            for value in values {
                query.append_pair(word, value);
            }
        }
        if let Some(last) = last {
            query.append_pair("last", &last.to_string());
        }
        format!("{path}?{}", query.finish())
    }
}
