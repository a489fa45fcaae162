package archive

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dvr/eventlog"
	"dvr/eventlog/memlog"
	"dvr/projector"
)

const (
	logID   = "6f1c2f0e-7a34-4b1c-9d52-0c8a5e0f4a11"
	otherID = "aaaaaaaa-7a34-4b1c-9d52-0c8a5e0f4a11"

	epochStart = 1_800_000_000_000
)

// world is a log in memory with what was put into it, and a directory.
type world struct {
	t      testing.TB
	log    *memlog.Log
	head   eventlog.Head
	fold   *projector.Fold
	states []*projector.State // by revision, each frozen by the one fold
	ends   []eventlog.Revision
	time   int64
	rand   *rand.Rand
	path   string
}

func newWorld(t testing.TB, seed uint64) *world { return newWorldOf(t, seed, logID) }

func newWorldOf(t testing.TB, seed uint64, id string) *world {
	t.Helper()
	w := &world{t: t, time: epochStart, rand: rand.New(rand.NewPCG(seed, 1)), path: filepath.Join(t.TempDir(), "archive")}
	w.log = memlog.New(id, memlog.WithClock(func() int64 { return w.time }))
	w.fold = projector.NewFold(id)
	w.states = []*projector.State{w.fold.State()}
	w.follow(0)
	return w
}

// follow folds what was stored after a revision.
func (w *world) follow(after eventlog.Revision) {
	w.t.Helper()
	err := w.log.Read(context.Background(), after, func(b *eventlog.Batch) error {
		for i := range b.Commits {
			c := b.Commits[i]
			h, err := eventlog.HashAt(b.Raw, c.Revision)
			if err != nil {
				return err
			}
			if s, ok := only(c.Events).(*eventlog.CommitStaged); ok {
				if c.Events, err = w.log.Staged(context.Background(), s); err != nil {
					return err
				}
			}
			if err := w.fold.Apply(&c, h); err != nil {
				return err
			}
			w.states = append(w.states, w.fold.State())
		}
		w.ends = append(w.ends, b.Last())
		return nil
	})
	if err == nil {
		w.head, err = w.log.Head(context.Background())
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func only(events []eventlog.Event) eventlog.Event {
	if len(events) == 1 {
		return events[0]
	}
	return nil
}

func (w *world) now() *projector.State { return w.states[len(w.states)-1] }

func (w *world) commit(c eventlog.Commit) eventlog.Commit {
	r := w.head.Revision
	c.ID, c.Actor, c.Reason, c.Time = fmt.Sprint("c", r, "-", w.rand.Uint64()), "alice", fmt.Sprint("because ", r), w.time
	w.time += int64(w.rand.IntN(2000))
	return c
}

// batch appends commits, each a list of events.
func (w *world) batch(stages []string, commits ...[]eventlog.Event) {
	w.t.Helper()
	b := eventlog.NewBatchBuilder(w.head, "node-1")
	for _, events := range commits {
		c := w.commit(eventlog.Commit{Events: events})
		if err := b.Add(&c); err != nil {
			w.t.Fatal(err)
		}
	}
	raw, next := b.Finish()
	after := w.head.Revision
	if _, err := w.log.Append(context.Background(), w.head, next, bytes.Clone(raw), stages); err != nil {
		w.t.Fatal(err)
	}
	w.follow(after)
}

// some batches of random commits; some are staged.
func (w *world) some(batches int) {
	w.t.Helper()
	for range batches {
		if w.rand.IntN(8) == 0 {
			w.staged(2 + w.rand.IntN(20))
			continue
		}
		var list [][]eventlog.Event
		for range 1 + w.rand.IntN(4) {
			var events []eventlog.Event
			for i := range w.rand.IntN(3) {
				events = append(events, w.event(i))
			}
			list = append(list, events)
		}
		w.batch(nil, list...)
	}
}

func (w *world) staged(n int) {
	w.t.Helper()
	var events []eventlog.Event
	for i := range n {
		events = append(events, w.event(100+i))
	}
	s, err := w.log.Stage(context.Background(), fmt.Sprintf("stage-%d-%d", w.head.Revision, w.rand.Uint64()), events)
	if err != nil {
		w.t.Fatal(err)
	}
	w.batch([]string{s.ID}, []eventlog.Event{s})
}

func (w *world) event(i int) eventlog.Event {
	id := eventlog.RouteID{
		Router: eventlog.AllRouters, Origin: eventlog.DefaultOrigin,
		Destination: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(w.rand.IntN(3)), byte(i), 0}), 24),
		NextHop:     netip.AddrFrom4([4]byte{192, 0, 2, byte(1 + w.rand.IntN(4))}),
	}
	switch w.rand.IntN(6) {
	case 0:
		return &eventlog.KeyPut{Key: fmt.Sprint("k", i), Value: fmt.Sprint(w.rand.IntN(9))}
	case 1:
		return &eventlog.RouteWithdrawn{RouteID: id}
	}
	return &eventlog.RouteAnnounced{RouteID: id, Metric: uint32(w.rand.IntN(4)), Preference: 1, Weight: 1}
}

// end is a batch's end, of those from low on.
func (w *world) end(low eventlog.Revision) eventlog.Revision {
	var list []eventlog.Revision
	for _, r := range w.ends {
		if r >= low {
			list = append(list, r)
		}
	}
	return list[w.rand.IntN(len(list))]
}

func describe(s *projector.State) eventlog.SnapshotInfo {
	h := s.Head()
	return eventlog.SnapshotInfo{
		Format: 1, LogID: s.Position().LogID, Revision: h.Revision, Epoch: h.Epoch, EpochNonce: hex.EncodeToString(h.Nonce[:]), Hash: hashText(h.Hash),
		Level: h.Level, Digest: s.Digest().String(), Time: s.Time(),
	}
}

// snapshot stores that of a revision.
func (w *world) snapshot(r eventlog.Revision) {
	w.t.Helper()
	s, info := w.states[r], describe(w.states[r])
	if _, err := w.log.WriteSnapshot(context.Background(), info, func(out io.Writer) error { return s.Save(out) }); err != nil {
		w.t.Fatal(err)
	}
}

// truncate forgets everything up to a revision, behind a snapshot of it.
func (w *world) truncate(r eventlog.Revision) {
	w.t.Helper()
	w.snapshot(r)
	if err := w.log.Truncate(context.Background(), r+1); err != nil {
		w.t.Fatal(err)
	}
	list, err := w.log.Snapshots(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, s := range list {
		if s.Revision < r {
			if err := w.log.DeleteSnapshot(context.Background(), s); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

func (w *world) dir() *Directory { return NewDirectory(w.path) }

// archivist is one with small files, so that there are several.
func (w *world) archivist() *Archivist {
	a := NewArchivist(w.log, w.dir(), "node-1", "1.2.3")
	a.State = func(_ context.Context, r eventlog.Revision) (*projector.State, error) { return w.states[r], nil }
	a.FileBytes = 4 << 10
	return a
}

func (w *world) archive(to eventlog.Revision) {
	w.t.Helper()
	if err := w.archivist().Through(context.Background(), to); err != nil {
		w.t.Fatal(err)
	}
}

// over is the log with the archive, seen anew.
func (w *world) over() *Log { return NewLog(w.log, w.dir()) }

// names lists the files with an extension, sorted.
func (w *world) names(extension string) []string {
	w.t.Helper()
	entries, err := os.ReadDir(w.path)
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), extension) {
			out = append(out, e.Name())
		}
	}
	return out
}

func (w *world) change(name string, change func([]byte) []byte) {
	w.t.Helper()
	name = filepath.Join(w.path, name)
	b, err := os.ReadFile(name)
	if err == nil {
		err = os.WriteFile(name, change(b), 0o600)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) remove(name string) {
	w.t.Helper()
	if err := os.Remove(filepath.Join(w.path, name)); err != nil {
		w.t.Fatal(err)
	}
}

// raws reads the stored bytes of all batches after a revision.
func raws(t testing.TB, s Source, after eventlog.Revision) string {
	t.Helper()
	out, err := readAll(s, after)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func readAll(s Source, after eventlog.Revision) (string, error) {
	var b strings.Builder
	err := s.Read(context.Background(), after, func(k *eventlog.Batch) error {
		b.Write(k.Raw)
		return nil
	})
	return b.String(), err
}
