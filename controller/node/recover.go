package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"dvr/controller/cluster"
	"dvr/controller/etcdserver"
	"dvr/eventlog"
	"dvr/eventlog/etcdlog"
)

// Recovery is what Recover did.
type Recovery struct {
	ClusterID string            `json:"cluster_id"`
	NodeID    string            `json:"node_id"`
	LogID     string            `json:"log_id"`
	Epoch     uint64            `json:"epoch"`
	Revision  eventlog.Revision `json:"revision"` // of the commit that opens the epoch
	Dropped   []string          `json:"dropped"`  // members that the cluster no longer has
}

// Recover makes the stopped member whose data are in dir the only member of its
// cluster and opens a new epoch of the log: the way out when a majority is lost
// for ever. Commits that the lost members had acknowledged and this one had not
// received are gone; data planes notice the epoch and reconcile. The lost members
// must never run again on their data. reason is kept in the log.
//
// Errors: cluster.ErrRefused when dir holds no member, and then nothing of it is
// touched, the log's, of a directory that is in use. It may be repeated: each time opens an epoch.
func Recover(ctx context.Context, dir, reason string, quota int64, log *zap.Logger) (_ *Recovery, err error) {
	// The lock makes what is missing of the directory: only a member's gets one.
	id, config, err := survivor(dir)
	if err != nil {
		return nil, err
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, lock.release()) }()
	if id, config, err = survivor(dir); err != nil { // a node may have left it just now
		return nil, err
	}
	// Nobody else is to reach it: it listens on loopback, on any port.
	config.Name, config.PeerListen, config.ClientListen, config.PeerAdvertise = "recovering", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:1"
	if id != nil {
		config.Name = id.NodeID
	}
	config.Recover, config.Quota, config.Logger = true, quota, log.Named("etcd").WithOptions(zap.IncreaseLevel(zap.WarnLevel))
	e, err := etcdserver.Start(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("embedded etcd in %s: %w", dir, err)
	}
	defer e.Close()
	if err := e.WaitReady(ctx); err != nil {
		return nil, fmt.Errorf("embedded etcd: %w", err)
	}
	options := etcdlog.Options{Node: config.Name, Logger: log.Named("log")}
	if id != nil {
		options.LogID = id.LogID
	}
	store, err := etcdlog.Open(ctx, e.Client(), options)
	if err != nil {
		return nil, err
	}
	head, err := startEpoch(ctx, store, config.Name, reason)
	if err != nil {
		return nil, fmt.Errorf("open a new epoch: %w", err)
	}
	r := &Recovery{ClusterID: cluster.FormatID(e.ClusterID()), NodeID: config.Name, LogID: store.ID(), Epoch: head.Epoch, Revision: head.Revision}
	r.Dropped, err = cluster.Forget(ctx, e.Client(), e.Members())
	return r, err
}

// survivor is whose data are in dir. It only reads. id is nil for a member that has no record of it.
func survivor(dir string) (id *cluster.Identity, config etcdserver.Config, err error) {
	config.DataDir = dir
	if id, err = cluster.LoadIdentity(dir); err != nil {
		return nil, config, err
	}
	if !config.Initialized() || id != nil && id.State != cluster.Member {
		return nil, config, fmt.Errorf("%w: %s holds no member's data to recover from", cluster.ErrRefused, dir)
	}
	return id, config, nil
}

// startEpoch appends the commit that opens the next epoch.
func startEpoch(ctx context.Context, log eventlog.Log, node, reason string) (eventlog.Head, error) {
	for {
		prev, err := log.Head(ctx)
		if err != nil {
			return eventlog.Head{}, err
		}
		raw, next, err := epochBatch(prev, node, &eventlog.EpochStarted{Epoch: prev.Epoch + 1, LogID: log.ID(), Cause: eventlog.CauseRecovered}, reason, time.Now().UnixMilli())
		if err != nil {
			return eventlog.Head{}, err
		}
		head, err := log.Append(ctx, prev, next, raw, nil)
		if !errors.Is(err, eventlog.ErrHeadMoved) {
			return head, err
		}
	}
}

// epochBatch is the batch that opens an epoch after prev. It gives the event its
// nonce and origin; now is log time.
func epochBatch(prev eventlog.Head, node string, e *eventlog.EpochStarted, reason string, now int64) (raw []byte, next eventlog.Head, err error) {
	_, _ = rand.Read(e.Nonce[:]) // never fails
	e.From = &eventlog.EpochOrigin{Epoch: prev.Epoch, Revision: prev.Revision, Hash: prev.Hash}
	b := eventlog.NewBatchBuilder(prev, node)
	err = b.Add(&eventlog.Commit{
		ID: fmt.Sprintf("%s-%d", e.Cause, e.Epoch), Time: now, Actor: eventlog.SystemActor, Reason: reason, Events: []eventlog.Event{e},
	})
	if err != nil {
		return nil, eventlog.Head{}, err
	}
	raw, next = b.Finish()
	return raw, next, nil
}
