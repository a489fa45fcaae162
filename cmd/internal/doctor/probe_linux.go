package doctor

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Names of file systems that matter, by statfs's type.
var fileSystems = map[int64]string{
	unix.TMPFS_MAGIC: "tmpfs", unix.RAMFS_MAGIC: "ramfs", unix.NFS_SUPER_MAGIC: "nfs", unix.SMB_SUPER_MAGIC: "smb", 0xff534d42: "cifs", 0xfe534d42: "smb2",
	unix.FUSE_SUPER_MAGIC: "fuse", unix.OVERLAYFS_SUPER_MAGIC: "overlay", unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs", unix.BTRFS_SUPER_MAGIC: "btrfs", 0x2fc12fc1: "zfs",
}

// fileSystemOf is what a directory lies on, empty where it does not matter, and
// how many bytes are free there.
func fileSystemOf(dir string) (name string, free int64, err error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return "", 0, err
	}
	return fileSystems[int64(uint32(fs.Type))], int64(fs.Bavail) * int64(fs.Bsize), nil
}

// datasync is what etcd's write-ahead log does.
func datasync(f *os.File) error { return unix.Fdatasync(int(f.Fd())) }

// clockOf is adjtimex's state and status, and how far the clock may be off.
func clockOf() (state int, status int32, most time.Duration, err error) {
	var t unix.Timex
	state, err = unix.Adjtimex(&t)
	return state, t.Status, time.Duration(t.Maxerror) * time.Microsecond, err
}
