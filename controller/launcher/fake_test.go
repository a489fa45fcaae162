package launcher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestMain makes of this binary what the launcher runs: called as `… node` it
// is a node that speaks the contracts and nothing else, under the name
// dvr-dataplane a data plane, called as `… launch <options>` a launcher.
func TestMain(m *testing.M) {
	switch {
	case filepath.Base(os.Args[0]) == "dvr-dataplane":
		fakePlane()
	case len(os.Args) == 2 && os.Args[1] == "node":
		fakeNode()
	case len(os.Args) == 3 && os.Args[1] == "launch":
		launchProcess(os.Args[2])
	}
	os.Exit(m.Run())
}

// launchProcess is a launcher that can be killed.
func launchProcess(options string) {
	var o Options
	if err := json.Unmarshal([]byte(options), &o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	o.Environ, o.Out = os.Environ(), os.Stdout
	if err := Run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// What fakes of one launcher share lies in <data dir>/fake: the cluster's
// members, who leads (a lock, which the system takes from the dead), who is
// alive (a lock each), and a journal of what happened.
type fake struct {
	id, data, shared string
	client           http.Client

	life    *os.File  // lock of the living
	removed time.Time // when it was first seen

	mu      sync.Mutex
	leading *os.File // lock of the leader, nil where it is another
}

type fakeCluster struct {
	ClusterID string   `json:"cluster_id"`
	Members   []Member `json:"members"`
}

func (f *fake) die(code int, format string, args ...any) {
	fmt.Fprintf(os.Stderr, "fake: "+format+"\n", args...)
	os.Exit(code)
}

func (f *fake) path(name string) string { return filepath.Join(f.shared, name) }

func (f *fake) has(name string) bool {
	_, err := os.Stat(f.path(name))
	return err == nil
}

// hold takes a lock without waiting; nil where another has it.
func (f *fake) hold(name string) *os.File {
	l, err := os.OpenFile(f.path(name), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		f.die(9, "%v", err)
	}
	if syscall.Flock(int(l.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		_ = l.Close()
		return nil
	}
	return l
}

func (f *fake) alive(id string) bool {
	if id == f.id {
		return true
	}
	l := f.hold("alive-" + id)
	if l != nil {
		_ = l.Close()
	}
	return l == nil
}

func (f *fake) note(format string, args ...any) {
	j, err := os.OpenFile(f.path("journal"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		f.die(9, "%v", err)
	}
	defer j.Close()
	fmt.Fprintf(j, format+"\n", args...)
}

// change edits the cluster under a lock; change returning false keeps it.
func (f *fake) change(edit func(*fakeCluster) bool) fakeCluster {
	l, err := os.OpenFile(f.path("cluster.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		f.die(9, "%v", err)
	}
	defer l.Close()
	if err := syscall.Flock(int(l.Fd()), syscall.LOCK_EX); err != nil {
		f.die(9, "%v", err)
	}
	var c fakeCluster
	if raw, err := os.ReadFile(f.path("cluster")); err == nil {
		if err := json.Unmarshal(raw, &c); err != nil {
			f.die(9, "%v", err)
		}
	}
	if edit != nil && edit(&c) {
		raw, _ := json.Marshal(c)
		if err := os.WriteFile(f.path("cluster"), raw, 0o600); err != nil {
			f.die(9, "%v", err)
		}
	}
	return c
}

// quorum of a cluster without the member `without`.
func (f *fake) quorum(c fakeCluster, without string) bool {
	voters, alive := 0, 0
	for _, m := range c.Members {
		if m.Role == "voter" && m.NodeID != without {
			voters++
			if f.alive(m.NodeID) {
				alive++
			}
		}
	}
	return alive > voters/2
}

func (f *fake) leads() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.leading != nil
}

// step is the background work: form or join, leave when removed, lead.
func (f *fake) step(initial []string, join string) {
	if _, err := os.Stat(f.shared); err != nil {
		os.Exit(0) // the test is over
	}
	c := f.change(func(c *fakeCluster) bool {
		member := slices.ContainsFunc(c.Members, func(m Member) bool { return m.NodeID == f.id })
		if raw, err := os.ReadFile(filepath.Join(f.data, "member")); err == nil {
			if !member { // it ends by itself, unless it is stopped before
				if f.removed.IsZero() {
					f.removed = time.Now()
				} else if time.Since(f.removed) > time.Second {
					f.die(5, "removed from cluster %s", raw)
				}
				return false
			}
			i := slices.IndexFunc(c.Members, func(m Member) bool { return m.NodeID == f.id })
			if c.Members[i].Role == "learner" && f.quorum(*c, "") {
				c.Members[i].Role = "voter"
				f.note("promote %s", f.id)
				return true
			}
			return false
		}
		changed := false
		switch {
		case c.ClusterID == "" && len(initial) > 0:
			_ = os.WriteFile(f.path("blank-"+f.id), nil, 0o600)
			for _, id := range initial {
				if !f.has("blank-" + id) {
					return false
				}
			}
			c.ClusterID = "c1"
			for _, id := range initial {
				c.Members = append(c.Members, Member{NodeID: id, MemberID: "m-" + id, Role: "voter"})
			}
			f.note("form %s", strings.Join(initial, " "))
			changed, member = true, true
		case join != "" && c.ClusterID != "" && f.quorum(*c, "") && !f.has("no-joins"):
			role := "learner"
			if os.Getenv("OBSERVER") == "true" {
				role = "observer"
			}
			c.Members = append(c.Members, Member{NodeID: f.id, MemberID: "m-" + f.id, Role: role})
			f.note("join %s as %s", f.id, role)
			changed, member = true, true
		}
		if member {
			if err := os.WriteFile(filepath.Join(f.data, "member"), []byte(c.ClusterID), 0o600); err != nil {
				f.die(9, "%v", err)
			}
		}
		return changed
	})
	voter := slices.ContainsFunc(c.Members, func(m Member) bool { return m.NodeID == f.id && m.Role == "voter" })
	quorum := f.quorum(c, "")
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.leading == nil && voter && quorum:
		f.leading = f.hold("leader")
	case f.leading != nil && !quorum:
		_ = f.leading.Close()
		f.leading = nil
	}
}

func fakeNode() {
	time.AfterFunc(4*time.Minute, func() { os.Exit(8) }) // whatever goes wrong in a test
	f := &fake{id: os.Getenv("NODE_ID"), data: os.Getenv("DATA_DIR")}
	f.shared = filepath.Join(f.data, "../../../fake")
	for _, name := range []string{"NODE_ID", "DATA_DIR", "API_ADDR", "FIB_ADDR", "RAFT_ADDR", "CLIENT_ADDR"} {
		if os.Getenv(name) == "" {
			f.die(2, "%s is not set", name)
		}
	}
	if err := os.MkdirAll(f.shared, 0o700); err != nil {
		f.die(9, "%v", err)
	}
	f.note("start %s cluster=%q initial=%q join=%q observer=%q", f.id, os.Getenv("CLUSTER_ID"), os.Getenv("INITIAL_CLUSTER"), os.Getenv("JOIN"), os.Getenv("OBSERVER"))
	if f.has("crash-" + f.id) {
		f.die(3, "told to crash")
	}
	if _, err := os.Stat(filepath.Join(f.data, "member")); err != nil && os.Getenv("CLUSTER_ID") != "" {
		f.die(4, "DATA_DIR is blank, and this node was a member of cluster %s", os.Getenv("CLUSTER_ID"))
	}
	if err := os.MkdirAll(f.data, 0o700); err != nil {
		f.die(9, "%v", err)
	}
	if f.life = f.hold("alive-" + f.id); f.life == nil {
		f.die(6, "DATA_DIR is in use")
	}
	var initial []string
	if list := os.Getenv("INITIAL_CLUSTER"); list != "" {
		for _, member := range strings.Split(list, ",") {
			id, _, _ := strings.Cut(member, "=")
			initial = append(initial, id)
		}
	}
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, status int, body any) {
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(body)
	}
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		h := health{Status: "follower", RaftState: "Follower", NodeID: f.id, Revision: 1}
		status := http.StatusOK
		switch c := f.change(nil); {
		case !f.quorum(c, ""):
			h.Status, status = "no quorum", http.StatusServiceUnavailable
		case f.leads():
			h.Status, h.RaftState = "healthy", "Leader"
		}
		if f.has("starting-" + f.id) {
			h.Status, h.Reason, status = "starting", "waiting for the test", http.StatusServiceUnavailable
		}
		if f.has("impostor-" + f.id) {
			h.NodeID = "somebody"
		}
		answer(w, status, h)
	})
	mux.HandleFunc("GET /v1/whoami", func(w http.ResponseWriter, r *http.Request) {
		switch token := r.Header.Get("Authorization"); {
		case !f.has("auth"):
			answer(w, http.StatusOK, person{})
		case token == "":
			answer(w, http.StatusOK, person{Authorization: true})
		case f.has("revoked-" + strings.TrimPrefix(token, "Bearer ")):
			answer(w, http.StatusUnauthorized, map[string]string{"detail": "revoked"})
		case token == "Bearer root":
			answer(w, http.StatusOK, person{Authorization: true, Actor: "root", Role: "admin", Grants: []personsGrant{{Role: "admin"}}})
		case token == "Bearer ned":
			answer(w, http.StatusOK, person{Authorization: true, Actor: "ned", Role: "admin", Grants: []personsGrant{{Role: "admin", Routers: []string{"r1"}}}})
		case token == "Bearer vera":
			answer(w, http.StatusOK, person{Authorization: true, Actor: "vera", Role: "viewer", Grants: []personsGrant{{Role: "viewer"}}})
		default:
			answer(w, http.StatusUnauthorized, map[string]string{"detail": "no such token"})
		}
	})
	mux.HandleFunc("POST /v1/commits", func(w http.ResponseWriter, r *http.Request) {
		f.note("commit with %s", r.Header.Get("Authorization"))
		answer(w, http.StatusCreated, nil)
	})
	mux.HandleFunc("GET /v1/cluster/members", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, f.change(nil)) })
	mux.HandleFunc("DELETE /v1/cluster/members/{id}", func(w http.ResponseWriter, r *http.Request) {
		id, status := r.PathValue("id"), http.StatusOK
		f.change(func(c *fakeCluster) bool {
			i := slices.IndexFunc(c.Members, func(m Member) bool { return m.NodeID == id })
			switch {
			case !f.quorum(*c, ""):
				status = http.StatusServiceUnavailable
			case i < 0:
				status = http.StatusNotFound
			case !f.quorum(*c, id):
				status = http.StatusConflict
			default:
				f.note("remove %s by %s", id, f.id)
				c.Members = slices.Delete(c.Members, i, i+1)
				return true
			}
			return false
		})
		answer(w, status, map[string]string{"detail": "fake says " + http.StatusText(status)})
	})
	mux.HandleFunc("POST /crash", func(http.ResponseWriter, *http.Request) { f.die(7, "crashed as asked") })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		answer(w, http.StatusTeapot, map[string]any{"method": r.Method, "uri": r.RequestURI, "host": r.Host, "origin": r.Header["Origin"], "site": r.Header["Sec-Fetch-Site"]})
	})
	go func() {
		err := http.ListenAndServe(os.Getenv("API_ADDR"), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.RequestURI, "//") { // which mux would redirect
				answer(w, http.StatusTeapot, map[string]any{"uri": r.RequestURI})
				return
			}
			mux.ServeHTTP(w, r)
		}))
		f.die(10, "%v", err)
	}()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	for {
		f.step(initial, os.Getenv("JOIN"))
		select {
		case <-signals:
			_, err := os.Stat(f.data)
			f.note("stop %s, data there: %v", f.id, err == nil)
			for f.has("slow-" + f.id) {
				time.Sleep(5 * time.Millisecond) // polls the test
			}
			os.Exit(0)
		case <-time.After(10 * time.Millisecond): // polls the other processes
		}
	}
}

func fakePlane() {
	time.AfterFunc(4*time.Minute, func() { os.Exit(8) })
	state := os.Getenv("DVR_STATE_DIR")
	f := &fake{id: os.Getenv("DVR_ROUTER"), shared: filepath.Join(state, "../../../fake")}
	if err := errors.Join(os.MkdirAll(f.shared, 0o700), os.MkdirAll(state, 0o700)); err != nil {
		f.die(9, "%v", err)
	}
	f.note("plane %s controllers=%s listen=%s", f.id, os.Getenv("DVR_CONTROLLER"), os.Getenv("DVR_LISTEN"))
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	for {
		select {
		case <-signals:
			f.note("plane %s stops", f.id)
			os.Exit(0)
		case <-time.After(20 * time.Millisecond): // polls the test
			if _, err := os.Stat(f.shared); err != nil {
				os.Exit(0)
			}
		}
	}
}
