package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestAuthorizationInACluster: turned on at one node it is in force on all; a
// change at a node that does not lead carries its caller; what is revoked is
// refused everywhere; a node joins with a token, once.
func TestAuthorizationInACluster(t *testing.T) {
	nodes := members(t, 3)
	launch(t, nodes...)
	ready(t, nodes...)
	_, rest := leader(t, nodes...)
	follower, other := rest[0], rest[1]
	dir := scratch(t)
	file := filepath.Join(dir, "root.token")
	as := func(file string, args ...string) (string, int) {
		return run(t, append([]string{"--token-file", file, "--endpoint", follower.API}, args...)...)
	}
	if out, code := run(t, "--endpoint", follower.API, "auth", "init", "root", "--write", file); code != 0 {
		t.Fatalf("init: %d %s", code, out)
	}
	if s, err := os.Stat(file); err != nil || s.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", s, err)
	}
	for _, args := range [][]string{
		{"auth", "token", "create", "ned", "--write", filepath.Join(dir, "ned.token"), "--expires-in", "1d"},
		{"auth", "role", "grant", "ned", "operator", "--prefix", "10.0.0.0/8"},
	} {
		if out, code := as(file, args...); code != 0 {
			t.Fatalf("%v: %d %s", args, code, out)
		}
	}
	ned := filepath.Join(dir, "ned.token")
	if out, code := as(ned, "route", "add", "10.1.0.0/16", "192.168.1.1"); code != 0 {
		t.Fatalf("in scope, by a node that does not lead: %d %s", code, out)
	}
	if out, code := as(ned, "route", "add", "0.0.0.0/0", "192.168.1.1"); code != 8 || !strings.Contains(out, "ned") {
		t.Errorf("out of scope: %d %s", code, out)
	}
	for _, n := range nodes {
		for path, want := range map[string]int{"/livez": 200, "/readyz": 200, "/health": 200, "/v1/whoami": 200, "/routes": 401, "/v1/status": 401, "/v1/backup": 401, "/metrics": 401} {
			if a := codeOf(t, n.API, path, want); a != want {
				t.Errorf("%s of %s: %d", path, n.API, a)
			}
		}
	}
	out, code := as(file, "auth", "token", "list")
	if code != 0 {
		t.Fatalf("%d %s", code, out)
	}
	id := ""
	for line := range strings.SplitSeq(out, "\n") {
		if f := strings.Fields(line); len(f) > 1 && f[1] == "ned" {
			id = f[0]
		}
	}
	if out, code := as(file, "auth", "token", "revoke", id); code != 0 {
		t.Fatalf("%d %s", code, out)
	}
	if out, code := as(ned, "route", "add", "10.2.0.0/16", "192.168.1.1"); code != 8 {
		t.Errorf("revoked: %d %s", code, out)
	}
	// By a node that has not folded that yet the one which appends refuses it.
	if out, code := run(t, "--token-file", ned, "--endpoint", other.API, "route", "add", "10.2.0.0/16", "192.168.1.1"); code != 8 {
		t.Errorf("revoked, elsewhere: %d %s", code, out)
	}
	if out, code := as(file, "auth", "audit"); code != 0 || !strings.Contains(out, "/routes") {
		t.Errorf("%d %s", code, out)
	}

	// Who has the directory of a node makes an admin where the last token is lost.
	if out, code := run(t, "auth", "recover", "rescue", "--data-dir", filepath.Join(other.Dir, "data"), "--write", filepath.Join(dir, "rescue")); code != 0 {
		t.Fatalf("%d %s", code, out)
	}
	if err := other.Stop(patience); err != nil {
		t.Fatal(err)
	}
	launch(t, other)
	ready(t, other)
	if a := answersAs(t, other.API, "/v1/auth", filepath.Join(dir, "rescue")); a != http.StatusOK {
		t.Errorf("the admin that was made: %d", a)
	}

	join, code := as(file, "auth", "join-token", "--write", filepath.Join(dir, "join"))
	if code != 0 {
		t.Fatalf("%d %s", code, join)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "join"))
	if err != nil {
		t.Fatal(err)
	}
	token := strings.TrimSpace(string(raw))
	fourth := joiner(t, "node-4", "JOIN="+follower.API, "JOIN_TOKEN="+token)
	launch(t, fourth)
	ready(t, fourth)
	if out, code := run(t, "--token-file", file, "--endpoint", fourth.API, "route", "add", "10.4.0.0/16", "192.168.1.4"); code != 0 {
		t.Errorf("at the new node: %d %s", code, out)
	}
	for what, environment := range map[string][]string{"the same token": {"JOIN_TOKEN=" + token}, "none": nil} {
		stranger := joiner(t, "node-5", append([]string{"JOIN=" + follower.API}, environment...)...)
		launch(t, stranger)
		if code, err := stranger.Wait(within(t, patience)); code != 7 || err != nil || strings.Contains(stranger.Log(), token) {
			t.Errorf("%s: exit %d, %v\n%s", what, code, err, stranger.Log())
		}
	}
}

// codeOf is the code that a path answers with, once it is the one wanted or
// a while has passed: a node folds what others commit.
func codeOf(t *testing.T, api, path string, want int) int {
	t.Helper()
	code := 0
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) { // polls other processes
		resp, err := http.Get("http://" + api + path)
		if err != nil {
			continue
		}
		resp.Body.Close()
		if code = resp.StatusCode; code == want {
			break
		}
	}
	return code
}

// answersAs is answers to who has a token, until it is 200.
func answersAs(t *testing.T, api, path, file string) int {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	code := 0
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) { // polls another process
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+api+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(raw)))
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			continue
		}
		resp.Body.Close()
		if code = resp.StatusCode; code == http.StatusOK {
			break
		}
	}
	return code
}
