//! What `cargo xtask bench` passes on.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};

use crate::rows::{self, Row};

pub(crate) struct Options {
    pub(crate) json: Option<PathBuf>,
    /// A folder for the charts.
    pub(crate) charts: Option<PathBuf>,
    /// A page that has the two lines between which the results are put.
    pub(crate) readme: Option<PathBuf>,
    /// A folder for what says where the time goes.
    pub(crate) profile: Option<PathBuf>,
    /// Another build of umbra, measured wherever umbra is.
    pub(crate) also: Option<PathBuf>,
    pub(crate) rounds: usize,
    /// Of one round of one case under one load.
    pub(crate) seconds: u64,
    /// Small GETs per second in the open loop, if not a tenth of what the app alone can.
    pub(crate) rate: Option<u32>,
    only: Vec<String>,
}

impl Options {
    pub(crate) fn read() -> Result<Self> {
        let mut options = Self {
            json: None,
            charts: None,
            readme: None,
            profile: None,
            also: None,
            rounds: 5,
            seconds: 2,
            rate: None,
            only: Vec::new(),
        };
        let mut words = std::env::args().skip(1);
        while let Some(option) = words.next() {
            let value = words.next().with_context(|| format!("{option} lacks its value"))?;
            let number = || value.parse::<u32>().with_context(|| format!("{option} {value}"));
            match option.as_str() {
                "--json" => options.json = Some(value.into()),
                "--charts" => options.charts = Some(value.into()),
                "--readme" => options.readme = Some(value.into()),
                "--profile" => options.profile = Some(value.into()),
                "--also" => options.also = Some(value.into()),
                "--rounds" => options.rounds = number()? as usize,
                "--seconds" => options.seconds = number()?.into(),
                "--rate" => options.rate = Some(number()?),
                "--only" => options.only.push(value),
                _ => bail!("{option} is not understood: run by `cargo xtask bench`"),
            }
        }
        ensure!(options.rounds > 0 && options.seconds > 0 && options.rate != Some(0), "0 measures nothing");
        Ok(options)
    }

    /// The rows asked for, by the beginning of their names; all if none was.
    pub(crate) fn rows(&self) -> Result<Vec<&'static Row>> {
        let names = || rows::all().map(|row| row.id).collect::<Vec<_>>().join(", ");
        for wanted in &self.only {
            let known = rows::all().any(|row| row.id.starts_with(wanted.as_str()));
            ensure!(known, "no row is called {wanted}; there are {}", names());
        }
        let chosen = |row: &&'static Row| {
            self.only.is_empty() || self.only.iter().any(|only| row.id.starts_with(only.as_str()))
        };
        Ok(rows::all().filter(chosen).collect())
    }
}
