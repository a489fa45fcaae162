package eventlog

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// -update writes the fixtures anew. Format 1 is kept for ever: that is right
// only where a fixture is added, never where one changes.
var update = flag.Bool("update", false, "write testdata/v1 anew")

// TestGolden: the bytes of format 1 and their hashes are what they always
// were, written and read; so are those that came later, in fixtures of their own.
func TestGolden(t *testing.T) {
	golden(t, "testdata/v1", fixtureCommits())
	golden(t, "testdata/v1-access", accessCommits())
	golden(t, "testdata/v1-probes", singly(probeSamples()))
}

// singly is a fixture log of a commit for each event.
func singly(events []Event) [][]Commit {
	var one []Commit
	for i, e := range events {
		one = append(one, Commit{ID: fmt.Sprintf("single/%d", i), Time: sampleTime + int64(i), Actor: "alice", Events: []Event{e}})
	}
	return [][]Commit{{{ID: "created", Time: sampleTime, Actor: SystemActor,
		Events: []Event{&EpochStarted{Epoch: 1, LogID: "6f9619ff-8b86-4d01-b42d-00cf4fc964ff", Nonce: Nonce{1, 2, 3}, Cause: CauseCreated}}}}, one}
}

// accessCommits is the fixture log of what came with authorization.
func accessCommits() [][]Commit {
	const logID = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"
	var one []Commit
	for i, e := range accessSamples() {
		one = append(one, Commit{ID: fmt.Sprintf("single/%d", i), Time: sampleTime + int64(i), Actor: "alice", Via: []string{"token:k7f3"}, Events: []Event{e}})
	}
	return [][]Commit{{{ID: "created", Time: sampleTime, Actor: SystemActor,
		Events: []Event{&EpochStarted{Epoch: 1, LogID: logID, Nonce: Nonce{1, 2, 3}, Cause: CauseCreated}}}}, one, {{
		ID: "all", Time: sampleTime + 1000, Actor: "ünï", Source: "[2001:db8::7]:4711", For: "bob", Reason: "why",
		Forced: []string{"core"}, Reverts: []Revision{3}, Via: []string{"group:net-ops", "group:ünï"}, Request: RequestHash{1, 15: 9},
		Events: []Event{&TokenRemoved{ID: "k7f3"}, &KeyDeleted{Key: "k"}},
	}}}
}

// fixtureCommits are the batches of the fixture log: every kind and member,
// a commit without events, one with many, two epochs.
func fixtureCommits() [][]Commit {
	const logID = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"
	var singles, plain []Event
	for _, e := range samples() {
		switch e.Kind() {
		case KindEpochStarted:
		case KindCommitStaged:
			singles = append(singles, e)
		default:
			singles, plain = append(singles, e), append(plain, e)
		}
	}
	epoch1 := Commit{ID: "created", Time: sampleTime, Actor: SystemActor,
		Events: []Event{&EpochStarted{Epoch: 1, LogID: logID, Nonce: Nonce{1, 2, 3}, Cause: CauseCreated}}}
	one := make([]Commit, 0, len(singles))
	for i, e := range singles {
		one = append(one, Commit{ID: fmt.Sprintf("single/%d", i), Time: sampleTime + int64(i), Actor: "alice", Request: RequestHash{byte(i), 15: 1}, Events: []Event{e}})
	}
	many := Commit{
		ID: "all", Time: sampleTime + 1000, Actor: "ünï", Source: "[2001:db8::7]:4711", For: "bob", Reason: "why \"not\"\n",
		Forced: []string{"core", "many"}, Reverts: []Revision{3, 4}, Request: RequestHash{1, 15: 9}, Events: plain,
	}
	none := Commit{ID: "none", Time: sampleTime + 1000, Actor: "alice"}
	epoch2 := Commit{ID: "restored", Time: sampleTime - 5000, Actor: SystemActor, Events: []Event{
		&EpochStarted{Epoch: 2, LogID: logID, Nonce: Nonce{4, 5, 6}, Cause: CauseRestored, From: &EpochOrigin{Epoch: 1, Revision: 9, Hash: Hash{9, 9}}}}}
	after := Commit{ID: "after", Time: sampleTime, Actor: "alice", Events: []Event{&KeyDeleted{Key: "k"}}}
	return [][]Commit{{epoch1}, one, {many, none}, {epoch2, after}}
}

func golden(t *testing.T, fixtureDir string, batches [][]Commit) {
	t.Helper()
	var head Head
	var hashes strings.Builder
	var d Decoder
	var names []string
	for _, commits := range batches {
		b := NewBatchBuilder(head, "node-1")
		for i := range commits {
			if err := b.Add(&commits[i]); err != nil {
				t.Fatal(err)
			}
		}
		raw, next := b.Finish()
		name := fmt.Sprintf("%020d.ndjson", next.Revision)
		names = append(names, name)
		path := filepath.Join(fixtureDir, name)
		if *update {
			if err := os.MkdirAll(fixtureDir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, raw, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(raw)); diff != "" {
			t.Errorf("%s is written otherwise (-stored +now)\n%s", name, diff)
		}
		got, err := d.DecodeBatch(want)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(commits, got.Commits, cmpNetip); diff != "" {
			t.Errorf("%s is read otherwise (-want +got)\n%s", name, diff)
		}
		followed, err := head.Follow(got)
		if err != nil || followed != next {
			t.Fatalf("%s: %+v, %v; want %+v", name, followed, err, next)
		}
		// each commit's hash, from bytes cut by hand at the lines
		h := head.Hash
		lines := bytes.SplitAfter(want, []byte{'\n'})[1:]
		for _, c := range commits {
			n := 1
			if len(c.Events) != 1 {
				n += len(c.Events)
			}
			h = ChainHash(h, bytes.Join(lines[:n], nil))
			lines = lines[n:]
			fmt.Fprintf(&hashes, "%d %s\n", c.Revision, hex.EncodeToString(h[:]))
		}
		if h != next.Hash {
			t.Errorf("%s: the chain ends at %x, want %x", name, h, next.Hash)
		}
		head = next
	}
	fmt.Fprintf(&hashes, "head %s\n", AppendHead(nil, head))
	path := filepath.Join(fixtureDir, "hashes.txt")
	if *update {
		if err := os.WriteFile(path, []byte(hashes.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), hashes.String()); diff != "" {
		t.Errorf("the chain (-stored +now)\n%s", diff)
	}
	stored, err := filepath.Glob(filepath.Join(fixtureDir, "*.ndjson"))
	if err != nil || len(stored) != len(names) {
		t.Errorf("%d fixtures are stored, %d are checked (%v)", len(stored), len(names), err)
	}
}

// TestTampering: no byte of a stored commit can change unnoticed.
func TestTampering(t *testing.T) {
	raw, prev, next, _ := sampleBatch(t)
	line := bytes.IndexByte(raw, '\n') + 1
	var d Decoder
	for i := range raw {
		for _, flip := range []byte{1, 0x20, 0x80} {
			bad := bytes.Clone(raw)
			bad[i] ^= flip
			b, err := d.DecodeBatch(bad)
			if err != nil {
				if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrLevel) {
					t.Fatalf("byte %d: %v is neither ErrCorrupt nor ErrLevel", i, err)
				}
				continue
			}
			head, err := prev.Follow(b)
			if err == nil && head == next && i >= line {
				t.Fatalf("byte %d changed from %q to %q unnoticed", i, raw[i], bad[i])
			}
		}
	}
	for n := range raw {
		if _, err := d.DecodeBatch(raw[:n]); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("cut after %d bytes: %v, want ErrCorrupt", n, err)
		}
	}
	if _, err := d.DecodeBatch(append(bytes.Clone(raw), '\n')); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a line more: %v", err)
	}
	lines := bytes.SplitAfter(raw, []byte{'\n'})
	lines[2], lines[3] = lines[3], lines[2]
	if _, err := d.DecodeBatch(bytes.Join(lines, nil)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("two commits exchanged: %v", err)
	}
}
