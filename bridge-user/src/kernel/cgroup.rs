//! cgroup v2: where its root is, which all processes are below.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, fstatfs};

/// The root, open, and where it is mounted. `None` on a host without cgroup v2, or where it is mounted
/// nowhere that can be reached.
pub fn root() -> Option<(PathBuf, File)> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    mount_points(&mounts).find_map(|path| {
        // Another file system may be mounted over it.
        let directory = File::open(path).ok()?;
        let fs = fstatfs(&directory).ok()?;
        (fs.filesystem_type() == CGROUP2_SUPER_MAGIC).then(|| (path.into(), directory))
    })
}

/// Mount points of the whole hierarchy, by proc_pid_mountinfo(5); one with odd characters in its path,
/// which are written as octal numbers, is passed over like one that is not there.
fn mount_points(mounts: &str) -> impl Iterator<Item = &Path> {
    mounts.lines().filter_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, path) = (fields.next()?, fields.next()?);
        (kind.starts_with("cgroup2 ") && root == "/").then(|| Path::new(path))
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::mount_points;

    #[test]
    fn the_whole_hierarchy_is_found_wherever_it_is_mounted() {
        let mounts = "\
            31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n\
            32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n\
            60 31 0:38 /a /mnt/part rw - cgroup2 cgroup2 rw\n\
            41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw\n";
        let found: Vec<&Path> = mount_points(mounts).collect();
        assert_eq!(found, [Path::new("/sys/fs/cgroup/unified")]);
        assert_eq!(mount_points("odd\n").count(), 0);
    }
}
