//! stub
use super::{delegates::Merged, rules::Compiler};
pub(super) fn report<'a>(_: &'a [Merged<'a>], _: &mut Compiler<'a, '_>) {}
