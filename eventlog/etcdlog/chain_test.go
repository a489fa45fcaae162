package etcdlog

import (
	"bytes"
	"fmt"
	"sort"
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"pgregory.net/rapid"

	"dvr/eventlog"
)

// Whatever foreign values lie between, the chain gives the log's batches, all
// of them, in order, and calls exactly the others foreign.
func TestChainProperty(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		values := map[eventlog.Revision][]byte{}
		var head eventlog.Head
		heads := []eventlog.Head{head}
		var want []eventlog.Revision
		for i := range rapid.IntRange(1, 12).Draw(rt, "batches") {
			raw, next := rapidBatch(rt, head, rapid.IntRange(1, 5).Draw(rt, "commits"), fmt.Sprint("real", i))
			values[next.Revision] = raw
			want = append(want, next.Revision)
			head = next
			heads = append(heads, head)
		}
		foreign := 0
		for i := range rapid.IntRange(0, 12).Draw(rt, "foreign") {
			key := eventlog.Revision(rapid.IntRange(1, int(head.Revision)).Draw(rt, "key"))
			if _, taken := values[key]; taken {
				continue
			}
			foreign++
			values[key] = []byte("garbage")
			// A batch that continues a head of the log and ends at the key.
			from := rapid.SampledFrom(heads).Draw(rt, "from")
			if from.Revision < key && rapid.Bool().Draw(rt, "plausible") {
				values[key], _ = rapidBatch(rt, from, int(key-from.Revision), fmt.Sprint("foreign", i))
			}
		}

		var keys []eventlog.Revision
		for k := range values {
			keys = append(keys, k)
		}
		sort.Slice(keys, func(i, j int) bool { return keys[i] < keys[j] })
		start := rapid.IntRange(0, len(heads)-2).Draw(rt, "start")
		c := newChain(heads[start], true)
		want = want[start:]
		ignored := 0
		var got []eventlog.Revision
		take := func(l *link) {
			if l != nil {
				got = append(got, l.batch.Last())
			}
		}
		var d eventlog.Decoder
		for _, k := range keys {
			if k <= heads[start].Revision {
				if values[k] != nil {
					ignored++
				}
				continue
			}
			if k > c.reach() {
				rt.Fatalf("a hole is seen before revision %d", k)
			}
			take(c.push(&mvccpb.KeyValue{Key: []byte(batchKey(k)), Value: values[k]}, k, &d))
		}
		take(c.finish(head))
		if fmt.Sprint(got) != fmt.Sprint(want) {
			rt.Fatalf("got %v, want %v", got, want)
		}
		if n := len(keys) - ignored - len(want); len(c.takeSuspects()) != n {
			rt.Fatalf("not exactly the %d foreign values are suspects", n)
		}
	})
}

// Without any one of its batches the chain must not come to its end.
func TestChainHole(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var head eventlog.Head
		var links []*mvccpb.KeyValue
		var revisions []eventlog.Revision
		for i := range rapid.IntRange(1, 8).Draw(rt, "batches") {
			raw, next := rapidBatch(rt, head, rapid.IntRange(1, 3).Draw(rt, "commits"), fmt.Sprint(i))
			links = append(links, &mvccpb.KeyValue{Value: raw})
			revisions = append(revisions, next.Revision)
			head = next
		}
		missing := rapid.IntRange(0, len(links)-1).Draw(rt, "missing")
		c := newChain(eventlog.Head{}, true)
		var d eventlog.Decoder
		for i, kv := range links {
			if i != missing {
				if l := c.push(kv, revisions[i], &d); l != nil && l.batch.Last() >= revisions[missing] {
					rt.Fatalf("revision %d is accepted behind the hole", l.batch.Last())
				}
			}
		}
		if c.finish(head) != nil {
			rt.Fatal("the chain ends at the head although a batch lacks")
		}
		var broken *brokenChain
		if err := c.broken(); !asBroken(err, &broken) || broken.tip >= revisions[missing] {
			rt.Fatalf("%v", err)
		}
	})
}

func asBroken(err error, target **brokenChain) bool {
	b, ok := err.(*brokenChain)
	*target = b
	return ok
}

func rapidBatch(rt *rapid.T, prev eventlog.Head, n int, tag string) ([]byte, eventlog.Head) {
	b := eventlog.NewBatchBuilder(prev, "n1")
	for i := range n {
		c := &eventlog.Commit{ID: fmt.Sprint(tag, "-", i), Time: 1_700_000_000_000, Actor: "a"}
		if prev.Revision == 0 && i == 0 {
			c.Events = []eventlog.Event{&eventlog.EpochStarted{Epoch: 1, LogID: "l", Nonce: eventlog.Nonce{1}, Cause: eventlog.CauseCreated}}
		}
		if err := b.Add(c); err != nil {
			rt.Fatal(err)
		}
	}
	raw, next := b.Finish()
	return bytes.Clone(raw), next
}
