package cli

import (
	"crypto/sha256"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dvr/controller/auth"
)

// registry is a node that knows roles and tokens, and keeps what it was sent.
type registry struct {
	access string
	header http.Header
	events []map[string]any
}

func (r *registry) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	r.header = q.Header
	if q.URL.Path == accessPath {
		io.WriteString(w, r.access)
		return
	}
	var body struct{ Events []map[string]any }
	_ = json.NewDecoder(q.Body).Decode(&body)
	r.events = body.Events
	w.WriteHeader(http.StatusCreated)
	io.WriteString(w, `{"revision":7}`)
}

func sent(t *testing.T, r *registry, args ...string) (string, error) {
	t.Helper()
	r.events = nil
	return runWith(t, r, args...)
}

// runWith executes the verbs against a node of the test's.
func runWith(t *testing.T, node http.Handler, args ...string) (string, error) {
	t.Helper()
	s := httptest.NewServer(node)
	defer s.Close()
	return runLocal(t, append([]string{"--endpoint", s.URL, "--timeout", "5s"}, args...)...)
}

func TestAuthVerbs(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	r := &registry{access: `{"enabled":false,"roles":[{"actor":"alice","grants":[{"role":"viewer"}],"revision":3}],"tokens":[{"id":"k1","actor":"alice","revision":4},{"id":"j1","actor":"join","join":true,"node":"n4","expires":"2030-01-01T00:00:00.000Z","revision":5}],"revision":6}`}
	out, err := sent(t, r, "auth", "init", "root")
	token := strings.TrimSpace(out)
	id, hash, ok := auth.ParseToken(token)
	if err != nil || !ok || len(r.events) != 3 || r.events[0]["id"] != id || r.events[1]["kind"] != "role.set" || r.events[2]["kind"] != "auth.enabled" {
		t.Fatalf("%q %v %v", out, err, r.events)
	}
	secret := token[strings.LastIndexByte(token, '_')+1:]
	if sha256.Sum256([]byte(secret)) != hash || strings.Contains(toJSON(r.events), secret) {
		t.Error("the secret was sent")
	}
	path := filepath.Join(t.TempDir(), "sub", "token")
	if out, err = sent(t, r, "auth", "token", "create", "ci", "--expires-in", "90d", "--write", path); err != nil || strings.Contains(out, "dvr_") {
		t.Errorf("%q %v", out, err)
	}
	if s, err := os.Stat(path); err != nil || s.Mode().Perm() != 0o600 || r.events[0]["expires"] == nil || r.events[0]["join"] != nil {
		t.Errorf("%v %v", err, r.events)
	}
	if _, err = sent(t, r, "auth", "token", "create", "ci", "--write", path); err == nil || r.events != nil {
		t.Error("a file was overwritten")
	}
	if _, err = sent(t, r, "auth", "join-token"); err != nil || r.events[0]["join"] != true || r.events[0]["expires"] == nil {
		t.Errorf("%v %v", err, r.events)
	}
	for args, want := range map[string]string{
		"auth role grant alice operator --prefix 10.2.0.0/16 --prefix 10.1.0.0/16 --router r2,r1": `[{"actor":"alice","grants":[{"role":"viewer"},{"prefixes":["10.1.0.0/16","10.2.0.0/16"],"role":"operator","routers":["r1","r2"]}],"kind":"role.set"}]`,
		"auth role grant group:ops admin":            `[{"actor":"group:ops","grants":[{"role":"admin"}],"kind":"role.set"}]`,
		"auth role revoke alice":                     `[{"actor":"alice","kind":"role.removed"}]`,
		"auth role revoke alice viewer":              `[{"actor":"alice","kind":"role.removed"}]`,
		"auth token revoke k1":                       `[{"id":"k1","kind":"token.removed"}]`,
		"auth disable":                               `[{"kind":"auth.disabled"}]`,
		"auth role revoke alice admin":               "",
		"auth role revoke nobody":                    "",
		"auth token revoke k9":                       "",
		"auth role grant alice owner":                "",
		"auth role grant alice viewer --prefix here": "",
		"auth token create x --expires-in soon":      "",
	} {
		_, err := sent(t, r, strings.Fields(args)...)
		if want == "" && (err == nil || r.events != nil) || want != "" && (err != nil || toJSON(r.events) != want) {
			t.Errorf("%s: %v %s", args, err, toJSON(r.events))
		}
	}
	if out, err := sent(t, r, "auth", "token", "list"); err != nil || !strings.Contains(out, "joining, used by n4") {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := sent(t, r, "auth", "role", "list"); err != nil || !strings.Contains(out, "alice") {
		t.Errorf("%v\n%s", err, out)
	}
	r.access = `{"enabled":true}`
	if _, err := sent(t, r, "auth", "init", "root"); err == nil || r.events != nil {
		t.Error("turned on twice")
	}
}

func toJSON(v any) string {
	raw, _ := json.Marshal(v)
	return string(raw)
}

// TestCredential: where the token is looked for, and to whom it is not sent.
func TestCredential(t *testing.T) {
	home := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", home)
	if err := writeToken(tokenPath(), "dvr_home_x"); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(home, "other")
	if err := writeToken(other, "dvr_other_x"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		c    connection
		want string
	}{
		{connection{endpoints: []string{"127.0.0.1:9090", "localhost", ":9091", "[::1]:9090", "http://127.0.0.1:1"}}, "dvr_home_x"},
		{connection{endpoints: []string{"https://node.example.org"}}, "dvr_home_x"},
		{connection{endpoints: []string{"127.0.0.1:9090", "192.0.2.1:9090"}}, ""},
		{connection{endpoints: []string{"http://localhost.example.org:9090"}}, ""},
		{connection{endpoints: []string{"192.0.2.1:9090"}, tokenFile: other}, "dvr_other_x"},
		{connection{endpoints: []string{"192.0.2.1:9090"}, tokenFile: other, token: "dvr_given_x"}, "dvr_given_x"},
	} {
		if got, err := c.c.credential(); err != nil || got != c.want {
			t.Errorf("%v: %q, %v; want %q", c.c.endpoints, got, err, c.want)
		}
	}
	if err := os.Chmod(other, 0o644); err != nil {
		t.Fatal(err)
	}
	c := connection{tokenFile: other}
	if _, err := c.credential(); err == nil || ExitCode(err) != ExitUsage {
		t.Errorf("a file for everybody: %v", err)
	}
	c.tokenFile = filepath.Join(home, "absent")
	if _, err := c.credential(); err == nil {
		t.Error("a file that is not there")
	}
	r := &registry{access: `{}`}
	if _, err := runWith(t, r, "auth", "role", "list"); err != nil || r.header.Get("Authorization") != "Bearer dvr_home_x" {
		t.Errorf("%v %v", err, r.header)
	}
	if _, err := runWith(t, r, "--token", "dvr_flag_x", "auth", "role", "list"); err != nil || r.header.Get("Authorization") != "Bearer dvr_flag_x" {
		t.Errorf("%v %v", err, r.header)
	}
	t.Setenv("DVR_TOKEN", "dvr_secret_x")
	if out, err := runLocal(t, "whoami", "--help"); err != nil || strings.Contains(out, "dvr_secret_x") {
		t.Errorf("the help shows the token: %v %s", err, out)
	}
}

func TestWhoAmI(t *testing.T) {
	for answer, want := range map[string]string{
		`{"authorization":false,"revision":1}`: "Authorization is off",
		`{"authorization":true,"revision":1}`:  "have not said who you are",
		`{"authorization":true,"actor":"ned","role":"operator","via":["token:k1"],"grants":[{"role":"operator","prefixes":["10.0.0.0/8"]}],"revision":1}`: "ned",
	} {
		out, err := run(t, &exchange{code: 200, answer: answer}, "whoami")
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("%v %s", err, out)
		}
	}
	_, err := run(t, &exchange{code: 401, answer: `{"type":"/problems/unauthenticated","title":"Not authenticated","status":401,"detail":"no"}`}, "whoami")
	if ExitCode(err) != ExitDenied {
		t.Errorf("%v", err)
	}
}

// TestGrantProposed: a role that another admin has to agree to is stored as a
// proposal, whose name is told.
func TestGrantProposed(t *testing.T) {
	e := &exchange{code: 202, answer: `{"timer":"proposal-7"}`}
	out, err := run(t, e, "auth", "role", "grant", "eve", "admin", "--propose")
	if err != nil || !strings.Contains(out, "dvr approve proposal-7") {
		t.Errorf("%q, %v", out, err)
	}
	if !strings.Contains(e.request, "POST /v1/commits?propose=true") || !strings.Contains(e.request, `"kind":"role.set"`) {
		t.Error(e.request)
	}
}
