package node

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"dvr/controller/settings"
)

// dirLock keeps a second process out of the data directory. The system drops
// it with the process, however that ends.
type dirLock struct{ f *os.File }

func lockDir(dir string) (*dirLock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("DATA_DIR: %w", err)
	}
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("DATA_DIR: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder, _ := os.ReadFile(path)
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("DATA_DIR: %s is in use by another node (process %s): stop it, or choose another directory", dir, strings.TrimSpace(string(holder)))
		}
		return nil, fmt.Errorf("DATA_DIR: lock %s: %w", path, err)
	}
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return &dirLock{f}, nil
}

func (l *dirLock) release() error { return l.f.Close() }

// listen opens a port; one in use is said by the setting that names it.
func listen(name, addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s: %s is in use by another program: stop it, or set %s", name, addr, name)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return l, nil
}

// storeError says which setting etcd stumbled over.
func storeError(s *settings.Settings, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) || strings.Contains(err.Error(), "address already in use") {
		name, addr := "CLIENT_ADDR", s.Client.Listen
		if strings.Contains(err.Error(), s.Raft.Listen) {
			name, addr = "RAFT_ADDR", s.Raft.Listen
		}
		return fmt.Errorf("%s: %s is in use by another program: stop it, or set %s", name, addr, name)
	}
	return fmt.Errorf("embedded etcd in %s: %w", s.DataDir, err)
}

// machineMemory is the memory that this process may use, in bytes; 0: unknown.
func machineMemory() int64 {
	var least int64
	if raw, err := os.ReadFile("/proc/meminfo"); err == nil {
		for line := range strings.Lines(string(raw)) {
			if rest, ok := strings.CutPrefix(line, "MemTotal:"); ok {
				kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
				if err == nil {
					least = kb << 10
				}
			}
		}
	}
	if raw, err := os.ReadFile("/sys/fs/cgroup/memory.max"); err == nil {
		if v, err := strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 64); err == nil && (least == 0 || v < least) {
			least = v
		}
	}
	return least
}
