package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"dvr/controller/cluster"
	"dvr/controller/etcdserver"
)

// openTimeout bounds the start of a stopped node's etcd, which reads its data and
// waits for nobody; the work is not bounded.
const openTimeout = 5 * time.Minute

// errMember: the directory cannot be changed without the other members.
var errMember = errors.New("the log of a cluster cannot be repaired in one member's directory: the others would not have it")

// stopped is the etcd of a node that does not run, on loopback ports that nobody knows.
func stopped(dir string) (etcdserver.Config, error) {
	config := etcdserver.Config{Name: "dvr-log", DataDir: dir, PeerListen: "127.0.0.1:0", PeerAdvertise: "127.0.0.1:1", ClientListen: "127.0.0.1:0", Quota: recoverQuota}
	if !config.Initialized() {
		return config, usageError{fmt.Errorf("--data-dir: %s holds no node's data", dir)}
	}
	if id, err := cluster.LoadIdentity(dir); err == nil && id != nil {
		config.Name = id.NodeID // etcd tells it the cluster
	}
	return config, nil
}

// lockStopped keeps a node from starting on dir, until the function that it
// returns is called.
func lockStopped(dir string, flags int) (unlock func(), err error) {
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), flags, 0o600)
	if errors.Is(err, os.ErrNotExist) {
		return func() {}, nil // only read, and no node was ever there
	}
	if err != nil {
		return nil, fmt.Errorf("--data-dir: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("--data-dir: %s is in use: stop the node, or use --etcd", dir)
	}
	return func() { lock.Close() }, nil
}

// openCopy starts a copy of the member in dir, alone whatever cluster it is of:
// what it has is to be looked at, and dir stays as it is.
func openCopy(ctx context.Context, dir string) (*clientv3.Client, func(), error) {
	config, err := stopped(dir)
	if err != nil {
		return nil, nil, err
	}
	unlock, err := lockStopped(dir, os.O_RDONLY)
	if err != nil {
		return nil, nil, err
	}
	defer unlock()
	aside, err := os.MkdirTemp("", "dvr-verify-*")
	if err != nil {
		return nil, nil, fmt.Errorf("--data-dir: a place for a copy: %w", err)
	}
	remove := func() { _ = os.RemoveAll(aside) } // what is left is in the system's temporary directory
	if err := config.CopyTo(aside); err != nil {
		remove()
		return nil, nil, fmt.Errorf("--data-dir: %w (TMPDIR says where the copy lies)", err)
	}
	config.DataDir, config.Recover = aside, true
	etcd, end, err := startStopped(ctx, config)
	if err != nil {
		remove()
		return nil, nil, fmt.Errorf("--data-dir: a copy of %s: %w", dir, err)
	}
	return etcd, func() {
		end()
		remove()
	}, nil
}

// openDir starts the member in dir, which is changed; it must be the only one.
// Errors: errMember.
func openDir(ctx context.Context, dir string) (*clientv3.Client, func(), error) {
	config, err := stopped(dir)
	if err != nil {
		return nil, nil, err
	}
	unlock, err := lockStopped(dir, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, nil, err
	}
	members, err := config.StoredMembers()
	if err == nil && len(members) > 1 {
		err = notAlone(dir, members)
	}
	if err != nil {
		unlock()
		return nil, nil, fmt.Errorf("--data-dir: %w", err)
	}
	etcd, end, err := startStopped(ctx, config)
	if err != nil {
		unlock()
		return nil, nil, fmt.Errorf("--data-dir: %s: %w", dir, err)
	}
	return etcd, func() {
		end()
		unlock()
	}, nil
}

// notAlone says what to do instead.
func notAlone(dir string, members []etcdserver.Member) error {
	names := make([]string, 0, len(members))
	for _, m := range members {
		name := m.Name
		if name == "" {
			name = "one that never started"
		}
		names = append(names, name)
	}
	return fmt.Errorf("%w\n%s is one of %d members (%s). Stop all, start them with ETCD_WRITABLE=true, then\n"+
		"    dvr log repair --etcd HOST:PORT\n"+
		"with the CLIENT_ADDR of one of them, and start them again without ETCD_WRITABLE.", errMember, dir, len(members), strings.Join(names, ", "))
}

// startStopped starts a member and gives its client and what ends both.
func startStopped(ctx context.Context, config etcdserver.Config) (*clientv3.Client, func(), error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	server, err := etcdserver.Start(ctx, config)
	if err != nil {
		return nil, nil, err
	}
	if err := server.WaitReady(ctx); err != nil {
		server.Close()
		return nil, nil, err
	}
	return server.Client(), server.Close, nil
}
