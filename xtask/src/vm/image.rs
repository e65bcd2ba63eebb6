//! The machine's files: an initramfs of this machine's tools with their libraries, the kernel's
//! modules, the test binaries and a script that runs them.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::Write as _,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use super::{binaries::Binaries, kernel::Kernel, modules};
use crate::process;

/// What the tests and bridge-user call, beside the tools of the kernel ring.
const PROGRAMS: &[&str] = &[
    "bash", "bridge", "cat", "chmod", "cp", "cut", "date", "dd", "dirname", "echo", "env", "false",
    "find", "getent", "grep", "head", "hostname", "id", "insmod", "ln", "ls", "mkdir", "mkfifo",
    "mount", "mv", "od", "printf", "readlink", "rm", "rmdir", "sed", "seq", "setpriv", "sh",
    "sleep", "sort", "ss", "stat", "sysctl", "tail", "tc", "tee", "test", "timeout", "touch", "tr",
    "true", "umount", "uname", "unshare", "wc", "yes",
];

/// Links at the root that Debian has had since 12 ("usrmerge").
const MERGED: &[&str] = &["bin", "sbin", "lib", "lib64"];

const DIRECTORIES: &[&str] = &[
    "dev", "etc", "proc", "run", "sys", "tmp", "var/lib", "root", "modules",
];

/// Users that tools look for: tcpdump(1) gives up root's rights.
const USERS: &str = "root:x:0:0::/root:/bin/sh\ntcpdump:x:100:100::/:/bin/false\n\
    nobody:x:65534:65534::/:/bin/false\n";
const GROUPS: &str = "root:x:0:\ntcpdump:x:100:\nnogroup:x:65534:\n";

/// Makes the image for these tests, and returns its path.
pub(super) fn make(
    directory: &Path,
    kernel: &Kernel,
    binaries: &Binaries,
    tests: &[String],
) -> Result<PathBuf> {
    let root = directory.join("root");
    if root.exists() {
        fs::remove_dir_all(&root).context("failed to remove an earlier image's files")?;
    }
    for name in DIRECTORIES {
        fs::create_dir_all(root.join(name)).context("failed to make the image's directories")?;
    }
    for name in MERGED {
        fs::create_dir_all(root.join("usr").join(name))?;
        symlink(format!("usr/{name}"), root.join(name))?;
    }
    put_programs(&root, binaries)?;
    put_modules(&root, kernel)?;
    let write = |name: &str, text: &str| {
        fs::write(root.join(name), text).with_context(|| format!("failed to write {name}"))
    };
    write("etc/passwd", USERS)?;
    write("etc/group", GROUPS)?;
    write("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n")?;
    write(
        "etc/nsswitch.conf",
        "passwd: files\ngroup: files\nhosts: files\n",
    )?;
    // Names have addresses of both families, a line each (host.conf(5)).
    write("etc/host.conf", "multi on\n")?;
    write("tests", &(tests.join("\n") + "\n"))?;
    write("test-binary", &format!("{}\n", binaries.tests.display()))?;
    write("init", include_str!("init.sh"))?;
    fs::set_permissions(root.join("init"), fs::Permissions::from_mode(0o755))?;
    let image = directory.join("initrd");
    pack(&root, &image)?;
    Ok(image)
}

/// Every program at the path that it has here, and all libraries.
fn put_programs(root: &Path, binaries: &Binaries) -> Result<()> {
    let tools = crate::test::TOOLS.iter().map(|tool| tool.program);
    let mut files = BTreeSet::new();
    for name in PROGRAMS.iter().copied().chain(tools) {
        let program = process::find_program(name).with_context(|| format!("there is no {name}"))?;
        files.extend(libraries(&program)?);
        files.insert(program);
    }
    files.insert(targets_of_iptables(&files)?);
    for binary in [&binaries.tests, &binaries.bridge_user] {
        files.extend(libraries(binary)?);
        // Debug information would be most of the image.
        let place = place(root, binary)?;
        process::check(Command::new("strip").arg("-o").arg(place).arg(binary))?;
    }
    for file in files {
        let place = place(root, &file)?;
        fs::copy(&file, place).with_context(|| format!("failed to copy {}", file.display()))?;
    }
    Ok(())
}

/// Where a file of this machine is in the image.
fn place(root: &Path, file: &Path) -> Result<PathBuf> {
    let inside = file.strip_prefix("/").context("the path is not absolute")?;
    let place = root.join(inside);
    fs::create_dir_all(place.parent().context("a file has a directory")?)
        .with_context(|| format!("failed to make the directory of {}", file.display()))?;
    Ok(place)
}

/// Shared libraries and loader of a program, by ldd(1); none of a script's or a static one's.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("ldd")
        .arg(program)
        .output()
        .context("failed to start ldd")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if text.contains("not found") {
        bail!("{} lacks libraries: {text}", program.display());
    }
    Ok(paths(&text))
}

/// What iptables loads for ACCEPT and DROP, beside its library: ldd does not know of it.
fn targets_of_iptables(files: &BTreeSet<PathBuf>) -> Result<PathBuf> {
    let is_its = |file: &&PathBuf| {
        let name = file.file_name().unwrap_or_default();
        name.to_string_lossy().starts_with("libxtables.so")
    };
    let library = files
        .iter()
        .find(is_its)
        .context("there is no libxtables")?;
    Ok(library.with_file_name("xtables").join("libxt_standard.so"))
}

/// The paths in what ldd prints: `NAME => PATH (ADDRESS)`, or `PATH (ADDRESS)`.
fn paths(ldd: &str) -> Vec<PathBuf> {
    ldd.lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
        .map(PathBuf::from)
        .collect()
}

/// The modules, numbered in the order of loading.
fn put_modules(root: &Path, kernel: &Kernel) -> Result<()> {
    let mut order = Vec::new();
    for path in modules::in_order(kernel)? {
        let from = kernel.modules().join(&path);
        let name = from.file_name().context("a module has a name")?;
        fs::copy(&from, root.join("modules").join(name))
            .with_context(|| format!("failed to copy {path}"))?;
        order.push(name.to_string_lossy().into_owned());
    }
    fs::write(root.join("modules/order"), order.join("\n") + "\n")
        .context("failed to write the order of modules")
}

/// Packs the files as the kernel wants them (Documentation/driver-api/early-userspace/
/// buffer-format.rst, v6.18), all of them root's.
fn pack(root: &Path, image: &Path) -> Result<()> {
    let names = process::output(Command::new("find").arg(".").current_dir(root))?;
    let file = File::create(image).context("failed to create the image")?;
    let mut cpio = Command::new("cpio")
        .args(["--quiet", "--create", "--format=newc", "--owner=0:0"])
        .current_dir(root)
        .stdin(Stdio::piped())
        .stdout(file)
        .spawn()
        .context("failed to start cpio")?;
    let mut stdin = cpio.stdin.take().context("cpio's input is piped")?;
    stdin
        .write_all(names.as_bytes())
        .context("failed to write to cpio")?;
    drop(stdin);
    if !cpio.wait().context("cpio was lost")?.success() {
        bail!("cpio failed");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    //! What ldd prints.

    use std::path::PathBuf;

    use super::paths;

    #[test]
    fn libraries_and_the_loader_are_found() {
        let ldd =
            "\tlinux-vdso.so.1 (0x1)\n\tlibc.so.6 => /lib/libc.so.6 (0x2)\n\t/lib64/ld.so (0x3)\n";
        assert_eq!(
            paths(ldd),
            ["/lib/libc.so.6", "/lib64/ld.so"].map(PathBuf::from)
        );
        assert_eq!(paths("\tstatically linked\n"), [""; 0].map(PathBuf::from));
    }
}
