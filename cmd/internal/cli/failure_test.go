package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// failed runs a command that fails and gives what Main writes of it, and its exit code.
func failed(t *testing.T, e *exchange, args ...string) (stderr string, code int) {
	t.Helper()
	if e != nil {
		s := httptest.NewServer(e)
		t.Cleanup(s.Close)
		args = append([]string{"--endpoint", s.URL, "--timeout", "5s"}, args...)
	}
	var out, errOut bytes.Buffer
	root := Root(Streams{In: strings.NewReader("line 1\n"), Out: &out, Err: &errOut})
	root.SetArgs(args)
	err := root.ExecuteContext(t.Context())
	if err == nil {
		t.Fatalf("%v succeeded: %s", args, out.String())
	}
	reportFailure(&errOut, outputOf(args), err)
	return errOut.String(), ExitCode(err)
}

// lastDocument reads documents up to the last; those before it are notices.
func lastDocument(text string, isYAML bool) (d map[string]any, err error) {
	if isYAML {
		parts := strings.Split(text, "---\n")
		if err := yaml.Unmarshal([]byte(parts[len(parts)-1]), &d); err != nil {
			return nil, err
		}
		raw, err := json.Marshal(d) // numbers as JSON's reader has them
		if err != nil {
			return nil, err
		}
		text = string(raw)
	}
	in := json.NewDecoder(strings.NewReader(text))
	for {
		var next map[string]any
		switch err := in.Decode(&next); {
		case errors.Is(err, io.EOF) && d != nil:
			return d, nil
		case err != nil:
			return nil, err
		case d != nil && (len(d) != 1 || d["notice"] == nil) && !isYAML:
			return nil, fmt.Errorf("%v is no notice", d)
		}
		d = next
	}
}

// TestFailuresAreDocuments: with -o json and yaml standard error holds one
// document, the API's problem where there is one; exit codes are the text's.
func TestFailuresAreDocuments(t *testing.T) {
	const problem = `{"type":"/problems/invalid","title":"Invalid request","status":400,"detail":"destination: has host bits set","instance":"/routes","error":"destination: has host bits set","field":"destination"}` + "\n"
	const refusedImport = `{"type":"/problems/invalid","title":"Invalid request","status":400,"detail":"line 1: x","error":"line 1: x","refused":[{"line":1,"reason":"x"}],"refused_count":1}`
	const stored = `{"destination":"10.1.0.0/16","status":"route added","revision":4,"pending":["r1"]}`
	for _, c := range []struct {
		name   string
		e      *exchange
		args   []string
		code   int
		kind   string
		status float64 // 0: none
		more   map[string]string
	}{
		{"the API's problem", &exchange{code: 400, answer: problem}, []string{"route", "add", "10.1.2.3/16", "192.0.2.1"}, ExitUsage, "/problems/invalid", 400,
			map[string]string{"field": "destination", "error": "destination: has host bits set", "instance": "/routes", "title": "Invalid request"}},
		{"not found", &exchange{code: 404, answer: `{"type":"/problems/not-found","title":"Not found","status":404,"detail":"route 10.1.0.0/16: not found","error":"route 10.1.0.0/16: not found"}`}, []string{"route", "get", "10.1.0.0/16"}, ExitNotFound, "/problems/not-found", 404, nil},
		{"one that may be stored", &exchange{code: 500, answer: `{"type":"/problems/internal","title":"Internal error","status":500,"detail":"unknown","error":"unknown","id":"k1"}`}, []string{"route", "add", "10.1.0.0/16", "192.0.2.1", "--idempotency-key", "k1"}, ExitFailure, "/problems/internal", 500,
			map[string]string{"id": "k1", "advice": "Repeat it safely with --idempotency-key k1"}},
		{"the lines of an import", &exchange{code: 400, answer: refusedImport}, []string{"route", "import", "-"}, ExitUsage, "/problems/invalid", 400, nil},
		{"who is no node", &exchange{code: 404, answer: "<html>"}, []string{"route", "get", "10.1.0.0/16"}, ExitNotFound, "", 404, nil},
		{"not installed", &exchange{code: 202, answer: stored}, []string{"route", "add", "10.1.0.0/16", "192.0.2.1", "--wait", "installed"}, ExitUnavailable, "/problems/unreachable", 0, nil},
		{"wrong arguments", &exchange{code: 200, answer: `{}`}, []string{"route", "get"}, ExitUsage, "/problems/usage", 0, nil},
		{"an unknown flag before it", nil, []string{"route", "get", "--foo", "10.1.0.0/16"}, ExitUsage, "/problems/usage", 0, nil},
		{"an unknown verb", nil, []string{"rout"}, ExitUsage, "/problems/usage", 0, nil},
		{"nobody there", nil, []string{"status", "--endpoint", "127.0.0.1:1", "--timeout", "100ms"}, ExitUnavailable, "/problems/unreachable", 0, nil},
		{"a file that is not there", nil, []string{"backup", "verify", "/nonexistent/file"}, ExitUsage, "", 0, nil},
	} {
		text, code := failed(t, c.e, c.args...)
		if c.name != "a file that is not there" && code != c.code || !strings.HasSuffix(strings.TrimSpace(text), strings.TrimSpace(text[strings.LastIndex(text, "dvr: ")+5:])) || !strings.Contains(text, "dvr: ") {
			t.Errorf("%s, as text: exit %d: %s", c.name, code, text)
		}
		for _, output := range [][]string{{"-o", "json"}, {"--output=json"}, {"-ojson"}, {"-o", "yaml"}} {
			stderr, got := failed(t, c.e, append(c.args, output...)...)
			d, err := lastDocument(stderr, output[len(output)-1] == "yaml")
			if err != nil {
				t.Errorf("%s %v: %v: %s", c.name, output, err, stderr)
				continue
			}
			if got != code || d["exit_code"] != float64(code) || c.kind != "" && d["type"] != c.kind || c.status == 0 && d["status"] != nil || c.status != 0 && d["status"] != c.status {
				t.Errorf("%s %v: exit %d, as text %d: %s", c.name, output, got, code, stderr)
			}
			if d["detail"] == "" || d["detail"] != d["error"] || d["title"] == "" {
				t.Errorf("%s %v: %s", c.name, output, stderr)
			}
			if c.status == 400 && !strings.HasPrefix(d["endpoint"].(string), "http://127.0.0.1:") {
				t.Errorf("%s %v: whose answer it is: %s", c.name, output, stderr)
			}
			for k, v := range c.more {
				if d[k] != v {
					t.Errorf("%s %v: %s is %v, want %s", c.name, output, k, d[k], v)
				}
			}
		}
	}
}

func TestNoticesAreDocuments(t *testing.T) {
	var errOut bytes.Buffer
	c := &connection{errOut: &errOut}
	for output, want := range map[string]string{"table": "dvr: warning: a\"b\n", "json": `{"notice":"warning: a\"b"}` + "\n", "yaml": "---\nnotice: 'warning: a\"b'\n"} {
		errOut.Reset()
		c.output = output
		if c.warn(`a"b`); errOut.String() != want {
			t.Errorf("%s: %q, want %q", output, errOut.String(), want)
		}
	}
	errOut.Reset()
	reportFailure(&errOut, "json", errors.New("one\ntwo"))
	if want := `{
  "type": "/problems/failed",
  "title": "Failed",
  "detail": "one",
  "error": "one",
  "advice": "two",
  "exit_code": 1
}
`; errOut.String() != want {
		t.Errorf("%s", errOut.String())
	}
}

func TestOutputOf(t *testing.T) {
	for args, want := range map[string]string{
		"status": "", "status -o json": "json", "-o yaml status": "yaml", "status --output=json": "json", "status -o=json": "json", "status -ojson": "json",
		"status -o": "", "status -o json -o table": "table", "bisect 1 2 -- probe -o json": "", "route add --output": "",
	} {
		if got := outputOf(strings.Fields(args)); got != want {
			t.Errorf("%q: %q, want %q", args, got, want)
		}
	}
}

// TestNobodyListens: of a cluster that is not running the command says so soon,
// names each endpoint and says what to do; who gives --timeout waits as long.
func TestNobodyListens(t *testing.T) {
	var dead []string
	for range 3 {
		s := httptest.NewServer(nil)
		dead = append(dead, strings.TrimPrefix(s.URL, "http://"))
		s.Close()
	}
	for _, test := range []struct {
		args        string
		least, most time.Duration
	}{
		{"status", 0, 15 * time.Second}, // a timeout of 30 s is the default
		{"route add 10.0.0.0/8 192.0.2.1", 0, 15 * time.Second},
		{"status --timeout 2500ms", 2400 * time.Millisecond, time.Minute},
	} {
		var out, errOut bytes.Buffer
		root := Root(Streams{Out: &out, Err: &errOut})
		root.SetArgs(append(strings.Fields(test.args), "--endpoint", strings.Join(dead, ",")))
		began := time.Now()
		err := root.ExecuteContext(t.Context())
		took := time.Since(began)
		if ExitCode(err) != ExitUnavailable || took < test.least || took > test.most {
			t.Errorf("%s: exit code %d after %v: %v", test.args, ExitCode(err), took, err)
		}
		for _, want := range append([]string{"Is a node running", "DVR_ENDPOINTS"}, dead...) {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v has no %q", test.args, err, want)
			}
		}
	}
}
