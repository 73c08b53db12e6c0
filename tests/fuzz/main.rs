//! One target under libFuzzer: `umbra-fuzz TARGET FOLDER [FLAG…]`, where FOLDER gets the seeds and the dictionary, and
//! each FLAG is libFuzzer's own. Without arguments it names the targets. Started by `cargo xtask fuzz`.

#![allow(unsafe_code, reason = "libFuzzer is C++; it owns the loop and calls back")]
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a developer's tool")]

use std::{
    env,
    ffi::{CString, c_char, c_int},
    fs,
    path::Path,
    process::exit,
    ptr,
    sync::OnceLock,
};

use targets::{TARGETS, Target};

// Wants the callback that `libfuzzer_sys` exports linked in.
use libfuzzer_sys as _;

static RUNNING: OnceLock<&'static Target> = OnceLock::new();

unsafe extern "C" {
    /// libFuzzer as a library (LLVM's LibFuzzer.html, "Using libFuzzer as a library").
    fn LLVMFuzzerRunDriver(
        argc: *mut c_int,
        argv: *mut *mut *mut c_char,
        callback: unsafe extern "C" fn(*const u8, usize) -> c_int,
    ) -> c_int;
    /// Of `libfuzzer_sys`: calls [`rust_fuzzer_test_input`] and ends the process on a panic.
    fn LLVMFuzzerTestOneInput(data: *const u8, size: usize) -> c_int;
}

// SAFETY: the one definition of the name that `libfuzzer_sys` declares, of the type it declares.
#[unsafe(no_mangle)]
#[allow(improper_ctypes_definitions, reason = "Rust on both sides, as libfuzzer_sys declares it")]
extern "C" fn rust_fuzzer_test_input(input: &[u8]) -> i32 {
    if let Some(target) = RUNNING.get() {
        (target.run)(input);
    }
    0
}

fn main() {
    let mut arguments = env::args().skip(1);
    let (Some(name), Some(folder)) = (arguments.next(), arguments.next()) else {
        TARGETS.iter().for_each(|target| println!("{}", target.name));
        return;
    };
    let Some(target) = Target::find(&name) else {
        eprintln!("no target is called `{name}`: started without arguments it names them");
        exit(2);
    };
    let prepared = prepare(target, Path::new(&folder));
    let _ = RUNNING.set(target);
    // Its hook ends the process where the panic is, so that libFuzzer sees the whole stack.
    libfuzzer_sys::initialize(ptr::null(), ptr::null());
    let arguments = ["umbra-fuzz".to_owned()].into_iter().chain(prepared).chain(arguments);
    let owned: Vec<_> = arguments.map(|argument| CString::new(argument).unwrap()).collect();
    let mut argv: Vec<_> = owned.iter().map(|argument| argument.as_ptr().cast_mut()).collect();
    let mut argc = c_int::try_from(argv.len()).unwrap();
    argv.push(ptr::null_mut());
    let mut argv = argv.as_mut_ptr();
    // SAFETY: argc counts the pointers of argv, which a null ends, as for `main`; the strings live in `owned` beyond the
    // call. The callback is sound for any slice that libFuzzer hands it.
    exit(unsafe { LLVMFuzzerRunDriver(&raw mut argc, &raw mut argv, LLVMFuzzerTestOneInput) });
}

/// Writes dictionary and seeds, and names them in flags.
fn prepare(target: &Target, folder: &Path) -> Vec<String> {
    let seeds = folder.join("seeds");
    fs::create_dir_all(&seeds).unwrap();
    for (index, seed) in (target.seeds)().iter().enumerate() {
        fs::write(seeds.join(format!("{index:04}")), seed).unwrap();
    }
    let quoted = |word: &String| {
        let plain = |byte: u8| byte.is_ascii_graphic() && !b"\"\\".contains(&byte);
        let escaped: String = word
            .bytes()
            .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("\\x{byte:02X}") })
            .collect();
        format!("\"{escaped}\"\n")
    };
    let mut flags = vec![format!("-max_len={}", target.max_len)];
    let words = (target.words)();
    if !words.is_empty() {
        let dictionary = folder.join("words.dict");
        fs::write(&dictionary, words.iter().map(quoted).collect::<String>()).unwrap();
        flags.push(format!("-dict={}", dictionary.display()));
    }
    let grown = folder.join("corpus");
    fs::create_dir_all(&grown).unwrap();
    // What is found goes to the first folder; the others are only read.
    let folders = [grown, seeds, target.corpus()].into_iter().filter(|folder| folder.is_dir());
    flags.into_iter().chain(folders.map(|folder| folder.display().to_string())).collect()
}
