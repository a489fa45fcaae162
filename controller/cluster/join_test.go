package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"dvr/controller/porttest"
	"dvr/eventlog"
)

// member is an API that answers admissions by a script.
func fakeMember(t *testing.T, answers ...func(w http.ResponseWriter, c Candidate)) (address string, asked *atomic.Int32) {
	t.Helper()
	asked = new(atomic.Int32)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/cluster/members" || r.Method != http.MethodPost {
			http.NotFound(w, r)
			return
		}
		var c Candidate
		if err := json.NewDecoder(r.Body).Decode(&c); err != nil {
			t.Error(err)
		}
		n := int(asked.Add(1)) - 1
		answers[min(n, len(answers)-1)](w, c)
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://"), asked
}

func problem(status int, slug string) func(http.ResponseWriter, Candidate) {
	return func(w http.ResponseWriter, _ Candidate) {
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"type":"/problems/%s","detail":"said the member"}`, slug)
	}
}

func admit(w http.ResponseWriter, c Candidate) {
	_ = json.NewEncoder(w).Encode(Admission{
		ClusterID: "00000000000000c1", MemberID: "00000000000000d4", LogID: "log", InitialCluster: "node-1=127.0.0.1:1," + c.NodeID + "=" + c.Raft,
		Members: []Node{{NodeID: "node-1", Role: RoleVoter, Client: "127.0.0.1:2379", API: "127.0.0.1:9090"}, {NodeID: c.NodeID, Role: RoleLearner, Client: "127.0.0.1:2380"}},
	})
}

func joinConfig(t *testing.T, apis ...string) *Config {
	return &Config{NodeID: "node-4", DataDir: t.TempDir(), Addresses: Addresses{Raft: "127.0.0.1:8304", API: "127.0.0.1:9094"}, Join: apis, Attempt: "one"}
}

// TestJoinRetriesWhatPasses: no leader, an election, another node joining, an
// address behind which nobody is; through any member.
func TestJoinRetriesWhatPasses(t *testing.T) {
	first, _ := fakeMember(t, problem(503, "unavailable"), problem(503, "joining"), problem(500, "internal"), problem(404, "not-found"),
		func(w http.ResponseWriter, _ Candidate) { fmt.Fprint(w, "<html>") })
	var attempts []string
	second, _ := fakeMember(t, problem(503, "joining"), problem(503, "unavailable"), problem(503, "joining"), problem(503, "joining"), problem(503, "joining"),
		func(w http.ResponseWriter, c Candidate) {
			attempts = append(attempts, c.Attempt)
			admit(w, c)
		})
	if p, err := Prepare(within(t, patience), joinConfig(t, porttest.Address(t), first, second)); err != nil || !p.Join || len(attempts) != 1 || attempts[0] != "one" {
		t.Errorf("%+v %v %v", p, err, attempts)
	}
}

func TestJoinIsAdmitted(t *testing.T) {
	api, asked := fakeMember(t, problem(503, "unavailable"), problem(503, "joining"), problem(500, "internal"), problem(404, "not-found"), admit)
	c := joinConfig(t, porttest.Address(t), api)
	said := 0
	c.Await = func(what string) {
		if strings.Contains(what, "said the member") {
			said++
		}
	}
	p, err := Prepare(within(t, patience), c)
	if err != nil {
		t.Fatal(err)
	}
	if !p.Join || !p.First || p.Observer || p.Members["node-4"] != "127.0.0.1:8304" || p.Members["node-1"] != "127.0.0.1:1" {
		t.Errorf("%+v", p)
	}
	id, err := LoadIdentity(c.DataDir)
	if err != nil || id.State != Joining || id.ClusterID != "00000000000000c1" || id.LogID != "log" || len(id.Members) != 1 {
		t.Errorf("%+v %v", id, err)
	}
	if asked.Load() != 5 || said == 0 {
		t.Errorf("asked %d times, said %d times why it waits", asked.Load(), said)
	}
	// Killed before etcd wrote anything, it asks anew.
	c.Attempt = "two"
	if p, err = Prepare(within(t, patience), c); err != nil || !p.Join {
		t.Errorf("%+v %v", p, err)
	}
}

func TestJoinRefusals(t *testing.T) {
	for slug, status := range map[string]int{"too-many-voters": 409, "member-exists": 409, "invalid": 400, "foreign-host": 403} {
		api, asked := fakeMember(t, problem(status, slug))
		if _, err := Prepare(within(t, patience), joinConfig(t, api)); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "said the member") || asked.Load() != 1 {
			t.Errorf("%s: %v after %d questions", slug, err, asked.Load())
		}
	}
	for name, c := range map[string]func(w http.ResponseWriter, c Candidate){
		"another node admitted": func(w http.ResponseWriter, c Candidate) { c.NodeID = "node-5"; admit(w, c) },
		"another address":       func(w http.ResponseWriter, c Candidate) { c.Raft = "127.0.0.1:1"; admit(w, c) },
		"no list":               func(w http.ResponseWriter, _ Candidate) { fmt.Fprint(w, `{"cluster_id":"c"}`) },
	} {
		api, _ := fakeMember(t, c)
		if _, err := Prepare(within(t, patience), joinConfig(t, api)); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	api, _ := fakeMember(t, admit)
	c := joinConfig(t, api)
	c.DataDir, c.ClusterID = t.TempDir(), "00000000000000c2"
	if _, err := Prepare(within(t, patience), c); !errors.Is(err, ErrDataLost) {
		t.Errorf("blank data with CLUSTER_ID: %v", err)
	}
	if err := (&Identity{NodeID: "node-4", State: Joining}).Save(c.DataDir); err != nil {
		t.Fatal(err)
	}
	if _, err := Prepare(within(t, patience), c); !errors.Is(err, ErrForeign) {
		t.Errorf("another cluster than CLUSTER_ID says: %v", err)
	}
}

func TestJoinEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := joinConfig(t, porttest.Address(t))
	c.Await = func(string) { cancel() }
	if _, err := Prepare(ctx, c); !errors.Is(err, context.Canceled) || !errors.Is(err, eventlog.ErrUnavailable) {
		t.Errorf("%v", err)
	}
}

func TestObserverIsAdmitted(t *testing.T) {
	api, _ := fakeMember(t, func(w http.ResponseWriter, c Candidate) {
		if !c.Observer {
			t.Error("it does not say that it observes")
		}
		admit(w, c)
	})
	c := joinConfig(t, api)
	c.Observer = true
	p, err := Prepare(within(t, patience), c)
	if err != nil || !p.Observer || p.Identity.State != Observer || len(p.Identity.Members) != 1 || p.Identity.Members[0] != "127.0.0.1:2379" {
		t.Fatalf("%+v %v", p, err)
	}
	again, err := Prepare(t.Context(), c) // asks nobody for admission
	if err != nil || !again.Observer || again.First {
		t.Errorf("%+v %v", again, err)
	}
}

func TestCandidateValidation(t *testing.T) {
	good := Candidate{NodeID: "node-4", Raft: "127.0.0.1:8304", API: "host.example:9094"}
	if err := good.validate(); err != nil {
		t.Error(err)
	}
	for field, change := range map[string]func(*Candidate){
		"node_id": func(c *Candidate) { c.NodeID = "../../victim" },
		"raft":    func(c *Candidate) { c.Raft = "" },
		"api":     func(c *Candidate) { c.API = "0.0.0.0:9090" },
		"fib":     func(c *Candidate) { c.FIB = "127.0.0.1:0" },
		"client":  func(c *Candidate) { c.Client = "127.0.0.1:65536" },
		"attempt": func(c *Candidate) { c.Attempt = strings.Repeat("x", 65) },
	} {
		c := good
		change(&c)
		var f *eventlog.FieldError
		if err := c.validate(); !errors.As(err, &f) || f.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	observer := Candidate{NodeID: "node-9", Observer: true}
	var f *eventlog.FieldError
	if err := observer.validate(); !errors.As(err, &f) || f.Field != "api" {
		t.Errorf("an observer without an API address: %v", err)
	}
}
