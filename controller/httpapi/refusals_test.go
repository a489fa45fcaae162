package httpapi

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dvr/controller/gate"
	"dvr/controller/service"
)

// written are the lines of a journal, the file that was put aside first.
func written(t *testing.T, path string) (out []refusal) {
	t.Helper()
	for _, name := range []string{path + ".1", path} {
		f, err := os.Open(name)
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for in := bufio.NewScanner(f); in.Scan(); {
			var x refusal
			if err := json.Unmarshal(in.Bytes(), &x); err != nil {
				t.Fatalf("%v: %s", err, in.Text())
			}
			out = append(out, x)
		}
		_ = f.Close()
	}
	return out
}

// TestRefusalsOfAFlood: what strangers are refused, from however many sources,
// takes bounded memory and disk, and of what actors were refused nothing is lost.
func TestRefusalsOfAFlood(t *testing.T) {
	dir := t.TempDir()
	f := NewRefusals(dir)
	now := time.Unix(1_000_000, 0).UTC()
	f.add(&refusal{Time: now, Actor: "vera", Known: true, Source: "192.0.2.9", Method: "DELETE", Path: "/routes/10.0.0.0/8", Status: 403, Type: "/problems/forbidden"})
	const sources, each = 20_000, 5
	for i := range sources * each {
		now = now.Add(time.Millisecond)
		// He chooses all that he can.
		f.add(&refusal{Time: now, Actor: fmt.Sprint("actor", i), Source: fmt.Sprint("source", i%sources), Method: fmt.Sprint("M", i), Path: "/" + strings.Repeat("x", 300) + fmt.Sprint(i), Status: 401, Type: "/problems/unauthenticated"})
	}
	list, total, fault := f.newest(2 * refusalsKept)
	if total != sources*each+1 || fault != nil || len(list) != refusalsKept+1 && len(list) > 2*refusalsKept {
		t.Errorf("%d of %d, %v", len(list), total, fault)
	}
	if last := list[len(list)-1]; last.Actor != "vera" || last.Count != 1 {
		t.Errorf("of an actor: %+v", last)
	}
	if n := len(f.strangers.open); n > refusalsKept {
		t.Errorf("%d are counted", n)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if got := written(t, filepath.Join(dir, "refusals.ndjson")); len(got) != 1 || got[0].Actor != "vera" {
		t.Errorf("of actors: %+v", got)
	}
	if got := written(t, filepath.Join(dir, "strangers.ndjson")); len(got) > 3*refusalsBurst {
		t.Errorf("%d lines of strangers in %s", len(got), time.Duration(sources*each)*time.Millisecond)
	}
}

// TestRefusalsAlike: one line for the first of them and one with their number.
func TestRefusalsAlike(t *testing.T) {
	dir := t.TempDir()
	f := NewRefusals(dir)
	begin := time.Unix(1_000_000, 0).UTC()
	at := func(after time.Duration, path string) {
		f.add(&refusal{Time: begin.Add(after), Actor: "vera", Known: true, Source: "192.0.2.9", Method: "PUT", Path: path, Status: 403, Type: "/problems/forbidden"})
	}
	for i := range 10 {
		at(time.Duration(i)*time.Second, "/kv/a")
	}
	at(11*time.Second, "/kv/b")
	at(12*time.Second, "/kv/a")
	at(refusalsAlike, "/kv/a") // a minute after the first: another one
	list, total, _ := f.newest(10)
	if len(list) != 3 || total != 13 {
		t.Fatalf("%d: %+v", total, list)
	}
	for i, want := range []struct {
		path  string
		count uint64
		last  time.Duration
	}{{"/kv/a", 1, refusalsAlike}, {"/kv/a", 11, 12 * time.Second}, {"/kv/b", 1, 11 * time.Second}} {
		if got := list[i]; got.Path != want.path || got.Count != want.count || !got.Last.Equal(begin.Add(want.last)) {
			t.Errorf("%d: %+v", i, got)
		}
	}
	at(refusalsAlike+time.Second, "/kv/a")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	counts := map[string][]uint64{}
	for _, x := range written(t, filepath.Join(dir, "refusals.ndjson")) {
		counts[x.Path] = append(counts[x.Path], x.Count)
	}
	if fmt.Sprint(counts) != "map[/kv/a:[1 11 1 2] /kv/b:[1]]" {
		t.Errorf("the file: %v", counts)
	}
}

// TestRefusalsOfAnActor: one who is refused at ever new paths is bounded, and
// takes no room for counting from another.
func TestRefusalsOfAnActor(t *testing.T) {
	f := NewRefusals("")
	now := time.Unix(1_000_000, 0).UTC()
	x := refusal{Time: now, Known: true, Status: 403, Type: "/problems/forbidden"}
	for i := range 100 * refusalsKept {
		x.Actor, x.Path = "vera", fmt.Sprint("/kv/", i)
		f.add(&x)
	}
	x.Actor, x.Path = "nora", "/routes"
	f.add(&x)
	list, _, _ := f.newest(2 * refusalsKept)
	if len(list) != refusalsBurst+1 || list[0].Actor != "nora" {
		t.Errorf("%d, the newest of %s", len(list), list[0].Actor)
	}
}

// TestRefusalFiles: bounded on disk, for their owner alone; a fault is told.
func TestRefusalFiles(t *testing.T) {
	dir := t.TempDir()
	j := journal{path: filepath.Join(dir, "j.ndjson"), limit: 64 << 10}
	for range 1000 {
		j.append(&refusal{Path: "/" + strings.Repeat("x", 400)})
	}
	if err := j.close(); err != nil || j.fault != nil {
		t.Fatal(err, j.fault)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	if len(files) != 2 {
		t.Errorf("%v", files)
	}
	for _, name := range files {
		if s, err := os.Stat(name); err != nil || s.Size() > j.limit || s.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", name, s, err)
		}
	}
	f := NewRefusals(filepath.Join(dir, "absent"))
	f.add(&refusal{Time: time.Now(), Known: true, Actor: "a"})
	if _, _, fault := f.newest(1); fault == nil {
		t.Error("that nothing can be written is not told")
	}
	var none *Refusals
	none.note(httptest.NewRequest(http.MethodGet, "/", nil), changes, service.ErrUnauthenticated)
}

// TestStrangersAreTurnedAway: a source of too many refusals hears 429 and when to
// come again; others, loopback, probes and whoever has a good token do not.
func TestStrangersAreTurnedAway(t *testing.T) {
	a, k := enforced(t)
	a.server.strangers = gate.NewSources(0.001, nil)
	from := func(source string, headers ...string) []string { return append(headers, "Remote: "+source) }
	const stranger = "192.0.2.66:1234"
	codes := map[int]int{}
	for i := range 50 {
		credential := []string{"Authorization: Bearer dvr_guess_" + strings.Repeat("a", 52), "Authorization: Bearer a.b.c", "Authorization: Basic eA==", "X-DVR-Actor: root"}[i%4]
		r := a.do("GET", []string{"/routes", "/v1/whoami", "/v1/cluster/members"}[i%2], "", from(stranger, credential)...)
		codes[r.Code]++
		if r.Code == 429 && (r.Header.Get("Retry-After") == "" || r.json(t)["type"] != "/problems/overloaded" || !strings.Contains(r.Body, "STRANGER_LIMIT")) {
			t.Errorf("%v %s", r.Header, r.Body)
		}
	}
	if codes[401] != 1 || codes[429] < 30 {
		t.Errorf("%v", codes)
	}
	for what, r := range map[string]answer{
		"a probe":              a.do("GET", "/livez", "", from(stranger)...),
		"a good token":         a.do("GET", "/routes", "", from(stranger, k.as("vera"))...),
		"its whoami":           a.do("GET", "/v1/whoami", "", from(stranger, k.as("vera"))...),
		"a change with it":     a.do("PUT", "/kv/a", `{"value":"1"}`, from(stranger, k.as("oscar"))...),
		"a neighbour, a token": a.do("GET", "/routes", "", from("192.0.2.67:1", k.as("vera"))...),
	} {
		if r.Code/100 != 2 {
			t.Errorf("%s: %d %s", what, r.Code, r.Body)
		}
	}
	if r := a.do("GET", "/routes", "", from("192.0.2.67:1")...); r.Code != 401 {
		t.Errorf("a neighbour: %d", r.Code)
	}
	if r := a.do("POST", "/v1/cluster/members", `{"node_id":"node-9","raft":"127.0.0.1:8309"}`, from(stranger, "Authorization: Bearer dvr_guess_"+strings.Repeat("a", 52))...); r.Code != 429 {
		t.Errorf("joining with a guess: %d %s", r.Code, r.Body)
	}
	for range 50 {
		if r := a.do("GET", "/routes", "", from("127.0.0.1:1")...); r.Code != 401 {
			t.Fatalf("from loopback: %d", r.Code)
		}
	}
	list := a.must("GET", "/v1/audit", "", k.as("root")).json(t)["refusals"].([]any)
	counts := map[string]float64{}
	for _, x := range list {
		r := x.(map[string]any)
		counts[fmt.Sprint(r["source"], " ", r["status"])] += r["count"].(float64)
	}
	if len(list) > 6 || counts["127.0.0.1 401"] != 50 || counts["192.0.2.66 429"] < 30 {
		t.Errorf("%d lines: %v", len(list), counts)
	}
}
