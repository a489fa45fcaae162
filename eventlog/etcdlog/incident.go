package etcdlog

import (
	"context"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// IncidentKind says what was found, or done about it.
type IncidentKind string

// The kinds of incident.
const (
	// IncidentForeign: a key or value that is not part of the log.
	IncidentForeign IncidentKind = "foreign"
	// IncidentRemoved: a foreign key was removed.
	IncidentRemoved IncidentKind = "removed"
	// IncidentDamaged: a committed value is changed or missing.
	IncidentDamaged IncidentKind = "damaged"
	// IncidentRestored: a committed value was put back.
	IncidentRestored IncidentKind = "restored"
)

// Incident is a finding that an operator should know of: somebody wrote under
// /dvr/log, or storage failed.
type Incident struct {
	Kind   IncidentKind
	Key    string
	Detail string
}

func (l *Log) report(kind IncidentKind, key, detail string) {
	switch kind {
	case IncidentForeign:
		l.counters.foreign.Add(1)
	case IncidentRestored:
		l.counters.restored.Add(1)
	}
	l.options.Logger.Warn("log incident", zap.String("kind", string(kind)), zap.String("key", key), zap.String("detail", detail))
	if l.options.Report != nil {
		l.options.Report(Incident{Kind: kind, Key: key, Detail: detail})
	}
}

// removeForeign reports a key that is no part of the log and removes it,
// unless it was written again since, or a further condition fails. A failure
// leaves it for the next reader.
func (l *Log) removeForeign(ctx context.Context, kv *mvccpb.KeyValue, detail string, further ...clientv3.Cmp) {
	key := string(kv.Key)
	l.report(IncidentForeign, key, detail)
	r, err := l.txn(ctx, append(further, unchanged(key, kv.ModRevision)), []clientv3.Op{clientv3.OpDelete(key)}, nil)
	switch {
	case err != nil:
		l.options.Logger.Warn("a foreign key could not be removed", zap.String("key", key), zap.Error(err))
	case r.Succeeded:
		l.report(IncidentRemoved, key, detail)
	}
}
