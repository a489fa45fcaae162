package eventlog

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestHashBatchIsTheHashOfDecodeBatch(t *testing.T) {
	files, err := filepath.Glob("testdata/v1/*.ndjson")
	if err != nil || len(files) == 0 {
		t.Fatal("no fixtures", err)
	}
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var d Decoder
		b, err := d.DecodeBatch(raw)
		if err != nil {
			t.Fatal(err)
		}
		l, h, err := HashBatch(raw)
		if err != nil || h != b.Hash || l.First != b.First() || l.Last != b.Last() || l.Prev != b.Prev {
			t.Errorf("%s: %+v, %x, %v, want %x", name, l, h, err, b.Hash)
		}
		for i := 0; i < len(raw); i += 7 {
			if _, h, err := HashBatch(raw[:i]); err == nil {
				t.Errorf("%s: cut at %d passes, hash %x", name, i, h)
			} else if !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s: cut at %d: %v", name, i, err)
			}
			changed := bytes.Clone(raw)
			changed[i] ^= 1
			if _, h, err := HashBatch(changed); err == nil && h == b.Hash && i > bytes.IndexByte(raw, '\n') {
				t.Errorf("%s: a changed byte %d does not show", name, i)
			}
		}
		if _, _, err := HashBatch(append(bytes.Clone(raw), "x\n"...)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: bytes behind the end: %v", name, err)
		}
	}
}

// TestHashAt: the hash within a batch is that of the batch cut off there.
func TestHashAt(t *testing.T) {
	files, err := filepath.Glob("testdata/v1/*.ndjson")
	if err != nil || len(files) == 0 {
		t.Fatal("no fixtures", err)
	}
	several := 0
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		l, rest, err := DecodeBatchLine(raw)
		if err != nil {
			t.Fatal(err)
		}
		if h, err := HashAt(raw, l.First-1); err != nil || h != l.Prev {
			t.Errorf("%s: before the first: %x, %v", name, h, err)
		}
		size := 0
		for n := 1; n <= l.Commits; n++ {
			size += commitEnd(rest[size:])
			r := l.First + Revision(n-1)
			cut := append(AppendBatchLine(nil, l.Epoch, l.First, r, n, l.By, l.Prev), rest[:size]...)
			var d Decoder
			b, err := d.DecodeBatch(cut)
			if err != nil {
				t.Fatal(err)
			}
			if h, err := HashAt(raw, r); err != nil || h != b.Hash {
				t.Errorf("%s: at revision %d: %x, %v, want %x", name, r, h, err, b.Hash)
			}
			if n > 1 {
				several++
			}
			if n < l.Commits {
				continue
			}
			if _, err := HashAt(raw[:len(raw)-1], r); !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s: cut off: %v", name, err)
			}
		}
		for _, r := range []Revision{l.Last + 1, l.First - 2, 1<<64 - 1} {
			if _, err := HashAt(raw, r); !errors.Is(err, ErrNotFound) && r != l.First-1 {
				t.Errorf("%s: revision %d: %v", name, r, err)
			}
		}
	}
	if several == 0 {
		t.Error("no fixture has a batch of several commits")
	}
	if _, err := HashAt([]byte("{}\n"), 1); !errors.Is(err, ErrCorrupt) {
		t.Errorf("no batch: %v", err)
	}
}

// TestEachCommit: every commit comes as a batch of its own that decodes to the
// same commit, chained to the one before it.
func TestEachCommit(t *testing.T) {
	files, err := filepath.Glob("testdata/v1/*.ndjson")
	if err != nil || len(files) == 0 {
		t.Fatal("no fixtures", err)
	}
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var d, e Decoder
		b, err := d.DecodeBatch(raw)
		if err != nil {
			t.Fatal(err)
		}
		prev, i := b.Prev, 0
		err = EachCommit(raw, "somebody", func(r Revision, single []byte, hash Hash) error {
			one, err := e.DecodeBatch(single)
			if err != nil {
				return err
			}
			if len(one.Commits) != 1 || r != b.First()+Revision(i) || one.First() != r || one.Prev != prev || one.Hash != hash || one.By != "somebody" || one.Epoch != b.Epoch {
				t.Errorf("%s, revision %d: %+v", name, r, one)
			}
			if got, want := AppendCommit(nil, &one.Commits[0]), AppendCommit(nil, &b.Commits[i]); !bytes.Equal(got, want) {
				t.Errorf("%s, revision %d: %s, not %s", name, r, got, want)
			}
			prev = hash
			i++
			return nil
		})
		if err != nil || i != len(b.Commits) || prev != b.Hash {
			t.Errorf("%s: %v after %d of %d", name, err, i, len(b.Commits))
		}
		stop := errors.New("enough")
		if err := EachCommit(raw, "x", func(Revision, []byte, Hash) error { return stop }); !errors.Is(err, stop) {
			t.Errorf("%s: %v", name, err)
		}
		if err := EachCommit(raw[:len(raw)-1], "x", func(Revision, []byte, Hash) error { return nil }); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s, cut off: %v", name, err)
		}
	}
}
