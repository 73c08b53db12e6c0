//! What the binary is made of: every crate that is linked into it or into the programs for the kernel, as a bill of
//! materials (CycloneDX) and with the licences' own words.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::{Edition, binary::Binary, gzip, tree::Tree};
use crate::shell;

/// How licences' files begin, in capitals.
const LICENCES: [&str; 5] = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE"];

pub(super) struct Inventory {
    document: Value,
    /// The licences of all crates, each text once.
    licences: String,
}

/// Name and version.
type Crate = (String, String);

impl Inventory {
    pub(super) fn of(binary: &Binary, edition: &Edition) -> Result<Self> {
        let mut linked = tree("umbra", &binary.target)?;
        // Embedded by the build: compiled for the kernel, of whatever target it will be.
        linked.extend(tree("umbra-ebpf", "all")?);
        let metadata = shell::output(shell::cargo().args(["metadata", "--format-version", "1"]))?;
        let metadata: Value = serde_json::from_str(&metadata).context("what cargo metadata says")?;
        let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
        let packages: BTreeMap<Crate, &Value> = packages
            .iter()
            .map(|package| ((text(&package["name"]), text(&package["version"])), package))
            .filter(|(name, _)| linked.contains(name))
            .collect();
        let sums = checksums(&fs::read_to_string(shell::root().join("Cargo.lock"))?);

        let umbra = packages.get(&("umbra".to_owned(), edition.version.to_owned()));
        let umbra = umbra.context("umbra is not among its own crates")?;
        let mut components: Vec<_> = packages
            .iter()
            .filter(|(name, _)| name.0 != "umbra")
            .map(|(name, package)| component(package, sums.get(name).map(String::as_str)))
            .collect();
        components.extend(runtime(&binary.target)?);
        let mut itself = component(umbra, None);
        itself["type"] = json!("application");
        let document = json!({
            "bomFormat": "CycloneDX",
            "specVersion": "1.5",
            "version": 1,
            "metadata": {
                "timestamp": edition.date("+%Y-%m-%dT%H:%M:%SZ")?,
                "component": itself,
                "properties": [{"name": "cdx:rustc:target", "value": binary.target}],
            },
            "components": components,
            "dependencies": dependencies(&metadata, &packages),
        });
        Ok(Self { document, licences: licences(&packages)? })
    }

    pub(super) fn cyclonedx(&self) -> String {
        format!("{:#}\n", self.document)
    }

    /// Copyright and licences, as Debian wants them, and those of what is linked.
    pub(super) fn install(&self, tree: &mut Tree) -> Result<()> {
        let copyright = fs::read(shell::root().join("deploy/deb/copyright"))?;
        tree.file("usr/share/doc/umbra/copyright", 0o644, copyright);
        tree.file("usr/share/doc/umbra/third-party.txt.gz", 0o644, gzip(self.licences.as_bytes())?);
        Ok(())
    }
}

/// The crates that are linked into this one.
fn tree(package: &str, target: &str) -> Result<BTreeSet<Crate>> {
    let mut cargo = shell::cargo();
    cargo.args(["tree", "--package", package, "--target", target, "--edges", "normal,no-proc-macro"]);
    let said = shell::output(cargo.args(["--prefix", "none", "--format", "{p}"]))?;
    let crates = said.lines().filter_map(|line| {
        let mut words = line.split(' ');
        Some((words.next()?.to_owned(), words.next()?.strip_prefix('v')?.to_owned()))
    });
    Ok(crates.collect())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn purl(package: &Value) -> String {
    format!("pkg:cargo/{}@{}", text(&package["name"]), text(&package["version"]))
}

fn component(package: &Value, sum: Option<&str>) -> Value {
    let purl = purl(package);
    let mut component = json!({
        "type": "library",
        "bom-ref": purl,
        "name": package["name"],
        "version": package["version"],
        "scope": "required",
        "purl": purl,
    });
    if let Some(licence) = package["license"].as_str() {
        // Before SPDX had expressions a slash meant OR.
        component["licenses"] = json!([{"expression": licence.replace('/', " OR ")}]);
    }
    if let Some(repository) = package["repository"].as_str() {
        component["externalReferences"] = json!([{"type": "vcs", "url": repository}]);
    }
    if let Some(sum) = sum {
        component["hashes"] = json!([{"alg": "SHA-256", "content": sum}]);
    }
    component
}

/// What the compiler brings: no crate of Cargo.lock, and linked all the same.
fn runtime(target: &str) -> Result<Vec<Value>> {
    let compiler = shell::output(shell::command("rustc").arg("--version"))?;
    let version = compiler.split(' ').nth(1).unwrap_or_default();
    let licence = |licence: &str| json!([{"expression": licence}]);
    let (libc, terms) =
        if target.ends_with("musl") { ("musl", "MIT") } else { ("glibc", "LGPL-2.1-or-later") };
    Ok(vec![
        json!({"type": "library", "name": "rust-std", "version": version, "licenses": licence("MIT OR Apache-2.0")}),
        json!({"type": "library", "name": libc, "licenses": licence(terms)}),
    ])
}

/// Who links whom, among what is linked.
fn dependencies(metadata: &Value, packages: &BTreeMap<Crate, &Value>) -> Vec<Value> {
    let by_id: BTreeMap<String, String> =
        packages.values().map(|package| (text(&package["id"]), purl(package))).collect();
    let nodes = metadata["resolve"]["nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let known = nodes.iter().filter_map(|node| {
        let of = by_id.get(node["id"].as_str()?)?;
        let on = node["dependencies"].as_array()?.iter().filter_map(|id| by_id.get(id.as_str()?));
        Some(json!({"ref": of, "dependsOn": on.collect::<BTreeSet<_>>()}))
    });
    known.collect()
}

/// What Cargo.lock holds each crate to.
fn checksums(lock: &str) -> BTreeMap<Crate, String> {
    let packages = lock.split("[[package]]").filter_map(|package| {
        let value = |key: &str| {
            let line = package.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "))?;
            Some(line.trim_matches('"').to_owned())
        };
        Some(((value("name")?, value("version")?), value("checksum")?))
    });
    packages.collect()
}

fn licences(packages: &BTreeMap<Crate, &Value>) -> Result<String> {
    let mut texts = BTreeMap::<String, Vec<String>>::new();
    for ((name, version), package) in packages {
        let manifest = text(&package["manifest_path"]);
        let folder = Path::new(&manifest).parent().context("a manifest lies in a folder")?;
        let mut files = fs::read_dir(folder)?.flatten().map(|entry| entry.path()).collect::<Vec<_>>();
        files.sort();
        for file in files {
            let kind = file.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
            if file.is_file() && LICENCES.iter().any(|licence| kind.starts_with(licence)) {
                let words = String::from_utf8_lossy(&fs::read(&file)?).trim().to_owned();
                let of = texts.entry(words).or_default();
                of.push(format!("{name} {version} ({})", text(&package["license"])));
            }
        }
    }
    let mut texts: Vec<_> = texts.into_iter().map(|(words, mut of)| (of.remove(0), of, words)).collect();
    texts.sort();
    let told = texts.into_iter().map(|(first, others, words)| {
        let of = [vec![first], others].concat().join("\n");
        format!("{of}\n\n{words}\n\n{}\n", "=".repeat(80))
    });
    Ok(told.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_of_the_registry_have_the_checksum_of_the_lock() {
        let lock = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nchecksum = \"ff\"\n\n\
                    [[package]]\nname = \"own\"\nversion = \"0.1.0\"\n";
        let expected = BTreeMap::from([(("a".to_owned(), "1.0.0".to_owned()), "ff".to_owned())]);
        assert_eq!(checksums(lock), expected);
    }
}
