//! Everything that is given to users: a static binary, an image, a Debian package, manual pages, completions, the list of
//! what is inside, and checksums. No container engine, registry or root is needed; one commit, built in
//! one place with one compiler, is the same to the byte (the programs for the kernel name the place of their source).

mod binary;
mod deb;
mod image;
mod inventory;
mod manual;
mod tree;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use clap::{Args, ValueEnum};
use sha2::{Digest as _, Sha256};

use self::{binary::Binary, image::Image, inventory::Inventory, manual::Manual};
use crate::{setup, shell};

#[derive(Args)]
pub(crate) struct Options {
    /// Build with this profile of cargo's; of another than `release` what is built is in target/package-PROFILE
    #[arg(long, default_value = "release")]
    profile: String,
    /// Only this architecture; may be repeated. Without any: this machine's, and the other where it can be built here
    #[arg(long, value_enum)]
    arch: Vec<Arch>,
}

/// What the packages run on, by Debian's and Go's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Arch {
    Amd64,
    Arm64,
}

impl Arch {
    const ALL: [Self; 2] = [Self::Amd64, Self::Arm64];

    fn as_str(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// The processor, as Rust and GNU call it.
    fn cpu(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64",
            Self::Arm64 => "aarch64",
        }
    }

    fn is_native(self) -> bool {
        self.cpu() == env::consts::ARCH
    }

    /// This machine's.
    fn native() -> Result<Self> {
        let native = Self::ALL.into_iter().find(|arch| arch.is_native());
        native.with_context(|| format!("umbra is not packaged on {}", env::consts::ARCH))
    }
}

/// What all packages of one run have in common.
struct Edition {
    version: &'static str,
    profile: String,
    /// Of the commit, or `SOURCE_DATE_EPOCH` (reproducible-builds.org): the date of everything that is packed.
    time: Duration,
    dir: PathBuf,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    setup::run(setup::For::Package)?;
    let native = Arch::native()?;
    let mut wanted = options.arch.clone();
    if wanted.is_empty() {
        wanted = Arch::ALL.to_vec();
    }
    // It tells what the manual says, and is needed in any case.
    wanted.sort_by_key(|arch| *arch != native);

    let folder = if options.profile == "release" {
        "package".to_owned()
    } else {
        format!("package-{}", options.profile)
    };
    let edition = Edition {
        version: env!("CARGO_PKG_VERSION"),
        profile: options.profile.clone(),
        time: source_date()?,
        dir: shell::target_dir().join(folder),
    };
    if edition.dir.exists() {
        fs::remove_dir_all(&edition.dir).with_context(|| format!("remove {}", edition.dir.display()))?;
    }
    fs::create_dir_all(&edition.dir)?;

    let own = Binary::build(native, &options.profile)?;
    let manual = Manual::write(&own, &edition)?;
    let mut images = Vec::new();
    for arch in wanted {
        let binary = if arch == native { Ok(own.clone()) } else { Binary::build(arch, &options.profile) };
        match binary {
            Ok(binary) => images.push(edition.pack(&binary, &manual)?),
            Err(error) if options.arch.is_empty() => {
                println!("▸ no packages for {}: {error:#}", arch.as_str());
            }
            Err(error) => return Err(error.context(format!("no packages for {}", arch.as_str()))),
        }
    }
    let all = edition.dir.join(format!("umbra-{}-linux.oci.tar", edition.version));
    image::write_all(&all, &images, &edition)?;
    edition.sum()?;
    Ok(ExitCode::SUCCESS)
}

/// What the suite `package` takes apart: quicker to build, and made in the same way.
pub(crate) fn for_tests() -> Result<()> {
    let arch = Arch::ALL.into_iter().filter(|arch| arch.is_native()).collect();
    run(&Options { profile: "dev".to_owned(), arch }).map(drop)
}

/// The agent as it is packed for this machine, to be measured; `named` for a profiler.
pub(crate) fn for_bench(named: bool) -> Result<PathBuf> {
    let build = if named { Binary::build_with_names } else { Binary::build };
    Ok(build(Arch::native()?, "release")?.path)
}

impl Edition {
    /// All of one architecture; its image is told, for that of all.
    fn pack(&self, binary: &Binary, manual: &Manual) -> Result<Image> {
        println!("▸ pack for {}", binary.arch.as_str());
        let name = format!("umbra-{}-linux-{}", self.version, binary.arch.as_str());
        let inventory = Inventory::of(binary, self)?;
        binary.copy(&self.dir.join(&name))?;
        fs::write(self.dir.join(format!("{name}.cdx.json")), inventory.cyclonedx())?;
        let image = Image::of(binary, &inventory, self)?;
        image.write(&self.dir.join(format!("{name}.image.tar")), self)?;
        deb::write(binary, manual, &inventory, self)?;
        Ok(image)
    }

    /// The time as a file's header has it.
    fn seconds(&self) -> u64 {
        self.time.as_secs()
    }

    /// `2026-11-22T11:53:46Z` by date(1), in a format of its own.
    fn date(&self, format: &str) -> Result<String> {
        let at = format!("@{}", self.seconds());
        shell::output(shell::command("date").env("LC_ALL", "C").args(["--utc", "--date", &at, format]))
    }

    /// `SHA256SUMS`, as sha256sum(1) checks it, and a list for the person.
    fn sum(&self) -> Result<()> {
        let mut files = Vec::new();
        collect(&self.dir, &mut files)?;
        files.sort();
        let (mut sums, mut largest) = (String::new(), Vec::new());
        for file in &files {
            let (name, content) = (file.strip_prefix(&self.dir)?.display().to_string(), fs::read(file)?);
            sums.push_str(&format!("{}  {name}\n", sha256(&content)));
            if !name.contains('/') {
                largest.push(format!("  {:>9.1} MiB  {name}", content.len() as f64 / f64::from(1 << 20)));
            }
        }
        fs::write(self.dir.join("SHA256SUMS"), sums)?;
        println!("{}\nin {}, with man/, completions/ and SHA256SUMS", largest.join("\n"), self.dir.display());
        Ok(())
    }
}

fn source_date() -> Result<Duration> {
    let seconds = match env::var("SOURCE_DATE_EPOCH") {
        Ok(said) => said,
        Err(_) => shell::output(shell::command("git").args(["log", "-1", "--format=%ct"]))
            .context("the date of the packages is the commit's: without git set SOURCE_DATE_EPOCH")?,
    };
    let seconds = seconds.trim().parse().with_context(|| format!("`{seconds}` are no seconds since 1970"))?;
    Ok(Duration::from_secs(seconds))
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() { collect(&path, files)? } else { files.push(path) }
    }
    Ok(())
}

fn sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// As gzip(1) does with `-9n`: neither name nor time.
fn gzip(content: &[u8]) -> Result<Vec<u8>> {
    use std::io::Write as _;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(content)?;
    let gzipped = gzip.finish()?;
    ensure!(gzipped.len() > 10, "a gzip file has a header");
    Ok(gzipped)
}
