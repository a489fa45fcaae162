package robustness

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"dvr/eventlog"
	"dvr/projector"
)

// Where the log lies in etcd: docs/decisions/0001-log-format.md.
const (
	batchPrefix = "/dvr/log/b/"
	headKey     = "/dvr/log/head"
)

// Entry is a commit as the log has it, read without the product's own reader.
type Entry struct {
	Revision uint64
	Epoch    uint64
	ID       string
	Actor    string
	Events   []event
	Hash     [32]byte         // of the chain up to here
	Digest   projector.Digest // of the replayed state
}

// event is what is of interest of an event.
type event struct {
	Kind        string `json:"kind"`
	Router      string `json:"router"`
	Destination string `json:"destination"`
	NextHop     string `json:"next_hop"`
	Metric      uint64 `json:"metric"`
	Key         string `json:"key"`
	Value       string `json:"value"`
}

// Archive is the log as one node stored it, from revision 1. Entries[i] has
// revision i+1, whatever the batches said; a hole ends it.
type Archive struct {
	Node    string
	Entries []Entry

	fold    *projector.Fold
	decoder eventlog.Decoder
}

// NewArchive is an empty archive of the log with the id.
func NewArchive(node, logID string) *Archive {
	return &Archive{Node: node, fold: projector.NewFold(logID)}
}

// Next is the revision that follows the archive.
func (a *Archive) Next() uint64 { return uint64(len(a.Entries)) + 1 }

// Read appends what kv's member has stored beyond the archive, as far as it is
// covered by the head that it has. Cost: ranges of the member's own data, no quorum.
func (a *Archive) Read(ctx context.Context, kv clientv3.KV, v *Violations) error {
	for {
		before := a.Next()
		batches, head, err := stored(ctx, kv, before)
		if err != nil {
			return fmt.Errorf("read the log of %s: %w", a.Node, err)
		}
		for _, b := range batches {
			if a.Next() > head {
				return nil
			}
			if err := a.take(b.Value); err != nil {
				v.Addf("chain", "%s: %s: %v", a.Node, b.Key, err)
				return fmt.Errorf("the log of %s: %s: %w", a.Node, b.Key, err)
			}
		}
		switch {
		case a.Next() > head:
			return nil
		case a.Next() == before:
			v.Addf("dense", "%s stores no revision %d, but its head is %d", a.Node, before, head)
			return fmt.Errorf("the log of %s has a hole at revision %d", a.Node, before)
		}
	}
}

// Verify holds everything that a member stores against the archive, and
// whether it stores all that its head says. It returns the head's revision.
func (a *Archive) Verify(ctx context.Context, node string, kv clientv3.KV, v *Violations) (uint64, error) {
	next := uint64(1) // or later, where the log was truncated
	for first := true; ; first = false {
		batches, head, err := stored(ctx, kv, next)
		if err != nil {
			return 0, fmt.Errorf("read the log of %s: %w", node, err)
		}
		for _, b := range batches {
			if next > head {
				break
			}
			line, hash, err := eventlog.HashBatch(b.Value)
			switch {
			case err != nil:
				v.Addf("chain", "%s: %s: %v", node, b.Key, err)
				return head, nil
			case uint64(line.First) != next && !first:
				v.Addf("dense", "%s stores revision %d behind %d", node, line.First, next-1)
				return head, nil
			case uint64(line.Last) > uint64(len(a.Entries)):
				v.Addf("same log", "%s stores revision %d; the log ends at %d", node, line.Last, len(a.Entries))
				return head, nil
			case hash != a.Entries[line.Last-1].Hash:
				v.Addf("same log", "%s stores another revision %d than %s did", node, line.Last, a.Node)
				return head, nil
			}
			next, first = uint64(line.Last)+1, false
		}
		switch {
		case next > head:
			return head, nil
		case len(batches) == 0:
			v.Addf("dense", "%s stores no revision %d, but its head is %d", node, next, head)
			return head, nil
		}
	}
}

// stored is what a member has itself of the log from a revision on, at most 500
// batches, and the revision of its head, read before: the head covers all up to it.
func stored(ctx context.Context, kv clientv3.KV, from uint64) ([]*mvccpb.KeyValue, uint64, error) {
	h, err := kv.Get(ctx, headKey, clientv3.WithSerializable())
	if err != nil {
		return nil, 0, err
	}
	var head struct{ Revision uint64 }
	if len(h.Kvs) == 0 {
		return nil, 0, fmt.Errorf("%s is missing", headKey)
	}
	if err := json.Unmarshal(h.Kvs[0].Value, &head); err != nil {
		return nil, 0, err
	}
	r, err := kv.Get(ctx, fmt.Sprintf("%s%020d", batchPrefix, from), clientv3.WithRange(batchPrefix+"~"),
		clientv3.WithLimit(500), clientv3.WithSerializable())
	if err != nil {
		return nil, 0, err
	}
	return r.Kvs, head.Revision, nil
}

// take appends one batch, in the writer's form.
func (a *Archive) take(raw []byte) error {
	line, rest, _ := bytes.Cut(raw, []byte("\n"))
	var batch struct {
		Epoch, First, Last uint64
		Commits            int
		Prev               string
	}
	if err := json.Unmarshal(line, &batch); err != nil {
		return err
	}
	var last [32]byte
	if n := len(a.Entries); n > 0 {
		last = a.Entries[n-1].Hash
	}
	if batch.First != a.Next() || batch.Prev != hex.EncodeToString(last[:]) {
		return fmt.Errorf("begins at revision %d behind %s; the log is at %d, %x", batch.First, batch.Prev, a.Next()-1, last)
	}
	var entries []Entry
	for range batch.Commits {
		e, n, err := entry(rest)
		if err != nil {
			return err
		}
		if want := a.Next() + uint64(len(entries)); e.Revision != want {
			return fmt.Errorf("revision %d where %d belongs", e.Revision, want)
		}
		h := sha256.New()
		h.Write(last[:])
		h.Write(rest[:n])
		h.Sum(last[:0])
		e.Hash, e.Epoch = last, batch.Epoch
		entries, rest = append(entries, e), rest[n:]
	}
	if len(rest) > 0 || uint64(len(entries)) != batch.Last-batch.First+1 {
		return fmt.Errorf("%d commits and %d bytes in a batch of %d to %d", len(entries), len(rest), batch.First, batch.Last)
	}
	return a.replay(raw, entries)
}

// entry reads one commit and says how many bytes it takes.
func entry(raw []byte) (e Entry, n int, err error) {
	line, rest, ok := bytes.Cut(raw, []byte("\n"))
	if !ok {
		return e, 0, fmt.Errorf("a commit is cut off")
	}
	n = len(line) + 1
	var c struct {
		Revision  uint64
		ID, Actor string
		N         int
		Event     *event
	}
	if err := json.Unmarshal(line, &c); err != nil {
		return e, 0, err
	}
	e = Entry{Revision: c.Revision, ID: c.ID, Actor: c.Actor}
	if c.N == 1 && c.Event != nil {
		e.Events = []event{*c.Event}
		return e, n, nil
	}
	for range c.N {
		line, rest, ok = bytes.Cut(rest, []byte("\n"))
		if !ok {
			return e, 0, fmt.Errorf("commit %d is cut off", c.Revision)
		}
		n += len(line) + 1
		var ev event
		if err := json.Unmarshal(line, &ev); err != nil {
			return e, 0, err
		}
		e.Events = append(e.Events, ev)
	}
	return e, n, nil
}

// replay folds the batch as a node that starts empty would.
func (a *Archive) replay(raw []byte, entries []Entry) error {
	b, err := a.decoder.DecodeBatch(bytes.Clone(raw))
	if err != nil {
		return err
	}
	for i := range b.Commits {
		if err := a.fold.Apply(&b.Commits[i], entries[i].Hash); err != nil {
			return fmt.Errorf("replay of revision %d: %w", entries[i].Revision, err)
		}
		entries[i].Digest = a.fold.State().Digest()
	}
	a.Entries = append(a.Entries, entries...)
	return nil
}

// effect tells what a commit did to items: the content of each item that it
// touched, given that of before.
func (e *Entry) effect(contents map[Item]string) map[Item]string {
	out := map[Item]string{}
	for _, ev := range e.Events {
		item, slot, ok := ev.item()
		if !ok {
			continue
		}
		now, touched := out[item]
		if !touched {
			now = contents[item]
		}
		switch ev.Kind {
		case "route.announced":
			now = with(now, slot, ev.Metric)
		case "route.withdrawn", "key.deleted":
			now = without(now, slot)
		case "key.put":
			now = "=" + ev.Value
		}
		out[item] = now
	}
	return out
}

func (e *event) item() (item Item, slot string, ok bool) {
	switch {
	case strings.HasPrefix(e.Kind, "route.") && e.Router == "":
		return Item{Routes, e.Destination}, e.NextHop, true
	case strings.HasPrefix(e.Kind, "key."):
		return Item{Keys, e.Key}, "", true
	}
	return Item{}, "", false
}
