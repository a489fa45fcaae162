package node

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"dvr/controller/appender"
	"dvr/controller/backup"
	"dvr/controller/cluster"
	"dvr/controller/durable"
	"dvr/controller/etcdserver"
	"dvr/eventlog"
	"dvr/eventlog/etcdlog"
	"dvr/projector"
)

// RestoreOptions of Restore.
type RestoreOptions struct {
	Epoch  uint64 // to open; 0: the backup's plus one
	Reason string // kept in the log
	Quota  int64  // of etcd, as the node will have it; 0: etcdserver.DefaultQuota
	Now    time.Time
	Logger *zap.Logger // nil: none
}

// Restoration is what Restore did.
type Restoration struct {
	LogID    string            `json:"log_id"`
	From     eventlog.Revision `json:"from"`     // the backup's revision
	Digest   string            `json:"digest"`   // of the state there
	Epoch    uint64            `json:"epoch"`    // opened
	Revision eventlog.Revision `json:"revision"` // of the commit that opens it
	Routes   int               `json:"routes"`
}

// restoring is where etcd's data are made, below the data directory.
const restoring = "restore.new"

// Restore makes dir, which must hold no data, that of the first member of a new
// cluster whose log goes on where b was made, in a new epoch (decision 20). The
// node is started on it as usual. What fails leaves dir as it was; so does a
// crash, but for a directory restore.new, which the next try removes.
//
// Errors: cluster.ErrRefused where there are data or the epoch is not behind the
// backup's; those of etcd. Cost: for a million routes some seconds and the memory
// of two states.
func Restore(ctx context.Context, dir string, b *backup.Backup, o RestoreOptions) (_ *Restoration, err error) {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Epoch == 0 {
		o.Epoch = b.Header.Epoch + 1
	}
	if o.Epoch <= b.Header.Epoch {
		return nil, fmt.Errorf("%w: epoch %d does not come after the backup's, %d", cluster.ErrRefused, o.Epoch, b.Header.Epoch)
	}
	if err := vacant(dir); err != nil {
		return nil, err
	}
	_, err = os.Stat(dir)
	fresh := errors.Is(err, fs.ErrNotExist)
	_, err = os.Stat(filepath.Join(dir, "lock"))
	unlocked := errors.Is(err, fs.ErrNotExist)
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil && unlocked {
			err = errors.Join(err, os.Remove(filepath.Join(dir, "lock")))
		}
		err = errors.Join(err, lock.release())
		if err != nil && fresh {
			_ = os.Remove(dir) // it is empty, unless somebody put something there
		}
	}()
	if err := vacant(dir); err != nil { // a node may have left it just now
		return nil, err
	}
	below := filepath.Join(dir, restoring)
	if err := os.RemoveAll(below); err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(below)) }()
	r, err := plant(ctx, below, b.Fold.Current(), o)
	if err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	if err := durable.Move(filepath.Join(below, "etcd"), filepath.Join(dir, "etcd")); err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	return r, nil
}

// vacant refuses a directory with a node's data.
func vacant(dir string) error {
	for _, name := range []string{"etcd", "identity.json"} {
		switch _, err := os.Lstat(filepath.Join(dir, name)); {
		case err == nil:
			return fmt.Errorf("%w: %s holds the data of a node (%s): restore into an empty directory", cluster.ErrRefused, dir, name)
		case !errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("restore: %w", err)
		}
	}
	return nil
}

// plant makes a member of etcd in dir that holds nothing but the log.
func plant(ctx context.Context, dir string, s *projector.State, o RestoreOptions) (*Restoration, error) {
	var token [16]byte
	_, _ = rand.Read(token[:]) // never fails
	// Nobody else is to reach it; the node says its real addresses when it starts.
	e, err := etcdserver.Start(ctx, etcdserver.Config{
		Name: "restoring", DataDir: dir, PeerListen: "127.0.0.1:0", ClientListen: "127.0.0.1:0", PeerAdvertise: "127.0.0.1:1",
		Token: hex.EncodeToString(token[:]), Quota: o.Quota, Logger: o.Logger.Named("etcd").WithOptions(zap.IncreaseLevel(zap.WarnLevel)),
	})
	if err != nil {
		return nil, fmt.Errorf("embedded etcd in %s: %w", dir, err)
	}
	defer e.Close()
	if err := e.WaitReady(ctx); err != nil {
		return nil, fmt.Errorf("embedded etcd: %w", err)
	}
	at := s.Position()
	raw, head, err := epochBatch(s.Head(), "restore", &eventlog.EpochStarted{Epoch: o.Epoch, LogID: at.LogID, Cause: eventlog.CauseRestored}, o.Reason, max(s.Time(), o.Now.UnixMilli()))
	if err != nil {
		return nil, err
	}
	log, err := etcdlog.Plant(ctx, e.Client(), etcdlog.Options{Node: "restore", Logger: o.Logger.Named("log")},
		etcdlog.Seed{Snapshot: appender.Describe(s), Save: s.Save, Batch: raw, Head: head})
	if err != nil {
		return nil, err
	}
	if err := planted(ctx, log, head); err != nil {
		return nil, err
	}
	return &Restoration{LogID: at.LogID, From: at.Revision, Digest: s.Digest().String(), Epoch: head.Epoch, Revision: head.Revision, Routes: s.Stats().Routes}, nil
}

// planted reads the log back as a node will: the snapshot's digest must be that
// of its manifest, and the batch go on from it.
func planted(ctx context.Context, log *etcdlog.Log, head eventlog.Head) error {
	a, err := appender.Open(ctx, log, appender.Options{Node: "restore"})
	if err != nil {
		return fmt.Errorf("read back: %w", err)
	}
	now := a.State().Head()
	if err := a.Close(); err != nil {
		return fmt.Errorf("read back: %w", err)
	}
	if now.Revision != head.Revision || now.Hash != head.Hash {
		return fmt.Errorf("read back: %w: revision %d, planted was %d", eventlog.ErrCorrupt, now.Revision, head.Revision)
	}
	return nil
}
