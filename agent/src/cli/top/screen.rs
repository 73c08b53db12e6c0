//! The terminal, taken over while `umbra top` runs and given back when it ends, however it ends.

use std::{
    io::{Write as _, stdout},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use crossterm::{
    cursor::{Hide, MoveTo, Show},
    event::{Event, KeyCode, KeyEventKind, KeyModifiers, poll, read},
    execute, queue,
    style::Print,
    terminal::{
        Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode, size,
    },
};

pub(super) struct Screen {
    due: Option<Instant>,
}

/// What came first.
#[derive(Debug)]
pub(super) enum Asked {
    /// The interval is over.
    Nothing,
    Key(char),
    Resized,
    End,
}

impl Screen {
    pub(super) fn open() -> anyhow::Result<Self> {
        enable_raw_mode().context("take over the terminal: with `--count 1 | cat` it is not needed")?;
        // From here on it is given back, also when the next step fails.
        let screen = Self { due: None };
        execute!(stdout(), EnterAlternateScreen, Hide)?;
        Ok(screen)
    }

    /// As much as there are lines for.
    #[allow(clippy::unused_self, reason = "there is a screen to draw on only while it is open")]
    pub(super) fn draw(&self, text: &str) -> anyhow::Result<()> {
        let mut out = stdout().lock();
        let (_, height) = size()?;
        for (row, line) in (0..height).zip(text.lines()) {
            queue!(out, MoveTo(0, row), Clear(ClearType::CurrentLine), Print(line))?;
        }
        let used = u16::try_from(text.lines().count()).unwrap_or(u16::MAX);
        if used < height {
            queue!(out, MoveTo(0, used), Clear(ClearType::FromCursorDown))?;
        }
        Ok(out.flush()?)
    }

    /// Waits for a key, at most until `interval` after it last was over.
    pub(super) fn wait(&mut self, interval: Duration) -> anyhow::Result<Asked> {
        let due = *self.due.get_or_insert_with(|| Instant::now() + interval);
        while poll(due.saturating_duration_since(Instant::now()))? {
            match read()? {
                Event::Key(key) if key.kind == KeyEventKind::Release => {}
                Event::Key(key) => match key.code {
                    KeyCode::Esc | KeyCode::Char('q') => return Ok(Asked::End),
                    KeyCode::Char('c' | 'd') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                        return Ok(Asked::End);
                    }
                    KeyCode::Char(key) => return Ok(Asked::Key(key)),
                    _ => {}
                },
                Event::Resize(..) => return Ok(Asked::Resized),
                _ => {}
            }
        }
        self.due = None;
        Ok(Asked::Nothing)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Nobody is left to hear of an error.
        let _ = execute!(stdout(), Show, LeaveAlternateScreen);
        let _ = disable_raw_mode();
    }
}
