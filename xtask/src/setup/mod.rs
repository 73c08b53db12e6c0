//! Installs what building and testing need and this machine lacks. Each step is printed with its command; where
//! nothing is missing, one line says so.

mod apt;
mod bpf;
mod debian;
pub(crate) mod envoy;
mod kustomize;
mod npm;
mod python;
mod suites;

use anyhow::Result;
pub(crate) use bpf::Toolchain;
pub(crate) use suites::Suites;

use crate::shell;

/// What the machine is set up for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum For {
    /// Build everything and use network namespaces.
    Demo,
    /// The same, and the real programs that the tests run beside umbra.
    Tests,
    /// The same as for packages, and the programs that the agent is measured with.
    Bench,
    /// The same as the demo, and what emulates machines.
    Kernels,
    /// The same as the demo, and what libFuzzer is compiled with.
    Fuzz,
    /// The same as the demo, and what builds and packs for other machines.
    Package,
}

/// Programs and the Debian packages that bring them.
const DEMO_PROGRAMS: &[(&str, &str)] = &[("ip", "iproute2")];
const TEST_PROGRAMS: &[(&str, &str)] = &[
    ("nginx", "nginx-light"),
    ("curl", "curl"),
    ("python3", "python3"),
    ("h2load", "nghttp2-client"),
    ("nghttpd", "nghttp2-server"),
    ("openssl", "openssl"),
    ("nghttpx", "nghttp2-proxy"),
    ("nft", "nftables"),
    ("chromium", "chromium"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("prometheus", "prometheus"),
    ("promtool", "prometheus"),
    // The suites `pods` and `package`: container runtimes.
    ("containerd", "containerd"),
    ("runc", "runc"),
    ("/usr/lib/cni/ptp", "containernetworking-plugins"),
    // The suite `package`: what reads an image, runs it, and makes a Debian.
    ("skopeo", "skopeo"),
    ("podman", "podman"),
    ("crun", "crun"),
    ("bwrap", "bubblewrap"),
    ("mmdebstrap", "mmdebstrap"),
];
const BENCH_PROGRAMS: &[(&str, &str)] = &[
    ("nginx", "nginx-light"),
    ("wrk", "wrk"),
    ("h2load", "nghttp2-client"),
    ("perf", "linux-perf"),
    ("nft", "nftables"),
    ("python3", "python3"),
    ("pip3", "python3-pip"),
];
const KERNEL_PROGRAMS: &[(&str, &str)] = &[
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("busybox", "busybox-static"),
    ("cpio", "cpio"),
    ("xz", "xz-utils"),
    ("strip", "binutils"),
];
const FUZZ_PROGRAMS: &[(&str, &str)] = &[("c++", "g++")];
const PACKAGE_PROGRAMS: &[(&str, &str)] =
    &[("dpkg-deb", "dpkg"), ("readelf", "binutils"), ("musl-gcc", "musl-tools")];

/// Sets the machine up and tells who compiles the eBPF programs.
pub(crate) fn run(purpose: For) -> Result<Toolchain> {
    let more = match purpose {
        For::Demo => &[],
        For::Tests => &[TEST_PROGRAMS, PACKAGE_PROGRAMS][..],
        For::Bench => &[BENCH_PROGRAMS, PACKAGE_PROGRAMS],
        For::Kernels => &[KERNEL_PROGRAMS],
        For::Fuzz => &[FUZZ_PROGRAMS],
        For::Package => &[PACKAGE_PROGRAMS],
    };
    let toolchain = programs(&more.concat())?;
    if purpose == For::Tests {
        python::install()?;
        npm::install()?;
        kustomize::install()?;
        debian::install()?;
    }
    Ok(toolchain)
}

/// The C compiler for another processor, by its names of GNU and of Debian; it is installed when it is not there.
pub(crate) fn cross_compiler(cpu: &str, arch: &str) -> Result<String> {
    let gcc = format!("{cpu}-linux-gnu-gcc");
    let headers = format!("/usr/{cpu}-linux-gnu/include/stdlib.h");
    if !shell::exists(&gcc) || !std::path::Path::new(&headers).exists() {
        let packages =
            [format!("gcc-{}-linux-gnu", cpu.replace('_', "-")), format!("libc6-dev-{arch}-cross")];
        apt::install(
            &format!("a C compiler for {arch} is missing"),
            &packages.each_ref().map(String::as_str),
        )?;
    }
    Ok(gcc)
}

fn programs(more: &[(&str, &str)]) -> Result<Toolchain> {
    let wanted = DEMO_PROGRAMS.iter().chain(more);
    let missing: Vec<_> = wanted.filter(|(program, _)| !shell::exists(program)).collect();
    if missing.is_empty()
        && let Some(toolchain) = bpf::ready()
    {
        println!("setup: nothing to install, eBPF is built by {toolchain}");
        return Ok(toolchain);
    }

    if !missing.is_empty() {
        let programs: Vec<_> = missing.iter().map(|(program, _)| *program).collect();
        let packages: Vec<_> = missing.iter().map(|(_, package)| *package).collect();
        apt::install(&format!("{} missing", programs.join(", ")), &packages)?;
    }
    let toolchain = match bpf::ready() {
        Some(toolchain) => toolchain,
        None => bpf::install()?,
    };
    println!("setup: done, eBPF is built by {toolchain}");
    Ok(toolchain)
}
