package eventlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
)

// pieces is a stage that is read in pieces of a size.
type pieces struct {
	lines []byte
	size  int
}

func (p pieces) StageParts(_ context.Context, _ *CommitStaged, fn func([]byte) error) error {
	for rest := p.lines; len(rest) > 0; {
		n := min(p.size, len(rest))
		piece := bytes.Clone(rest[:n])
		if err := fn(piece); err != nil {
			return err
		}
		clear(piece) // valid only during the call
		rest = rest[n:]
	}
	return nil
}

// TestStageLines: any page of a stage, cut into pieces anywhere, equals the lines of its events.
func TestStageLines(t *testing.T) {
	events := benchRoutes(500)
	s, parts, err := EncodeStage("import-7", events)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Join(parts, nil)
	want := bytes.SplitAfter(lines, newline)[:len(events)]
	read := func(log StageParts, s *CommitStaged, from, most int) (out [][]byte, err error) {
		err = StageLines(t.Context(), log, s, from, most, func(line []byte) error {
			out = append(out, append(bytes.Clone(line), '\n'))
			return nil
		})
		return out, err
	}
	for _, size := range []int{1, 7, len(want[0]), len(want[0]) + 1, 1000, len(lines)} {
		for _, page := range [][2]int{{0, 500}, {0, 0}, {0, 1}, {499, 1}, {123, 77}, {490, 100}, {500, 5}, {1 << 30, 5}} {
			from := min(page[0], len(want))
			got, err := read(pieces{lines, size}, s, page[0], page[1])
			if w := want[from:min(from+page[1], len(want))]; err != nil || !bytes.Equal(bytes.Join(got, nil), bytes.Join(w, nil)) || len(got) != len(w) {
				t.Fatalf("pieces of %d, page %v: %d lines, %v", size, page, len(got), err)
			}
		}
	}
	stop := errors.New("stop")
	if err := StageLines(t.Context(), pieces{lines, 99}, s, 3, 5, func([]byte) error { return stop }); err != stop {
		t.Errorf("stopped: %v", err)
	}
	changed := bytes.Clone(lines)
	changed[len(changed)-9] ^= 1
	more := *s
	more.Events++
	for name, c := range map[string]struct {
		lines []byte
		s     *CommitStaged
	}{
		"changed": {changed, s}, "cut": {lines[:len(lines)-len(want[0])], s}, "without its end": {lines[:len(lines)-1], s},
		"longer": {append(bytes.Clone(lines), lines...), s}, "another count": {lines, &more}, "nothing": {nil, s},
	} {
		if got, err := read(pieces{c.lines, 100}, c.s, 0, 1); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %d lines, %v", name, len(got), err)
		}
	}
}

// What is not asked for is not kept: pages of a large stage cost the page.
func BenchmarkStageLines(b *testing.B) {
	s, parts, err := EncodeStage("import-7", benchRoutes(100_000))
	if err != nil {
		b.Fatal(err)
	}
	log := pieces{bytes.Join(parts, nil), MaxStagePart}
	b.ReportAllocs()
	b.SetBytes(s.Bytes)
	for b.Loop() {
		n := 0
		if err := StageLines(b.Context(), log, s, 90_000, 1000, func([]byte) error { n++; return nil }); err != nil || n != 1000 {
			b.Fatal(fmt.Errorf("%d lines: %w", n, err))
		}
	}
}
