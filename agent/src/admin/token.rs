//! The bearer token: who asks the API at the address must know what is in a file (RFC 6750), where one is named. The file
//! is read again when it has changed; while it cannot be read, nobody is let in.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use subtle::ConstantTimeEq as _;

use super::problem::Problem;

/// No secret is longer.
const LONGEST: u64 = 4096;

#[derive(Debug)]
pub struct Token {
    path: PathBuf,
    /// As it was read last. Locked within the window only.
    read: Mutex<Option<Kept>>,
}

#[derive(Debug)]
struct Kept {
    version: Version,
    secret: Arc<str>,
}

/// Device, inode, size, and the time of the last change.
type Version = (u64, u64, u64, i64, i64);

impl Token {
    /// # Errors
    /// When the file cannot be read now, or holds nothing.
    pub fn open(path: &Path) -> io::Result<Self> {
        let token = Self { path: path.to_owned(), read: Mutex::default() };
        token.secret()?;
        Ok(token)
    }

    fn secret(&self) -> io::Result<Arc<str>> {
        // A name that leads elsewhere, as in a mounted Secret, is followed.
        let found = fs::metadata(&self.path)?;
        let version = (found.dev(), found.ino(), found.size(), found.mtime(), found.mtime_nsec());
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = read.as_ref().filter(|kept| kept.version == version) {
            return Ok(Arc::clone(&kept.secret));
        }
        if !found.is_file() || found.len() > LONGEST {
            return Err(io::Error::other(format!("it is no file of up to {LONGEST} bytes")));
        }
        let text = fs::read_to_string(&self.path)?;
        let secret: Arc<str> = text.trim().into();
        if secret.is_empty() {
            return Err(io::Error::other("it holds nothing"));
        }
        *read = Some(Kept { version, secret: Arc::clone(&secret) });
        Ok(secret)
    }

    fn judge(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let secret = self.secret().map_err(|error| {
            tracing::warn!(%error, "nobody can ask the admin API: {} cannot be read", self.path.display());
            refusal(
                "the agent cannot read its token",
                "look at spec.admin.tokenFile and the agent's log, or ask over its socket",
            )
        })?;
        let how = "send the header `authorization: Bearer TOKEN`; `umbra` takes it from UMBRA_TOKEN or --token-file";
        let said =
            headers.get(header::AUTHORIZATION).ok_or_else(|| refusal("this API asks for a token", how))?;
        let said = said.as_bytes();
        let (scheme, token) = said.split_at(said.len().min("bearer ".len()));
        // Takes as long for one that is nearly right as for any other of that length.
        let known = token.trim_ascii().ct_eq(secret.as_bytes());
        if scheme.eq_ignore_ascii_case(b"bearer ") && bool::from(known) {
            return Ok(());
        }
        Err(refusal("the token is not the one of this agent", how))
    }
}

fn refusal(detail: &str, hint: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, detail, hint)
}

/// Lets through who knows the token.
pub(super) async fn ask(State(token): State<Arc<Token>>, request: Request, next: Next) -> Response {
    match token.judge(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => {
            let mut response = problem.into_response();
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            response
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_is_the_files_at_this_moment() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        assert!(Token::open(&path).is_err());
        fs::write(&path, "\n").unwrap();
        assert!(Token::open(&path).is_err());
        fs::write(&path, "first\n").unwrap();
        let token = Token::open(&path).unwrap();
        let fits = |said: Option<&str>| {
            let headers = said.map(|said| (header::AUTHORIZATION, said.parse().unwrap()));
            token.judge(&headers.into_iter().collect()).is_ok()
        };
        for (said, expected) in [
            (Some("Bearer first"), true),
            (Some("bearer  first"), true),
            (Some("Bearer firs"), false),
            (Some("Bearer first2"), false),
            (Some("Bearer "), false),
            (Some("first"), false),
            (Some("Basic first"), false),
            (Some(""), false),
            (None, false),
        ] {
            assert_eq!(fits(said), expected, "{said:?}");
        }
        // As a Secret is replaced: another file under the name.
        let next = folder.path().join("next");
        fs::write(&next, "other").unwrap();
        fs::rename(&next, &path).unwrap();
        assert!(fits(Some("Bearer other")) && !fits(Some("Bearer first")));
        fs::remove_file(&path).unwrap();
        assert!(!fits(Some("Bearer other")));
    }
}
