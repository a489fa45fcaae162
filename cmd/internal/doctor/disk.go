package doctor

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"dvr/controller/settings"
)

// directory looks at the data directory and its file system.
func directory(s *settings.Settings) []Finding {
	if err := os.MkdirAll(s.DataDir, 0o700); err != nil {
		return []Finding{{"data directory", Fail, err.Error(), "choose a place with DATA_DIR that this user may write to"}}
	}
	probe, err := os.CreateTemp(s.DataDir, ".doctor-*")
	if err != nil {
		return []Finding{{"data directory", Fail, err.Error(), "give the directory to the user who runs the node, or choose another with DATA_DIR"}}
	}
	_ = probe.Close()
	_ = os.Remove(probe.Name())
	system, free, err := fileSystemOf(s.DataDir)
	if err != nil {
		return []Finding{{"data directory", Warn, err.Error(), "its file system could not be asked"}}
	}
	quota := s.EtcdQuota
	if len(s.EtcdEndpoints) > 0 {
		quota = 0 // the store is elsewhere
	}
	return []Finding{fileSystem(s.DataDir, system), space(free, quota)}
}

// missing are the directories that are not there, of dir and those above it, the
// deepest first.
func missing(dir string) (out []string) {
	for {
		if _, err := os.Lstat(dir); !os.IsNotExist(err) {
			return out
		}
		out = append(out, dir)
		above := filepath.Dir(filepath.Clean(dir))
		if above == dir {
			return out
		}
		dir = above
	}
}

// removeMade removes directories as far as they are empty: who has used them
// meanwhile keeps them.
func removeMade(dirs []string) {
	for _, d := range dirs {
		if os.Remove(d) != nil {
			return
		}
	}
}

// fileSystem judges by the name; empty: not one that matters.
func fileSystem(dir, name string) Finding {
	f := Finding{Check: "data directory", Found: dir}
	if name != "" {
		f.Found += " on " + name
	}
	switch name {
	case "tmpfs", "ramfs":
		f.Level, f.Advice = Warn, "it is in memory and gone after a restart of the machine; a node that lost its data must be replaced: put DATA_DIR on a disk"
	case "nfs", "smb", "cifs", "smb2", "fuse":
		f.Level, f.Advice = Warn, "etcd wants a local disk: locks and fsync over the network are slow and not always true"
	case "overlay":
		f.Level, f.Advice = Warn, "a container's own layer is gone with the container: mount a volume at DATA_DIR"
	}
	return f
}

// leastSpace is what a node does not start with: write-ahead log and a snapshot.
const leastSpace = 256 << 20

// space judges how many bytes are free.
func space(free, quota int64) Finding {
	f := Finding{Check: "disk space", Found: amount(free) + " free"}
	// The database, its copy while it is defragmented, write-ahead log and snapshots.
	want := 2*quota + 1<<30
	switch {
	case free < leastSpace:
		f.Level, f.Advice = Fail, fmt.Sprintf("free at least %s; a full store refuses every change", amount(leastSpace))
	case free < want:
		f.Level, f.Advice = Warn, fmt.Sprintf("a store at its ETCD_QUOTA (%s) wants %s: free some, or lower ETCD_QUOTA", amount(quota), amount(want))
	}
	return f
}

// Of the write that is measured: about what a group commit is, until time or number is reached.
const (
	syncBytes = 8 << 10
	syncMost  = 500
	syncTime  = 3 * time.Second
)

// sync measures fdatasync in the directory, as etcd's write-ahead log does it.
func sync(ctx context.Context, dir string) Finding {
	f, err := os.OpenFile(filepath.Join(dir, fmt.Sprintf(".doctor-%d", os.Getpid())), os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return Finding{"fsync latency", Fail, err.Error(), "a node cannot write there"}
	}
	defer os.Remove(f.Name())
	defer f.Close()
	buffer := make([]byte, syncBytes)
	var took []time.Duration
	for begin := time.Now(); len(took) < syncMost && time.Since(begin) < syncTime && ctx.Err() == nil; {
		at := time.Now()
		if _, err := f.WriteAt(buffer, 0); err != nil {
			return Finding{"fsync latency", Fail, err.Error(), "a node cannot write there"}
		}
		if err := datasync(f); err != nil {
			return Finding{"fsync latency", Fail, err.Error(), "what a node acknowledges would not be on the disk"}
		}
		took = append(took, time.Since(at))
	}
	return syncLatency(took)
}

// syncLatency judges measured times; there is one at least unless it was interrupted.
func syncLatency(took []time.Duration) Finding {
	if len(took) == 0 {
		return Finding{"fsync latency", Warn, "interrupted", "run it again"}
	}
	slices.Sort(took)
	p50, p99 := took[len(took)/2], took[len(took)*99/100]
	f := Finding{Check: "fsync latency", Found: fmt.Sprintf("p50 %s, p99 %s of %d writes of 8 KiB", short(p50), short(p99), len(took))}
	switch {
	case p99 > 100*time.Millisecond:
		f.Level, f.Advice = Fail, "leaders lose their office over this: a change waits for the disk of most nodes. Take a faster disk (SSD with power-loss protection), or one that nothing else writes to"
	case p99 > 10*time.Millisecond:
		f.Level, f.Advice = Warn, "etcd wants a p99 below 10 ms: a faster disk, or one that nothing else writes to, makes every change faster"
	case p50 < 20*time.Microsecond:
		f.Level, f.Advice = Warn, "too fast to be true: the disk, or the machine below, says that it has what it has not; a loss of power may cost acknowledged changes on this node"
	}
	return f
}

// amount is bytes for a reader.
func amount(n int64) string {
	if n < 1<<30 {
		return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
}

func short(d time.Duration) string {
	if d < time.Millisecond {
		return d.Round(time.Microsecond).String()
	}
	return d.Round(10 * time.Microsecond).String()
}
