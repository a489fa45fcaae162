package cli

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// square is a node with a topology at two moments.
type square struct {
	asked    []string
	imported string
}

const squareLines = `{"kind":"router.set","router":"a","description":"core"}
{"kind":"link.set","a":"a","b":"b","cost_ab":7}
`

func (s *square) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.asked = append(s.asked, r.Method+" "+r.URL.RequestURI())
	switch r.URL.Path {
	case "/v1/routers":
		io.WriteString(w, `{"routers":[
			{"router":"a","declared":true,"dataplane":true,"description":"core","tags":["x","y"],"revision":3},
			{"router":"b","declared":true,"dataplane":false,"drained":"soft","revision":5},
			{"router":"c","declared":false,"dataplane":false,"revision":0},
			{"router":"d","declared":true,"dataplane":false,"drained":"hard","revision":9}],"revision":12}`)
	case "/v1/links":
		io.WriteString(w, `{"links":[
			{"a":"a","b":"b","cost_ab":1,"cost_ba":10,"address_a":["172.16.0.1"],"address_b":["172.16.0.2","fd00::2"],"interface_a":"eth0","interface_b":"eth1","down":false,"revision":4},
			{"a":"a","b":"b","name":"spare","cost_ab":5,"cost_ba":5,"interface_a":"eth7","interface_b":"eth7","down":true,"revision":7},
			{"a":"b","b":"c","cost_ab":2,"cost_ba":2,"address_b":["172.16.1.2"],"down":false,"observed":{"b":"down","c":"up"},"revision":11}],"revision":12}`)
	case "/v1/topology":
		io.WriteString(w, squareLines)
	case "/v1/topology/import":
		body, _ := io.ReadAll(r.Body)
		s.imported = string(body)
		io.WriteString(w, `{"accepted":2,"refused":[],"refused_count":0,"first_revision":13,"last_revision":13,"changes":1,"key":"k"}`)
	}
}

func TestTopologyPicture(t *testing.T) {
	for name, args := range map[string][]string{"topology": {"topology", "show"}, "topology-of": {"topology", "show", "b", "--at", "12"}} {
		s := &square{}
		got, err := runAgainst(t, s, args...)
		if err != nil || len(s.asked) != 2 || s.asked[1] != "GET /v1/links?at=12" {
			t.Fatalf("%v, asked %q", err, s.asked)
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
	}
	got, err := runAgainst(t, &square{}, "topology", "show", "-o", "json")
	if err != nil || !strings.Contains(got, `"routers"`) || !strings.Contains(got, `"cost_ba"`) || !strings.Contains(got, `"revision": 12`) {
		t.Errorf("%v %s", err, got)
	}
}

// Of a link that cannot be used from an end, the list says so.
func TestUnusableLinkIsListed(t *testing.T) {
	got, err := runAgainst(t, &square{}, "link", "list")
	if err != nil || !strings.Contains(got, ", UNUSABLE from c") || strings.Count(got, "UNUSABLE") != 1 {
		t.Errorf("%v\n%s", err, got)
	}
}

// What export writes, import sends back as it is.
func TestTopologyRoundTrip(t *testing.T) {
	s := &square{}
	file := filepath.Join(t.TempDir(), "topology.ndjson")
	if _, err := runAgainst(t, s, "topology", "export", "-f", file, "--at", "9"); err != nil {
		t.Fatal(err)
	}
	out, err := runAgainst(t, s, "topology", "import", file, "--replace", "--scope", "tag:edge", "--reason", "back")
	if err != nil || s.imported != squareLines || !strings.Contains(out, "13") {
		t.Errorf("%v, imported %q: %s", err, s.imported, out)
	}
	if s.asked[0] != "GET /v1/topology?at=9" || !strings.HasPrefix(s.asked[1], "POST /v1/topology/import?mode=replace&reason=back&scope=tag%3Aedge") {
		t.Errorf("%q", s.asked)
	}
	if out, err := runAgainst(t, s, "topology", "export"); err != nil || out != squareLines {
		t.Errorf("%v %q", err, out)
	}
}
