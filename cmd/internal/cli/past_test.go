package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestRequestsAboutThePast(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"route get 10.1.0.0/16 --at 7", `GET /routes/10.1.0.0/16?at=7`},
		{"route list --at 2026-11-21T22:00:00Z", `GET /v1/routes?at=2026-11-21T22%3A00%3A00Z&limit=100`},
		{"route export --at 7", `GET /v1/routes?at=7`},
		{"route lookup 10.1.2.3 --at 7", `GET /v1/lookup?address=10.1.2.3&at=7`},
		{"lookup 10.1.2.3 --router r1 --at 7", `GET /v1/lookup?address=10.1.2.3&at=7&router=r1`},
		{"router get r1 --at 7", `GET /v1/routers/r1?at=7`}, {"router list --at 7", `GET /v1/routers?at=7`},
		{"link get r1 r2 --name x --at 7", `GET /v1/links/r1/r2?at=7&name=x`}, {"link list --at 7", `GET /v1/links?at=7`},
		{"vector r1 --at 7", `GET /v1/routers/r1/vector?at=7&limit=100`},
		{"guard list --at 7", `GET /v1/guards?at=7`}, {"freeze list --at 7", `GET /v1/freezes?at=7`}, {"timer list --at 7", `GET /v1/timers?at=7`},
		{"confirm --at 7", `GET /v1/confirmations?at=7`}, {"auth role list --at 7", `GET /v1/auth?at=7`}, {"auth token list --at 7", `GET /v1/auth?at=7`},
		{"kv get k --at 2026-11-21T22:00:00Z", `GET /kv/k?at=2026-11-21T22%3A00%3A00Z`},
		{"explain 10.1.2.3 --router r1 --at 7", `GET /v1/explain?address=10.1.2.3&at=7&router=r1`},
		{"blame 10.1.0.0/16 --before 9 --limit 5 --at 8", `GET /v1/blame/10.1.0.0/16?at=8&before=9&limit=5`},
		{"-o json diff 3 4 --router r1", `GET /v1/diff?from=3&limit=100&router=r1&to=4`},
		{"-o json diff 3 --limit 0", `GET /v1/diff?from=3&limit=1`},
	} {
		e := &exchange{code: 200, answer: `{}`}
		if _, err := run(t, e, strings.Fields(test.args)...); err != nil {
			t.Errorf("%s: %v", test.args, err)
		}
		if e.request != test.want {
			t.Errorf("%s:\n got %s\nwant %s", test.args, e.request, test.want)
		}
	}
	t.Setenv("DVR_AT", "12")
	for args, want := range map[string]string{"lookup 10.1.2.3": `GET /v1/lookup?address=10.1.2.3&at=12`, "lookup 10.1.2.3 --at 13": `GET /v1/lookup?address=10.1.2.3&at=13`, "log show 8": `GET /v1/commits/8?limit=1000`, "guard list": `GET /v1/guards?at=12`, "confirm": `GET /v1/confirmations?at=12`} {
		e := &exchange{code: 200, answer: `{}`}
		if _, err := run(t, e, strings.Fields(args)...); err != nil || e.request != want {
			t.Errorf("%s with DVR_AT: %s, %v", args, e.request, err)
		}
	}
}

// What a command reads is as of --at or DVR_AT, or it says that it cannot be: each
// command is of one kind.
func TestEveryReadIsAboutTheMomentAskedFor(t *testing.T) {
	t.Setenv("DVR_AT", "12")
	// They change something, name revisions or times themselves, or are about this machine.
	others := []string{
		"api", "approve", "auth disable", "auth init", "auth join-token", "auth recover", "auth role grant", "auth role revoke", "auth token create", "auth token revoke",
		"backup", "backup verify", "bisect", "cert init", "cert issue", "cert renew", "cert revoke", "cert show", "cluster add", "cluster promote", "cluster recover", "cluster remove",
		"cluster transfer-leader", "commit", "completion bash", "completion fish", "completion powershell", "completion zsh", "config check", "config show", "dataplane audit",
		"dataplane counters", "dataplane lookup", "dataplane show", "demo", "diff", "doctor", "freeze remove", "freeze set", "guard remove", "guard set", "kv delete", "kv history",
		"kv put", "launch", "link delete", "link down", "link set", "link up", "log archive", "log export", "log list", "log repair", "log show", "log verify", "man", "node", "ready", "restore",
		"rollback", "route add", "route delete", "route import", "route set", "router delete", "router drain", "router set", "router undrain", "sim", "support-bundle", "timer cancel", "topology import", "version",
	}
	known := map[string]bool{}
	for _, name := range others {
		known["dvr "+name] = true
	}
	for _, path := range aboutThePresent {
		known[path] = true
		e := &exchange{code: 200, answer: `{}`}
		if _, err := run(t, e, strings.Fields(path)[1:]...); ExitCode(err) != ExitUsage || !strings.Contains(err.Error(), "DVR_AT") || e.request != "" {
			t.Errorf("%s: %v, asked %q", path, err, e.request)
		}
	}
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		if past := cmd.Flags().Lookup("at"); !cmd.HasSubCommands() && !known[cmd.CommandPath()] && (past == nil || past.DefValue != "12") {
			t.Errorf("%s: is it about the moment asked for, the present, or neither?", cmd.CommandPath())
		}
		for _, child := range cmd.Commands() {
			walk(child)
		}
	}
	walk(Root(Streams{}))
}

// The pictures are for readers: what they show is in golden files.
func TestPictures(t *testing.T) {
	for _, name := range []string{"explain", "explain-lost", "diff", "diff-nothing", "blame"} {
		t.Run(name, func(t *testing.T) {
			answer, err := os.ReadFile(filepath.Join("testdata", name+".json"))
			if err != nil {
				t.Fatal(err)
			}
			args := map[string][]string{"explain": {"explain", "10.1.2.3"}, "diff": {"diff", "8", "16", "--limit", "3"}, "blame": {"blame", "10.1.0.0/16"}}[strings.Split(name, "-")[0]]
			got, err := run(t, &exchange{code: 200, answer: string(answer)}, args...)
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", name+".txt")
			if os.Getenv("DVR_UPDATE_PICTURES") != "" {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestADiffThatWasCutIsAnError(t *testing.T) {
	for _, answer := range []string{"", `{"kind":"diff","from":{},"to":{}}` + "\n", "{\"kind\":"} {
		if _, err := run(t, &exchange{code: 200, answer: answer}, "diff", "1", "2"); err == nil {
			t.Errorf("%q passes", answer)
		}
	}
}

// timeline is a node whose past broke at a revision.
type timeline struct {
	t      *testing.T
	newest int
	broken int
}

func (n *timeline) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/v1/links" && r.URL.Query().Get("at") == "2026-11-21T22:00:00Z":
		fmt.Fprint(w, `{"revision":3}`)
	case r.URL.Path == "/v1/links":
		fmt.Fprintf(w, `{"revision":%d}`, n.newest)
	case strings.HasPrefix(r.URL.Path, "/v1/commits/"):
		fmt.Fprintf(w, `{"revision":%s,"actor":"mallory","n":0,"events":[]}`, strings.TrimPrefix(r.URL.Path, "/v1/commits/"))
	default:
		n.t.Errorf("%s", r.URL)
	}
}

func TestBisect(t *testing.T) {
	for _, c := range []struct {
		name           string
		newest, broken int
		probe          string
		args           []string
		want           string // in the output, or the error
		fails          bool
	}{
		{"by the environment", 5000, 1234, "test $DVR_AT -lt 1234", []string{"1"}, "revision 1234 is the first bad one (15 probes)", false},
		{"by the placeholder", 5000, 1234, "test {at} -lt 1234", []string{"1000", "1300"}, "revision 1234 is the first bad one", false},
		{"neighbours", 9, 9, "test {at} -lt 9", []string{"8", "9"}, "revision 9 is the first bad one (2 probes)", false},
		{"from a time", 9, 5, "test {at} -lt 5", []string{"2026-11-21T22:00:00Z"}, "revision 5 is the first bad one", false},
		{"bad from the start", 9, 1, "echo no such; echo file; exit 1", []string{"3"}, "fails at revision 3 already: begin earlier, or mend the probe; it said: no such file", true},
		{"never bad", 9, 99, "exit 0", []string{"3"}, "succeeds at revision 9 still: there is nothing to find; it said: nothing", true},
		{"in the wrong order", 9, 5, "exit 0", []string{"7", "3"}, "comes before", true},
		{"unavailable", 9, 5, "echo no quorum; exit 5", []string{"3"}, "the probe cannot tell at revision 3: exit status 5: no quorum", true},
		{"no such command", 9, 5, "no-such-command-at-all", []string{"3"}, "the probe cannot tell", true},
		{"killed", 9, 5, "kill -9 $$", []string{"3"}, "the probe cannot tell", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := runAgainst(t, &timeline{t, c.newest, c.broken}, append([]string{"bisect", "--probe", c.probe}, c.args...)...)
			if (err != nil) != c.fails {
				t.Fatalf("%v\n%s", err, out)
			}
			if err != nil {
				out = err.Error()
			}
			if !strings.Contains(out, c.want) {
				t.Errorf("%s, want %s", out, c.want)
			}
		})
	}
	out, err := runAgainst(t, &timeline{t, 9, 5}, "-o", "json", "bisect", "--probe", "test {at} -lt 5", "3")
	var got struct {
		First  int `json:"first_bad"`
		Commit struct{ Actor string }
	}
	if err != nil || json.Unmarshal([]byte(out), &got) != nil || got.First != 5 || got.Commit.Actor != "mallory" {
		t.Errorf("%v %s", err, out)
	}
	if _, err := runAgainst(t, &timeline{t, 9, 5}, "bisect", "3"); ExitCode(err) != ExitUsage {
		t.Errorf("without a probe: %v", err)
	}
	// The environment reaches the probe: which nodes, and where dvr is.
	if _, err := runAgainst(t, &timeline{t, 9, 5}, "bisect", "--probe", `case $DVR_ENDPOINTS in http*) test {at} -lt 5;; *) exit 126;; esac`, "3"); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	b := bisection{connection: &connection{errOut: &strings.Builder{}}, probe: "exit 0"}
	if _, err := b.run(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestDiffNamesAConfirmation(t *testing.T) {
	one := map[string]any{"kind": "confirmation.opened", "deadline": "2026-11-21T22:00:00.000Z"}
	if got := itemText(nil, one); got != "confirmation.opened until 2026-11-21T22:00:00.000Z" {
		t.Error(got)
	}
}

// TestRoutesAreToldWithAllThatTheyHave: two that differ in how their next hop is
// resolved alone must not look the same.
func TestRoutesAreToldWithAllThatTheyHave(t *testing.T) {
	one := map[string]any{"router": "q1", "destination": "10.50.0.0/16", "next_hop": "172.20.1.1", "metric": 0.0, "preference": 5.0, "weight": 2.0, "recursive": true, "tags": []any{"a", "b"}}
	if got := routeText("10.50.0.0/16", nil, one); got != "10.50.0.0/16 via 172.20.1.1 weight 2 of q1 metric 0 preference 5 recursive tags a, b" {
		t.Error(got)
	}
}

// runAgainst runs the command against a handler.
func runAgainst(t *testing.T, h http.Handler, args ...string) (string, error) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	var out, errOut strings.Builder
	root := Root(Streams{In: strings.NewReader(""), Out: &out, Err: &errOut})
	root.SetArgs(append([]string{"--endpoint", s.URL, "--timeout", "5s"}, args...))
	err := root.ExecuteContext(context.Background())
	return out.String(), err
}

func TestWatchPrintsMessages(t *testing.T) {
	stream := "retry: 1000\nid: l/1/3\n: heartbeat\n\n" +
		"id: l/1/3+1\nevent: commits\ndata: {\"revision\":4,\"time\":\"T\",\"actor\":\"alice\",\"reason\":\"peer\",\"n\":2}\n\n" +
		"id: l/1/4\nevent: routes\ndata: {\"revision\":4,\"time\":\"T\",\"actor\":\"alice\",\"n\":2,\"events\":[{\"kind\":\"route.withdrawn\",\"destination\":\"10.1.0.0/16\",\"next_hop\":\"192.0.2.1\"}]}\n\n" +
		"event: fib\ndata: {\"router\":\"r1\",\"from\":3,\"revision\":4,\"part\":0,\"changes\":[{\"kind\":\"entry\",\"change\":\"removed\",\"destination\":\"10.1.0.0/16\",\"before\":[{\"next_hop\":\"192.0.2.1\",\"weight\":1}]}],\"last\":true}\nid: l/1/4\n\n" +
		"event: dataplanes\ndata: {\"router\":\"r1\",\"connected\":true,\"digest_equal\":false,\"position\":{\"revision\":4},\"failed\":2}\n\n" +
		"event: nodes\ndata: {\"node_id\":\"n1\",\"online\":true,\"leader\":true}\n\nevent: told\ndata: {\"kind\":\"nodes\"}\n\n" + "event: nodes\ndata: {\"node_id\":\"n2\",\"gone\":true}\n\n"
	want := "4 T alice 2 events peer\n4 T alice route.withdrawn 10.1.0.0/16 via 192.0.2.1 of * -\n4 FIB of r1\n - 10.1.0.0/16: was 192.0.2.1\n" +
		"dataplanes r1 connected not in sync revision 4 2 failed\nnodes n1 online leads\nnodes n2 gone\n"
	for output, want := range map[string]string{"table": want, "json": `{"event":"commits","revision":4,`, "yaml": "event: commits"} {
		ctx, cancel := context.WithCancel(context.Background())
		asked := 0
		var query string
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if asked++; asked > 1 { // resumed: enough
				cancel()
				return
			}
			query = r.URL.RawQuery
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprint(w, stream)
		}))
		var out, errOut strings.Builder
		root := Root(Streams{In: strings.NewReader(""), Out: &out, Err: &errOut})
		root.SetArgs([]string{"--endpoint", s.URL, "-o", output, "watch", "--kinds", "commits,routes,fib", "--router", "r1", "--within", "10.0.0.0/8", "--after", "3"})
		if err := root.ExecuteContext(ctx); err != nil {
			t.Error(err)
		}
		s.Close()
		got := strings.Join(strings.FieldsFunc(out.String(), func(r rune) bool { return r == '\t' }), " ")
		for strings.Contains(got, "  ") {
			got = strings.ReplaceAll(got, "  ", " ")
		}
		if output == "table" && got != want || !strings.Contains(got, want) {
			t.Errorf("%s prints\n%s\nwant\n%s", output, got, want)
		}
		if query != "after=3&kinds=commits%2Croutes%2Cfib&router=r1&within=10.0.0.0%2F8" {
			t.Error(query)
		}
	}
}

// TestGroupWithoutExamples: a group that has none names none; a metric of 0,
// which the log leaves out, is shown.
func TestGroupWithoutExamples(t *testing.T) {
	group, err := decode([]byte(`{"kind":"group","prefixes":1200,"before":null,"after":null}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := changeText(group); !strings.HasPrefix(got, "1,200 prefixes: ") {
		t.Error(got)
	}
	got, err := run(t, &exchange{code: 200, answer: `{"destination":"10.1.0.0/16","candidates":[],"history":[{"revision":3,"actor":"a","events":[{"kind":"route.announced","destination":"10.1.0.0/16","next_hop":"192.0.2.1"}]}],"next":3}`}, "blame", "10.1.0.0/16")
	if err != nil || !strings.Contains(got, "192.0.2.1 metric 0") || !strings.HasSuffix(got, "(earlier ones: dvr blame 10.1.0.0/16 --before 3)\n") {
		t.Errorf("%v\n%s", err, got)
	}
}
