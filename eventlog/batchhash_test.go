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
