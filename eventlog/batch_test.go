package eventlog

import (
	"bytes"
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
