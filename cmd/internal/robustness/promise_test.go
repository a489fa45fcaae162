package robustness

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// What the second seed promised and did not keep, on three real nodes; its A3,
// ids that lead out of the data directory, is TestVictim of controller/launcher.

// formed is a cluster of three that is ready, with a key's value to follow.
type formed struct {
	*Cluster
	t      *testing.T
	client *Client
}

func form(t *testing.T, environment ...string) *formed {
	t.Helper()
	needNetwork(t)
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewCluster(Options{Dir: t.TempDir(), Binary: binary, Founders: 3, Environment: environment})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	f := &formed{c, t, NewClient(NewRecorder(), 3*time.Second, c.Network.Dial)}
	t.Cleanup(f.client.Close)
	if err := c.Form(f.within(longest)); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *formed) within(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(f.t.Context(), d)
	f.t.Cleanup(cancel)
	return ctx
}

// leader waits for one, and gives the others too.
func (f *formed) leader() (*Seat, []*Seat) {
	f.t.Helper()
	ctx := f.within(longest)
	for {
		if l := f.Leader(ctx); l != nil {
			return l, slices.DeleteFunc(f.Members(), func(s *Seat) bool { return s == l })
		}
		if pause(ctx) != nil {
			f.t.Fatal("nobody leads")
		}
	}
}

// call makes one call of a key at a node.
func (f *formed) call(s *Seat, kind Kind, key string, value uint64) *Call {
	k := &Call{Node: s.Name, Item: Item{Keys, key}, Kind: kind, Value: value}
	f.client.Make(f.within(longest), s.API, k)
	return k
}

// put must be acknowledged.
func (f *formed) put(s *Seat, key string, value uint64) {
	f.t.Helper()
	if k := f.call(s, Set, key, value); k.Outcome != Done {
		f.t.Fatalf("%s", k)
	}
}

// everywhere wants the value from every member, as soon as all are ready.
func (f *formed) everywhere(key string, value uint64) {
	f.t.Helper()
	if err := f.Recovered(f.within(longest)); err != nil {
		f.t.Fatal(err)
	}
	for _, s := range f.Members() {
		if k := f.call(s, Get, key, 0); k.Outcome != Done || k.Absent || k.Content != fmt.Sprintf("=%d", value) {
			f.t.Errorf("%s", k)
		}
	}
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestA1AcknowledgedWriteSurvivesAStopAndStart: one follower is cut off and
// paused, a write is acknowledged by the two others, the leader dies, the other
// follower is stopped and started in the ordinary way, and the one that knows
// nothing is let back: it must not lead the others to forget.
func TestA1AcknowledgedWriteSurvivesAStopAndStart(t *testing.T) {
	f := form(t)
	leader, rest := f.leader()
	a, b := rest[0], rest[1]
	for _, o := range []*Seat{leader, a} {
		must(t, f.Network.Cut(o.Name, b.Name), f.Network.Cut(b.Name, o.Name))
	}
	b.Pause()
	f.put(leader, "raft", 1)
	leader.Kill()
	must(t, a.Stop(), a.Start())
	b.Resume()
	f.Network.Heal()
	ctx := f.within(longest)
	for _, s := range []*Seat{a, b} {
		for {
			k := f.call(s, Get, "raft", 0)
			if k.Outcome == Done && (k.Absent || k.Content != "=1") {
				t.Fatalf("lost: %s", k)
			}
			if k.Outcome == Done {
				break
			}
			if pause(ctx) != nil {
				t.Fatalf("%s", k)
			}
		}
	}
	must(t, leader.Start())
	f.everywhere("raft", 1)
}

// TestA2AllStoppedAllStarted: with everyone stopped, gently and then by SIGKILL,
// starting them is all it takes.
func TestA2AllStoppedAllStarted(t *testing.T) {
	f := form(t)
	f.put(f.Seats[0], "raft", 1)
	for _, s := range f.Seats {
		must(t, s.Stop())
	}
	for _, s := range f.Seats {
		must(t, s.Start())
	}
	f.everywhere("raft", 1)
	f.put(f.Seats[1], "raft", 2)
	for _, s := range f.Seats {
		s.Kill()
	}
	for _, s := range f.Seats {
		must(t, s.Start())
	}
	f.everywhere("raft", 2)
	f.put(f.Seats[2], "raft", 3)
}

// TestA4NothingWritesBehindTheLog: what the seed's nodes took from anybody is
// not there, etcd's own port takes no writes, Raft's none from strangers, and
// the replicas stay equal.
func TestA4NothingWritesBehindTheLog(t *testing.T) {
	f := form(t, "ETCD_WRITABLE=false")
	f.put(f.Seats[0], "raft", 1)
	ctx := f.within(longest)
	for _, s := range f.Seats {
		for _, path := range []string{"/internal/operation", "/internal/raft/join", "/internal/raft/remove"} {
			if code, err := s.ask(ctx, http.MethodPost, path, nil); code != http.StatusNotFound {
				t.Errorf("%s: %d, %v", path, code, err)
			}
		}
		_, err := s.etcd.Put(ctx, headKey, "{}")
		if status.Code(err) != codes.PermissionDenied {
			t.Errorf("a put to etcd at %s: %v", s.Name, err)
		}
		if _, err := s.etcd.Delete(ctx, batchPrefix+"0"); status.Code(err) != codes.PermissionDenied {
			t.Errorf("a deletion from etcd at %s: %v", s.Name, err)
		}
		resp, err := f.asking.Post("http://"+s.raft+"/raft", "application/octet-stream", strings.NewReader("\x08\x01"))
		if err != nil || resp.StatusCode/100 != 4 {
			t.Errorf("Raft at %s takes a message from a stranger: %v %v", s.Name, resp, err)
		}
		if resp != nil {
			resp.Body.Close()
		}
	}
	f.everywhere("raft", 1)
	var first Status
	for _, s := range f.Seats {
		st, err := s.Status(ctx)
		must(t, err)
		if first.Revision == 0 {
			first = st
		}
		if st.Revision != first.Revision || st.Digest != first.Digest || st.Hash != first.Hash {
			t.Errorf("%s: %+v, the first has %+v", s.Name, st, first)
		}
	}
}

// TestA5NoStaleLeader: a leader that is cut off answers no linearizable read
// from what it has, and says "stale" of one that may be; it refuses writes
// though nobody has told it yet that it lost.
func TestA5NoStaleLeader(t *testing.T) {
	f := form(t)
	leader, rest := f.leader()
	f.put(leader, "raft", 1)
	for _, o := range rest {
		must(t, f.Network.Cut(o.Name, leader.Name), f.Network.Cut(leader.Name, o.Name))
	}
	ctx := f.within(longest)
	for f.call(rest[0], Set, "raft", 2).Outcome != Done {
		must(t, pause(ctx))
	}
	if k := f.call(leader, Get, "raft", 0); k.Outcome != Refused || k.Status != http.StatusServiceUnavailable {
		t.Fatalf("a linearizable read: %s", k)
	}
	var shown struct {
		Value string
		Stale bool
	}
	if code, err := leader.get(ctx, "/kv/raft", &shown); code != http.StatusOK || !shown.Stale || shown.Value != "1" {
		t.Fatalf("a read: %d %+v %v", code, shown, err)
	}
	if k := f.call(leader, Set, "raft", 3); k.Outcome != Refused || k.Status != http.StatusServiceUnavailable {
		t.Fatalf("a write: %s", k)
	}
	f.Network.Heal()
	for f.call(leader, Get, "raft", 0).Outcome != Done {
		must(t, pause(ctx))
	}
	f.everywhere("raft", 2)
}

// TestA5OfflineMemberLeavesTheQuorum: decommissioned while it is offline, a
// member no longer counts: of the two that are left and one that joins, one may fail.
func TestA5OfflineMemberLeavesTheQuorum(t *testing.T) {
	f := form(t)
	_, rest := f.leader()
	offline := rest[0]
	offline.Kill()
	must(t, f.Remove(f.within(longest), offline))
	list, err := f.listed(f.within(longest), offline)
	if err != nil || len(list) != 2 {
		t.Fatalf("%v, %v", list, err)
	}
	f.put(rest[1], "raft", 1)
	must(t, f.Join(f.within(longest), offline))
	rest[1].Kill()
	ctx := f.within(longest)
	for f.call(offline, Set, "raft", 2).Outcome != Done {
		must(t, pause(ctx))
	}
}

// TestA5AnyKeyAnywhere: keys with slashes, percent signs and the rest through a
// node that has to pass them on, and the list in pages.
func TestA5AnyKeyAnywhere(t *testing.T) {
	f := form(t)
	_, rest := f.leader()
	keys := []string{"a/b", "a%2Fb", "ü ö", "..", "a//b", "?x=1#y", "+"}
	for i, key := range keys {
		f.put(rest[i%2], key, uint64(i+1))
	}
	for i, key := range keys {
		f.everywhere(key, uint64(i+1))
		if k := f.call(rest[i%2], Remove, key, 0); k.Outcome != Done || k.Absent {
			t.Errorf("removed at a follower: %s", k)
		}
	}
	for i := range 5 {
		f.put(rest[0], fmt.Sprint("page ", i), 1)
	}
	seen, cursor := 0, ""
	for page := 0; page == 0 || cursor != ""; page++ {
		resp, err := f.asking.Get("http://" + rest[1].API + "/kv?consistency=linearizable&limit=2&cursor=" + url.QueryEscape(cursor))
		must(t, err)
		cursor = resp.Header.Get("DVR-Next-Cursor")
		body := make([]byte, 1<<10)
		n, _ := resp.Body.Read(body)
		resp.Body.Close()
		seen += strings.Count(string(body[:n]), "page ")
		if page > 5 {
			t.Fatal("the pages do not end")
		}
	}
	if seen != 5 {
		t.Errorf("%d keys in the pages", seen)
	}
}
