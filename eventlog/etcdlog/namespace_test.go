package etcdlog

import (
	"context"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/namespace"
)

// within confines a client to a name space. Maintenance sees all of etcd.
func within(c *clientv3.Client, space string) *clientv3.Client {
	c.KV = namespace.NewKV(c.KV, space)
	c.Watcher = &spaceWatcher{Watcher: c.Watcher, space: space}
	return c
}

// spaceWatcher is namespace.NewWatcher for watchers in process: these share
// the events, whose keys that one cuts in place, once for each of them.
type spaceWatcher struct {
	clientv3.Watcher
	space string
}

func (w *spaceWatcher) Watch(ctx context.Context, key string, opts ...clientv3.OpOption) clientv3.WatchChan {
	if end := clientv3.OpGet(key, opts...).RangeBytes(); end != nil {
		opts = append(opts, clientv3.WithRange(w.space+string(end)))
	}
	in := w.Watcher.Watch(ctx, w.space+key, opts...)
	out := make(chan clientv3.WatchResponse)
	go func() {
		defer close(out)
		for r := range in {
			events := make([]*clientv3.Event, len(r.Events))
			for i, e := range r.Events {
				events[i] = &clientv3.Event{Type: e.Type, Kv: &mvccpb.KeyValue{
					Key:   []byte(strings.TrimPrefix(string(e.Kv.Key), w.space)),
					Value: e.Kv.Value, CreateRevision: e.Kv.CreateRevision, ModRevision: e.Kv.ModRevision, Version: e.Kv.Version,
				}}
			}
			r.Events = events
			select {
			case out <- r:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

func clientPrefix() clientv3.OpOption { return clientv3.WithPrefix() }

func withEnd(end string) clientv3.OpOption { return clientv3.WithRange(end) }
