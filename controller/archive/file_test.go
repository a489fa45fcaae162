package archive

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"

	"dvr/eventlog"
)

// written is a file of all that w's log holds after a revision.
func (w *world) written(r Range) (Header, Index, []byte) {
	w.t.Helper()
	var b bytes.Buffer
	h, x, err := Write(context.Background(), &b, w.log, r, Maker{LogID: w.log.ID(), Node: "node-1", Program: "1.2.3", Now: time.UnixMilli(epochStart)})
	if err != nil {
		w.t.Fatal(err)
	}
	return h, x, b.Bytes()
}

// A file gives the batches that were written, byte for byte, from any revision on,
// and the events of staged commits.
func TestAFileHoldsTheLog(t *testing.T) {
	for seed := range uint64(6) {
		w := newWorld(t, seed)
		w.some(60)
		h, x, raw := w.written(Range{})
		f, err := openHistory(bytes.NewReader(raw), int64(len(raw)))
		if err != nil {
			t.Fatal(err)
		}
		if f.Header != h || h.First != 1 || x.Last != w.head.Revision || x.Hash != hashText(w.head.Hash) || h.Prev != strings.Repeat("0", 64) ||
			x.Commits != int(w.head.Revision) || x.Batches != len(w.ends) || x.End != w.now().Time() || x.LastEpoch != 1 {
			t.Fatalf("%+v\n%+v", h, x)
		}
		for after := eventlog.Revision(0); after < w.head.Revision; after += 1 + eventlog.Revision(w.rand.IntN(9)) {
			var got strings.Builder
			if err := f.read(bytes.NewReader(raw), after, func(b *eventlog.Batch) error { got.Write(b.Raw); return nil }); err != nil {
				t.Fatal(err)
			}
			if want := raws(t, w.log, after); got.String() != want {
				t.Fatalf("seed %d: after revision %d %d bytes, want %d", seed, after, got.Len(), len(want))
			}
		}
		events := 0
		if err := f.verify(bytes.NewReader(raw), int64(len(raw)), func(b *eventlog.Batch) error {
			for _, c := range b.Commits {
				if s, ok := only(c.Events).(*eventlog.CommitStaged); ok {
					t.Errorf("stage %s was not expanded", s.ID)
				}
				events += len(c.Events)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if len(x.Stages) == 0 || events < 100 {
			t.Errorf("seed %d: %d stages, %d events", seed, len(x.Stages), events)
		}
	}
}

// Blocks are small and many; a read takes those that it needs.
func TestBlocksAreSmall(t *testing.T) {
	w := newWorld(t, 1)
	value := strings.Repeat("x", 60_000)
	for range 40 {
		w.batch(nil, []eventlog.Event{&eventlog.KeyPut{Key: "k", Value: value}})
	}
	_, x, raw := w.written(Range{})
	if len(x.Blocks) < 4 {
		t.Fatalf("%d blocks", len(x.Blocks))
	}
	for _, b := range x.Blocks {
		if b.Bytes > blockBytes+1024 {
			t.Errorf("a block of %d bytes", b.Bytes)
		}
	}
	f, err := openHistory(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	counted := &countingReader{r: bytes.NewReader(raw)}
	if err := f.read(counted, 20, func(*eventlog.Batch) error { return errFull }); !errors.Is(err, errFull) {
		t.Fatal(err)
	}
	if counted.n != 1 {
		t.Errorf("%d reads for one batch", counted.n)
	}
}

type countingReader struct {
	r *bytes.Reader
	n int
}

func (c *countingReader) ReadAt(b []byte, at int64) (int, error) { c.n++; return c.r.ReadAt(b, at) }

// A range ends where it is to: at the batch that holds its end, or its size.
func TestRanges(t *testing.T) {
	w := newWorld(t, 2)
	w.some(60)
	for _, r := range []Range{{After: 10, To: 20}, {After: 0, To: 1}, {After: 30, Bytes: 1}, {After: 5, Bytes: 5000}, {After: 20, To: 1000}} {
		h, x, _ := w.written(r)
		first, last := eventlog.Revision(0), eventlog.Revision(0)
		bytes := int64(0)
		_ = w.log.Read(context.Background(), r.After, func(b *eventlog.Batch) error {
			if r.To > 0 && b.First() > r.To || r.Bytes > 0 && bytes >= r.Bytes {
				return errFull
			}
			if first == 0 {
				first = b.First()
			}
			last = b.Last()
			if bytes += int64(len(b.Raw)); only(b.Commits[0].Events) != nil {
				if s, ok := only(b.Commits[0].Events).(*eventlog.CommitStaged); ok {
					bytes += s.Bytes
				}
			}
			return nil
		})
		if h.First != first || x.Last != last || x.Bytes != bytes {
			t.Errorf("%+v holds %d to %d, %d bytes; want %d to %d, %d bytes", r, h.First, x.Last, x.Bytes, first, last, bytes)
		}
	}
	var b bytes.Buffer
	if _, _, err := Write(context.Background(), &b, w.log, Range{After: w.head.Revision}, Maker{LogID: logID}); !errors.Is(err, ErrNothing) || b.Len() > 0 {
		t.Errorf("nothing to write: %v, %d bytes", err, b.Len())
	}
	w.truncate(w.ends[20])
	if _, _, err := Write(context.Background(), &b, w.log, Range{}, Maker{LogID: logID}); !errors.Is(err, eventlog.ErrTruncated) || b.Len() > 0 {
		t.Errorf("what is truncated: %v, %d bytes", err, b.Len())
	}
}

// No damage passes: any bit, any end, anything behind it. And what is read is
// never other than what was written.
func TestDamageIsSeen(t *testing.T) {
	w := newWorld(t, 3)
	w.some(12)
	_, _, whole := w.written(Range{})
	want := raws(t, w.log, 0)
	refused := func(b []byte, what string, at int) {
		t.Helper()
		f, err := openHistory(bytes.NewReader(b), int64(len(b)))
		if err == nil {
			var got strings.Builder
			reading := f.read(bytes.NewReader(b), 0, func(k *eventlog.Batch) error { got.Write(k.Raw); return nil })
			if !strings.HasPrefix(want, got.String()) || reading == nil && got.String() != want {
				t.Fatalf("%s at %d: other batches were read", what, at)
			}
			err = f.verify(bytes.NewReader(b), int64(len(b)), nil)
		}
		if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrForeign) && !errors.Is(err, ErrNewer) {
			t.Fatalf("%s at %d: %v", what, at, err)
		}
	}
	step := max(1, len(whole)/1500)
	for at := 0; at < len(whole); at += 1 + w.rand.IntN(2*step) {
		b := bytes.Clone(whole)
		b[at] ^= 1 << w.rand.IntN(8)
		refused(b, "a bit", at)
		refused(whole[:at], "an end", at)
	}
	refused(append(bytes.Clone(whole), 0), "a byte behind", len(whole))
}

// What a block holds is given away only where its hash chain ends as the index says:
// commits that were made up and everything after them made fit are not.
func TestABlockEndsWithItsHash(t *testing.T) {
	w := newWorld(t, 8)
	value := strings.Repeat("x", 60_000)
	for range 20 {
		w.batch(nil, []eventlog.Event{&eventlog.KeyPut{Key: "k", Value: value}})
	}
	_, _, raw := w.written(Range{})
	for name, change := range map[string]func(h *history){
		"the last hash":  func(h *history) { h.hash[0] ^= 1 },
		"a block's hash": func(h *history) { h.Blocks[1].Prev = h.Hash },
		"the last":       func(h *history) { h.Last++ },
	} {
		h, err := openHistory(bytes.NewReader(raw), int64(len(raw)))
		if err != nil || len(h.Blocks) < 3 {
			t.Fatal(err, len(h.Blocks))
		}
		change(h)
		n := 0
		err = h.read(bytes.NewReader(raw), 0, func(*eventlog.Batch) error { n++; return nil })
		if !errors.Is(err, ErrDamaged) || n >= h.Batches {
			t.Errorf("%s: %v after %d of %d batches", name, err, n, h.Batches)
		}
	}
}

// A file of a newer form is told from a damaged one; what is no archive, too.
func TestWhatIsNoArchive(t *testing.T) {
	w := newWorld(t, 4)
	w.some(3)
	_, _, whole := w.written(Range{})
	newer := bytes.Replace(whole, []byte(`"format":1`), []byte(`"format":9`), 1)
	if _, err := openHistory(bytes.NewReader(newer), int64(len(newer))); !errors.Is(err, ErrNewer) {
		t.Errorf("a newer format: %v", err)
	}
	for _, b := range [][]byte{nil, []byte("hello, this is text"), bytes.Replace(whole, []byte("dvr archive"), []byte("dvr whatevr"), 1)} {
		if _, err := openHistory(bytes.NewReader(b), int64(len(b))); !errors.Is(err, ErrForeign) {
			t.Errorf("%.20q: %v", b, err)
		}
	}
}

// zstd shows what is in a file.
func TestZstdReadsIt(t *testing.T) {
	zstdcat, err := exec.LookPath("zstdcat")
	if err != nil {
		t.Skip("there is no zstdcat here")
	}
	w := newWorld(t, 5)
	w.some(10)
	_, _, raw := w.written(Range{})
	cmd := exec.Command(zstdcat)
	cmd.Stdin = bytes.NewReader(raw)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSpace(raws(t, w.log, 0)), "\n") {
		if !strings.Contains(string(out), line) {
			t.Fatalf("it lacks %s", line)
		}
	}
}

// FuzzOpenHistory: whatever a file holds, it is read without a crash, and what is
// given away continues its hash chain.
func FuzzOpenHistory(f *testing.F) {
	w := newWorld(f, 6)
	w.some(6)
	_, _, raw := w.written(Range{})
	f.Add(raw)
	f.Add(raw[:len(raw)/2])
	f.Fuzz(func(t *testing.T, raw []byte) {
		h, err := openHistory(bytes.NewReader(raw), int64(len(raw)))
		if err != nil {
			return
		}
		at, tip := h.First, h.prev
		_ = h.read(bytes.NewReader(raw), h.First-1, func(b *eventlog.Batch) error {
			if b.First() != at || b.Prev != tip {
				t.Fatalf("revision %d after %d", b.First(), at-1)
			}
			at, tip = b.Last()+1, b.Hash
			return nil
		})
	})
}
