package export

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"dvr/eventlog"
	"dvr/eventlog/memlog"
)

const logID = "6f1c2f0e-7a34-4b1c-9d52-0c8a5e0f4a11"

var madeAt = time.UnixMilli(1_800_000_000_000)

// world is a log of 1+9 commits in batches of one to three; the sixth is staged.
func world(t testing.TB) *memlog.Log {
	t.Helper()
	return worldOf(t, "because")
}

func worldOf(t testing.TB, reason string) *memlog.Log {
	t.Helper()
	ctx := context.Background()
	log := memlog.New(logID, memlog.WithClock(func() int64 { return madeAt.UnixMilli() }))
	head, err := log.Head(ctx)
	if err != nil {
		t.Fatal(err)
	}
	put := func(i int) eventlog.Event {
		return &eventlog.KeyPut{Key: fmt.Sprint("k", i), Value: fmt.Sprintf("\"%d\"\n,\"n\":7", i)}
	}
	staged, err := log.Stage(ctx, "stage-1", []eventlog.Event{put(1), put(2), put(3)})
	if err != nil {
		t.Fatal(err)
	}
	for i, batch := range [][][]eventlog.Event{{{put(1)}}, {{put(1), put(2)}, nil, {put(3)}}, {{staged}}, {{put(4)}, {put(5)}}, {nil, {put(6), put(7), put(8)}}} {
		b := eventlog.NewBatchBuilder(head, fmt.Sprint("node-", i))
		for j, events := range batch {
			if err := b.Add(&eventlog.Commit{ID: fmt.Sprint(i, "-", j), Actor: "alice", Source: "192.0.2.1", Reason: reason, Time: madeAt.UnixMilli() + int64(i), Events: events}); err != nil {
				t.Fatal(err)
			}
		}
		raw, next := b.Finish()
		var stages []string
		if i == 2 {
			stages = []string{staged.ID}
		}
		if head, err = log.Append(ctx, head, next, bytes.Clone(raw), stages); err != nil {
			t.Fatal(err)
		}
	}
	return log
}

const newest = 10

func written(t testing.TB, log Source, first, last eventlog.Revision) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(context.Background(), &b, log, first, last, Maker{LogID: logID, Program: "1.2.3", Now: madeAt}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// hashes are h(0) to h(newest) of a log.
func hashes(t testing.TB, log Source) []eventlog.Hash {
	t.Helper()
	out := []eventlog.Hash{{}}
	err := log.Read(context.Background(), 0, func(b *eventlog.Batch) error {
		for i := range b.Commits {
			h, err := eventlog.HashAt(b.Raw, b.Commits[i].Revision)
			if err != nil {
				return err
			}
			out = append(out, h)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestEveryRange: what is exported is read back with the log's own hash at each
// revision, whatever batches the commits lie in.
func TestEveryRange(t *testing.T) {
	log := world(t)
	want := hashes(t, log)
	for first := eventlog.Revision(1); first <= newest; first++ {
		for last := first; last <= newest; last++ {
			x, err := Read(bytes.NewReader(written(t, log, first, last)))
			if err != nil {
				t.Fatalf("%d to %d: %v", first, last, err)
			}
			if x.LogID != logID || x.First != first || x.Last != last || len(x.Links) != int(last-first)+1 || x.Program != "1.2.3" || x.Made != madeAt.UnixMilli() {
				t.Errorf("%d to %d: %+v", first, last, x)
			}
			for r := first - 1; r <= last; r++ {
				if x.Hash(r) != want[r] {
					t.Errorf("%d to %d: another hash at %d", first, last, r)
				}
			}
		}
	}
	x, err := Read(bytes.NewReader(written(t, log, 1, newest)))
	if err != nil || x.Events != 13 || x.Begin != madeAt.UnixMilli() || x.End != madeAt.UnixMilli()+4 || x.Links[0].Epoch != 1 {
		t.Errorf("%+v, %v", x, err)
	}
}

// TestReadable: each line is JSON, the events of a staged commit are among them,
// and nothing is said that the chain does not bind.
func TestReadable(t *testing.T) {
	raw := written(t, world(t), 2, newest)
	keys := 0
	for line := range bytes.Lines(raw) {
		var v map[string]any
		if err := json.Unmarshal(line, &v); err != nil {
			t.Errorf("%v: %s", err, line)
		}
		if v["kind"] == "key.put" {
			keys++
		}
	}
	if keys != 2+3+3 {
		t.Errorf("%d lines of keys", keys)
	}
	if bytes.Contains(raw, []byte("node-")) {
		t.Error("it names nodes, which nothing proves")
	}
}

// blocks cuts an export into header, commits, trailer.
func blocks(raw []byte) (list [][]byte) {
	for line := range bytes.Lines(raw) {
		if n := len(list); n < 2 || bytes.HasPrefix(line, []byte(`{"format":`)) || bytes.HasPrefix(line, []byte(`{"hash":`)) {
			list = append(list, bytes.Clone(line))
		} else {
			list[n-1] = append(list[n-1], line...)
		}
	}
	return list
}

// TestDefects: each kind is an error of its own that names the revision.
func TestDefects(t *testing.T) {
	log := world(t)
	whole := blocks(written(t, log, 2, 9)) // 0: header, 1: revision 2, … 8: revision 9, 9: trailer
	if len(whole) != 10 {
		t.Fatal(len(whole))
	}
	forged := func(i int, old, new string) func([][]byte) [][]byte {
		return func(b [][]byte) [][]byte {
			changed := bytes.Replace(b[i], []byte(old), []byte(new), 1)
			if bytes.Equal(changed, b[i]) {
				t.Errorf("%s holds no %s", b[i], old)
			}
			b[i] = changed
			return b
		}
	}
	for name, c := range map[string]struct {
		change func([][]byte) [][]byte
		want   error
		says   string
	}{
		"an actor changed":          {forged(2, `"alice"`, `"mally"`), ErrDamaged, "revision 4"},
		"the last one changed":      {forged(8, `"alice"`, `"mally"`), ErrDamaged, "revision 9"},
		"an event changed":          {forged(2, `"k2"`, `"k9"`), ErrDamaged, "revision 4"},
		"a staged event changed":    {forged(5, `"k2"`, `"k9"`), ErrDamaged, "revision 6"},
		"a line added to a stage":   {func(b [][]byte) [][]byte { b[5] = append(b[5], "{}\n"...); return b }, ErrDamaged, "revision 7"},
		"a hash changed":            {func(b [][]byte) [][]byte { i := bytes.Index(b[3], []byte(`"prev":"`)) + 8; b[3][i] ^= 1; return b }, ErrDamaged, "revision 4"},
		"a commit's line missing":   {func(b [][]byte) [][]byte { b[3] = b[3][:bytes.IndexByte(b[3], '\n')+1]; return b }, ErrDamaged, "revision 4: damaged: its lines are not those of a commit"},
		"another writer":            {forged(3, `"export"`, `"node-1"`), ErrDamaged, "revision 4"},
		"another epoch":             {forged(3, `"epoch":1`, `"epoch":2`), ErrDamaged, "revision 9, or the last line"},
		"another log's name":        {forged(0, `6f1c`, `7f1c`), ErrDamaged, "first line"},
		"another range":             {forged(0, `"last":9`, `"last":8`), ErrDamaged, "first line"},
		"a trailer changed":         {forged(9, `"sha256":"`, `"sha256":"0`), ErrDamaged, "last line"},
		"one missing":               {func(b [][]byte) [][]byte { return append(b[:4:4], b[5:]...) }, ErrIncomplete, "revision 5 is missing"},
		"the first missing":         {func(b [][]byte) [][]byte { return append(b[:1:1], b[2:]...) }, ErrIncomplete, "revision 2 is missing"},
		"the last missing":          {func(b [][]byte) [][]byte { return append(b[:8:8], b[9]) }, ErrIncomplete, "revisions 9 to 9 are missing"},
		"three missing":             {func(b [][]byte) [][]byte { return append(b[:3:3], b[6:]...) }, ErrIncomplete, "revision 4 is missing"},
		"no trailer":                {func(b [][]byte) [][]byte { return b[:9] }, ErrIncomplete, "last line is missing"},
		"two swapped":               {func(b [][]byte) [][]byte { b[3], b[4] = b[4], b[3]; return b }, ErrDisorder, "revision 5 comes before 4"},
		"one twice":                 {func(b [][]byte) [][]byte { return append(b[:4:4], b[3:]...) }, ErrDisorder, "revision 4 comes after 4"},
		"one more behind the range": {func(b [][]byte) [][]byte { return append(b[:9:9], b[8], b[9]) }, ErrDisorder, "revision 9 comes after the last"},
		"something behind the end":  {func(b [][]byte) [][]byte { return append(b, []byte("{}\n")) }, ErrDamaged, "behind its last line"},
		"no export":                 {func([][]byte) [][]byte { return [][]byte{[]byte("hello\n")} }, ErrForeign, ""},
		"an empty file":             {func([][]byte) [][]byte { return nil }, ErrForeign, ""},
		"zeros":                     {func([][]byte) [][]byte { return [][]byte{make([]byte, 3<<20)} }, ErrForeign, ""},
		"a newer form": {func(b [][]byte) [][]byte {
			b[0] = Header{Kind: kind, Format: 2, LogID: logID, First: 2, Last: 9}.line()
			return b
		}, ErrNewer, "format 2"},
		"a newer level": {func(b [][]byte) [][]byte {
			b[0] = Header{Kind: kind, Format: 1, Level: eventlog.MaxLevel + 1, LogID: logID, First: 2, Last: 9}.line()
			return b
		}, ErrNewer, "of level"},
		"no range": {func(b [][]byte) [][]byte {
			b[0] = Header{Kind: kind, Format: 1, LogID: logID, First: 3, Last: 2}.line()
			return b
		}, ErrDamaged, "3 to 2"},
	} {
		copied := make([][]byte, len(whole))
		for i := range whole {
			copied[i] = bytes.Clone(whole[i])
		}
		_, err := Read(bytes.NewReader(bytes.Join(c.change(copied), nil)))
		if !errors.Is(err, c.want) || !strings.Contains(fmt.Sprint(err), c.says) {
			t.Errorf("%s: %v, want %v, %q", name, err, c.want, c.says)
		}
		for _, other := range []error{ErrForeign, ErrNewer, ErrDamaged, ErrIncomplete, ErrDisorder} {
			if other != c.want && errors.Is(err, other) {
				t.Errorf("%s: also %v: %v", name, other, err)
			}
		}
	}
}

// TestEveryByte: no bit can be turned and nothing cut off unseen.
func TestEveryByte(t *testing.T) {
	raw := written(t, world(t), 3, 8)
	for i := range raw {
		for _, bit := range []byte{1, 0x20} {
			changed := bytes.Clone(raw)
			changed[i] ^= bit
			_, err := Read(bytes.NewReader(changed))
			if !errors.Is(err, ErrDamaged) && i > bytes.IndexByte(raw, '\n') && i < len(raw)-1 || err == nil {
				t.Errorf("bit %#x of byte %d: %v: %.40q", bit, i, err, raw[max(0, i-20):])
			}
		}
		_, err := Read(bytes.NewReader(raw[:i]))
		if want := ErrIncomplete; i < bytes.IndexByte(raw, '\n')+1 {
			if !errors.Is(err, ErrForeign) {
				t.Errorf("cut at %d: %v", i, err)
			}
		} else if !errors.Is(err, want) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
}

// TestForgery: who makes another history and an export of it gets no error here,
// and another hash, which is why it is held against a log.
func TestForgery(t *testing.T) {
	log := world(t)
	x, err := Read(bytes.NewReader(written(t, worldOf(t, "another reason"), 2, 9)))
	if want := hashes(t, log); err != nil || x.Hash(9) == want[9] || x.Hash(2) == want[2] {
		t.Errorf("%v: the hash does not tell", err)
	}
}

// TestWriteRefuses: what the log does not have is not exported.
func TestWriteRefuses(t *testing.T) {
	log := world(t)
	var b bytes.Buffer
	if err := Write(context.Background(), &b, log, 8, newest+1, Maker{LogID: logID, Now: madeAt}); !errors.Is(err, ErrIncomplete) || !strings.Contains(err.Error(), "ends with 10") {
		t.Error(err)
	}
	broken := errors.New("the disk is full")
	if err := Write(context.Background(), failing{broken}, log, 1, 5, Maker{LogID: logID, Now: madeAt}); !errors.Is(err, broken) {
		t.Error(err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func FuzzRead(f *testing.F) {
	f.Add(written(f, world(f), 3, 8))
	f.Fuzz(func(t *testing.T, raw []byte) {
		x, err := Read(bytes.NewReader(raw))
		if err == nil && int(x.Last-x.First)+1 != len(x.Links) {
			t.Errorf("%+v", x)
		}
	})
}
