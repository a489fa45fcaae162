package peer

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"dvr/controller/service"
)

const (
	nodesPrefix = "/dvr/nodes/"
	// tenure is how long an entry outlives its node.
	tenure = 4 * time.Second
	// renewal is between two signs of life, and between two puts of an entry.
	renewal = time.Second
	// withdrawal is how long a node that stops waits for the end of its entry. Where
	// all stop together there is nobody to end it.
	withdrawal = 400 * time.Millisecond
	// memory is how long a node that went is still told to data planes.
	memory = 24 * time.Hour
	// maxNodes bounds what is remembered, maxEntry the length of one entry.
	maxNodes = 1024
	maxEntry = 64 << 10
)

// Directory is the list of nodes in etcd, /dvr/nodes/<id>: each entry lives
// under a lease as long as its node. All methods are safe for concurrent use.
type Directory struct {
	client *clientv3.Client
	now    func() time.Time
	self   string

	mu      sync.Mutex
	entries map[string]*entry
	own     []byte
	tenants map[string]*tenant // whose entries are kept from here
	changed signal
	renew   chan struct{} // the own entry is to be put
}

// entry is a node as the directory has it, or had it last.
type entry struct {
	node    Node
	created int64 // etcd revision since which the entry is there without a break
	gone    time.Time
}

// NewDirectory makes the directory of the node self. Run keeps it.
func NewDirectory(client *clientv3.Client, self string) *Directory {
	return &Directory{
		client: client, now: time.Now, self: self,
		entries: map[string]*entry{}, tenants: map[string]*tenant{}, renew: make(chan struct{}, 1),
	}
}

// Set says what this node's entry is to hold. It is put at most once a second.
func (d *Directory) Set(n Node) error {
	raw, err := json.Marshal(n)
	if err != nil {
		return fmt.Errorf("directory: %w", err)
	}
	d.mu.Lock()
	d.own = raw
	d.mu.Unlock()
	select {
	case d.renew <- struct{}{}:
	default:
	}
	return nil
}

// Nodes lists the nodes that are there, then those that went within a day, the
// latest first; each part sorted by id or time.
func (d *Directory) Nodes() (present, gone []Node) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var lost []*entry
	for id, e := range d.entries {
		switch {
		case e.gone.IsZero():
			present = append(present, e.node)
		case d.now().Sub(e.gone) > memory:
			delete(d.entries, id)
		default:
			lost = append(lost, e)
		}
	}
	slices.SortFunc(present, func(a, b Node) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(lost, func(a, b *entry) int { return cmp.Or(b.gone.Compare(a.gone), cmp.Compare(a.node.ID, b.node.ID)) })
	for _, e := range lost {
		gone = append(gone, e.node)
	}
	return present, gone
}

// Changed is closed at the next change of Nodes or of the eldest.
func (d *Directory) Changed() <-chan struct{} { return d.changed.wait() }

// Leader makes the directory a Leadership: the node that has been in it longest
// without a break, and is not below the log's level, leads. It is right where
// every node can write to etcd.
func (d *Directory) Leader() (string, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var eldest *entry
	for _, e := range d.entries {
		if e.gone.IsZero() && !e.node.Below && (eldest == nil || e.created < eldest.created) {
			eldest = e
		}
	}
	if eldest == nil {
		return "", false
	}
	return eldest.node.ID, true
}

// Follow keeps Nodes as etcd has them until ctx ends.
func (d *Directory) Follow(ctx context.Context) {
	for ctx.Err() == nil {
		d.follow(clientv3.WithRequireLeader(ctx))
		select {
		case <-time.After(renewal / 4):
		case <-ctx.Done():
		}
	}
}

// follow reads all and watches what changes until the watch breaks.
func (d *Directory) follow(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	short, end := context.WithTimeout(ctx, tenure)
	r, err := d.client.Get(short, nodesPrefix, clientv3.WithPrefix())
	end()
	if err != nil {
		return
	}
	d.mu.Lock()
	there := map[string]bool{}
	for _, kv := range r.Kvs {
		there[d.put(kv)] = true
	}
	for id := range d.entries {
		if !there[id] {
			d.remove(id)
		}
	}
	d.mu.Unlock()
	d.changed.raise()
	for w := range d.client.Watch(ctx, nodesPrefix, clientv3.WithPrefix(), clientv3.WithRev(r.Header.Revision+1)) {
		if w.Err() != nil {
			return
		}
		d.mu.Lock()
		for _, e := range w.Events {
			if e.Type == clientv3.EventTypeDelete {
				d.remove(strings.TrimPrefix(string(e.Kv.Key), nodesPrefix))
			} else {
				d.put(e.Kv)
			}
		}
		d.mu.Unlock()
		d.changed.raise()
	}
}

// put takes an entry in; one that cannot be read is no node. The caller holds mu.
func (d *Directory) put(kv *mvccpb.KeyValue) string {
	id := strings.TrimPrefix(string(kv.Key), nodesPrefix)
	var n Node
	if len(kv.Value) > maxEntry || json.Unmarshal(kv.Value, &n) != nil || n.ID != id || id == "" {
		d.remove(id)
		return ""
	}
	if d.entries[id] == nil && len(d.entries) >= maxNodes && !d.makeRoom() {
		return ""
	}
	d.entries[id] = &entry{node: n, created: kv.CreateRevision}
	return id
}

// makeRoom forgets the node that went longest ago; false: all are there. The caller holds mu.
func (d *Directory) makeRoom() bool {
	oldest := ""
	for id, e := range d.entries {
		if !e.gone.IsZero() && (oldest == "" || e.gone.Before(d.entries[oldest].gone)) {
			oldest = id
		}
	}
	delete(d.entries, oldest)
	return oldest != ""
}

func (d *Directory) remove(id string) {
	if e := d.entries[id]; e != nil && e.gone.IsZero() {
		e.gone = d.now()
	}
}

// Keep keeps this node's entry, by announce, until ctx ends; then the entry is
// withdrawn where that is possible from here.
func (d *Directory) Keep(ctx context.Context, announce func(ctx context.Context, id string, value []byte) error) {
	t := time.NewTicker(renewal)
	defer t.Stop()
	last := time.Time{}
	for {
		d.mu.Lock()
		own := d.own
		d.mu.Unlock()
		if own != nil {
			short, cancel := context.WithTimeout(ctx, tenure/2)
			_ = announce(short, d.self, own) // tried again in a second
			cancel()
			last = d.now()
		}
		select {
		case <-ctx.Done():
			d.withdraw()
			return
		case <-t.C:
		case <-d.renew:
			if wait := renewal - d.now().Sub(last); wait > 0 {
				select {
				case <-time.After(wait):
				case <-ctx.Done():
				}
			}
		}
	}
}

// tenant is a node whose entry is kept from here.
type tenant struct {
	mu    sync.Mutex
	lease clientv3.LeaseID
	value string
	seen  time.Time
}

// Announce puts a node's entry where it has changed and renews its lease. It
// needs a client that may write. Errors: service.ErrOverloaded, etcd's.
func (d *Directory) Announce(ctx context.Context, id string, value []byte) error {
	if len(value) > maxEntry || id == "" || strings.ContainsAny(id, "/\x00") {
		return fmt.Errorf("directory: the entry of node %q has %d bytes, at most %d are taken", id, len(value), maxEntry)
	}
	d.mu.Lock()
	for other, t := range d.tenants {
		if d.now().Sub(t.seen) > time.Minute {
			delete(d.tenants, other)
		}
	}
	t := d.tenants[id]
	if t == nil {
		if len(d.tenants) >= maxNodes {
			d.mu.Unlock()
			return fmt.Errorf("directory: %w: the entries of %d nodes are kept from here", service.ErrOverloaded, maxNodes)
		}
		t = &tenant{}
		d.tenants[id] = t
	}
	t.seen = d.now()
	d.mu.Unlock()

	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lease != 0 {
		_, err := d.client.KeepAliveOnce(ctx, t.lease)
		switch {
		case errors.Is(err, rpctypes.ErrLeaseNotFound):
			t.lease = 0
		case err != nil:
			return fmt.Errorf("directory: renew the lease of node %s: %w", id, err)
		case t.value == string(value):
			return nil
		}
	}
	if t.lease == 0 {
		g, err := d.client.Grant(ctx, int64(tenure/time.Second))
		if err != nil {
			return fmt.Errorf("directory: lease of node %s: %w", id, err)
		}
		t.lease, t.value = g.ID, ""
	}
	if _, err := d.client.Put(ctx, nodesPrefix+id, string(value), clientv3.WithLease(t.lease)); err != nil {
		t.value = "" // it may be there or not
		return fmt.Errorf("directory: put node %s: %w", id, err)
	}
	t.value = string(value)
	return nil
}

// withdraw takes the own entry back, so that nobody waits for its end.
func (d *Directory) withdraw() {
	d.mu.Lock()
	t := d.tenants[d.self]
	d.mu.Unlock()
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lease != 0 {
		ctx, cancel := context.WithTimeout(context.Background(), withdrawal)
		defer cancel()
		_, _ = d.client.Revoke(ctx, t.lease) // else it ends by itself
	}
}
