package etcdlog

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"dvr/eventlog"
)

// Options are a Log's settings; the zero value is usable.
type Options struct {
	// Node names the writer of the first batch of a new log.
	Node string
	// LogID is the log that must be there: another one, or none, is ErrForeignLog,
	// and nothing is created. Empty: any.
	LogID string
	// Logger gets what concerns an operator. nil: none.
	Logger *zap.Logger
	// Report is called for each Incident, from the goroutine that found it; it
	// must be quick. nil: only logged.
	Report func(Incident)
	// Now is the clock of stages and of the clean-up. nil: time.Now.
	Now func() time.Time
	// CallTimeout bounds one attempt of one call. 0: 5 s.
	CallTimeout time.Duration
	// Disturbed gives a channel that is closed when attempts in progress have
	// probably got lost, as those have that were on their way to a leader when
	// another was elected: they are then made again at once, not after
	// CallTimeout. nil: never.
	Disturbed func() <-chan struct{}
	// Silence is how long a watch may say nothing before the head is asked
	// whether it should have. 0: 15 s.
	Silence time.Duration
	// Defragment defragments the member in process (etcdserver.Server has it);
	// a client over the network needs none.
	Defragment func() error
	// Backlog bounds the bytes that wait between a watch and a slow follower;
	// beyond, the watch is left and the rest is ranged. 0: 16 MiB.
	Backlog int64
}

func (o *Options) setDefaults() {
	if o.Node == "" {
		o.Node = "dvr"
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.CallTimeout == 0 {
		o.CallTimeout = 5 * time.Second
	}
	if o.Silence == 0 {
		o.Silence = 15 * time.Second
	}
	if o.Backlog == 0 {
		o.Backlog = 16 << 20
	}
}

// Log is the log on etcd. It is safe for concurrent use and holds no
// goroutine, so there is nothing to close; the client stays the caller's.
type Log struct {
	client     *clientv3.Client
	options    Options
	id         string
	cluster    uint64 // etcd cluster that the log was opened in
	counters   counters
	stale      staleDirs
	proofs     proofs
	unfinished unfinished
}

var _ eventlog.Log = (*Log)(nil)

type meta struct {
	Format int    `json:"format"`
	LogID  string `json:"log_id"`
}

// Open opens the log that client's etcd holds, or creates it: identity,
// revision 1 and head in one transaction, so that of racing creators one wins
// and all agree. Errors: ErrUnavailable, ErrNoSpace, ErrLevel (a newer format),
// ErrCorrupt, ErrForeignLog.
func Open(ctx context.Context, client *clientv3.Client, options Options) (*Log, error) {
	options.setDefaults()
	l := &Log{client: client, options: options}
	l.stale.init()
	var pause backoff
	for {
		err := l.open(ctx)
		if err == nil {
			if err := l.repairLow(ctx); err != nil { // who reads it says what is wrong
				l.options.Logger.Warn("the oldest retained revision could not be repaired", zap.Error(err))
			}
			return l, nil
		}
		if !errors.Is(err, eventlog.ErrUnavailable) || judge(err) != unknown || !pause.wait(ctx) {
			return nil, err
		}
	}
}

func (l *Log) open(ctx context.Context) error {
	id, err := uuid.NewRandom()
	if err != nil {
		return fmt.Errorf("create log: %w", err)
	}
	var nonce eventlog.Nonce
	if _, err := rand.Read(nonce[:]); err != nil {
		return fmt.Errorf("create log: %w", err)
	}
	value, err := json.Marshal(meta{Format: eventlog.Format, LogID: id.String()})
	if err != nil {
		return fmt.Errorf("create log: %w", err)
	}
	raw, head := eventlog.FirstBatch(id.String(), nonce, l.options.Now().UnixMilli(), l.options.Node)

	// A read comes first, so that opening an existing log writes nothing and
	// works where writing is refused.
	response, err := l.get(ctx, metaKey)
	if err != nil {
		return unavailable("open log", err)
	}
	l.cluster = response.Header.GetClusterId()
	if len(response.Kvs) == 0 {
		if l.options.LogID != "" {
			return fmt.Errorf("open log: %w: there is none where log %s was", eventlog.ErrForeignLog, l.options.LogID)
		}
		created, err := l.txn(ctx,
			[]clientv3.Cmp{absent(metaKey), absent(headKey), absent(batchKey(1))},
			[]clientv3.Op{
				clientv3.OpPut(metaKey, string(value)),
				clientv3.OpPut(batchKey(1), string(raw)),
				clientv3.OpPut(headKey, string(eventlog.AppendHead(nil, head))),
			},
			[]clientv3.Op{clientv3.OpGet(metaKey)})
		if err != nil {
			return unavailable("create log", err)
		}
		if created.Succeeded {
			l.id = id.String()
			return nil
		}
		kvs := created.Responses[0].GetResponseRange().Kvs
		if len(kvs) == 0 {
			return l.recoverMeta(ctx, nil)
		}
		return l.setMeta(kvs[0].Value)
	}
	if err := l.setMeta(response.Kvs[0].Value); !errors.Is(err, eventlog.ErrCorrupt) {
		return err
	}
	return l.recoverMeta(ctx, response.Kvs[0])
}

func (l *Log) setMeta(value []byte) error {
	var m meta
	if err := json.Unmarshal(value, &m); err != nil {
		return fmt.Errorf("open log: %s: %w: %w", metaKey, eventlog.ErrCorrupt, err)
	}
	if m.Format != eventlog.Format {
		return fmt.Errorf("open log: %w: format %d", eventlog.ErrLevel, m.Format)
	}
	if m.LogID == "" {
		return fmt.Errorf("open log: %s: %w: no log_id", metaKey, eventlog.ErrCorrupt)
	}
	if l.options.LogID != "" && m.LogID != l.options.LogID {
		return fmt.Errorf("open log: %w: %s is there, this node belongs to %s", eventlog.ErrForeignLog, m.LogID, l.options.LogID)
	}
	l.id = m.LogID
	return nil
}

// ID is the log's uuid.
func (l *Log) ID() string { return l.id }

// Head implements eventlog.Log.
func (l *Log) Head(ctx context.Context) (eventlog.Head, error) {
	v, err := l.view(ctx)
	return v.head, err
}

// view is head and low at one etcd revision.
type view struct {
	head     eventlog.Head
	low      eventlog.Revision
	lowGuard int64 // ModRevision of the low key; 0 while absent
	at       int64 // etcd revision
}

// mendedView is view, after a head that is missing or unreadable was put back.
func (l *Log) mendedView(ctx context.Context) (view, error) {
	v, err := l.view(ctx)
	if !errors.Is(err, eventlog.ErrCorrupt) {
		return v, err
	}
	if err := l.RepairHead(ctx); err != nil {
		return view{}, err
	}
	return l.view(ctx)
}

// view reads head and low linearizably.
func (l *Log) view(ctx context.Context) (view, error) {
	r, err := l.txn(ctx, nil, []clientv3.Op{clientv3.OpGet(headKey), clientv3.OpGet(lowKey)}, nil)
	if err != nil {
		return view{}, unavailable("read head", err)
	}
	if got := r.Header.GetClusterId(); got != l.cluster {
		return view{}, fmt.Errorf("read head: %w: etcd cluster %x, opened in %x", eventlog.ErrForeignLog, got, l.cluster)
	}
	v := view{low: 1, at: r.Header.GetRevision()}
	heads, lows := r.Responses[0].GetResponseRange().Kvs, r.Responses[1].GetResponseRange().Kvs
	if len(heads) == 0 {
		return view{}, fmt.Errorf("read head: %w: %s is missing", eventlog.ErrCorrupt, headKey)
	}
	if v.head, err = decodeHead(heads[0]); err != nil {
		return view{}, fmt.Errorf("read head: %w", err)
	}
	if len(lows) > 0 {
		v.lowGuard = lows[0].ModRevision
		if v.low, err = decodeLow(lows[0].Value); err != nil {
			return view{}, fmt.Errorf("read low: %w", err)
		}
	}
	return v, nil
}

// Low implements eventlog.Log.
func (l *Log) Low(ctx context.Context) (eventlog.Revision, error) {
	r, err := l.get(ctx, lowKey)
	if err != nil {
		return 0, unavailable("read low", err)
	}
	if len(r.Kvs) == 0 {
		return 1, nil
	}
	low, err := decodeLow(r.Kvs[0].Value)
	if err != nil {
		return 0, fmt.Errorf("read low: %w", err)
	}
	return low, nil
}

type lowValue struct {
	Revision eventlog.Revision `json:"revision"`
}

func decodeLow(value []byte) (eventlog.Revision, error) {
	var v lowValue
	if err := json.Unmarshal(value, &v); err != nil || v.Revision == 0 {
		return 0, fmt.Errorf("%w: %s is %q", eventlog.ErrCorrupt, lowKey, value)
	}
	return v.Revision, nil
}
