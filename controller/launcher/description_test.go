package launcher

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"dvr/controller/httpapi/openapi/openapitest"
)

// TestEveryCallIsDescribed: the calls of the table and those that the API's
// description has are the same.
func TestEveryCallIsDescribed(t *testing.T) {
	c, err := contract()
	if err != nil {
		t.Fatal(err)
	}
	served := map[string]bool{}
	for _, each := range (&Launcher{}).calls() {
		served[each.method+" "+each.path] = true
	}
	for _, o := range c.Operations() {
		call := o.Method + " " + o.Path
		if !o.Launcher || strings.HasPrefix(o.Path, proxyPrefix) {
			continue
		}
		if !served[call] {
			t.Errorf("%s is described and not served", call)
		}
		delete(served, call)
	}
	for call := range served {
		t.Errorf("%s is served and not described", call)
	}
}

// TestCallsAreAsDescribed sends every call as its example is. Every other test's
// calls are held to the description, too.
func TestCallsAreAsDescribed(t *testing.T) {
	r := newRig(t).start()
	r.healthy("node1", "node2", "node3")
	c, err := contract()
	if err != nil {
		t.Fatal(err)
	}
	left := map[string]*openapitest.Operation{}
	for _, o := range c.Operations() {
		if o.Launcher {
			left[o.ID] = o
		}
	}
	call := func(id string) {
		t.Helper()
		o := left[id]
		if o == nil {
			t.Fatalf("%s is not described", id)
		}
		delete(left, id)
		if a := r.call(o.Method, o.Target(), o.Body); a.code != http.StatusOK {
			t.Errorf("%s: %s %s: %d %s", id, o.Method, o.Target(), a.code, a.body)
		}
	}
	for _, id := range []string{"listControlledNodes", "getLog", "callNode", "addControlledNode"} {
		call(id)
	}
	r.healthy("node1", "node2", "node3", "node4")
	call("stopNode")
	r.healthy("node2", "node3", "node4")
	call("startNode")
	r.healthy("node1", "node2", "node3", "node4")
	call("restartNode")
	r.eventually("a node that has been started again", func() bool { return r.nodes()["node1"].State == "running" })
	r.healthy("node1", "node2", "node3", "node4")

	o := left["watchControlledNodes"]
	delete(left, o.ID)
	resp, err := http.Get(r.base + o.Target())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	first, err := untilBlank(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	u := &url.URL{Path: o.Path}
	if err := c.Check(openapitest.Exchange{Method: o.Method, URL: u, Code: resp.StatusCode, Answer: resp.Header, Got: first}); err != nil || !bytes.Contains(first, []byte("node4")) {
		t.Errorf("%v in %s", err, first)
	}

	call("decommissionNode")
	delete(left, "callNodePost") // what a node is asked, and answers, is the node's own; TestProxy does it
	delete(left, "callNodePut")
	delete(left, "callNodeDelete")
	for id := range left {
		t.Errorf("%s was not called", id)
	}
}

// untilBlank reads the first message of a stream.
func untilBlank(r io.Reader) ([]byte, error) {
	var out []byte
	for s := bufio.NewReader(r); ; {
		line, err := s.ReadBytes('\n')
		if out = append(out, line...); err != nil || len(line) == 1 {
			return out, err
		}
	}
}
