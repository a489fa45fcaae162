package eventlog

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func sampleBatch(t testing.TB) (raw []byte, prev, next Head, commits []Commit) {
	t.Helper()
	prev = Head{Revision: 41, Epoch: 3, Nonce: Nonce{7}, Hash: Hash{1, 2}, Level: 1}
	b := NewBatchBuilder(prev, "node-1")
	var plain []Event
	i := 0
	for _, e := range samples() {
		switch e.Kind() {
		case KindCommitStaged, KindEpochStarted:
			continue
		}
		plain = append(plain, e)
		c := Commit{ID: "c/" + string(rune('a'+i%26)), Time: sampleTime + int64(i), Actor: "alice", Events: []Event{e}}
		if err := b.Add(&c); err != nil {
			t.Fatal(err)
		}
		commits = append(commits, c)
		i++
	}
	all := Commit{
		ID: "all", Time: sampleTime + 1000, Actor: "alice", Source: "192.0.2.7:4711", For: "bob", Reason: "why \"not\"",
		Forced: []string{"core"}, Reverts: []Revision{3, 4}, Request: RequestHash{1, 15: 9}, Events: plain,
	}
	none := Commit{ID: "none", Time: sampleTime + 1000, Actor: "alice"}
	for _, c := range []*Commit{&all, &none} {
		if err := b.Add(c); err != nil {
			t.Fatal(err)
		}
		commits = append(commits, *c)
	}
	raw, next = b.Finish()
	return bytes.Clone(raw), prev, next, commits
}

func TestBatchRoundTrip(t *testing.T) {
	raw, prev, next, commits := sampleBatch(t)
	var d Decoder
	for range 3 { // reuse changes nothing
		b, err := d.DecodeBatch(raw)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(commits, b.Commits, cmpNetip); diff != "" {
			t.Fatalf("(-want +got)\n%s", diff)
		}
		head, err := prev.Follow(b)
		if err != nil || head != next {
			t.Fatalf("Follow = %+v, %v; want %+v", head, err, next)
		}
	}
}

func TestFirstBatch(t *testing.T) {
	raw, next := FirstBatch("6f9619ff-8b86-4d01-b42d-00cf4fc964ff", Nonce{1}, sampleTime, "node-1")
	b, head, err := VerifyBatch(raw, Head{})
	if err != nil || head != next {
		t.Fatalf("VerifyBatch = %+v, %v; want %+v", head, err, next)
	}
	if b.First() != 1 || b.Last() != 1 || next.Epoch != 1 || next.Level != 1 || next.Nonce != (Nonce{1}) {
		t.Fatalf("head %+v", next)
	}
}

// What is skipped is not decoded, and counts and is hashed all the same.
func TestDecodeBatchSkips(t *testing.T) {
	b := NewBatchBuilder(Head{Epoch: 1, Level: 1}, "n1")
	events := []Event{route("10.1.0.0/16", "192.0.2.1", 1), route("10.2.0.0/16", "192.0.2.1", 1), &KeyPut{Key: "k", Value: "10.1.0.0/16"}}
	for _, list := range [][]Event{events, events[:1]} {
		if err := b.Add(&Commit{ID: fmt.Sprint("c", len(list)), Time: sampleTime, Actor: "a", Events: list}); err != nil {
			t.Fatal(err)
		}
	}
	raw, _ := b.Finish()
	var all Decoder
	want, err := all.DecodeBatch(raw)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	some := Decoder{Skip: func(line []byte) bool {
		lines = append(lines, string(line))
		return bytes.Contains(line, []byte(`"10.1.0.0/16"`))
	}}
	got, err := some.DecodeBatch(raw)
	if err != nil || got.Hash != want.Hash {
		t.Fatalf("hash %x, want %x: %v", got.Hash, want.Hash, err)
	}
	want.Commits[0].Events[0], want.Commits[0].Events[2] = nil, nil // the one of a single event is not asked about
	if diff := cmp.Diff(want.Commits, got.Commits, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	for i, e := range events {
		if lines[i] != string(AppendEvent(nil, e)) {
			t.Errorf("asked about %q", lines[i])
		}
	}
}
