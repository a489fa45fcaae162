package etcdlog

import (
	"context"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"dvr/eventlog"
)

// get and txn are single attempts, bounded by CallTimeout: over a network a
// call may otherwise hang on a dead connection for as long as ctx lives.

// undisturbed is how long a call is not watched for disturbance.
const undisturbed = 5 * time.Millisecond

func (l *Log) get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, l.options.CallTimeout)
	defer cancel()
	if near(ctx) {
		opts = append(opts[:len(opts):len(opts)], clientv3.WithSerializable())
	}
	return l.client.KV.Get(ctx, key, opts...)
}

func (l *Log) txn(ctx context.Context, cmps []clientv3.Cmp, then, otherwise []clientv3.Op) (*clientv3.TxnResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, l.options.CallTimeout)
	defer cancel()
	if near(ctx) && cmps == nil {
		then = nearby(then)
	}
	if l.options.Disturbed != nil {
		disturbed := l.options.Disturbed()
		// Few calls live so long: most need no goroutine.
		watch := time.AfterFunc(undisturbed, func() { // ends with the call
			select {
			case <-disturbed:
				cancel()
			case <-ctx.Done():
			}
		})
		defer watch.Stop()
	}
	return l.client.KV.Txn(ctx).If(cmps...).Then(then...).Else(otherwise...).Commit()
}

// settle repeats a transaction that may be applied twice without harm, until
// etcd answers or refuses.
func (l *Log) settle(ctx context.Context, cmps []clientv3.Cmp, then, otherwise []clientv3.Op) (*clientv3.TxnResponse, error) {
	var pause backoff
	for {
		r, err := l.txn(ctx, cmps, then, otherwise)
		if err == nil || judge(err) != unknown || !pause.wait(ctx) {
			return r, err
		}
	}
}

func absent(key string) clientv3.Cmp {
	return clientv3.Compare(clientv3.CreateRevision(key), "=", 0)
}

func present(key string) clientv3.Cmp {
	return clientv3.Compare(clientv3.CreateRevision(key), ">", 0)
}

// unchanged holds while the key was last put at the etcd revision; 0: absent.
func unchanged(key string, modRevision int64) clientv3.Cmp {
	return clientv3.Compare(clientv3.ModRevision(key), "=", modRevision)
}

func decodeHead(kv *mvccpb.KeyValue) (eventlog.Head, error) {
	head, err := eventlog.DecodeHead(kv.Value)
	head.Guard = kv.ModRevision
	return head, err
}
